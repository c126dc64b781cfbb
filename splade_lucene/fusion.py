"""Fusion: one run made of several, by ranks or by scores.

May import `runs`. Laws: a query's hits depend on its own hits in each run alone; the order of the runs does not matter
as long as each keeps its weight; whatever a run found is found; hits come in the one order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isfinite
from typing import Literal

import numpy as np

from splade_lucene.runs import Hits, Run, ranked

Method = Literal["rrf", "sum"]
Normalization = Literal["min-max", "none"]

RANK_CONSTANT = 60  # the paper's


@dataclass(frozen=True)
class Fusion:
    """How runs are fused.

    method: `rrf`, `reciprocal_rank_fusion`, or `sum`, `weighted_sum`. weights: one for each run, 1 where not given; of
    `sum` alone. normalization: of `sum`. depth: how many hits of each run take part.

    Raises:
        ValueError: weights for `rrf`, a weight that is not finite and > 0, or a depth below 1.
    """

    method: Method = "rrf"
    weights: tuple[float, ...] | None = None
    normalization: Normalization = "min-max"
    depth: int = 1000

    def __post_init__(self) -> None:
        if self.method not in ("rrf", "sum"):
            raise ValueError(f"method must be 'rrf' or 'sum', not {self.method!r}")
        if self.normalization not in ("min-max", "none"):
            raise ValueError(f"normalization must be 'min-max' or 'none', not {self.normalization!r}")
        if self.weights is not None and self.method == "rrf":
            raise ValueError("weights are for the method 'sum'; reciprocal ranks have none")
        if self.depth < 1:
            raise ValueError(f"depth must be at least 1, not {self.depth}")
        _check_weights(self.weights or ())

    def __call__(self, runs: Sequence[Run], k: int | None = None) -> dict[str, Hits]:
        """Fuse runs, whose hits are the first `depth` of them.

        Raises:
            ValueError: there is not one weight for each run.
        """
        if self.method == "rrf":
            return reciprocal_rank_fusion(runs, k=k)
        return weighted_sum(runs, self.weights or (1.0,) * len(runs), normalization=self.normalization, k=k)


def reciprocal_rank_fusion(
    runs: Sequence[Run], *, rank_constant: float = RANK_CONSTANT, k: int | None = None
) -> dict[str, Hits]:
    """score(d) = sum over the runs that found d of 1 / (rank_constant + rank of d), ranks counted from 1.

    Args:
        runs: query_id → hits; a query need not be in all of them.
        rank_constant: the larger, the less the first ranks count above the others.
        k: the best so many of each query; all where not given.

    References:
        Cormack, Clarke, Büttcher: Reciprocal Rank Fusion outperforms Condorcet and Individual Rank Learning Methods,
        SIGIR 2009.
    """
    if not (isfinite(rank_constant) and rank_constant >= 0):
        raise ValueError(f"rank_constant must be finite and >= 0, not {rank_constant}")
    parts = [
        {
            query_id: {doc_id: 1 / (rank_constant + rank) for rank, doc_id in enumerate(hits.doc_ids, start=1)}
            for query_id, hits in run.items()
        }
        for run in runs
    ]
    return _summed(runs, parts, k)


def weighted_sum(
    runs: Sequence[Run], weights: Sequence[float], *, normalization: Normalization = "min-max", k: int | None = None
) -> dict[str, Hits]:
    """score(d) = sum over the runs that found d of weight * normalized score of d.

    Args:
        runs: query_id → hits; a query need not be in all of them.
        weights: one for each run, finite and > 0.
        normalization: `min-max`, (s - least) / (largest - least) of the query's hits in this run, 1 where all are
            equal; or `none`. A document that a run did not find gets nothing from it, as its least hit does.
        k: the best so many of each query; all where not given.

    Raises:
        ValueError: there is not one weight for each run, or one is not finite and > 0.
    """
    if len(weights) != len(runs):
        raise ValueError(f"{len(runs)} runs want so many weights, not {len(weights)}")
    _check_weights(weights)
    parts = [
        {query_id: _weighted(hits, weight, normalization) for query_id, hits in run.items()}
        for run, weight in zip(runs, weights, strict=True)
    ]
    return _summed(runs, parts, k)


def _check_weights(weights: Iterable[float]) -> None:
    for weight in weights:
        if not (isfinite(weight) and weight > 0):
            raise ValueError(f"the weight of a run must be finite and > 0, not {weight}")


def _weighted(hits: Hits, weight: float, normalization: Normalization) -> dict[str, float]:
    scores = np.asarray(hits.scores, dtype=np.float64)
    if normalization == "min-max" and len(scores):
        least, span = scores.min(), np.ptp(scores)
        scores = (scores - least) / span if span > 0 else np.ones(len(scores))
    return dict(zip(hits.doc_ids, (weight * scores).tolist(), strict=True))


def _summed(runs: Sequence[Run], parts: Sequence[Mapping[str, Mapping[str, float]]], k: int | None) -> dict[str, Hits]:
    """The sums of what the runs give to each document of each query."""
    fused = {}
    for query_id in dict.fromkeys(query_id for part in parts for query_id in part):
        given = [part.get(query_id, {}) for part in parts]
        doc_ids = dict.fromkeys(doc_id for part in given for doc_id in part)
        # fsum rounds once: the sum does not depend on the order of the runs.
        best = ranked({doc_id: fsum(part[doc_id] for part in given if doc_id in part) for doc_id in doc_ids}, k)
        scores = np.array([hit.score for hit in best], dtype=np.float64)
        cut = any(query_id in run and run[query_id].cut for run in runs)
        fused[query_id] = Hits([hit.doc_id for hit in best], scores, cut=cut)
    return fused
