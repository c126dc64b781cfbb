"""From masked-LM logits to term weights: the only log1p(relu(x)) of the package. Imports torch.

Law: padding a batch, reordering it, or parting the vocabulary into tiles changes no row.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

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
        tiles = [torch.matmul(hidden, tile.t()).amax(dim=1) for tile in decoder.split(TILE_WIDTH)]
        return activate(torch.cat(tiles, dim=1).float() + bias.float(), activation)
    parts = zip(decoder.split(TILE_WIDTH), bias.split(TILE_WIDTH), strict=True)
    return torch.cat(
        [
            splade_pool(torch.nn.functional.linear(hidden, *part).float(), attention_mask, pooling, activation)
            for part in parts
        ],
        dim=1,
    )
