"""The only rounding, with the numbers of METHODS section 11."""

import numpy as np
import pytest

from splade_lucene.errors import WeightError
from splade_lucene.quantization import MAX_IMPACT, Quantizer
from tests.helpers import as_rows, weights


def impact(weight: float, scale: float) -> int:
    """The impact of one weight, 0 where it is dropped."""
    return Quantizer(scale)(weights({"x": {"t": weight}})).row(0).get("t", 0)


@pytest.mark.parametrize(
    ("weight", "expected"),
    # .125, .375 and .625 are exact in float32, so that their hundredfold is a half: to even, where Java rounds up.
    [(0.004, 0), (0.0050001, 1), (0.125, 12), (0.375, 38), (0.625, 62), (1.234, 123), (0.0, 0), (1.0, 100)],
)
def test_scale_100(weight: float, expected: int) -> None:
    assert impact(weight, 100) == expected


def test_the_product_is_of_the_float32_weight() -> None:
    """.005 is no half: as float32 it is a little less, and float64 keeps that."""
    assert float(np.float32(0.005)) < 0.005
    assert impact(0.005, 100) == 0


def test_scale_of_the_published_indexes() -> None:
    assert impact(2.95, 51.2) == 151  # splade-v3, "retrieval" in "information retrieval"


def test_zeros_are_dropped_and_rows_stay() -> None:
    given = weights({"x": {"a": 0.001, "b": 0.5, "c": 0.0}, "y": {"a": 0.004}, "z": {"c": 1.0}})
    assert as_rows(Quantizer()(given)) == {"x": {"b": 50}, "y": {}, "z": {"c": 100}}


def test_whole_numbers_pass_scale_one_as_they_are() -> None:
    given = {"x": {"a": 1, "b": MAX_IMPACT}, "y": {"a": 2, "b": 0}}
    assert as_rows(Quantizer(1)(weights(given))) == {"x": {"a": 1, "b": MAX_IMPACT}, "y": {"a": 2}}


def test_at_scale_one_a_fraction_is_refused_by_name() -> None:
    with pytest.raises(WeightError, match=r"y: the weight 0\.5 of term 'b' is not a whole number; at scale 1"):
        Quantizer(1)(weights({"x": {"a": 2.0}, "y": {"a": 1.0, "b": 0.5}}))


def test_an_impact_stays_below_two_to_the_24() -> None:
    assert np.float32(2**24) + np.float32(1) == 2**24  # why
    assert impact(MAX_IMPACT, 1) == 2**24 - 1
    with pytest.raises(WeightError, match=r"an impact of 16,777,216; a posting holds at most 16,777,215: use a scale"):
        impact(2.0**24, 1)


def test_the_scale_that_is_proposed_fits() -> None:
    with pytest.raises(WeightError) as refused:
        impact(12_345.678, 1e6)
    proposed = float(str(refused.value).split()[-1])
    assert 0.999 * MAX_IMPACT < impact(12_345.678, proposed * (1 - 1e-5)) <= MAX_IMPACT


def test_a_product_beyond_float64_is_refused() -> None:
    with pytest.raises(WeightError, match="a posting holds at most"):
        impact(3e38, 1e300)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_an_unusable_scale_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be a finite number > 0"):
        Quantizer(scale)


def test_the_caller_keeps_his_arrays() -> None:
    given = weights({"x": {"a": 0.001, "b": 0.5}})
    before = given.weights.copy()
    Quantizer()(given)
    assert np.array_equal(given.weights, before)
