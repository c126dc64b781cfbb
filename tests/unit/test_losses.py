"""Ranking losses: the numbers worked by hand, loops beside them, gradients."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from splade_lucene.training.losses import BatchScores, InfoNce, KlDivergence, MarginMse

POSITIVES = torch.tensor([[5.0, 1.0], [2.0, 4.0]])  # of query i and the positive of query j
NEGATIVES = torch.tensor([[3.0, 2.0], [1.0, 0.0]])  # of query i and the negative of query j
SCORES = torch.stack([POSITIVES, NEGATIVES], dim=2)  # (2, 2, 2)


def alone(own: list[list[float]], teacher: list[list[float]] | None = None) -> BatchScores:
    """Queries that do not see each other's candidates."""
    scores = torch.tensor(own)
    student = torch.zeros(len(scores), len(scores), scores.shape[1])
    for query, row in enumerate(scores):
        student[query, query] = row
    return BatchScores(student, None if teacher is None else torch.tensor(teacher))


@pytest.mark.parametrize(
    ("negatives", "expected"),
    [
        ("own_and_positives", 0.142932),
        ("all_negatives", 0.117865),
        ("everything", 0.185182),
        ("own", (math.log1p(math.exp(-2)) + math.log1p(math.exp(-4))) / 2),
    ],
)
def test_info_nce_by_whom_it_counts_as_a_negative(negatives: Any, expected: float) -> None:
    assert InfoNce(negatives=negatives)(BatchScores(SCORES)).item() == pytest.approx(expected, abs=1e-6)


def test_info_nce_leaves_out_what_is_known_to_be_relevant() -> None:
    known = torch.zeros(2, 2, 2, dtype=torch.bool)
    known[0, 1, 0] = True  # the positive of query 1 answers query 0 as well
    expected = (math.log1p(math.exp(-2)) + math.log(math.exp(2) + math.exp(4) + math.exp(0)) - 4) / 2
    assert InfoNce()(BatchScores(SCORES, known=known)).item() == pytest.approx(expected, abs=1e-6)
    own = torch.eye(2, dtype=torch.bool).unsqueeze(2).expand(2, 2, 2)  # one's own candidates stay, whatever is known
    assert InfoNce()(BatchScores(SCORES, known=own)) == InfoNce()(BatchScores(SCORES))


def test_margin_mse() -> None:
    assert MarginMse()(alone([[5, 3], [4, 4]], [[10, 4], [1, 2]])).item() == pytest.approx(8.5)


def test_kl() -> None:
    scores = alone([[0.0, 0.0, 0.0]], [[math.log(2), 0.0, 0.0]])
    scores.student.requires_grad_()
    loss = KlDivergence()(scores)
    assert loss.item() == pytest.approx(0.0588915, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, scores.student)
    assert gradient[0, 0].tolist() == pytest.approx([-1 / 6, 1 / 12, 1 / 12], abs=1e-6)
    assert KlDivergence(temperature=2)(scores).item() == pytest.approx(0.0568824, abs=1e-6)


@pytest.mark.parametrize("loss", [MarginMse(), KlDivergence(), KlDivergence(temperature=2)], ids=str)
def test_a_teacher_is_wanted_and_must_have_scored_the_same(loss: MarginMse | KlDivergence) -> None:
    with pytest.raises(ValueError, match="have none"):
        loss(alone([[1.0, 2.0]]))
    with pytest.raises(ValueError, match="the teacher"):
        loss(alone([[1.0, 2.0]], [[1.0, 2.0, 3.0]]))


def tensors(*shape: int) -> st.SearchStrategy[Tensor]:
    size = math.prod(shape)
    values = st.lists(st.floats(-30, 30, width=32), min_size=size, max_size=size)
    return values.map(lambda items: torch.tensor(items).reshape(shape))


@pytest.mark.parametrize("loss", [MarginMse(), KlDivergence()], ids=lambda loss: loss.name)
@given(scores=tensors(3, 4), constants=tensors(3, 1))
def test_what_a_teacher_wants_is_an_order_with_distances_not_a_height(
    loss: MarginMse | KlDivergence, scores: Tensor, constants: Tensor
) -> None:
    assert loss(alone(scores.tolist(), (scores + constants).tolist())).item() == pytest.approx(0, abs=1e-4)


@given(student=tensors(3, 3, 2), teacher=tensors(3, 2))
def test_losses_equal_loops(student: Tensor, teacher: Tensor) -> None:
    batch = BatchScores(student, teacher)
    rows = student.double()
    nce = margin = kl = 0.0
    for i in range(3):
        others = [rows[i, j, 0] for j in range(3) if j != i]
        among = torch.stack([*rows[i, i], *others])
        nce += float(among.logsumexp(0) - rows[i, i, 0])
        margin += float((rows[i, i, 0] - rows[i, i, 1] - (teacher[i, 0] - teacher[i, 1]).double()) ** 2)
        p, r = teacher[i].double().softmax(0), rows[i, i].softmax(0)
        kl += sum(float(a * (a / b).log()) for a, b in zip(p, r, strict=True) if a > 0)
    assert InfoNce()(batch).item() == pytest.approx(nce / 3, abs=1e-3)
    assert MarginMse()(batch).item() == pytest.approx(margin / 3, rel=1e-4, abs=1e-3)
    assert KlDivergence()(batch).item() == pytest.approx(kl / 3, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("loss", [InfoNce(), InfoNce(negatives="everything"), MarginMse(), KlDivergence()], ids=str)
def test_half_precision_scores_are_summed_in_float32(loss: InfoNce | MarginMse | KlDivergence) -> None:
    scores = BatchScores(SCORES.half() * 100, torch.tensor([[3.0, 1.0], [2.0, 2.0]]))
    assert loss(scores).dtype == torch.float32
    assert loss(scores).isfinite()


def test_gradients() -> None:
    teacher = torch.tensor([[3.0, 1.0, 0.0], [2.0, 2.5, 1.0]])
    student = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(1))
    for loss in (InfoNce(), InfoNce(negatives="all_negatives"), MarginMse(), KlDivergence(temperature=2)):
        leaf = student.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(BatchScores(leaf, teacher)), leaf)
        for at in [(0, 0, 0), (0, 0, 2), (0, 1, 0), (1, 0, 1), (1, 1, 1)]:
            step = torch.zeros_like(student)
            step[at] = 1e-2
            up, down = (loss(BatchScores(student + sign * step, teacher)).item() for sign in (1, -1))
            assert gradient[at].item() == pytest.approx((up - down) / 2e-2, abs=2e-3)
