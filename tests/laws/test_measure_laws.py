"""Measures stay in [0, 1] and see the order that was written; run scores decrease strictly."""

import random

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_lucene.datasets import Qrel
from splade_lucene.evaluation.measures import compare, evaluate
from splade_lucene.runs import Hits, ranked, strictly_decreasing
from tests.laws.strategies import ids

MEASURES = ("nDCG@10", "R@100", "RR@10", "AP", "P@5", "nDCG", "Success@3")
DOC_IDS = ["10", "2", "9", "a", "é", "😀", "x", "y", "z"]

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e38, max_value=1e38)
scores = st.lists(st.one_of(st.integers(0, 3), st.integers(2**24 - 2, 2**24 + 9), finite), max_size=30).map(
    lambda given: np.array(sorted(given, reverse=True), dtype=np.float64)
)


@st.composite
def runs_and_qrels(draw: st.DrawFn) -> tuple[dict[str, Hits], list[Qrel]]:
    query_ids = draw(st.lists(ids, min_size=1, max_size=6, unique=True))
    run, qrels = {}, []
    for query_id in query_ids:
        found = draw(st.permutations(DOC_IDS))[: draw(st.integers(0, len(DOC_IDS)))]
        each = sorted(draw(st.lists(st.integers(1, 3), min_size=len(found), max_size=len(found))), reverse=True)
        run[query_id] = Hits(list(found), np.array(each, dtype=np.float64))
        judged = draw(st.dictionaries(st.sampled_from(DOC_IDS), st.integers(-1, 3), min_size=1))
        judged |= {draw(st.sampled_from(DOC_IDS)): draw(st.integers(0, 3))}
        qrels += [Qrel(query_id, doc_id, relevance) for doc_id, relevance in judged.items()]
    return run, qrels


@given(runs_and_qrels())
def test_measures_are_between_zero_and_one(given: tuple[dict[str, Hits], list[Qrel]]) -> None:
    found = evaluate(*given, MEASURES)
    assert found.per_query.keys() == set(MEASURES)
    for values in found.per_query.values():
        assert values.keys() == {qrel.query_id for qrel in given[1]}
        assert all(0 <= value <= 1 + 1e-12 for value in values.values())
    assert all(0 <= value <= 1 + 1e-12 for value in found.measures.values())


@given(runs_and_qrels(), st.randoms(use_true_random=False))
def test_the_order_of_queries_and_judgments_says_nothing(
    given: tuple[dict[str, Hits], list[Qrel]], shuffler: random.Random
) -> None:
    run, qrels = given
    query_ids = list(run)
    shuffler.shuffle(query_ids)
    shuffled = shuffler.sample(qrels, len(qrels))
    assert evaluate({query_id: run[query_id] for query_id in query_ids}, shuffled, MEASURES) == evaluate(
        run, qrels, MEASURES
    )


@given(runs_and_qrels())
def test_only_the_order_of_hits_counts(given: tuple[dict[str, Hits], list[Qrel]]) -> None:
    """Scores that fall from hit to hit give what the written order gives, whatever the ties were."""
    run, qrels = given
    falling = {
        query_id: {doc_id: float(-place) for place, doc_id in enumerate(hits.doc_ids)} for query_id, hits in run.items()
    }
    judged: dict[str, dict[str, int]] = {}
    for query_id, doc_id, relevance in qrels:
        judged.setdefault(query_id, {})[doc_id] = relevance
    measures = [ir_measures.parse_measure(name) for name in MEASURES]
    expected = ir_measures.calc_aggregate(measures, judged, falling)
    assert evaluate(run, qrels, MEASURES).measures == pytest.approx({str(each): expected[each] for each in measures})


@given(runs_and_qrels())
def test_a_run_is_no_better_than_itself(given: tuple[dict[str, Hits], list[Qrel]]) -> None:
    found = evaluate(*given, MEASURES)
    for each in compare(found, found):
        assert (each.difference, each.p_value, each.better_queries, each.worse_queries) == (0, 1, 0, 0)


@given(scores)
def test_run_scores_decrease_strictly_and_stay_near(scores: np.ndarray) -> None:
    lowered = strictly_decreasing(scores)
    assert lowered.dtype == np.float32
    assert len(lowered) == len(scores)
    assert (np.diff(lowered.astype(np.float64)) < 0).all()
    assert (lowered <= scores.astype(np.float32)).all()
    again = strictly_decreasing(lowered)
    assert np.array_equal(again, lowered)
    distinct = np.unique(scores.astype(np.float32))
    if len(distinct) == len(scores):
        assert np.array_equal(lowered, scores.astype(np.float32))


@given(st.dictionaries(ids, st.integers(0, 3), max_size=30), st.integers(1, 30))
def test_the_one_order(given: dict[str, int], k: int) -> None:
    whole = ranked(given)
    assert dict(whole) == given
    assert ranked(given, k) == whole[:k]
    keys = [(-hit.score, hit.doc_id.encode()) for hit in whole]
    assert keys == sorted(keys)
