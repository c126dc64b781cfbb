"""From masked-LM logits to term weights: the only log1p(relu(x)) of the package. Imports torch."""

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["max", "sum"]


def splade_pool(logits: Tensor, attention_mask: Tensor, pooling: Pooling = "max") -> Tensor:
    """Pool masked-LM logits into term weights: w_j = pool_i log(1 + relu(logits_ij)).

    Args:
        logits: (B, L, V) float, masked-LM logits.
        attention_mask: (B, L), 1 for real positions. Padding never contributes.
        pooling: "max" over positions (SPLADE v2 and later) or "sum" (SPLADE v1).

    Returns:
        (B, V) float, >= 0. Padding the batch does not change a row.

    Raises:
        ValueError: pooling is neither "max" nor "sum".

    References:
        SPLADE, arXiv:2107.05720 (sum); SPLADE v2, arXiv:2109.10086 (max).
    """
    mask = attention_mask.unsqueeze(-1).bool()  # (B, L, 1)
    if pooling == "max":
        # log1p(relu(x)) grows with x, so the max over positions may come first: V logarithms a text, not L x V.
        return torch.log1p(torch.relu(logits.masked_fill(~mask, 0.0).amax(dim=1)))  # (B, V)
    if pooling == "sum":
        return torch.log1p(torch.relu(logits)).masked_fill(~mask, 0.0).sum(dim=1)  # (B, V)
    raise ValueError(f"pooling must be 'max' or 'sum', not {pooling!r}")
