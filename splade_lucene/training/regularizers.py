"""Regularizers: what a batch's weights cost, so that training keeps them few. Imports torch.

Letters: B queries, M candidates of each (the positive first), V terms. A regularizer is a small immutable object, made
from a configuration by its name, that maps (B, M, V) weights >= 0 to a scalar; queries come as (B, 1, V). Laws: 0 for
weights of 0; no change where rows change places within a slot; FLOPS(c·W) = c² FLOPS(W). Means over rows are means over
the rows of all processes, so that a batch parted among processes costs what it costs on one.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor, distributed

from splade_lucene.config import Config


@dataclass(frozen=True)
class TermStatistics:
    """What is known of terms: idf, (V,) > 0; document_share, (V,), the share of documents that have each now."""

    idf: Tensor | None = None
    document_share: Tensor | None = None


def flops(weights: Tensor, term_weights: Tensor | None = None, *, threshold: int = 0) -> Tensor:
    """Σ_j (v_j · 1/N Σ_i w_ij)², the smooth number of operations of a product with vectors like these.

    Args:
        weights: (N, V) >= 0.
        term_weights: (V,) v; 1 where none are given.
        threshold: rows with at most so many non-zeros count as rows of zeros (the ℓ0 mask); N stays.

    Returns:
        a float32 scalar. Its gradient is 2 v_j² ā_j / N.

    References:
        Paria et al., arXiv:2004.05665; SPLADE, arXiv:2107.05720; the mask: arXiv:2504.14839.
    """
    with torch.autocast(weights.device.type, enabled=False):
        counted = weights.float()
        if threshold:
            counted = counted * ((counted > 0).sum(dim=1, keepdim=True) > threshold)
        means = mean_over_processes(counted.mean(dim=0))  # (V,)
        return (means if term_weights is None else means * term_weights).square().sum()


def mean_over_processes(means: Tensor) -> Tensor:
    """The mean of what the processes have, each the same number of rows; gradients reach them all.

    Every process computes the same loss from it, so that the mean of their gradients, which data parallel training
    takes, is the gradient of the whole.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return means
    total: Tensor = _SumOverProcesses.apply(means)
    return total / distributed.get_world_size()


class _SumOverProcesses(torch.autograd.Function):
    """All processes' tensors added up; a gradient is the sum of all processes' gradients.

    torch's own, in torch.distributed.nn.functional, is deprecated for one in a private module.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def df_activation(share: Tensor, alpha: float, beta: float) -> Tensor:
    """1 / (1 + (x^{log_α 2} − 1)^β) of x, the share of documents that have a term: 1/2 at α, 1 at 1, 0 towards 0.

    References:
        DF-FLOPS, arXiv:2505.15070.
    """
    powered = share.double().clamp(min=1e-12) ** (math.log(2) / math.log(alpha))
    return (1 / (1 + (powered - 1).clamp(min=0) ** beta)).float()


Reduction = Literal["joint", "pos_neg_mean", "slot_sum"]


def reduced_flops(
    weights: Tensor, reduction: Reduction, term_weights: Tensor | None = None, threshold: int = 0
) -> Tensor:
    """FLOPS of a batch of candidates (B, M, V); each published λ belongs to one of these.

    `joint`: of all B·M rows (sentence-transformers). `pos_neg_mean`: ½ (FLOPS(positives) + FLOPS(negatives)), as
    naver's SPLADE++ was trained. `slot_sum`: Σ_m FLOPS(candidates m), as OpenSearch's models were.
    """
    if weights.shape[1] == 1 or reduction == "joint":
        parts = [weights.flatten(0, 1)]
    elif reduction == "pos_neg_mean":
        parts = [weights[:, 0], weights[:, 1:].flatten(0, 1)]
    else:
        parts = list(weights.unbind(dim=1))
    costs = torch.stack([flops(part, term_weights, threshold=threshold) for part in parts])
    return costs.mean() if reduction == "pos_neg_mean" else costs.sum()


class Flops(Config):
    """FLOPS, reduced as `reduced_flops` says; weight is λ, threshold the ℓ0 mask's."""

    weight: PositiveFloat
    name: Literal["flops"] = "flops"
    reduction: Reduction = "pos_neg_mean"
    threshold: NonNegativeInt = 0

    def __call__(self, weights: Tensor, statistics: TermStatistics) -> Tensor:
        """Of (B, M, V) weights."""
        return reduced_flops(weights, self.reduction, threshold=self.threshold)


class IdfFlops(Config):
    """Σ_j (1/N Σ_i w_ij / idf_j)²: FLOPS that lets terms of high idf live.

    With u = idf · w this is what idf in the matching function with plain FLOPS is (arXiv:2411.04403, first and second
    version): one of the two, never both.
    """

    weight: PositiveFloat
    name: Literal["idf_flops"] = "idf_flops"
    reduction: Reduction = "slot_sum"
    threshold: NonNegativeInt = 0

    def __call__(self, weights: Tensor, statistics: TermStatistics) -> Tensor:
        """Of (B, M, V) weights.

        Raises:
            ValueError: no idf is known.
        """
        if statistics.idf is None:
            raise ValueError("idf_flops wants an idf for every term, and there is none")
        return reduced_flops(weights, self.reduction, 1 / statistics.idf, self.threshold)


class DfFlops(Config):
    """FLOPS whose terms weigh what `df_activation` makes of the share of documents that have them.

    References:
        DF-FLOPS, arXiv:2505.15070.
    """

    weight: PositiveFloat
    name: Literal["df_flops"] = "df_flops"
    reduction: Reduction = "joint"
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.1
    beta: PositiveFloat = 10.0

    def __call__(self, weights: Tensor, statistics: TermStatistics) -> Tensor:
        """Of (B, M, V) weights.

        Raises:
            ValueError: no document frequencies are known.
        """
        if statistics.document_share is None:
            raise ValueError("df_flops wants the terms' document frequencies, and there are none")
        term_weights = df_activation(statistics.document_share, self.alpha, self.beta)
        return reduced_flops(weights, self.reduction, term_weights)


class L1(Config):
    """1/N Σ_i Σ_j w_ij: what efficient SPLADE keeps queries short with (arXiv:2207.03834)."""

    weight: PositiveFloat
    name: Literal["l1"] = "l1"

    def __call__(self, weights: Tensor, statistics: TermStatistics) -> Tensor:
        """Of (B, M, V) weights."""
        return mean_over_processes(weights.float().sum(dim=2).mean())


Regularizer = Annotated[Flops | IdfFlops | DfFlops | L1, Field(discriminator="name")]


def quadratic(step: int, warmup_steps: int) -> float:
    """min(1, (t / T)²), by which λ is multiplied at optimizer step t, counted from 1, for the first T steps.

    References:
        SPLADE, arXiv:2107.05720: a model learns to rank before it learns to be sparse.
    """
    return min(1.0, (step / warmup_steps) ** 2) if warmup_steps else 1.0
