"""Sparse vectors over a vocabulary: the arrays that travel from the network to the postings.

May import `errors` and `datasets`. Laws: a row's term ids ascend strictly, so that a term stands there once; a vector
without terms stays a row.
"""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from splade_lucene.datasets import check_ids, check_unique
from splade_lucene.errors import ConfigError, WeightError

TermWeights = dict[str, float]
"""One vector as a person reads it: term → weight."""


class Vocabulary:
    """The terms that term ids stand for; id `j` is `terms[j]`."""

    def __init__(self, terms: Iterable[str]) -> None:
        self.terms = tuple(terms)
        try:
            "".join(self.terms).encode()
        except UnicodeEncodeError as error:
            raise WeightError(f"the vocabulary holds a lone surrogate, {error.object[error.start]!a}") from error
        if len(self.id_of) != len(self.terms):
            twice = next(term for term, count in Counter(self.terms).items() if count > 1)
            raise ConfigError(f"the vocabulary holds the term {twice!r} twice")

    @functools.cached_property
    def id_of(self) -> dict[str, int]:
        """Term → term id."""
        return {term: number for number, term in enumerate(self.terms)}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Content hash: equal for equal terms in equal order, and for nothing else (12 hex digits of SHA-256)."""
        return hashlib.sha256(json.dumps(self.terms).encode()).hexdigest()[:12]

    def __len__(self) -> int:
        return len(self.terms)


@dataclass(frozen=True)
class EncoderIdentity:
    """Who made a vector: what a vector folder and an index remember of their encoder.

    Two encoders of one identity give the same vectors, up to the rounding of the device that they run on. What has a
    default was not remembered by the first records.
    """

    name: str
    fingerprint: str  # content hash of the model's weights
    vocabulary: str  # Vocabulary.fingerprint
    max_length: int
    activation: str  # log1p_relu, log1p_log1p_relu; table and binary of encoders without a network
    tokenizer: str = ""  # content hash
    pooling: str = ""  # max, sum; nothing without a network
    precision: str = ""  # what the network computes in; nothing without one
    special_terms: str = "drop"  # drop, keep
    top_terms: int | None = None  # at most so many terms a vector
    min_weight: float = 0.0  # no smaller weight in a vector

    def __str__(self) -> str:
        unusual = [
            *([self.precision] if self.precision not in ("", "fp32") else []),
            *(["special terms kept"] if self.special_terms == "keep" else []),
            *([f"top {self.top_terms} terms"] if self.top_terms is not None else []),
            *([f"weights from {self.min_weight:g}"] if self.min_weight > 0 else []),
        ]
        settings = ", ".join([f"vocabulary {self.vocabulary}", f"max_length {self.max_length}", *unusual])
        return f"{self.name}@{self.fingerprint} ({settings})"


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of a CSR matrix: what weights and impacts have in common.

    Row `i` has the terms `terms[indptr[i]:indptr[i+1]]`.
    """

    ids: Sequence[str]
    indptr: NDArray[np.int64]
    terms: NDArray[np.int32]
    vocabulary: Vocabulary

    def __len__(self) -> int:
        return len(self.ids)

    def _check(self, values: NDArray[Any], *, where: str) -> None:
        if len(self.indptr) != len(self.ids) + 1 or len(self.terms) != len(values) or self.indptr[-1] != len(values):
            raise ValueError(
                f"{where}: {len(self.ids)} ids, indptr of {len(self.indptr)} ending at {self.indptr[-1]}, "
                f"{len(self.terms)} terms and {len(values)} values do not fit together"
            )
        if self.indptr[0] != 0 or (np.diff(self.indptr) < 0).any():
            raise ValueError(f"{where}: indptr must start at 0 and never fall")
        check_ids(self.ids, where=where)
        check_unique(self.ids, where=where)
        if len(self.terms) and not (0 <= self.terms.min() and self.terms.max() < len(self.vocabulary)):
            raise ValueError(f"{where}: term ids must be in [0, {len(self.vocabulary)})")
        ascends = np.diff(self.terms) > 0
        starts = self.indptr[1:-1]
        ascends[starts[(starts > 0) & (starts < len(self.terms))] - 1] = True  # a row's first term may be anything
        if not ascends.all():
            row = int(np.searchsorted(self.indptr, int(np.argmin(ascends)) + 1, side="right")) - 1
            raise ValueError(f"{where}: the term ids of {self.ids[row]!r} do not ascend strictly")

    def _equals(self, other: Self, mine: NDArray[Any], others: NDArray[Any]) -> bool:
        return (
            list(self.ids) == list(other.ids)
            and self.vocabulary.terms == other.vocabulary.terms
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.terms, other.terms)
            and np.array_equal(mine, others)
        )

    @property
    def row_lengths(self) -> NDArray[np.int64]:
        """(N,) how many terms each row has."""
        return np.diff(self.indptr)

    def _row(self, number: int, values: NDArray[Any]) -> dict[str, Any]:
        span = slice(self.indptr[number], self.indptr[number + 1])
        names = self.vocabulary.terms
        return {names[term]: value for term, value in zip(self.terms[span], values[span].tolist(), strict=True)}


@dataclass(frozen=True, eq=False)
class TermVectors(_Rows):
    """A batch of N sparse vectors of weights, as CSR arrays over a vocabulary.

    ids: N doc_ids or query_ids. indptr: (N + 1,) int64. terms: (nnz,) int32 term ids, ascending within a row.
    weights: (nnz,) float32, finite and >= 0.

    Raises:
        WeightError: a weight is NaN, infinite or negative. FormatError: an id is unusable or stands there twice.
        ValueError: the arrays do not fit together.
    """

    weights: NDArray[np.float32]

    def __post_init__(self) -> None:
        self._check(self.weights, where="term vectors")
        usable = np.isfinite(self.weights) & (self.weights >= 0)
        if not usable.all():
            raise WeightError(f"{self.describe(int(np.argmin(usable)))} is refused: weights are finite and >= 0")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TermVectors) and self._equals(other, self.weights, other.weights)

    __hash__ = None  # type: ignore[assignment]  # arrays are mutable

    @classmethod
    def from_rows(cls, rows: Mapping[str, Mapping[str, float]], vocabulary: Vocabulary | None = None) -> "TermVectors":
        """Make a batch of dictionaries {id: {term: weight}}.

        Without a vocabulary, the rows' own terms, sorted, become it; with one, terms it lacks are a `KeyError`.
        """
        if vocabulary is None:
            vocabulary = Vocabulary(sorted(set().union(*rows.values())))
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows.values()], out=indptr[1:])
        id_of = vocabulary.id_of
        given_terms = chain.from_iterable(rows.values())
        given_weights = chain.from_iterable(row.values() for row in rows.values())
        terms = np.fromiter(map(id_of.__getitem__, given_terms), np.int32, count=indptr[-1])
        weights = np.fromiter(given_weights, np.float64, count=indptr[-1])
        row_of = np.repeat(np.arange(len(rows)), np.diff(indptr))
        order = np.argsort(row_of * len(vocabulary) + terms)  # a term stands in a row once
        with np.errstate(over="ignore"):  # a weight beyond float32 becomes infinite, and is refused as such
            return cls(list(rows), indptr, terms[order], vocabulary, weights[order].astype(np.float32))

    @classmethod
    def concatenate(cls, parts: Sequence["TermVectors"]) -> "TermVectors":
        """The rows of all parts, which share one vocabulary, one after another."""
        return cls(
            ids=[row_id for part in parts for row_id in part.ids],
            indptr=np.concatenate([[0], *(part.row_lengths for part in parts)]).cumsum(dtype=np.int64),
            terms=np.concatenate([part.terms for part in parts]),
            vocabulary=parts[0].vocabulary,
            weights=np.concatenate([part.weights for part in parts]),
        )

    def describe(self, position: int) -> str:
        """Which weight stands at a position of the arrays, for messages."""
        row = int(np.searchsorted(self.indptr, position, side="right")) - 1
        term = self.vocabulary.terms[self.terms[position]]
        return f"{self.ids[row]}: the weight {self.weights[position]} of term {term!r}"

    def row(self, number: int) -> TermWeights:
        """One vector as a dictionary."""
        return self._row(number, self.weights)

    def select(self, rows: Sequence[int]) -> "TermVectors":
        """The named rows, in that order."""
        lengths = self.row_lengths[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        take = np.repeat(self.indptr[rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
        ids = [self.ids[row] for row in rows]
        return TermVectors(ids, indptr, self.terms[take], self.vocabulary, self.weights[take])


@dataclass(frozen=True, eq=False)
class ImpactVectors(_Rows):
    """A batch of N sparse vectors of impacts: what a `Quantizer` gives and the only thing that reaches Java.

    impacts: (nnz,) int32, >= 1; the rest as in `TermVectors`.

    Raises:
        WeightError: an impact is below 1.
    """

    impacts: NDArray[np.int32]

    def __post_init__(self) -> None:
        self._check(self.impacts, where="impact vectors")
        if len(self.impacts) and self.impacts.min() < 1:
            raise WeightError(f"an impact of {self.impacts.min()}; impacts are whole numbers >= 1")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImpactVectors) and self._equals(other, self.impacts, other.impacts)

    __hash__ = None  # type: ignore[assignment]  # arrays are mutable

    def row(self, number: int) -> dict[str, int]:
        """One vector as a dictionary."""
        return self._row(number, self.impacts)

    def rows(self, start: int, stop: int) -> "ImpactVectors":
        """The vectors from `start` up to `stop`."""
        indptr = self.indptr[start : stop + 1]
        span = slice(indptr[0], indptr[-1])
        return ImpactVectors(
            self.ids[start:stop], indptr - indptr[0], self.terms[span], self.vocabulary, self.impacts[span]
        )


class Encoder(Protocol):
    """Whatever turns texts into weights. Documents and queries are two encoders, never a flag.

    Laws: the result does not depend on how texts are batched; rows come in the order of the texts.

    truncated_texts: how many texts max_length has cut since the encoder was made.
    """

    vocabulary: Vocabulary
    identity: EncoderIdentity
    truncated_texts: int

    def encode(self, texts: Iterable[str], *, ids: Iterable[str] | None = None) -> TermVectors:
        """The vectors of the texts; ids are "0", "1", … where none are given."""
        ...

    def terms_in(self, text: str) -> list[str]:
        """The terms that stand in the text itself, in order: what is not among them is an expansion."""
        ...
