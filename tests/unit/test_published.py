"""Published scores: what the data file says, and what is said of results beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from splade_lucene.beir import registry
from splade_lucene.errors import ConfigError
from splade_lucene.evaluation import published
from splade_lucene.evaluation.expected import Expectation, check
from splade_lucene.evaluation.measures import measure_names
from splade_lucene.evaluation.published import OURS, canonical, compare_with_published, find
from splade_lucene.evaluation.results import Result

FILE = yaml.safe_load(Path(published.__file__).with_name("published.yaml").read_text(encoding="utf-8"))
CLASSIC = {"vaswani", "cacm", "cranfield", "medline", "cisi"}  # folders in BEIR layout, which have no registry
CASTORINI = {"encoder": "Pyserini's PyTorch encoder", "scale": 51.2, "max_length": 512}


def result(system: str, collection: str, measures: Mapping[str, float], **settings: Any) -> Result:
    return Result(
        collection=collection,
        system=system,
        settings=settings,
        measures=measures,
        per_query={},
        queries={},
        missing_queries=0,
        unjudged_queries=0,
        cost=None,
        machine={},
    )


def value(collection: str, system: str, measure: str, source: str) -> float:
    """The one score that a source has."""
    found = [each for each in find(collection, system) if each.measure == measure and source in each.source]
    assert len(found) == 1, found
    return found[0].value


# The data file


def test_every_table_is_whole() -> None:
    collections = {each.name for each in registry.known()} | CLASSIC | {"beir-13", "webis-touche2020-v1"}
    for table in FILE["tables"]:
        assert table["source"] in FILE["sources"]
        assert set(table["systems"]) <= FILE["systems"].keys()
        measure_names(",".join(table["measures"]))  # raises where one is unknown
        assert table["scores"].keys() <= collections
        for row in table["scores"].values():
            assert len(row) == len(table["systems"]) * len(table["measures"])
            for score in row:
                assert score is None or (0 <= score <= 1 and round(score, table["digits"]) == score)


def test_nothing_stands_there_for_nothing() -> None:
    assert {table["source"] for table in FILE["tables"]} == FILE["sources"].keys()
    assert {system for table in FILE["tables"] for system in table["systems"]} == FILE["systems"].keys()
    hub_names = [name.lower() for names in FILE["systems"].values() for name in names]
    assert len(set(hub_names)) == len(hub_names)


def test_a_source_publishes_a_score_once() -> None:
    keys = [
        (table["source"], collection, system, measure)
        for table in FILE["tables"]
        for collection in table["scores"]
        for system in table["systems"]
        for measure in table["measures"]
    ]
    assert len(set(keys)) == len(keys)


def test_every_condition_is_one_that_was_looked_at() -> None:
    for source in FILE["sources"].values():
        assert source["conditions"].keys() <= FILE["differences"].keys()
        assert source["url"].startswith("https://")
    assert OURS.keys() <= FILE["differences"].keys()


@pytest.mark.parametrize(
    ("system", "source", "mean"),
    [
        ("splade-pp-ed", "ONNX", 0.5051),
        ("splade-v3", "ONNX", 0.5181),
        ("distilsplade-max", "SPLADE v2", 0.506),
        ("splade-max", "SPLADE v2", 0.464),
        ("splade-sum", "SPLADE v2", 0.451),
        ("idf-aware", "Inference-Free", 0.5035),
        ("splade-v3-doc", "Inference-Free", 0.4697),
        ("splade-v3-distilbert", "Inference-Free", 0.4999),
    ],
)
def test_the_scores_of_13_sets_have_the_mean_that_is_published_with_them(system: str, source: str, mean: float) -> None:
    touche = "webis-touche2020-v1" if source == "SPLADE v2" else "webis-touche2020"
    sets = [touche if name == "webis-touche2020" else name for name in registry.groups()["beir-13"]]
    found = sum(value(name, system, "nDCG@10", source) for name in sets) / 13
    assert found == pytest.approx(mean, abs=0.0005)


@pytest.mark.parametrize("system", [name for name in FILE["systems"] if name.startswith("opensearch-")])
def test_the_cards_of_opensearch_agree_with_themselves(system: str) -> None:
    sets = registry.groups()["beir-13"]
    mean = sum(value(name, system, "nDCG@10", "Cards") for name in sets) / 13
    assert mean == pytest.approx(value("beir-13", system, "nDCG@10", "Cards"), abs=0.0005)


def test_how_far_an_encoder_moves_a_measure_is_seen_in_the_published_scores() -> None:
    onnx, pytorch = "Anserini's regressions", "two-click"
    (stored,) = (table for table in FILE["tables"] if table["source"] == "pyserini")
    names = [name for name in stored["scores"] if name != "cqadupstack"]  # whose parts are there
    assert len(names) == 29
    seen = {
        measure: max(
            abs(value(name, "splade-pp-ed", measure, onnx) - value(name, "splade-pp-ed", measure, pytorch))
            for name in names
        )
        for measure in stored["measures"]
    }
    assert seen == pytest.approx(FILE["differences"]["encoder"], abs=1e-9)


@pytest.mark.parametrize("source", ["anserini-onnx", "pyserini", "bm25-flat", "bm25-multifield"])
def test_cqadupstack_is_the_mean_of_its_parts(source: str) -> None:
    (table,) = (table for table in FILE["tables"] if table["source"] == source and "cqadupstack" in table["scores"])
    (whole,) = (each for each in registry.known() if each.name == "cqadupstack")
    parts = [table["scores"][name] for name in whole.parts]
    means = [sum(scores) / len(parts) for scores in zip(*parts, strict=True)]
    assert table["scores"]["cqadupstack"] == pytest.approx(means, abs=0.00005)


# Names


@pytest.mark.parametrize(
    "name", ["splade-v3", "naver/splade-v3", "Naver/SPLADE-v3", "naver/splade-v3@5c1e5b0", "splade-v3@main"]
)
def test_a_system_has_several_names(name: str) -> None:
    assert canonical(name) == "splade-v3"
    assert find("nfcorpus", name) == find("nfcorpus", "splade-v3") != []


@pytest.mark.parametrize("name", ["default", "naver/splade-v3@main+bm25", "models/splade-v3", ""])
def test_what_is_not_published_has_no_scores(name: str) -> None:
    assert canonical(name) is None
    assert find("nfcorpus", name) == []
    assert compare_with_published(result(name, "nfcorpus", {"nDCG@10": 0.3})) == []
    assert find("my-collection", "splade-v3") == []


# Verdicts


@pytest.mark.parametrize(
    ("system", "measure", "ours", "status", "note"),
    [
        ("bm25", "nDCG@10", 0.32184, "equal", ""),
        ("bm25", "nDCG@10", 0.32175, "equal", ""),
        ("bm25", "nDCG@10", 0.3222, "explained", "ties: descending doc_id there, ascending doc_id here"),
        ("bm25", "nDCG@10", 0.3100, "different", "by 0.0118, where"),
        ("naver/splade-v3", "nDCG@10", 0.3624, "equal", ""),
        ("naver/splade-v3", "nDCG@10", 0.3632, "explained", "ties: descending doc_id there, ascending doc_id here"),
        ("naver/splade-v3", "R@100", 0.2964, "explained", "encoder: Anserini's ONNX encoder there, Pyserini's PyTorch"),
        ("naver/splade-v3", "R@100", 0.2900, "different", "encoder: Anserini's ONNX encoder there"),
    ],
)
def test_a_difference_is_none_or_explained_or_one(
    system: str, measure: str, ours: float, status: str, note: str
) -> None:
    verdict = compare_with_published(result(system, "nfcorpus", {measure: ours}, **CASTORINI))[0]
    assert (verdict.measure, verdict.value, verdict.status) == (measure, ours, status)
    assert verdict.difference == ours - verdict.published
    assert note in verdict.note


def test_what_a_condition_explains_is_how_far_it_was_seen_to_move_the_measure() -> None:
    """At the bound, and just beyond it: half a digit of rounding, ties and the scale."""
    bound = 0.00005 + sum(FILE["differences"][name]["nDCG@10"] for name in ("ties", "scale"))
    settings = {**CASTORINI, "scale": 100.0}
    of = {
        at: compare_with_published(result("splade-v3", "nfcorpus", {"nDCG@10": 0.3624 + at * bound}, **settings))[0]
        for at in (-1, 1, -1.01, 1.01)
    }
    assert {at: verdict.status for at, verdict in of.items()} == {
        -1: "explained", 1: "explained", -1.01: "different", 1.01: "different"
    }  # fmt: skip
    assert "scale: 51.2 there, 100.0 here" in of[1].note
    assert f"where {bound:.4f} can be explained" in of[1.01].note


def test_what_a_result_does_not_say_may_be_another() -> None:
    (verdict,) = compare_with_published(result("splade-pp-sd", "trec-dl-2019", {"nDCG@10": 0.7400}))
    assert verdict.status == "explained"
    assert "max length: 512 there, not said here" in verdict.note


def test_the_score_that_was_made_most_like_ours_comes_first() -> None:
    first, second = compare_with_published(result("splade-v3", "nfcorpus", {"nDCG@10": 0.3629}, **CASTORINI))
    assert "onboarding" in first.source  # the same encoder
    assert first.published == 0.3624
    assert "ONNX" in second.source
    assert second.status == "equal"


def test_measures_come_in_the_order_of_the_result_and_those_unpublished_not_at_all() -> None:
    verdicts = compare_with_published(result("bm25", "scifact", {"R@100": 0.9, "RR@10": 0.6, "nDCG@10": 0.6789}))
    assert list(dict.fromkeys(each.measure for each in verdicts)) == ["R@100", "nDCG@10"]


def test_a_measure_that_looks_deeper_than_the_run_is_not_compared() -> None:
    measures = {"nDCG@10": 0.6789, "R@100": 0.9253, "R@1000": 0.93, "AP": 0.6}
    verdicts = compare_with_published(result("bm25", "scifact", measures, k=100))
    assert list(dict.fromkeys(each.measure for each in verdicts)) == ["nDCG@10", "R@100"]


# Expectations


def test_named_numbers_are_met_within_the_tolerance() -> None:
    results = [result("default", "scifact", {"nDCG@10": 0.5938, "R@100": 0.8}, scale=100)]
    expected = {"scifact": {"nDCG@10": 0.5933, "R@100": 0.862}, "nfcorpus": {"nDCG@10": 0.2812}}
    assert check(results, expected) == [
        Expectation("scifact", "nDCG@10", 0.5933, 0.5938, met=True),
        Expectation("scifact", "R@100", 0.862, 0.8, met=False, note="more than 0.0005 away"),
        Expectation("nfcorpus", "nDCG@10", 0.2812, None, met=False, note="no result"),
    ]
    assert not check(results, {"scifact": {"nDCG@10": 0.5933}}, tolerance=0.0004)[0].met


def test_published_numbers_are_met_unless_ours_are_different() -> None:
    results = [result("naver/splade-v3", "nfcorpus", {"nDCG@10": 0.3632, "R@100": 0.25, "AP": 0.2}, **CASTORINI)]
    ndcg, recall = check(results, "published")
    assert (ndcg.expected, ndcg.met) == (0.3624, True)
    assert ndcg.note.startswith("explained: ties")
    assert (recall.expected, recall.met) == (0.2976, False)
    assert recall.note.startswith("different: by 0.0476")


def test_published_numbers_cannot_be_expected_where_there_are_none() -> None:
    with pytest.raises(ConfigError, match="no score of default on scifact is published that is known here"):
        check([result("default", "scifact", {"nDCG@10": 0.6})], "published")
    with pytest.raises(ConfigError, match="no score of bm25 on scifact"):
        check([result("bm25", "scifact", {"RR@10": 0.6})], "published")
