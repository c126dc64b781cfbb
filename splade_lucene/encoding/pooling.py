"""From masked-LM logits to term weights: the only log1p(relu(x)) of the package. Imports torch.

Law: padding a batch, reordering it, or parting the vocabulary into tiles changes no row.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Pooling = Literal["max", "sum"]
Activation = Literal["log1p_relu", "log1p_log1p_relu"]

TILE_WIDTH = 2_048  # terms; their logits stay in the processor's cache while they are pooled


def activate(logits: Tensor, activation: Activation = "log1p_relu") -> Tensor:
    """f(x) = log(1 + relu(x)), or log(1 + log(1 + relu(x))) for `log1p_log1p_relu`, element by element.

    Raises:
        ValueError: activation is neither.

    References:
        SPLADE, arXiv:2107.05720; ℓ0-inspired sparsification, arXiv:2504.14839 (the double logarithm).
    """
    if activation not in get_args(Activation):
        raise ValueError(f"activation must be one of {', '.join(get_args(Activation))}, not {activation!r}")
    weights = torch.log1p(torch.relu(logits))
    return torch.log1p(weights) if activation == "log1p_log1p_relu" else weights


def splade_pool(
    logits: Tensor, attention_mask: Tensor, pooling: Pooling = "max", activation: Activation = "log1p_relu"
) -> Tensor:
    """Pool masked-LM logits into term weights: w_j = pool_i f(logits_ij), f as in `activate`.

    Args:
        logits: (B, L, V) float, masked-LM logits.
        attention_mask: (B, L), 1 for real positions. Padding never contributes.
        pooling: "max" over positions (SPLADE v2 and later) or "sum" (SPLADE v1).
        activation: which f.

    Returns:
        (B, V) float, >= 0. Padding the batch does not change a row.

    Raises:
        ValueError: pooling or activation is none of these.

    References:
        SPLADE, arXiv:2107.05720 (sum); SPLADE v2, arXiv:2109.10086 (max).
    """
    mask = attention_mask.unsqueeze(-1).bool()  # (B, L, 1)
    if pooling == "max":
        # f grows with x, so the max over positions may come first: V logarithms a text, not L x V.
        return activate(logits.masked_fill(~mask, 0.0).amax(dim=1), activation)  # (B, V)
    if pooling == "sum":
        return activate(logits, activation).masked_fill(~mask, 0.0).sum(dim=1)  # (B, V)
    raise ValueError(f"pooling must be one of {', '.join(get_args(Pooling))}, not {pooling!r}")


def splade_pool_tiles(
    hidden: Tensor,
    attention_mask: Tensor,
    decoder: Tensor,
    bias: Tensor,
    pooling: Pooling = "max",
    activation: Activation = "log1p_relu",
) -> Tensor:
    """`splade_pool(hidden · decoderᵀ + bias)` without its (B, L, V) logits: the vocabulary tile by tile.

    Gradients do without them, too: where several positions are equally high, the first one has it all.

    Args:
        hidden: (B, L, H) float, what the decoder is given.
        attention_mask: (B, L), 1 for real positions; a row has one at least, its first.
        decoder: (V, H).
        bias: (V,).
        pooling: as in `splade_pool`.
        activation: as in `splade_pool`.

    Returns:
        (B, V) float32, >= 0.
    """
    if pooling == "max":
        # A position in place of padding changes no maximum, and costs a pass over (B, L, H) where masks cost (B, L, V).
        # The bias is the same at all positions, so that it too can wait for the maximum.
        hidden = torch.where(attention_mask.unsqueeze(-1).bool(), hidden, hidden[:, :1])
        learning = torch.is_grad_enabled() and (hidden.requires_grad or decoder.requires_grad)
        logits = _LearningMaximum.apply(hidden, decoder) if learning else _maximum(hidden, decoder)
        return activate(logits.float() + bias.float(), activation)
    parts = zip(decoder.split(TILE_WIDTH), bias.split(TILE_WIDTH), strict=True)
    return torch.cat([_sum_of_tile(hidden, attention_mask, *part, activation) for part in parts], dim=1)


def _maximum(hidden: Tensor, decoder: Tensor) -> Tensor:
    """max_i (hidden · decoderᵀ)_ij: (B, L, H) and (V, H) → (B, V)."""
    return torch.cat([torch.matmul(hidden, tile.t()).amax(dim=1) for tile in decoder.split(TILE_WIDTH)], dim=1)


class _LearningMaximum(torch.autograd.Function):
    """`_maximum` with a gradient that holds one position for each (text, term), where autograd would hold L logits.

    A term's gradient goes to the first of its highest positions, and most terms have none: what comes after is a ReLU.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, decoder: Tensor) -> Tensor:
        tiles = [torch.matmul(hidden, tile.t()).max(dim=1) for tile in decoder.split(TILE_WIDTH)]
        positions = torch.cat([tile.indices.to(torch.int32) for tile in tiles], dim=1)  # (B, V)
        ctx.save_for_backward(hidden, decoder, positions)
        return torch.cat([tile.values for tile in tiles], dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        hidden, decoder, positions = ctx.saved_tensors
        # Added up in float32, whatever mixed precision has made of one of the two.
        of_hidden, of_decoder = (torch.zeros_like(each, dtype=torch.float32) for each in (hidden, decoder))
        starts = range(0, len(decoder), TILE_WIDTH)
        tiles = zip(starts, gradients[0].split(TILE_WIDTH, dim=1), positions.split(TILE_WIDTH, dim=1), strict=True)
        for start, gradient, at in tiles:
            texts, terms = gradient.nonzero(as_tuple=True)
            places = texts * hidden.shape[1] + at[texts, terms]
            weights = gradient[texts, terms].float().unsqueeze(1)  # (n, 1)
            terms = terms + start
            of_hidden.flatten(0, 1).index_add_(0, places, weights * decoder[terms])
            of_decoder.index_add_(0, terms, weights * hidden.flatten(0, 1)[places])
        return of_hidden.to(hidden.dtype), of_decoder.to(decoder.dtype)


def _sum_of_tile(
    hidden: Tensor, attention_mask: Tensor, decoder: Tensor, bias: Tensor, activation: Activation
) -> Tensor:
    """Of one tile's terms; its logits are computed again for the gradient, where autograd would hold them."""

    def pooled(hidden: Tensor, decoder: Tensor, bias: Tensor) -> Tensor:
        logits = torch.nn.functional.linear(hidden, decoder, bias).float()
        return splade_pool(logits, attention_mask, "sum", activation)

    if torch.is_grad_enabled():
        return checkpoint(pooled, hidden, decoder, bias, use_reentrant=False)
    return pooled(hidden, decoder, bias)
