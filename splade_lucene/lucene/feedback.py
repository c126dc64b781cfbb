"""Pseudo-relevance feedback: a query enriched from the vectors of its best hits, as Anserini and Pyserini do it.

Laws: a query of which nothing was found stays as it is; no weight is negative; multiplying all of a query's weights, or
all scores, changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from splade_lucene.pruning import Pruning, prune
from splade_lucene.vectors import ImpactVectors, TermWeights

Method = Literal["rm3", "rocchio"]


@dataclass(frozen=True)
class Feedback:
    """How a query learns from its best hits.

    method: `rm3` or `rocchio`. documents: so many hits are believed in. terms: so many of theirs join the query (10 in
    Pyserini, whose defaults the others are; learned vectors have more terms than texts).
    original_weight: the query's share, of `rm3`. alpha, beta: what the query and its hits count, of `rocchio`.

    Raises:
        ValueError: a setting is out of its range.
    """

    method: Method = "rm3"
    documents: int = 10
    terms: int = 20
    original_weight: float = 0.5
    alpha: float = 1.0
    beta: float = 0.75

    def __post_init__(self) -> None:
        if self.method not in ("rm3", "rocchio"):
            raise ValueError(f"method must be 'rm3' or 'rocchio', not {self.method!r}")
        for name in ("documents", "terms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.original_weight <= 1:
            raise ValueError(f"original_weight must be between 0 and 1, not {self.original_weight}")
        if not (0 <= self.alpha < float("inf") and 0 <= self.beta < float("inf") and self.alpha + self.beta > 0):
            raise ValueError(f"alpha and beta must be finite, >= 0 and not both 0, not {self.alpha} and {self.beta}")

    def __call__(self, query: Mapping[str, float], vectors: ImpactVectors, scores: Sequence[float]) -> TermWeights:
        """The enriched query, its largest weight 1.

        Args:
            query: its weights, or impacts.
            vectors: of its best hits, best first.
            scores: theirs.
        """
        if self.method == "rm3":
            enriched = rm3(query, vectors, scores, terms=self.terms, original_weight=self.original_weight)
        else:
            enriched = rocchio(query, vectors, terms=self.terms, alpha=self.alpha, beta=self.beta)
        largest = max(enriched.values(), default=1.0)
        return {term: weight / largest for term, weight in enriched.items()}


def rm3(
    query: Mapping[str, float],
    vectors: ImpactVectors,
    scores: Sequence[float],
    *,
    terms: int,
    original_weight: float,
) -> TermWeights:
    """Mix query and hits: w · q/|q|₁ + (1 - w) · r/|r|₁, where r = the `terms` largest of Σ_d score_d · d/|d|₁.

    Each document d counts with its `terms` largest impacts. Anserini's filters of feedback terms (2 to 20 letters a to
    z and digits, in at most a tenth of the documents) keep stop words out of counted words, and are not applied: a
    learned vector gives such terms little weight.

    Args:
        query: weights or impacts, > 0.
        vectors: N documents.
        scores: N, of these documents, > 0.
        terms: how many terms of the documents join the query.
        original_weight: w.

    References:
        Abdul-Jaleel et al.: UMass at TREC 2004; Anserini's Rm3Reranker.
    """
    pruned = prune(vectors, Pruning(top_terms=terms))
    lengths = _row_sums(pruned, pruned.impacts.astype(np.float64))
    shares = np.divide(np.asarray(scores, dtype=np.float64), lengths, out=np.zeros(len(pruned)), where=lengths > 0)
    learned = _largest(_summed(pruned, shares), terms)
    return _added(
        _scaled(query, original_weight, sum(query.values())),
        _scaled(learned, 1 - original_weight, sum(learned.values())),
        otherwise=query,
    )


def rocchio(
    query: Mapping[str, float],
    vectors: ImpactVectors,
    *,
    terms: int,
    alpha: float,
    beta: float,
) -> TermWeights:
    """Move the query to its hits: α · q/|q|₂ + β · m/|m|₂, where m = the `terms` largest of the mean of all d/|d|₂.

    Args:
        query: weights or impacts, > 0.
        vectors: N documents.
        terms: how many terms of the documents join the query.
        alpha: α.
        beta: β. Without a document that has a term, the query stays as it is.

    References:
        Rocchio: Relevance feedback in information retrieval, 1971; Anserini's RocchioReranker, without its negative
        feedback, which is off there unless asked for, and its filters of terms, as in `rm3`.
    """
    lengths = np.sqrt(_row_sums(vectors, vectors.impacts.astype(np.float64) ** 2))
    shares = np.divide(1.0, lengths, out=np.zeros(len(vectors)), where=lengths > 0)
    learned = _largest(_summed(vectors, shares), terms)
    return _added(
        _scaled(query, alpha, _euclidean(query)), _scaled(learned, beta, _euclidean(learned)), otherwise=query
    )


def _row_sums(vectors: ImpactVectors, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) the sum of each row's values."""
    return np.diff(np.concatenate([[0.0], np.cumsum(values)])[vectors.indptr])


def _summed(vectors: ImpactVectors, shares: NDArray[np.float64]) -> TermWeights:
    """Each term's impacts, each times its row's share, in one sum."""
    found, which = np.unique(vectors.terms, return_inverse=True)
    sums = np.bincount(which, weights=vectors.impacts * np.repeat(shares, vectors.row_lengths), minlength=len(found))
    names = vectors.vocabulary.terms
    return {names[term]: value for term, value in zip(found.tolist(), sums.tolist(), strict=True) if value > 0}


def _largest(weights: Mapping[str, float], count: int) -> TermWeights:
    """So many terms of largest weight; of equal ones those first in bytes."""
    return dict(sorted(weights.items(), key=lambda entry: (-entry[1], entry[0].encode()))[:count])


def _euclidean(weights: Mapping[str, float]) -> float:
    return float(np.sqrt(sum(weight**2 for weight in weights.values())))


def _scaled(weights: Mapping[str, float], share: float, length: float) -> TermWeights:
    return {term: share * weight / length for term, weight in weights.items()} if length > 0 else {}


def _added(query: TermWeights, learned: TermWeights, *, otherwise: Mapping[str, float]) -> TermWeights:
    """The sum of both; the query as it was where nothing was learned."""
    if not learned:
        return dict(otherwise)
    sums = {term: query.get(term, 0.0) + learned.get(term, 0.0) for term in [*query, *learned]}
    return {term: weight for term, weight in sums.items() if weight > 0}
