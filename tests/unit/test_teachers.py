"""Teachers of different kinds made one."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from splade_lucene.training.teachers import Ensemble, min_max

DENSE, SPARSE = [[0.9, 0.7, 0.5]], [[30.0, 10.0, 20.0]]
BOTH = torch.tensor([DENSE, SPARSE])  # (2, 1, 3)


def ensemble(scores: Tensor, weights: tuple[float, ...] | None = None, **settings: Any) -> Tensor:
    return Ensemble(teachers=("dense", "sparse"), weights=weights, **settings)(scores)


def test_normalised_and_added() -> None:
    assert min_max(BOTH)[:, 0].tolist() == [
        pytest.approx([1, 0.5, 0], abs=1e-5),
        pytest.approx([1, 0, 0.5], abs=1e-5),
    ]
    assert ensemble(BOTH, scale=30)[0].tolist() == pytest.approx([30, 7.5, 7.5], abs=1e-3)
    soft = ensemble(BOTH, scale=10)[0].softmax(0)
    assert soft.tolist() == pytest.approx([0.998895, 0.000552, 0.000552], abs=1e-5)


def test_raw_scores_added_follow_the_teacher_of_the_widest_range() -> None:
    assert ensemble(BOTH, scale=1, normalise=False)[0].tolist() == pytest.approx([15.45, 5.35, 10.25])


def test_a_teacher_that_cannot_tell_says_nothing() -> None:
    assert min_max(torch.full((2, 3), 7.0)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_weights_of_teachers() -> None:
    assert ensemble(BOTH, (1.0, 0.0), scale=1)[0].tolist() == pytest.approx([1, 0.5, 0], abs=1e-5)
    with pytest.raises(ValueError, match="2 teachers and 3 weights"):
        ensemble(BOTH, (1.0, 1.0, 1.0))


@given(
    st.lists(st.integers(0, 50), min_size=3, max_size=3),
    st.lists(st.integers(0, 50), min_size=3, max_size=3),
    st.floats(0.5, 20),
    st.floats(-20, 20),
)
def test_heights_and_ranges_of_teachers_do_not_matter(
    one: list[int], two: list[int], slope: float, rise: float
) -> None:
    scores = torch.tensor([[one], [two]], dtype=torch.float64)
    mapped = torch.stack([scores[0], scores[1] * slope + rise])
    given_them, mapped_them = ensemble(scores, scale=30), ensemble(mapped, scale=30)
    assert mapped_them[0].tolist() == pytest.approx(given_them[0].tolist(), abs=1e-3)
    assert given_them.min() >= 0 and given_them.max() <= 30
