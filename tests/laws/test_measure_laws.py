"""Measures stay in [0, 1] and see the order that was written; run scores decrease strictly."""

import io
import math
import random

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from splade_lucene.datasets import Qrel
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.runs import Hits, ranked, run_lines, strictly_decreasing
from tests.laws.strategies import ids

MEASURES = ("nDCG@10", "R@100", "RR@10", "AP", "P@5", "nDCG", "Success@3")
THEIRS = [nDCG @ 10, R @ 100, RR @ 10, AP, P @ 5, nDCG, Success @ 3]
EVERY = [
    *(
        "nDCG@3",
        "nDCG",
        "nDCG(dcg='exp-log2')@3",
        "nDCG(gains={1:3,2:4})",
        "nDCG(judged_only=True)@3",
        "AP",
        "AP(rel=2)@3",
    ),
    *("P@3", "P(rel=2)@3", "P(judged_only=True)@3", "R@3", "R(rel=2)@3", "RR", "RR@3", "RR(rel=2)@3", "Rprec", "Bpref"),
    *("infAP", "IPrec@0", "IPrec@0.5", "IPrec@1", "SetP", "SetRelP", "SetR", "SetF", "SetF(beta=2)", "SetAP"),
    *("Success@1", "Judged", "Judged@2", "Compat", "Compat(p=0.5)", "NumQ", "NumRel", "NumRet", "NumRelRet"),
]
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
    expected = ir_measures.calc_aggregate(THEIRS, judged, falling)
    assert evaluate(run, qrels, MEASURES).measures == pytest.approx({str(each): expected[each] for each in THEIRS})


@given(runs_and_qrels(), st.lists(st.sampled_from(EVERY), min_size=2, unique=True))
def test_a_measure_is_the_same_in_any_company(given: tuple[dict[str, Hits], list[Qrel]], names: list[str]) -> None:
    """And it is a number: no query, however little it found or however it is judged, has none."""
    together = evaluate(*given, names).per_query
    assert list(together) == names
    for name, values in together.items():
        assert all(math.isfinite(value) and value >= 0 for value in values.values())
        assert values == evaluate(*given, [name]).per_query[name]


@given(runs_and_qrels())
def test_a_written_run_evaluates_as_it_did(given: tuple[dict[str, Hits], list[Qrel]]) -> None:
    """Also where other programs read it: ir_measures' own reader and evaluator say the same of run and qrels files."""
    run, qrels = given
    text = "".join(run_lines(run))
    judged: dict[str, dict[str, int]] = {}
    for query_id, doc_id, relevance in qrels:
        judged.setdefault(query_id, {})[doc_id] = relevance
    expected = ir_measures.calc_aggregate(THEIRS, judged, ir_measures.read_trec_run(io.StringIO(text)))
    assert evaluate(run, qrels, MEASURES).measures == pytest.approx({str(each): expected[each] for each in THEIRS})


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
