"""The trade-off benchmark on a small collection: each way is a row, exact rows miss nothing, the picture is one."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import tradeoff
from benchmarks.report import Row
from benchmarks.tradeoff import EXACT, FIRST_PASS, WAYS, Judged, Way, measure, recall
from splade_lucene.errors import FormatError
from splade_lucene.lucene.options import SearchOptions
from splade_lucene.pruning import Pruning
from tests.helpers import hits

pytestmark = pytest.mark.jvm

DOCUMENTS = {
    f"d{number}": {f"t{term}": 1 + (number * term) % 60 for term in range(1 + number % 9)} for number in range(99)
}
QUERIES = {f"q{number}": {f"t{term}": 1 + term for term in range(number, number + 3)} for number in range(6)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    with (folder / "d.jsonl").open("w") as file:
        file.writelines(json.dumps({"id": each, "vector": row}) + "\n" for each, row in DOCUMENTS.items())
    with (folder / "q.tsv").open("w") as file:
        repeated = {each: " ".join(" ".join([term] * n) for term, n in row.items()) for each, row in QUERIES.items()}
        file.writelines(f"{each}\t{terms}\n" for each, terms in repeated.items())
    (folder / "test.qrels").write_text("q0 0 d8 1\nq1 0 d7 1\nq9 0 d1 1\n")
    return folder


def read(files: Path, qrels: str | None = "test.qrels", *, most: int = 9) -> Judged:
    chosen = str(files / qrels) if qrels else None
    return Judged.read("small", files / "d.jsonl", files / "q.tsv", chosen, most=most)


def by_label(rows: list[Row]) -> Mapping[str, Row]:
    return {str(row["way"]): row for row in rows}


def test_exact_rows_miss_nothing_and_others_are_measured_against_them(files: Path) -> None:
    few = Way("documents' top terms", "1", Pruning(top_terms=1))
    two_steps = Way("two steps", search=SearchOptions(first_pass_terms=3, rescore=99))
    pruned_first = Way("two steps, pruned", search=two_steps.search, first_pass_doc_terms=FIRST_PASS)
    rows = by_label(measure(read(files), [*WAYS[:3], few, two_steps, pruned_first], repeats=1))
    for label in (
        "exact every posting",
        "exact skipping",
        "exact skipping, reordered",
        "two steps",
        "two steps, pruned",
    ):
        assert (rows[label]["exact top 10"], rows[label]["exact top 1,000"]) == (1, 1)
        assert rows[label]["nDCG@10"] == rows["exact every posting"]["nDCG@10"]
    met = sum(term in row for row in DOCUMENTS.values() for query in QUERIES.values() for term in query)
    assert rows["exact every posting"]["postings, 10 hits"] == pytest.approx(met / len(QUERIES))
    pruned = rows["documents' top terms 1"]
    assert 0 < float(pruned["exact top 10"] or 0) < 1
    assert float(pruned["index MB"] or 0) < float(rows["exact skipping"]["index MB"] or 0)
    assert all(isinstance(value, float | str | int) for row in rows.values() for value in row.values())


def test_without_judgments_there_is_no_ndcg(files: Path) -> None:
    (row,) = measure(read(files, None, most=2), WAYS[:1], repeats=1)
    assert (row["nDCG@10"], row["collection"]) == (None, "small")


def test_files_are_read_as_searches_read_them(files: Path) -> None:
    small = read(files, most=4)
    assert (list(small.queries.ids), small.queries.row(1)) == (["q0", "q1", "q2", "q3"], QUERIES["q1"])
    assert small.documents[0].row(8) == DOCUMENTS["d8"]
    assert small.facts() == "99 documents of 5 terms, 4 queries of 3, 3 judgments"
    with pytest.raises(FormatError, match="no such file"):
        Judged.read("none", files / "none.jsonl", files / "q.tsv", None, most=1)


def test_recall_is_of_the_queries_that_find_something() -> None:
    exact = {"q1": hits("a", "b"), "q2": hits("c"), "q3": hits()}
    assert recall(exact, exact) == 1
    assert recall({"q1": hits("b", "x"), "q2": hits(), "q3": hits("y")}, exact) == 0.25


def test_every_way_is_a_row_of_its_own() -> None:
    assert len({way.label for way in WAYS}) == len(WAYS)
    assert [way.family for way in WAYS[:3]] == [EXACT] * 3


def test_the_command_prints_a_table_and_draws_it(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        tradeoff,
        "WAYS",
        [way for way in WAYS if way.family == EXACT or way.setting in ("3", "4", "126", "0.5", "3,000")],
    )
    collections = [
        argument
        for name, qrels in (("judged", [str(files / "test.qrels")]), ("not", []))
        for argument in ("--collection", name, str(files / "d.jsonl"), str(files / "q.tsv"), *qrels)
    ]
    picture = tmp_path / "x.png"
    monkeypatch.setattr("sys.argv", ["tradeoff", *collections, "--repeats", "1", "--plot", str(picture), "--json"])
    tradeoff.main()
    report = json.loads(capsys.readouterr().out)
    assert {row["collection"] for row in report["rows"]} == {"judged", "not"}
    assert list(report["collection"]) == ["judged", "not"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_collection_without_its_files_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tradeoff", "--collection", "name", "docs"])
    with pytest.raises(SystemExit) as left:
        tradeoff.main()
    assert left.value.code == 2
    assert "NAME DOCS QUERIES [QRELS], not name docs" in capsys.readouterr().err
