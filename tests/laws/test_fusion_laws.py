"""Fused runs: what both found stands above what each found lower, and nothing depends on order or scale."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from splade_lucene.fusion import Fusion, reciprocal_rank_fusion, weighted_sum
from splade_lucene.runs import Hits, Run, ranked
from tests.laws.strategies import ids

scores = st.one_of(st.integers(1, 5), st.integers(-(2**40), 2**40), st.floats(-1e6, 1e6, width=32))
results = st.dictionaries(ids, scores, max_size=8)
queries = st.sampled_from(["q1", "q2", "q3"])
weights = st.floats(0.01, 100)


def run(given: Mapping[str, Mapping[str, float]]) -> Run:
    """Hits in the one order."""
    found = {query_id: ranked(scores) for query_id, scores in given.items()}
    return {
        query_id: Hits([hit.doc_id for hit in hits], np.array([hit.score for hit in hits], dtype=np.float64))
        for query_id, hits in found.items()
    }


runs = st.lists(st.dictionaries(queries, results).map(run), max_size=4)
weighted_runs = runs.flatmap(
    lambda given: st.tuples(st.just(given), st.lists(weights, min_size=len(given), max_size=len(given)))
)


def doc_ids(run: Run) -> dict[str, set[str]]:
    return {query_id: set(hits.doc_ids) for query_id, hits in run.items()}


def all_found(runs: Sequence[Run]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in runs:
        for query_id, hits in each.items():
            found.setdefault(query_id, set()).update(hits.doc_ids)
    return found


@given(runs)
def test_reciprocal_ranks_are_summed_as_exact_fractions_are(given: Sequence[Run]) -> None:
    fused = reciprocal_rank_fusion(given)
    assert doc_ids(fused) == all_found(given)
    for query_id, hits in fused.items():
        exact = {
            doc_id: sum(
                Fraction(1, 61 + each[query_id].doc_ids.index(doc_id))
                for each in given
                if query_id in each and doc_id in each[query_id].doc_ids
            )
            for doc_id in hits.doc_ids
        }
        assert [hit.score for hit in hits] == pytest.approx([float(exact[hit.doc_id]) for hit in hits], rel=1e-15)
        assert list(hits) == ranked({hit.doc_id: hit.score for hit in hits})


@given(weighted_runs, st.sampled_from(["min-max", "none"]), st.randoms(use_true_random=False))
def test_the_order_of_runs_does_not_matter(given: tuple[list[Run], list[float]], normalization, shuffler) -> None:
    given_runs, given_weights = given
    order = list(range(len(given_runs)))
    shuffler.shuffle(order)
    shuffled = [given_runs[each] for each in order]
    assert reciprocal_rank_fusion(shuffled) == reciprocal_rank_fusion(given_runs)
    fused = weighted_sum(given_runs, given_weights, normalization=normalization)
    assert doc_ids(fused) == all_found(given_runs)
    assert weighted_sum(shuffled, [given_weights[each] for each in order], normalization=normalization) == fused


@given(st.dictionaries(queries, results).map(run))
def test_of_one_run_by_rank_the_order_stays(given: Run) -> None:
    fused = reciprocal_rank_fusion([given])
    assert {query_id: hits.doc_ids for query_id, hits in fused.items()} == {
        query_id: hits.doc_ids for query_id, hits in given.items()
    }


@given(st.dictionaries(queries, results).map(run), weights)
def test_of_one_run_by_score_no_order_is_turned(given: Run, weight: float) -> None:
    for normalization in ("min-max", "none"):
        for query_id, hits in weighted_sum([given], [weight], normalization=normalization).items():
            before = dict(zip(given[query_id].doc_ids, given[query_id].scores.tolist(), strict=True))
            turned = [before[doc_id] for doc_id in hits.doc_ids]
            assert turned == sorted(turned, reverse=True)


@given(st.dictionaries(queries, results).map(run))
@example(run({"q1": {"a": 3}}))
@example(run({"q1": {"a": 3, "b": 3}}))
@example(run({"q1": {}}))
def test_min_max_brings_scores_between_0_and_1(given: Run) -> None:
    for hits in weighted_sum([given], [1.0]).values():
        if len(hits):
            assert hits.scores.max() == 1
            assert hits.scores.min() in (0, 1)


@given(weighted_runs, st.integers(1, 20))
def test_the_best_k_are_the_first_of_all(given: tuple[list[Run], list[float]], k: int) -> None:
    given_runs, given_weights = given
    for fused, best in (
        (reciprocal_rank_fusion(given_runs), reciprocal_rank_fusion(given_runs, k=k)),
        (weighted_sum(given_runs, given_weights), weighted_sum(given_runs, given_weights, k=k)),
    ):
        assert best == {query_id: hits[:k] for query_id, hits in fused.items()}


@given(st.lists(ids, min_size=3, max_size=8, unique=True), st.integers(0, 100))
def test_what_both_found_first_is_first(given: list[str], rank_constant: int) -> None:
    first = Hits(given, np.arange(len(given), 0, -1))
    second = Hits([given[0], *reversed(given[1:])], np.arange(len(given), 0, -1))
    fused = reciprocal_rank_fusion([{"q": first}, {"q": second}], rank_constant=rank_constant)["q"]
    assert fused[0] == (given[0], pytest.approx(2 / (rank_constant + 1)))


def test_an_example_by_hand() -> None:
    left, right = run({"q": {"a": 9, "b": 5, "c": 1}}), run({"q": {"b": 40, "d": 20}})
    assert [hit.doc_id for hit in reciprocal_rank_fusion([left, right])["q"]] == ["b", "a", "d", "c"]
    assert reciprocal_rank_fusion([left, right])["q"][0].score == pytest.approx(1 / 62 + 1 / 61)
    summed = weighted_sum([left, right], [1, 0.25])["q"]
    assert list(summed) == [("a", 1.0), ("b", 0.75), ("c", 0.0), ("d", 0.0)]
    assert weighted_sum([left, right], [1, 0.25], normalization="none")["q"][0] == ("b", 15.0)
    assert Fusion("sum", (1, 0.25))([left, right], 1) == {"q": summed[:1]}
    assert Fusion()([left, right]) == reciprocal_rank_fusion([left, right])


def test_a_fusion_of_a_run_that_was_cut_is_cut() -> None:
    whole = run({"q1": {"a": 1}, "q2": {"a": 1}})
    cut = {"q1": Hits(["b"], np.array([1]), cut=True)}
    for fused in (reciprocal_rank_fusion([whole, cut]), weighted_sum([whole, cut], [1, 1])):
        assert {query_id: hits.cut for query_id, hits in fused.items()} == {"q1": True, "q2": False}


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_weigh_nothing(weight: float) -> None:
    with pytest.raises(ValueError, match="finite and > 0"):
        weighted_sum([{}], [weight])
    with pytest.raises(ValueError, match="finite and > 0"):
        Fusion("sum", (1.0, weight))


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="2 runs want so many weights, not 1"):
        weighted_sum([{}, {}], [1.0])
    with pytest.raises(ValueError, match="weights are for the method 'sum'"):
        Fusion("rrf", (1.0, 2.0))
    with pytest.raises(ValueError, match="'rrf' or 'sum', not 'max'"):
        Fusion("max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'min-max' or 'none'"):
        Fusion("sum", normalization="z")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="depth must be at least 1"):
        Fusion(depth=0)
    with pytest.raises(ValueError, match="rank_constant"):
        reciprocal_rank_fusion([], rank_constant=-1)
