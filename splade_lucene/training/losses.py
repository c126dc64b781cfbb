"""Ranking losses: how far a student's scores are from labels, or from a teacher's scores. Imports torch.

Letters: B queries in a batch, M candidates of each; candidate 0 of a query is its positive. A loss is a small immutable
object, made from a configuration by its name, that maps `BatchScores` to a scalar. Laws: losses are computed in float32
whatever the network computes in; those with a teacher are 0 where the student has the teacher's scores, and do not
change where a constant is added to all scores of a query.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn import functional

from splade_lucene.config import Config


@dataclass(frozen=True)
class BatchScores:
    """What a batch was scored.

    student: (B, B, M), of query i and candidate m of query j at [i, j, m]. teacher: (B, M), of each query's own
    candidates; None where nobody taught. known: (B, B, M) bool, candidates of others that are known to be relevant to
    query i, or to be one of its own; they are no negatives of it.
    """

    student: Tensor
    teacher: Tensor | None = None
    known: Tensor | None = None

    @property
    def own(self) -> Tensor:
        """(B, M) float32: of each query and its own candidates."""
        queries = torch.arange(len(self.student), device=self.student.device)
        return self.student[queries, queries].float()

    def taught(self) -> Tensor:
        """(B, M) float32 of the teacher.

        Raises:
            ValueError: there is none, or it has scored other candidates.
        """
        if self.teacher is None:
            raise ValueError("this loss wants a teacher's scores, and the examples have none")
        if self.teacher.shape != self.own.shape:
            raise ValueError(
                f"the student has scored {tuple(self.own.shape)} candidates (queries, each), the teacher "
                f"{tuple(self.teacher.shape)}"
            )
        return self.teacher.float()


class InfoNce(Config):
    """−1/B Σ_i log( e^{s(i, own positive)} / Σ_{c in C_i} e^{s(i, c)} ).

    negatives: who is in C_i beside the own positive. `own`: the own negatives (pairwise NLL where there is one).
    `own_and_positives`: these, and the other queries' positives (SPLADE v2, equation 3). `all_negatives`: the negatives
    of all queries, no other positives. `everything`: all candidates of the batch.

    References:
        SPLADE v2, arXiv:2109.10086, equation 3; the two others are what OpenSearch's and sentence-transformers'
        trainers compute.
    """

    name: Literal["info_nce"] = "info_nce"
    weight: PositiveFloat = 1.0
    negatives: Literal["own", "own_and_positives", "all_negatives", "everything"] = "own_and_positives"

    def __call__(self, scores: BatchScores) -> Tensor:
        """The mean over queries."""
        student = scores.student.float()
        queries, _, candidates = student.shape
        own = torch.eye(queries, dtype=torch.bool, device=student.device).unsqueeze(2)  # (B, B, 1)
        positive = (torch.arange(candidates, device=student.device) == 0).expand_as(student)  # (B, B, M)
        allowed = {
            "own": own.expand_as(student),
            "own_and_positives": own | positive,
            "all_negatives": (own & positive) | ~positive,
            "everything": torch.ones_like(positive),
        }[self.negatives]
        if scores.known is not None:
            allowed = allowed & (~scores.known | own)
        among = student.masked_fill(~allowed, -torch.inf).flatten(1)  # (B, B·M)
        return (among.logsumexp(dim=1) - scores.own[:, 0]).mean()


class MarginMse(Config):
    """mean over queries i and negatives m of ((s_i0 − s_im) − (t_i0 − t_im))²; s the student's, t the teacher's scores.

    References:
        Hofstätter et al., arXiv:2010.02666; raw margins, as in SPLADE++, arXiv:2205.04733.
    """

    name: Literal["margin_mse"] = "margin_mse"
    weight: PositiveFloat = 1.0

    def __call__(self, scores: BatchScores) -> Tensor:
        """The mean over queries and negatives."""
        own, taught = scores.own, scores.taught()
        return functional.mse_loss(own[:, :1] - own[:, 1:], taught[:, :1] - taught[:, 1:])


class KlDivergence(Config):
    """T²/B Σ_i Σ_m p_im log(p_im / r_im).

    p and r are the softmax of the teacher's and the student's scores / T over a query's candidates. temperature: T, 1
    in the papers; T² keeps the gradient's size. sentence-transformers' default is T = 2.

    References:
        Geng et al., arXiv:2411.04403, equation 1; efficient SPLADE, arXiv:2207.03834.
    """

    name: Literal["kl"] = "kl"
    weight: PositiveFloat = 1.0
    temperature: PositiveFloat = 1.0

    def __call__(self, scores: BatchScores) -> Tensor:
        """The sum over candidates, the mean over queries."""
        student = functional.log_softmax(scores.own / self.temperature, dim=1)
        teacher = functional.log_softmax(scores.taught() / self.temperature, dim=1)
        divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return divergence * self.temperature**2


Loss = Annotated[InfoNce | MarginMse | KlDivergence, Field(discriminator="name")]
