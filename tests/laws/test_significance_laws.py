"""Paired tests do not depend on which run is called the baseline, on the order of queries, or on a measure's scale."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_lucene.evaluation.significance import Comparison, compare, holm, wins_and_losses
from tests.laws.strategies import ids

# Values such as measures have, often equal, and such as none has.
values = st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 1.0]), st.floats(0, 1), st.floats(-1e6, 1e6))
pairs = st.dictionaries(ids, st.tuples(values, values), min_size=1, max_size=25)
p_values = st.lists(st.one_of(st.sampled_from([0.0, 0.01, 0.05, 1.0]), st.floats(0, 1)), max_size=12)
SAMPLES = 500


def of_pairs(given: dict[str, tuple[float, float]]) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    ours, theirs = ({"AP": {query_id: pair[side] for query_id, pair in given.items()}} for side in (0, 1))
    return ours, theirs


def compared(given: dict[str, tuple[float, float]]) -> Comparison:
    (found,) = compare(*of_pairs(given), samples=SAMPLES)
    return found


@given(pairs)
def test_a_comparison_is_of_all_queries_and_its_numbers_fit_each_other(given: dict[str, tuple[float, float]]) -> None:
    found = compared(given)
    assert found.differences.keys() == given.keys()
    assert found.queries == len(given) == found.better_queries + found.worse_queries + found.equal_queries
    assert found.difference == pytest.approx(found.mean - found.baseline_mean, abs=1e-6)
    assert 0 <= found.t_test_p <= 1 and 0 < found.randomization_p <= 1
    room = 1e-9 * max(1, *map(abs, found.differences.values()))
    assert min(found.differences.values()) - room <= found.low <= found.high <= max(found.differences.values()) + room
    assert (found.effect_size > 0) == (found.difference > 0) and (found.effect_size < 0) == (found.difference < 0)


@given(pairs)
def test_swapping_run_and_baseline_turns_all_around(given: dict[str, tuple[float, float]]) -> None:
    one, other = compared(given), compared({query_id: pair[::-1] for query_id, pair in given.items()})
    assert one.difference == -other.difference
    assert one.effect_size == -other.effect_size
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), rel=1e-9, abs=1e-9)
    assert (one.t_test_p, one.randomization_p) == (other.t_test_p, other.randomization_p)
    assert (one.better_queries, one.worse_queries) == (other.worse_queries, other.better_queries)
    assert {query_id: -each for query_id, each in one.differences.items()} == other.differences


@given(pairs)
def test_a_run_is_no_better_than_itself(given: dict[str, tuple[float, float]]) -> None:
    found = compared({query_id: (ours, ours) for query_id, (ours, _) in given.items()})
    assert (found.difference, found.low, found.high, found.effect_size) == (0, 0, 0, 0)
    assert (found.t_test_p, found.randomization_p) == (1, 1)
    assert (found.better_queries, found.worse_queries, found.equal_queries) == (0, 0, len(given))


@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_queries_says_nothing(given: dict[str, tuple[float, float]], shuffler: random.Random) -> None:
    ours, theirs = of_pairs(given)
    shuffled = {"AP": dict(shuffler.sample(list(theirs["AP"].items()), len(given)))}
    turned = {"AP": dict(reversed(ours["AP"].items()))}
    assert compare(turned, shuffled, samples=SAMPLES) == compare(ours, theirs, samples=SAMPLES)


@given(pairs, st.integers(0, 30))
def test_wins_and_losses_are_the_queries_that_changed(given: dict[str, tuple[float, float]], most: int) -> None:
    found = compared(given)
    wins, losses = wins_and_losses(found, len(given))
    assert (len(wins), len(losses)) == (found.better_queries, found.worse_queries)
    assert all(found.differences[query_id] == each > 0 for query_id, each in wins)
    assert all(found.differences[query_id] == each < 0 for query_id, each in losses)
    for side in (wins, losses):
        assert [abs(each) for _, each in side] == sorted((abs(each) for _, each in side), reverse=True)
    assert wins_and_losses(found, most) == (wins[:most], losses[:most])


@given(p_values)
def test_holm_only_raises_and_keeps_the_order(given: list[float]) -> None:
    adjusted = holm(given)
    assert len(adjusted) == len(given)
    for raw, each in zip(given, adjusted, strict=True):
        assert raw <= each <= min(1, raw * len(given)) + 1e-12
    assert [each for _, each in sorted(zip(given, adjusted, strict=True))] == sorted(adjusted)


@given(p_values, st.randoms(use_true_random=False))
def test_holm_knows_no_order_of_tests(given: list[float], shuffler: random.Random) -> None:
    places = shuffler.sample(range(len(given)), len(given))
    assert holm([given[place] for place in places]) == [holm(given)[place] for place in places]
