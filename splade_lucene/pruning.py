"""Pruning: which terms of a vector stay, for documents before they are indexed and for queries before they search.

May import `vectors`. Laws: what stays is a part of what was, with the impacts that it had, so that no score rises; a
row stays even when all its terms go; the k largest are among the k + 1 largest; a row does not depend on its batch.

References:
    A Static Pruning Study on Sparse Neural Retrievers, arXiv:2304.12702.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splade_lucene.vectors import ImpactVectors, Vocabulary

_IMPACT_BITS = 32  # of a 64-bit key that holds a row or a term above an impact


@dataclass(frozen=True)
class Pruning:
    """Which terms of vectors stay: those that every rule keeps, each judging the vectors as they were; None is no rule.

    top_terms: of each vector so many, those of largest impact, equal ones by ascending bytes (document-centric).
    term_quantile: of each posting list the impacts above the one at rank floor((n - 1) * quantile) of its n, counted
    from 0, ascending (term-centric). For whole numbers this is "above numpy's quantile", as published. Equal impacts
    go or stay together: a list of nothing else, that of a term which stands in one document for one, goes as a whole.
    min_impact: those of at least so much (agnostic). The published thresholds v, strict at scale 100, are 100 v + 1.

    Raises:
        ValueError: top_terms or min_impact is below 1, or the quantile is not between 0 and 1.
    """

    top_terms: int | None = None
    term_quantile: float | None = None
    min_impact: int | None = None

    def __post_init__(self) -> None:
        for name in ("top_terms", "min_impact"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.term_quantile is not None and not 0 < self.term_quantile < 1:
            raise ValueError(f"term_quantile must be between 0 and 1, both excluded, not {self.term_quantile}")

    def __bool__(self) -> bool:
        return self != Pruning()

    def __str__(self) -> str:
        rules = [
            *([f"the top {self.top_terms:,} terms of a vector"] if self.top_terms is not None else []),
            *([f"impacts above quantile {self.term_quantile:g} of a term"] if self.term_quantile is not None else []),
            *([f"impacts from {self.min_impact:,}"] if self.min_impact is not None else []),
        ]
        return " and ".join(rules) or "everything"


def prune(vectors: ImpactVectors, pruning: Pruning, bars: Mapping[str, int] | None = None) -> ImpactVectors:
    """The part of the vectors that stays.

    Args:
        vectors: N rows, of documents or of queries.
        pruning: the rules.
        bars: term → the largest impact of it that goes, from `term_bars`; for a term_quantile.

    Returns:
        N rows, in their order; some may be empty.

    Raises:
        ValueError: a term_quantile is asked for without bars: it takes all vectors to know them.
    """
    if not pruning:
        return vectors
    kept = np.ones(len(vectors.impacts), dtype=bool)
    if pruning.min_impact is not None:
        kept &= vectors.impacts >= pruning.min_impact
    if pruning.top_terms is not None:
        kept &= _largest(vectors, pruning.top_terms)
    if pruning.term_quantile is not None:
        if bars is None:
            raise ValueError("a term_quantile prunes by the bars that term_bars finds in all vectors")
        bar_of = np.array([bars.get(term, 0) for term in vectors.vocabulary.terms], dtype=np.int64)
        kept &= vectors.impacts > bar_of[vectors.terms]
    kept_before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    return ImpactVectors(
        vectors.ids,
        kept_before[vectors.indptr],
        vectors.terms[kept],
        vectors.vocabulary,
        vectors.impacts[kept],
    )


def _largest(vectors: ImpactVectors, count: int) -> NDArray[np.bool_]:
    """(nnz,) whether an impact is among the `count` largest of its row; of equal ones the terms first in bytes are."""
    cut = np.flatnonzero(vectors.row_lengths > count)
    if not cut.size:
        return np.ones(len(vectors.impacts), dtype=bool)
    row_of = np.repeat(np.arange(len(vectors)), vectors.row_lengths)
    ranked = np.sort((row_of << _IMPACT_BITS) - vectors.impacts)  # row after row, its impacts descending
    least = np.zeros(len(vectors), dtype=np.int64)  # impact that stays, of rows where some go
    least[cut] = (cut << _IMPACT_BITS) - ranked[vectors.indptr[cut] + count - 1]
    kept = vectors.impacts >= least[row_of]
    excess = np.bincount(row_of[kept], minlength=len(vectors)) - count  # more than 0 where several are the least
    tied = np.flatnonzero((vectors.impacts == least[row_of]) & (excess[row_of] > 0))
    if tied.size:
        of_row = row_of[tied]
        last_first = np.lexsort((-_byte_ranks(vectors.terms[tied], vectors.vocabulary), of_row))
        place = np.arange(len(tied)) - np.searchsorted(of_row, of_row)  # in its row; of_row ascends
        kept[tied[last_first[place < excess[of_row]]]] = False
    return kept


def _byte_ranks(terms: NDArray[np.int32], vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Numbers in the order of the terms' bytes, which is that of their code points, UTF-8 being what it is."""
    distinct, which = np.unique(terms, return_inverse=True)
    names = [vocabulary.terms[term] for term in distinct.tolist()]
    ranks = np.empty(len(names), dtype=np.int64)
    ranks[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return ranks[which]


Counts = tuple[NDArray[np.int64], NDArray[np.int64]]


def term_bars(batches: Iterable[ImpactVectors], quantile: float) -> dict[str, int]:
    """Each term's largest impact that goes: the one at rank floor((n - 1) * quantile) of its n, ascending.

    Args:
        batches: all vectors of the collection, streamed.
        quantile: 0 < quantile < 1.

    How often a term has an impact is counted, so that bars are exact. Memory: 16 bytes for each pair of a term and an
    impact that occurs, a few times over while counts are merged: 500 MB for 30,000 terms of 250 impacts, however many
    vectors there are.
    """
    numbers: dict[str, int] = {}  # of the terms of all vocabularies
    vocabulary, number_of = None, np.zeros(0, dtype=np.int64)
    counted: list[Counts] = [_merged([])]
    for batch in batches:
        if batch.vocabulary is not vocabulary:
            vocabulary = batch.vocabulary
            number_of = np.array([numbers.setdefault(term, len(numbers)) for term in vocabulary.terms], dtype=np.int64)
        counted.append(np.unique((number_of[batch.terms] << _IMPACT_BITS) + batch.impacts, return_counts=True))
        if sum(len(keys) for keys, _ in counted[1:]) > len(counted[0][0]):  # ever more seldom, as the first one grows
            counted = [_merged(counted)]
    keys, counts = _merged(counted)
    terms = keys >> _IMPACT_BITS
    starts = np.flatnonzero(np.diff(terms, prepend=-1))  # where the next term's impacts begin
    ends = np.cumsum(counts)
    before = (ends - counts)[starts]
    lengths = np.diff(before, append=counts.sum())
    places = np.searchsorted(ends, before + ((lengths - 1) * quantile).astype(np.int64), side="right")
    bars = keys[places] - (terms[places] << _IMPACT_BITS)
    names = list(numbers)
    return {names[term]: bar for term, bar in zip(terms[starts].tolist(), bars.tolist(), strict=True)}


def _merged(parts: list[Counts]) -> Counts:
    """Ascending keys and how often each was counted in all parts."""
    keys = np.concatenate([np.zeros(0, dtype=np.int64), *(keys for keys, _ in parts)])
    counts = np.concatenate([np.zeros(0, dtype=np.int64), *(counts for _, counts in parts)])
    order = np.argsort(keys)
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    return keys[order][starts], np.add.reduceat(counts[order], starts) if len(starts) else counts
