"""Teachers' scores made one: teachers of different kinds, normalised per query and added. Imports torch.

Laws: a teacher's scores may be mapped by any a·x + b, a > 0, without changing the sum; a candidate that all teachers
rank first gets the scale (but for ε), one that all rank last gets 0.
"""

from typing import Self

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from splade_lucene.config import Config

EPSILON = 1e-6  # keeps a teacher that scores all candidates alike at 0


def min_max(scores: Tensor) -> Tensor:
    """(s − min) / (max − min + ε) over the last dimension: each query's candidates from 0 to 1."""
    low, high = scores.amin(dim=-1, keepdim=True), scores.amax(dim=-1, keepdim=True)
    return (scores - low) / (high - low + EPSILON)


class Ensemble(Config):
    """S · Σ_j v_j ŝ_j, the ŝ_j normalised by `min_max`; one teacher that is not normalised keeps its scores.

    teachers: names of score columns. weights: v, one a teacher; each 1/J where none are given. scale: S, what the best
    candidate can get: 30 for fine-tuning and 10 for pre-training in the paper. normalise: False adds raw scores, where
    the teacher of the widest range decides (the paper's ablation).

    References:
        Geng et al., arXiv:2411.04403, equations 8 and 9.
    """

    teachers: tuple[str, ...] = Field(min_length=1)
    weights: tuple[float, ...] | None = None
    scale: PositiveFloat = 1.0
    normalise: bool = True

    @model_validator(mode="after")
    def _one_weight_a_teacher(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.teachers):
            raise ValueError(f"{len(self.teachers)} teachers and {len(self.weights)} weights")
        return self

    def __call__(self, scores: Tensor) -> Tensor:
        """(J, B, M) of J teachers → (B, M)."""
        weights = torch.tensor(self.weights or [1 / len(scores)] * len(scores), device=scores.device)
        normalised = min_max(scores.float()) if self.normalise else scores.float()
        return self.scale * torch.einsum("j,jbm->bm", weights, normalised)
