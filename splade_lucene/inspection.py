"""What vectors hold: of one text term by term, of many as counts; for a person, a report or a notebook.

May import `quantization` and `vectors`, and knows neither networks nor indexes: `encoding.inspection` makes these
tables of a model and its texts. Laws: the sources of a term share all of its weight; counts do not depend on how
vectors are batched.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import EncoderIdentity, TermVectors, Vocabulary

PostingsOf = Callable[[Sequence[str]], Sequence[int]]
"""How long the posting lists of these terms are, 0 where an index lacks one."""

MOST_USED = 20  # terms


# One text


@dataclass(frozen=True)
class Source:
    """A position of the text, the token there, and its share of a term's weight, 0 < share <= 1."""

    position: int
    token: str
    share: float


@dataclass(frozen=True)
class InspectedTerm:
    """A term that a model gave a text.

    expansion: the model added it, it does not stand in the text. impact: 0 where rounding drops it. error: what the
    rounding adds, impact/scale - weight. sources: the positions that gave it, largest share first; the one of the
    maximum where positions are pooled by that, all where they are summed. postings: how many documents have it, where
    an index was asked.
    """

    term: str
    weight: float
    impact: int
    error: float
    expansion: bool
    sources: tuple[Source, ...]
    postings: int | None = None


@dataclass(frozen=True)
class TokenPart:
    """What one position gave: of how many terms it is the first source, and its share of all the text's weight."""

    position: int
    token: str
    terms: int
    share: float


@dataclass(frozen=True)
class InspectedText:
    """What a model made of one text, heaviest terms first; equal ones in the vocabulary's order.

    tokens: as the network saw them, [CLS], [SEP] and a prompt included. truncated: whether max_length cut the text.
    """

    encoder: EncoderIdentity
    text: str
    tokens: tuple[str, ...]
    truncated: bool
    scale: float
    terms: tuple[InspectedTerm, ...]

    @property
    def expansions(self) -> int:
        """How many terms the model added."""
        return sum(each.expansion for each in self.terms)

    @property
    def expected_postings(self) -> int | None:
        """As a query: Σ df(t) over the terms that have an impact; None where no index was asked."""
        if any(each.postings is None for each in self.terms):
            return None
        return sum(each.postings or 0 for each in self.terms if each.impact)

    @property
    def token_parts(self) -> list[TokenPart]:
        """What each position gave, in the order of the text."""
        total = sum(each.weight for each in self.terms)
        first = Counter(each.sources[0].position for each in self.terms)
        shares = [0.0] * len(self.tokens)
        for each in self.terms:
            for source in each.sources:
                shares[source.position] += each.weight * source.share / total
        return [TokenPart(at, token, first[at], shares[at]) for at, token in enumerate(self.tokens)]


# Many


@dataclass(frozen=True)
class Spread:
    """How numbers are spread: their mean, and the least number that so many percent of them do not exceed."""

    mean: float
    least: float
    p25: float
    p50: float
    p75: float
    p95: float
    most: float

    @classmethod
    def of(cls, counts: Counter[int]) -> "Spread":
        """Of numbers, each so often; all 0 where there are none."""
        if not counts:
            return cls(*[0.0] * 7)
        numbers = np.array(sorted(counts))
        often = np.array([counts[number] for number in numbers.tolist()])
        up_to = np.cumsum(often)
        ranks = np.ceil(np.array([25, 50, 75, 95]) * up_to[-1] / 100)
        quantiles = numbers[np.searchsorted(up_to, ranks)]
        mean = float(numbers @ often) / float(up_to[-1])
        return cls(mean, *(float(each) for each in (numbers[0], *quantiles, numbers[-1])))


@dataclass(frozen=True)
class TermUse:
    """How often a term is used: in so many vectors, that share of them, with weights of this mean and maximum."""

    term: str
    vectors: int
    share: float
    mean_weight: float
    largest_weight: float


@dataclass(frozen=True)
class InspectedVectors:
    """What stands in many vectors, of documents or of queries.

    what: what they are of, for a heading. cut: texts that max_length has cut, None where the texts are not at hand.
    empty: vectors without a term. terms: of a vector. own_terms: those of them that stand in the text, None where it is
    not at hand. vocabulary, dead_terms: all terms, and those that no vector has. most_used: by vectors, then as in the
    vocabulary. impacts: of all weights, those that rounding drops left out. rounded_away: how many these are.
    mean_error, largest_error: |impact/scale - weight|. expected_postings: of a vector as a query, Σ df(t) over its
    terms that have an impact; None where no index was asked.
    """

    what: str
    encoder: EncoderIdentity | None
    vectors: int
    cut: int | None
    empty: int
    terms: Spread
    own_terms: Spread | None
    vocabulary: int
    dead_terms: tuple[str, ...]
    most_used: tuple[TermUse, ...]
    mean_weight: float
    largest_weight: float
    scale: float
    impacts: Spread
    rounded_away: int
    mean_error: float
    largest_error: float
    expected_postings: Spread | None


def inspect_vectors(
    batches: Iterable[TermVectors],
    what: str = "vectors",
    *,
    encoder: EncoderIdentity | None = None,
    quantizer: Quantizer | None = None,
    postings_of: PostingsOf | None = None,
    most_used: int = MOST_USED,
) -> InspectedVectors:
    """Count what stands in vectors.

    Args:
        batches: streamed; what is kept of them grows with the vocabulary, not with their number.
        what: what they are of, for a heading.
        encoder: who made them.
        quantizer: for impacts; scale 100 by default.
        postings_of: asks an index how long posting lists are.
        most_used: how many of the terms used most to name.

    Raises:
        WeightError: a weight is too large for a posting, or no whole number at scale 1.
    """
    tally = Tally(quantizer or Quantizer(), postings_of)
    for batch in batches:
        tally.add(batch)
    return tally.result(what, encoder, most_used=most_used)


@dataclass
class Tally:
    """Counts over batches of vectors; what `result` makes of them does not depend on the batches."""

    quantizer: Quantizer
    postings_of: PostingsOf | None = None
    _number: dict[str, int] = field(default_factory=dict)  # of the terms of all vocabularies
    _vocabulary: Vocabulary | None = None  # of the batch before
    _number_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # its term ids' numbers
    _used: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _weight: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _largest: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    _postings: dict[str, int] = field(default_factory=dict)  # of the terms asked for so far
    _terms: Counter[int] = field(default_factory=Counter)  # vectors by their number of terms
    _own: Counter[int] = field(default_factory=Counter)
    _impacts: Counter[int] = field(default_factory=Counter)
    _expected: Counter[int] = field(default_factory=Counter)
    _error: float = 0.0
    _largest_error: float = 0.0
    _away: int = 0

    def add(self, vectors: TermVectors, own_terms: Sequence[int] = ()) -> None:
        """Count a batch, and of each vector the terms that stand in its text, where these are known."""
        self._know(vectors.vocabulary)
        row_of = np.repeat(np.arange(len(vectors)), vectors.row_lengths)
        there = vectors.weights > 0
        terms, weights = self._number_of[vectors.terms[there]], vectors.weights[there]
        self._used += np.bincount(terms, minlength=len(self._used))
        self._weight += np.bincount(terms, weights=weights, minlength=len(self._used))
        np.maximum.at(self._largest, terms, weights)
        self._terms.update(np.bincount(row_of[there], minlength=len(vectors)).tolist())
        self._own.update(own_terms)
        impacts = self.quantizer(vectors)
        self._impacts.update(impacts.impacts.tolist())
        self._away += int(there.sum()) - len(impacts.impacts)
        # Both ascend by row and term, and impacts are of some of the weights.
        width = len(vectors.vocabulary)
        impact_row_of = np.repeat(np.arange(len(vectors)), impacts.row_lengths)
        kept = np.searchsorted(row_of * width + vectors.terms, impact_row_of * width + impacts.terms)
        errors = vectors.weights.astype(np.float64)
        errors[kept] -= impacts.impacts / self.quantizer.scale
        errors = np.abs(errors)
        self._error += float(errors.sum())
        self._largest_error = max(self._largest_error, float(errors.max(initial=0.0)))
        if self.postings_of is not None:
            lists = self._lists(impacts.terms, vectors.vocabulary)
            sums = np.bincount(impact_row_of, weights=lists, minlength=len(vectors))  # float64 holds them exactly
            self._expected.update(sums.astype(np.int64).tolist())

    def _know(self, vocabulary: Vocabulary) -> None:
        """Number the terms of a vocabulary, those that are new behind the others."""
        if vocabulary is self._vocabulary:
            return
        number = self._number
        self._number_of = np.array([number.setdefault(each, len(number)) for each in vocabulary.terms], dtype=np.int64)
        more = len(number) - len(self._used)
        self._used, self._weight, self._largest = (
            np.concatenate([each, np.zeros(more, each.dtype)]) for each in (self._used, self._weight, self._largest)
        )
        self._vocabulary = vocabulary

    def _lists(self, terms: NDArray[np.int32], vocabulary: Vocabulary) -> NDArray[np.int64]:
        """(nnz,) the length of each term's posting list; each list is asked for once."""
        distinct, which = np.unique(terms, return_inverse=True)
        names = [vocabulary.terms[term] for term in distinct.tolist()]
        unknown = [name for name in names if name not in self._postings]
        if unknown and self.postings_of is not None:
            self._postings |= zip(unknown, (int(each) for each in self.postings_of(unknown)), strict=True)
        return np.array([self._postings[name] for name in names], dtype=np.int64)[which]

    def result(
        self, what: str, encoder: EncoderIdentity | None, *, cut: int | None = None, most_used: int = MOST_USED
    ) -> InspectedVectors:
        """What was counted."""
        names = list(self._number)
        vectors, weights = self._terms.total(), int(self._used.sum())
        order = np.argsort(-self._used, kind="stable")[:most_used]
        return InspectedVectors(
            what=what,
            encoder=encoder,
            vectors=vectors,
            cut=cut,
            empty=self._terms[0],
            terms=Spread.of(self._terms),
            own_terms=Spread.of(self._own) if self._own else None,
            vocabulary=len(names),
            dead_terms=tuple(names[term] for term in np.flatnonzero(self._used == 0)),
            most_used=tuple(
                TermUse(
                    names[term],
                    int(self._used[term]),
                    float(self._used[term] / vectors),
                    float(self._weight[term] / self._used[term]),
                    float(self._largest[term]),
                )
                for term in order
                if self._used[term]
            ),
            mean_weight=float(self._weight.sum() / max(1, weights)),
            largest_weight=float(self._largest.max(initial=0.0)),
            scale=self.quantizer.scale,
            impacts=Spread.of(self._impacts),
            rounded_away=self._away,
            mean_error=self._error / max(1, weights),
            largest_error=self._largest_error,
            expected_postings=Spread.of(self._expected) if self.postings_of is not None else None,
        )
