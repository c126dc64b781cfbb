"""splade_pool on the worked example T-1 of METHODS section 11."""

import math

import pytest
import torch
from torch.testing import assert_close

from splade_lucene.encoding.pooling import TILE_WIDTH, Activation, Pooling, activate, splade_pool, splade_pool_tiles

LOGITS = torch.tensor([[[1.0, -2.0, 0.0, 3.0], [2.0, 0.5, -1.0, -1.0], [9.0, 9.0, 9.0, 9.0]]])
MASK = torch.tensor([[1, 1, 0]])


def test_max_by_hand() -> None:
    expected = torch.tensor([[math.log(3), math.log(1.5), 0.0, math.log(4)]])
    assert_close(splade_pool(LOGITS, MASK), expected)
    assert_close(splade_pool(LOGITS, MASK, "max"), expected)


def test_sum_by_hand() -> None:
    expected = torch.tensor([[math.log(2) + math.log(3), math.log(1.5), 0.0, math.log(4)]])
    assert_close(splade_pool(LOGITS, MASK, "sum"), expected)


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_rows_under_mask_zero_change_nothing(pooling: str) -> None:
    assert_close(splade_pool(LOGITS, MASK, pooling), splade_pool(LOGITS[:, :2], MASK[:, :2], pooling))
    assert splade_pool(LOGITS, torch.zeros_like(MASK), pooling).eq(0).all()


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("padding", [torch.nan, torch.inf, -torch.inf])
def test_not_even_what_is_no_number(pooling: str, padding: float) -> None:
    logits = LOGITS.clone()
    logits[:, 2] = padding
    assert_close(splade_pool(logits, MASK, pooling), splade_pool(LOGITS, MASK, pooling))


def test_the_callers_logits_stay() -> None:
    logits = LOGITS.clone()
    splade_pool(logits, MASK)
    assert torch.equal(logits, LOGITS)


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_padding_gets_no_gradient(pooling: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    splade_pool(logits, MASK, pooling).sum().backward()
    assert logits.grad is not None
    assert logits.grad[:, 2].eq(0).all()
    assert logits.grad[0, 1, 0] == pytest.approx(1 / 3)  # d log(1 + x) at 2


def test_the_double_logarithm_by_hand() -> None:
    once = torch.tensor([[math.log(3), math.log(1.5), 0.0, math.log(4)]])
    assert_close(splade_pool(LOGITS, MASK, "max", "log1p_log1p_relu"), torch.log(1 + once))
    ones_and_twos = torch.tensor([[math.log(1 + math.log(2)) + math.log(1 + math.log(3))]])
    assert_close(splade_pool(LOGITS[..., :1], MASK, "sum", "log1p_log1p_relu"), ones_and_twos)


def test_another_pooling_or_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="pooling must be one of max, sum, not 'mean'"):
        splade_pool(LOGITS, MASK, "mean")
    with pytest.raises(ValueError, match="activation must be one of log1p_relu, log1p_log1p_relu, not 'gelu'"):
        activate(LOGITS, "gelu")


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ["log1p_relu", "log1p_log1p_relu"])
@pytest.mark.parametrize("size", [1, TILE_WIDTH, 2 * TILE_WIDTH + 3])
def test_tiles_are_the_whole(pooling: Pooling, activation: Activation, size: int) -> None:
    """The vocabulary product tile by tile, beside logits that are all there; padding may hold anything."""
    generator = torch.Generator().manual_seed(5)
    hidden, decoder = torch.randn(3, 6, 4, generator=generator), torch.randn(size, 4, generator=generator)
    bias = torch.randn(size, generator=generator)
    mask = (torch.arange(6) < torch.tensor([[6], [1], [4]])).long()
    expected = splade_pool(hidden @ decoder.t() + bias, mask, pooling, activation)
    hidden[mask == 0] = torch.nan
    assert_close(splade_pool_tiles(hidden, mask, decoder, bias, pooling, activation), expected)


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ["log1p_relu", "log1p_log1p_relu"])
@pytest.mark.parametrize("size", [1, 2 * TILE_WIDTH + 3])
def test_gradients_of_tiles_are_those_of_the_whole(pooling: Pooling, activation: Activation, size: int) -> None:
    generator = torch.Generator().manual_seed(5)
    given = [torch.randn(*shape, generator=generator).requires_grad_() for shape in ((3, 6, 4), (size, 4), (size,))]
    hidden, decoder, bias = given
    mask = (torch.arange(6) < torch.tensor([[6], [1], [4]])).long()
    asked = torch.randn(3, size, generator=generator)
    whole = splade_pool(hidden @ decoder.t() + bias, mask, pooling, activation)
    tiles = splade_pool_tiles(hidden, mask, decoder, bias, pooling, activation)
    assert_close(tiles, whole)
    for expected, found in zip(
        torch.autograd.grad((whole * asked).sum(), given),
        torch.autograd.grad((tiles * asked).sum(), given),
        strict=True,
    ):
        assert_close(found, expected, rtol=1e-5, atol=1e-4)  # sums over all terms, in another order


def test_of_equally_high_positions_the_first_learns() -> None:
    hidden = torch.ones(1, 3, 2, requires_grad=True)
    decoder = torch.eye(2)
    splade_pool_tiles(hidden, torch.ones(1, 3), decoder, torch.zeros(2)).sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [[[0.5, 0.5], [0, 0], [0, 0]]]  # d log(1 + x) at 1


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_no_logits_are_kept_for_the_gradient(pooling: Pooling) -> None:
    """What is held between forward and backward grows with L·H and V, not with L·V."""
    texts, length, width, size = 2, 64, 4, 3 * TILE_WIDTH
    held: list[int] = []
    hidden, decoder = torch.randn(texts, length, width, requires_grad=True), torch.randn(size, width)

    def hold(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        splade_pool_tiles(hidden, torch.ones(texts, length), decoder, torch.zeros(size), pooling)
    assert max(held) <= max(texts * size, decoder.numel())
