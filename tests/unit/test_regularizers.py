"""Regularizers: the numbers worked by hand, and what holds for any weights."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from splade_lucene.training.regularizers import (
    L1,
    DfFlops,
    Flops,
    IdfFlops,
    TermStatistics,
    df_activation,
    flops,
    quadratic,
    reduced_flops,
)

W = torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 0.0]])
CANDIDATES = torch.tensor([[[1.0, 0, 2], [0, 2, 0]], [[3, 0, 0], [0, 4, 1]]])  # 2 queries, positive and negative
LENGTHS = torch.tensor([[1, 0.2, 0, 0], [0.5, 0.6, 0.7, 0.8]])
NOTHING = TermStatistics()


def test_flops_and_l1() -> None:
    weights = W.clone().requires_grad_()
    cost = flops(weights)
    assert cost.item() == 5
    (gradient,) = torch.autograd.grad(cost, weights)
    assert gradient.tolist() == [[2, 0, 1], [2, 0, 1]]
    assert L1(weight=1)(W.unsqueeze(1), NOTHING).item() == 3


@pytest.mark.parametrize(("reduction", "cost"), [("joint", 3.8125), ("pos_neg_mean", 7.125), ("slot_sum", 14.25)])
def test_reductions(reduction: str, cost: float) -> None:
    assert Flops(weight=1, reduction=reduction)(CANDIDATES, NOTHING).item() == cost  # type: ignore[arg-type]


@pytest.mark.parametrize("reduction", ["joint", "pos_neg_mean", "slot_sum"])
def test_queries_have_one_slot_and_one_cost(reduction: str) -> None:
    assert reduced_flops(W.unsqueeze(1), reduction).item() == 5  # type: ignore[arg-type]


def test_short_rows_cost_nothing_under_the_mask() -> None:
    slots = LENGTHS.unsqueeze(0)  # one query with two candidates
    assert reduced_flops(slots, "slot_sum").item() == pytest.approx(2.78)
    assert reduced_flops(slots, "slot_sum", threshold=2).item() == pytest.approx(1.74)
    assert flops(LENGTHS, threshold=2).item() == pytest.approx(0.435)


def test_idf_in_the_penalty_is_idf_in_the_score() -> None:
    weights, idf = torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([4.0, 0.5])
    penalty = IdfFlops(weight=1, reduction="joint")
    assert penalty((weights * idf).unsqueeze(1), TermStatistics(idf)).item() == pytest.approx(flops(weights).item())
    with pytest.raises(ValueError, match="wants an idf"):
        penalty(weights.unsqueeze(1), NOTHING)


def test_idf_in_the_score_scales_the_ranking_gradient() -> None:
    idf, documents = torch.tensor([4.0, 0.5]), torch.eye(2)
    gradients = []
    for query in (torch.ones(2), idf):
        leaf = documents.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy((leaf @ query).unsqueeze(0), torch.tensor([0]))
        gradients.append(torch.autograd.grad(loss, leaf)[0][0])
    assert gradients[0].tolist() == pytest.approx([-0.5, -0.5])
    assert gradients[1].tolist() == pytest.approx([-0.117249, -0.014656], abs=1e-6)


def test_df_flops() -> None:
    assert df_activation(torch.tensor([0.05, 0.1, 0.2, 1.0]), 0.1, 10).tolist() == pytest.approx(
        [0.021625, 0.5, 0.991221, 1.0], abs=1e-6
    )
    share = torch.tensor([1.0, 0.25, 0.5])
    assert df_activation(share, 0.5, 2).tolist() == pytest.approx([1, 0.1, 0.5])
    penalty = DfFlops(weight=1, alpha=0.5, beta=2)
    assert penalty(W.unsqueeze(1), TermStatistics(document_share=share)).item() == pytest.approx(4.25)
    assert penalty(W.unsqueeze(1), TermStatistics(document_share=torch.ones(3))).item() == pytest.approx(5)
    with pytest.raises(ValueError, match="document frequencies"):
        penalty(W.unsqueeze(1), NOTHING)


def test_lambda_grows_with_the_square_of_the_step() -> None:
    values = [0.5 * quadratic(step, 50_000) for step in (1, 5_000, 25_000, 50_000, 60_000)]
    assert values == pytest.approx([2e-10, 0.005, 0.125, 0.5, 0.5])
    assert quadratic(1, 0) == 1


matrices = st.lists(st.lists(st.floats(0, 5, width=32), min_size=4, max_size=4), min_size=1, max_size=6).map(
    torch.tensor
)


@given(matrices, st.floats(0, 10), st.randoms())
def test_flops_of_any_weights(weights: Tensor, factor: float, chance: object) -> None:
    cost = flops(weights).item()
    loop = sum((sum(float(row[term]) for row in weights) / len(weights)) ** 2 for term in range(4))
    assert cost == pytest.approx(loop, rel=1e-5, abs=1e-9)
    assert flops(weights * factor).item() == pytest.approx(cost * factor**2, rel=1e-4, abs=1e-7)
    assert flops(weights.flip(0)).item() == pytest.approx(cost, rel=1e-5, abs=1e-9)
    assert flops(torch.cat([weights, weights])).item() == pytest.approx(cost, rel=1e-5, abs=1e-9)
    assert flops(torch.zeros_like(weights)).item() == 0


def test_tiny_weights_survive_half_precision() -> None:
    assert flops(torch.full((4, 8), 1e-4).half()).item() == pytest.approx(8e-8, rel=1e-2)
    assert math.isfinite(flops(torch.full((4, 8), 60_000.0).half()).item())
