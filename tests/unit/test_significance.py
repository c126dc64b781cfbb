"""Paired tests against numbers worked out by hand, scipy's own tests and simulation."""

import json
import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy.stats import permutation_test, ttest_rel

from splade_lucene.errors import FormatError
from splade_lucene.evaluation.measures import Evaluation
from splade_lucene.evaluation.significance import Comparison, compare, holm, wins_and_losses


def per_query(values: Mapping[str, float] | list[float], measure: str = "AP") -> dict[str, dict[str, float]]:
    named = values if isinstance(values, Mapping) else {f"q{number:03}": each for number, each in enumerate(values)}
    return {measure: dict(named)}


def compared(ours: list[float], theirs: list[float], *, seed: int = 0) -> Comparison:
    (found,) = compare(per_query(ours), per_query(theirs), seed=seed)
    return found


def test_a_comparison_by_hand() -> None:
    """Differences .1, .2, .3, 0: mean .15, deviation .129, t = 2.324 with 3 degrees of freedom, d_z = 1.162.

    Three queries have a sign: of 8 sign flips only all of one sign are as far from 0.
    """
    found = compared([0.5, 0.7, 0.9, 0.4], [0.4, 0.5, 0.6, 0.4])
    assert (found.measure, found.queries) == ("AP", 4)
    assert (found.mean, found.baseline_mean) == pytest.approx((0.625, 0.475))
    assert found.difference == pytest.approx(0.15)
    assert found.t_test_p == pytest.approx(0.1027, abs=1e-4)
    assert found.effect_size == pytest.approx(0.15 / math.sqrt(0.05 / 3))
    assert found.randomization_p == 2 / 8
    assert (found.better_queries, found.worse_queries, found.equal_queries) == (3, 0, 1)
    assert found.differences == pytest.approx({"q000": 0.1, "q001": 0.2, "q002": 0.3, "q003": 0})
    assert 0 <= found.low < found.difference < found.high <= 0.3


def test_sign_flips_by_hand() -> None:
    """Sums of +-1 +-4 are 5, 3, -3, -5; those of +-1 +-2 +-4 are 7, 5, 3, 1 and their opposites."""
    assert compared([1, 0, 4], [0, 0, 0]).randomization_p == 2 / 4
    assert compared([-1, 2, 4], [0, 0, 0]).randomization_p == 4 / 8


def test_a_sum_that_rounding_changes_is_as_far() -> None:
    """.1 + .2 + .3 is not .3 + .2 + .1 in floating point."""
    assert compared([0.1, 0.2, 0.3], [0, 0, 0]).randomization_p == compared([0.3, 0.2, 0.1], [0, 0, 0]).randomization_p
    found = compared([0.1 + 0.2, 0.5], [0.3, 0.4])
    assert (found.better_queries, found.equal_queries, found.differences["q000"]) == (1, 1, 0)


@pytest.mark.parametrize("queries", [5, 12, 40])
def test_p_values_are_scipys(queries: int) -> None:
    random = np.random.default_rng(queries)
    ours, theirs = random.random(queries).tolist(), (random.random(queries) - 0.1).tolist()
    found = compared(ours, theirs)
    assert found.t_test_p == pytest.approx(ttest_rel(ours, theirs).pvalue)
    expected = permutation_test(
        (np.subtract(ours, theirs),),
        lambda differences, axis: differences.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=10_000,
        rng=np.random.default_rng(1),
    )
    exact = queries < 13
    assert found.randomization_p == pytest.approx(expected.pvalue, abs=1e-12 if exact else 0.03)


def test_many_samples_come_near_the_exact_p() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.3, 12).tolist()
    (exact,) = compare(per_query(values), per_query([0.0] * 12), samples=2**12)
    (sampled,) = compare(per_query(values), per_query([0.0] * 12), samples=2**12 - 1)
    assert exact.randomization_p * 2**12 == round(exact.randomization_p * 2**12)
    assert sampled.randomization_p * 2**12 == pytest.approx(round(sampled.randomization_p * 2**12))  # (b + 1) / (m + 1)
    assert sampled.randomization_p == pytest.approx(exact.randomization_p, abs=0.03)


def test_p_is_never_0_of_samples() -> None:
    found = compared([1.0] * 60, [0.0] * 59 + [0.5])
    assert found.randomization_p == 1 / 10_001


@pytest.mark.parametrize(
    ("ours", "theirs", "t_test_p", "randomization_p", "effect_size"),
    [
        ([0.5, 0.5], [0.5, 0.5], 1, 1, 0),
        ([1, 1], [0, 0], 0, 0.5, math.inf),
        ([0, 0], [1, 1], 0, 0.5, -math.inf),
        ([1], [0], 1, 1, math.inf),
        ([0], [0], 1, 1, 0),
    ],
)
def test_differences_without_spread(
    ours: list[float], theirs: list[float], t_test_p: float, randomization_p: float, effect_size: float
) -> None:
    found = compared(ours, theirs)
    assert (found.t_test_p, found.randomization_p, found.effect_size) == (t_test_p, randomization_p, effect_size)
    assert found.low == found.difference == found.high
    json.dumps(found.summary(), allow_nan=False)


def test_a_summary_holds_what_a_program_wants() -> None:
    found = compared([0.5, 0.7], [0.4, 0.4]).summary()
    assert "differences" not in found
    assert found["effect_size"] > 0
    assert found["measure"] == "AP"


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        (found,) = compare(per_query(random.normal(0.1, 0.2, 50).tolist()), per_query([0.0] * 50), samples=500)
        covered += found.low <= 0.1 <= found.high
    assert 0.90 <= covered / 200 <= 0.98


def test_p_values_are_uniform_where_nothing_differs() -> None:
    """Of 400 pairs of runs that differ by chance alone about 5 % have p below .05, 50 % below .5, and so on."""
    random = np.random.default_rng(8)
    found = []
    for _ in range(400):
        (each,) = compare(
            per_query(random.random(30).tolist()), per_query(random.random(30).tolist()), samples=200, seed=0
        )
        found.append((each.t_test_p, each.randomization_p))
    for p_values in zip(*found, strict=True):
        for level in (0.05, 0.25, 0.5, 0.75):
            share = np.mean(np.array(p_values) <= level)
            assert abs(share - level) <= 3.5 * math.sqrt(level * (1 - level) / 400)


def test_a_real_difference_is_seen() -> None:
    random = np.random.default_rng(1)
    theirs = random.random(100)
    found = compared((theirs + random.normal(0.1, 0.1, 100)).tolist(), theirs.tolist())
    assert found.t_test_p < 1e-6 and found.randomization_p < 0.001 and found.low > 0 and found.effect_size > 0.5


def test_a_seed_decides_the_numbers() -> None:
    random = np.random.default_rng(2)
    ours, theirs = random.random(40).tolist(), random.random(40).tolist()
    assert compared(ours, theirs, seed=3) == compared(ours, theirs, seed=3)
    assert compared(ours, theirs, seed=3).low != compared(ours, theirs, seed=4).low


def test_a_measure_does_not_change_anothers_numbers() -> None:
    random = np.random.default_rng(2)
    ours, theirs = (per_query(random.random(40).tolist()) for _ in range(2))
    more, others = (per_query(random.random(40).tolist(), "RR") for _ in range(2))
    assert compare(more | ours, others | theirs)[1:] == compare(ours, theirs | others)


def test_evaluations_are_compared_like_their_values() -> None:
    ours, theirs = per_query([0.5, 0.7, 0.1]), per_query([0.4, 0.8, 0.1])
    assert compare(Evaluation(ours, 0, 0), Evaluation(theirs, 0, 0)) == compare(ours, Evaluation(theirs, 0, 0))
    assert compare(Evaluation(ours, 0, 0), theirs) == compare(ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ({"AP": {"a": 1.0}}, {"RR": {"a": 1.0}}, "was not evaluated with AP, but with RR"),
        ({"AP": {"a": 1.0}}, {}, "was not evaluated with AP, but with nothing"),
        ({"AP": {"a": 1.0, "b": 1.0}}, {"AP": {"a": 1.0}}, "AP: 1 queries .* 'b' for the run; evaluate both against"),
        ({"AP": {"a": 1.0}}, {"AP": {"a": 1.0, "b": 0.0}}, "'b' for the baseline"),
        ({"AP": {"a": 1.0}}, {"AP": {"c": 1.0}}, "AP: 2 queries"),
        ({"AP": {}}, {"AP": {}}, "there is no query to compare"),
        ({"AP": {"a": 1.0, "b": math.nan}}, {"AP": {"a": 1.0, "b": 1.0}}, "AP of query 'b' is not a finite number"),
        ({"AP": {"a": 1.0}}, {"AP": {"a": math.inf}}, "AP of query 'a' is not"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]], said: str
) -> None:
    with pytest.raises(FormatError, match=said):
        compare(ours, theirs)


# Several data sets


def test_holm_by_hand() -> None:
    """.01 · 4, .02 · 3, .03 · 2 (no less than the one before), .04 · 1 (the same)."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.01, 0.01]) == [0.02, 0.02]
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.3]) == [0.3]
    assert holm([]) == []


@pytest.mark.parametrize("p_values", [[0.1, math.nan], [-0.1], [1.1]])
def test_what_is_no_p_value_is_refused(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(p_values)


# Queries


def test_the_queries_that_changed_most() -> None:
    values = {"a": 0.1, "b": -0.5, "c": 0.3, "d": 0.0, "e": 0.3, "f": -0.1, "g": 0.2}
    (found,) = compare(per_query(values), per_query(dict.fromkeys(values, 0.0)))
    assert wins_and_losses(found, 2) == ([("c", 0.3), ("e", 0.3)], [("b", -0.5), ("f", -0.1)])
    wins, losses = wins_and_losses(found, 100)
    assert [query_id for query_id, _ in wins] == ["c", "e", "g", "a"]
    assert [query_id for query_id, _ in losses] == ["b", "f"]
    assert wins_and_losses(found, 0) == ([], [])
