"""Quantizer: monotone, near, nothing lost but what rounds to zero."""

from fractions import Fraction

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from splade_lucene.quantization import MAX_IMPACT, Quantizer
from tests.helpers import as_rows, weights
from tests.laws.strategies import ids, terms

scales = st.one_of(st.sampled_from([1e-3, 0.5, 2.0, 51.2, 100.0, 255.0, 1e4]), st.floats(1e-3, 1e4))
# Scale 1 says that weights are impacts already; it refuses fractions.
scales = scales.filter(lambda scale: scale != 1)
some_weights = st.lists(st.floats(0, 1e3, width=32), min_size=1, max_size=30)


def impacts_of(given: list[float], scale: float) -> list[int]:
    """The impact of each weight, 0 where it was dropped."""
    row = Quantizer(scale)(weights({"x": {f"{place:02}": weight for place, weight in enumerate(given)}})).row(0)
    return [row.get(f"{place:02}", 0) for place in range(len(given))]


@given(some_weights, scales)
def test_a_larger_weight_never_has_a_smaller_impact(given: list[float], scale: float) -> None:
    assume(max(given) * scale < MAX_IMPACT)
    found = impacts_of(sorted(given), scale)
    assert found == sorted(found)


@given(some_weights, scales)
def test_the_error_is_at_most_half_a_step(given: list[float], scale: float) -> None:
    """But for the rounding of the product in float64, one part in 2**53."""
    assume(max(given) * scale < MAX_IMPACT)
    for weight, impact in zip(given, impacts_of(given, scale), strict=True):
        exact = Fraction(weight) * Fraction(scale)
        assert abs(impact - exact) <= Fraction(1, 2) + exact / 2**53


@given(some_weights, scales)
def test_impacts_are_whole_positive_and_fit(given: list[float], scale: float) -> None:
    assume(max(given) * scale < MAX_IMPACT)
    found = Quantizer(scale)(weights({"x": {str(place): weight for place, weight in enumerate(given)}}))
    assert found.impacts.dtype == np.int32
    assert not len(found.impacts) or 1 <= found.impacts.min() <= found.impacts.max() <= MAX_IMPACT


@given(st.integers(0, 10_000))
def test_halves_go_to_the_even_neighbour(n: int) -> None:
    assert impacts_of([2 * n + 1.0], 0.5) == [n if n % 2 == 0 else n + 1]


@given(st.dictionaries(ids, st.dictionaries(terms, st.floats(0, 1e3, width=32), max_size=5), max_size=8), scales)
def test_a_row_does_not_depend_on_its_batch(rows: dict[str, dict[str, float]], scale: float) -> None:
    assume(1e3 * scale < MAX_IMPACT)
    together = as_rows(Quantizer(scale)(weights(rows)))
    assert together == {
        row_id: as_rows(Quantizer(scale)(weights({row_id: row})))[row_id] for row_id, row in rows.items()
    }


@given(st.dictionaries(terms, st.integers(1, MAX_IMPACT), max_size=10))
def test_at_scale_one_impacts_are_what_was_given(row: dict[str, int]) -> None:
    assert as_rows(Quantizer(1)(weights({"x": row}))) == {"x": row}
