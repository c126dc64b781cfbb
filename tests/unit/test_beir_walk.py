"""What the walk makes of runs: measures by a collection's grades, means of parts, queries worth a look."""

from dataclasses import replace
from pathlib import Path

import pytest

from splade_lucene.beir.records import read_record, record_of, write_record
from splade_lucene.beir.registry import Collection
from splade_lucene.beir.shown import LONGEST, shown_queries
from splade_lucene.beir.walk import Failure, mean_of_parts, measured_as
from splade_lucene.evaluation.results import Result
from tests.helpers import hits
from tests.unit.test_beir_source import source_of, write_folder


@pytest.mark.parametrize(
    ("name", "relevant_from", "exact"),
    [
        ("R@1000", 2, "R(rel=2)@1000"),
        ("AP", 2, "AP(rel=2)"),
        ("RR@10", 2, "RR(rel=2)@10"),
        ("nDCG@10", 2, "nDCG@10"),  # takes all grades
        ("R(rel=1)@1000", 2, "R(rel=1)@1000"),  # was asked for so
        ("R@1000", 1, "R@1000"),
    ],
)
def test_measures_of_two_grades_count_from_the_collections_own(name: str, relevant_from: int, exact: str) -> None:
    assert measured_as(name, relevant_from) == exact


def test_the_mean_of_parts_counts_every_part_alike() -> None:
    part = Result(
        collection="a",
        system="bm25",
        settings={"k": 10, "inputs": "f00d"},
        measures={"AP": 0.5, "R@100": 1.0},
        per_query={"AP": {"q": 0.5}, "R@100": {"q": 1.0}},
        queries={"q": "what"},
        missing_queries=1,
        unjudged_queries=2,
        cost=None,
        machine={"cpu": "one"},
    )
    other = replace(part, collection="b", measures={"AP": 0.1, "R@100": 0.5}, missing_queries=3)
    mean = mean_of_parts(Collection(name="both", parts=("a", "b")), [part, other])
    assert (mean.collection, mean.system, mean.parts) == ("both", "bm25", ("a", "b"))
    assert mean.measures == {"AP": pytest.approx(0.3), "R@100": 0.75}
    assert (mean.missing_queries, mean.unjudged_queries) == (4, 4)
    assert (mean.per_query, mean.queries, mean.settings) == ({}, {}, {"k": 10})


def test_the_five_worst_and_the_five_best_queries_are_shown(tmp_path: Path) -> None:
    queries = {f"q{number:02}": f"question {number}" for number in range(12)}
    source = source_of(write_folder(tmp_path / "mine", queries=queries, judged={(each, "a"): 1 for each in queries}))
    values = {each: 0.0 if number % 2 else number / 100 for number, each in enumerate(queries)}
    shown = shown_queries(source, {}, values, None)
    assert [each.query_id for each in shown[:5]] == ["q00", "q01", "q03", "q05", "q07"]
    assert [each.query_id for each in shown[5:]] == ["q02", "q04", "q06", "q08", "q10"]
    assert all((each.found, each.terms) == ((), ()) for each in shown)
    assert [each.doc_id for each in shown[0].missed] == ["a"]


def test_missed_is_what_is_relevant_and_not_among_the_first_hits(tmp_path: Path) -> None:
    documents = {f"d{number:02}": "x" * (LONGEST + number) for number in range(30)}
    grades = {"d00": 1, "d20": 1, "d21": 2, "d22": 1, "d23": 1, "d24": 0}
    judged = {("q", doc_id): grade for doc_id, grade in grades.items()}
    source = source_of(write_folder(tmp_path / "mine", documents, {"q": "what"}, judged))
    run = {"q": hits(*list(documents)[:22])}
    (shown,) = shown_queries(source, run, {"q": 0.3}, None)
    assert [(each.doc_id, each.rank, each.relevance) for each in shown.found] == [
        *[("d00", 1, 1), ("d01", 2, None), ("d02", 3, None), ("d03", 4, None), ("d04", 5, None)]
    ]
    assert [(each.doc_id, each.rank, each.score) for each in shown.missed] == [
        *[("d21", 22, 1), ("d20", 21, 2), ("d22", None, 0)]
    ]
    assert shown.found[0].text == documents["d00"]
    assert shown.found[1].text == "x" * LONGEST + "…"


def test_a_failure_says_where() -> None:
    assert str(Failure("scifact", None, "is not there")) == "scifact: is not there"
    assert str(Failure("scifact", "bm25", "disk full")) == "scifact · bm25: disk full"


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    record = record_of(tmp_path / "index-f00d")
    assert record.name == "index-f00d.json" and read_record(record) is None
    write_record(record, {"seconds": 1.5})
    assert read_record(record) == {"seconds": 1.5}
    for damaged in ("", "{", "[]"):
        record.write_text(damaged)
        assert read_record(record) is None
