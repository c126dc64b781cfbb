"""Any number of documents fitted to real vectors, drawn by a seeded generator that mixes real documents.

    python -m benchmarks.mixture --like DOCS.jsonl.gz --query-vectors QUERIES.tsv.gz [--documents N] [--json]

The command prints what generated documents keep of the real ones and what not. Law: the same files, seed and size give
the same documents on every machine; a batch depends on these and its number alone, so that none is held.

Terms are never drawn one by one: those that meet in a document have met in real ones. A document is of a topic and
mixes a real document, drawn evenly, with two or three of its nearest. From each it takes terms at random, high impacts
likelier, in shares drawn at random, up to a length that a real document has. How likely a term is taken is fitted so
that document frequencies are those of the real documents; impacts, after a jitter, are mapped so that their
distribution is. A few terms are drawn independently.

A small collection of one subject would give a large one of near-duplicates. Hence the topics, each of about as many
documents as there are real ones. Each renames the terms, so that within a topic terms meet as in the real documents,
under names that stand for something else in another. A term that is in nearly every document keeps its name; the rarer
it is, the further it moves, among terms about as frequent. Topics are halves of halves: those that part late have moved
most of the way together, so that a collection can be told apart from its largest parts to its smallest, as one of texts
can. Topics differ in how frequent a term is; document frequencies over all topics keep nearly the shape of the real
ones, flatter where names move.

Queries are real ones that the real documents answer, each renamed as one topic is: it meets posting lists as long as in
the real collection, and documents of its topic that answer it.
"""

import math
import os
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from benchmarks.report import Report, Row
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import BATCH_SIZE, read_vectors
from splade_lucene.vectors import ImpactVectors, Vocabulary

SOURCES = 5_000  # real documents that are mixed, at most
MIXED = (3, 4)  # real documents in a document, at least and at most
NEIGHBOURS = 80  # of a real document, that it is mixed with
INDEPENDENT = 0.02  # of a document's terms are drawn independently
ANSWERED = 0.25  # of what the terms' highest impacts would give: the score that a query's tenth hit must have
SAMPLED = 1_000  # documents that are compared
RANKS = (1, 10, 100, 1_000, 10_000)
_JITTER = 0.2  # deviation of the factor on an impact
_STILL, _FREE = 4.0, 8.0  # log2 of the ranks up to which names stay, and from which they move freely
_SPREAD = 2.0  # how far: deviation of log2 of the rank
_FIT_ROUNDS, _FIT_DOCUMENTS, _FIT_GROUPS = 6, 5_000, 4  # groups of ranks, for each doubling of the rank
_FRACTION, _BITS = 16, 20  # impacts are kept in sixteenths, in so many bits, until they are mapped
_QUANTILES = 1_000  # of impacts, that are mapped

Sparse = Any  # scipy's csr_array, which is not typed


class Source:
    """Real documents and queries, their terms numbered from the most frequent in the documents to the rarest.

    vocabulary: the terms of both; a term's number is its rank. matrix: (N, V) impacts of the documents, int64.
    queries: (Q, V) impacts of the queries, int64. query_ids: theirs.
    """

    def __init__(self, vectors: Path, query_vectors: Path | None = None, *, scale: float = 1.0) -> None:
        quantizer = Quantizer(scale)
        documents: list[ImpactVectors] = []
        for weighed in read_vectors(vectors, batch_size=SOURCES):
            documents.append(quantizer(weighed).rows(0, SOURCES - sum(map(len, documents))))
            if sum(map(len, documents)) == SOURCES:
                break
        asked = [] if query_vectors is None else list(map(quantizer, read_vectors(query_vectors)))
        counts = dict.fromkeys(chain.from_iterable(batch.vocabulary.terms for batch in [*documents, *asked]), 0)
        for batch in documents:
            found = np.bincount(batch.terms, minlength=len(batch.vocabulary)).tolist()
            for term, count in zip(batch.vocabulary.terms, found, strict=True):
                counts[term] += count
        self.name = vectors.name
        self.vocabulary = Vocabulary(sorted(counts, key=lambda term: (-counts[term], term)))
        self.matrix = self._matrix(documents)
        self.queries = self._matrix(asked)
        self.query_ids = [query_id for batch in asked for query_id in batch.ids]
        if self.matrix.shape[0] <= NEIGHBOURS or not np.diff(self.matrix.indptr).all():
            raise SystemExit(f"{vectors}: to be mixed, documents must be more than {NEIGHBOURS} and none of them empty")

    def _matrix(self, batches: Sequence[ImpactVectors]) -> Sparse:
        rank_of = self.vocabulary.id_of
        parts = [csr_array((0, len(rank_of)), dtype=np.int64)]
        for batch in batches:
            ranks = np.array([rank_of[term] for term in batch.vocabulary.terms], dtype=np.int64)
            rows = (batch.impacts.astype(np.int64), ranks[batch.terms], batch.indptr)
            parts.append(csr_array(rows, shape=(len(batch), len(rank_of))))
        stacked = vstack(parts, format="csr")
        stacked.sort_indices()  # now: scipy would do it sooner or later, and what is drawn depends on the order
        return stacked

    @property
    def frequencies(self) -> NDArray[np.int64]:
        """(V,) how many documents have each term."""
        return np.bincount(self.matrix.indices, minlength=len(self.vocabulary))


class _Postings(NamedTuple):
    """Of many documents in no order: whose each is, the rank of its term, its impact in sixteenths."""

    rows: NDArray[np.int64]
    ranks: NDArray[np.int64]
    values: NDArray[np.int64]


class Mixture(Sequence[ImpactVectors]):
    """So many documents in batches; each batch is drawn when it is asked for.

    Args:
        source: the real documents.
        documents: how many.
        seed: of all that is drawn.
        topics: how many renamings of the terms, a power of two; with one, all keep their names. Where not given, each
            has about as many documents as there are real ones.
    """

    def __init__(self, source: Source, documents: int, *, seed: int = 0, topics: int | None = None) -> None:
        self._source = source
        self._documents = documents
        self._seed = seed
        matrix = source.matrix
        self._lengths = np.diff(matrix.indptr).astype(np.int64)
        self._place = _places(matrix)
        self._starts = matrix.indptr[:-1].astype(np.int64)
        self._ranks = matrix.indices.astype(np.int64)
        self._impacts = matrix.data.astype(np.float32)
        self._neighbours = nearest(matrix, np.arange(len(self._lengths)), NEIGHBOURS)[0]
        self._cumulated = source.frequencies.cumsum()
        topics = topics or 1 << max(0, round(math.log2(documents / len(self._lengths))))
        self._names = _renamings(len(source.vocabulary), topics, np.random.default_rng([seed, 0]))
        self._taken, self._impact_of = self._fit(np.random.default_rng([seed, 1]))

    def __len__(self) -> int:
        return -(-self._documents // BATCH_SIZE)

    @overload
    def __getitem__(self, number: int) -> ImpactVectors: ...
    @overload
    def __getitem__(self, number: slice) -> list[ImpactVectors]: ...
    def __getitem__(self, number: int | slice) -> ImpactVectors | list[ImpactVectors]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        start = range(0, self._documents, BATCH_SIZE)[number]
        count = min(BATCH_SIZE, self._documents - start)
        random = np.random.default_rng([self._seed, 2, start // BATCH_SIZE])
        topics = random.integers(len(self._names), size=count)
        drawn = self._draw(count, self._taken, random)
        independent = self._independent(count, random)
        named = _Postings(
            np.concatenate([drawn.rows, independent.rows]),
            np.concatenate([self._names[topics[drawn.rows], drawn.ranks], independent.ranks]),
            np.concatenate([drawn.values, independent.values]),
        )
        rows, ranks, values = self._merged(named)
        return ImpactVectors(
            ids=[f"d{each:07}" for each in range(start, start + count)],
            indptr=np.searchsorted(rows, np.arange(count + 1)).astype(np.int64),
            terms=ranks.astype(np.int32),
            vocabulary=self._source.vocabulary,
            impacts=self._impact_of[values],
        )

    def queries(self, count: int) -> ImpactVectors:
        """The first so many queries that the real documents answer, each renamed as a topic is; fewer if there are."""
        source = self._source
        answered = np.flatnonzero(answers(source.matrix, source.queries) >= ANSWERED)[:count]
        if not len(answered):
            raise SystemExit(f"{source.name} answers none of the queries: give queries that ask for what is in it")
        kept = source.queries[answered]
        lengths = np.diff(kept.indptr)
        topics = np.random.default_rng([self._seed, 3]).integers(len(self._names), size=len(answered))
        renamed = self._names[np.repeat(topics, lengths), kept.indices]
        order = np.lexsort((renamed, np.repeat(np.arange(len(answered)), lengths)))
        return ImpactVectors(
            ids=[source.query_ids[number] for number in answered.tolist()],
            indptr=kept.indptr.astype(np.int64),
            terms=renamed[order].astype(np.int32),
            vocabulary=source.vocabulary,
            impacts=kept.data[order].astype(np.int32),
        )

    def _draw(self, count: int, taken: NDArray[np.float32], random: np.random.Generator) -> _Postings:
        """Postings of so many documents, a term once for each real document that it is taken from."""
        real = len(self._lengths)
        first = random.integers(real, size=(count, 1))
        others = self._neighbours[first, random.integers(NEIGHBOURS, size=(count, MIXED[1] - 1))]
        mixed = np.concatenate([first, others], axis=1)
        shares = 1 + random.random(mixed.shape)
        shares[np.arange(MIXED[1]) >= random.integers(MIXED[0], MIXED[1] + 1, size=(count, 1))] = 0
        wanted = self._lengths[random.integers(real, size=(count, 1))]
        parts = (wanted * shares / shares.sum(axis=1, keepdims=True) / self._lengths[mixed]).clip(max=1)
        rows, columns = np.nonzero(parts)
        sources = mixed[rows, columns]
        lengths = self._lengths[sources]
        ends = lengths.cumsum()
        starts = self._starts[sources] - ends + lengths
        postings = np.repeat(starts.astype(np.int32), lengths) + np.arange(ends[-1], dtype=np.int32)
        highest, fall = (np.repeat(each.astype(np.float32), lengths) for each in _chances(parts[rows, columns]))
        chances = highest - fall * self._place[postings]
        chances *= taken[postings]
        kept = np.flatnonzero(random.random(len(chances), dtype=np.float32) < chances)
        postings = postings[kept]
        values = self._impacts[postings] * (1 + _JITTER * random.standard_normal(len(postings), dtype=np.float32))
        return _Postings(np.repeat(rows, lengths)[kept], self._ranks[postings], _sixteenths(values))

    def _independent(self, count: int, random: np.random.Generator) -> _Postings:
        """The terms that a document has by chance, as frequent as in the real documents."""
        drawn = random.poisson(INDEPENDENT * self._lengths.mean(), count)
        total = int(drawn.sum())
        ranks = np.searchsorted(self._cumulated, random.integers(self._cumulated[-1], size=total), side="right")
        values = self._impacts[random.integers(len(self._impacts), size=total)]
        return _Postings(np.repeat(np.arange(count), drawn), ranks, _sixteenths(values))

    def _merged(self, postings: _Postings) -> _Postings:
        """By document and term, each term once, with the highest of its impacts."""
        width = len(self._source.vocabulary)
        keys = np.sort(((postings.rows * width + postings.ranks) << _BITS) | postings.values)
        cells = keys >> _BITS
        last = np.flatnonzero(np.append(cells[1:] != cells[:-1], True))
        rows, ranks = np.divmod(cells[last], width)
        return _Postings(rows, ranks, keys[last] & ((1 << _BITS) - 1))

    def _fit(self, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """(nnz,) the factor on the chance that a posting is taken, and (2**20,) the impact for each sixteenth.

        The factor is one for terms of about one rank. What terms drawn independently add is left to them.
        """
        width = len(self._source.vocabulary)
        groups = (np.log2(np.arange(1, width + 1)) * _FIT_GROUPS).astype(np.int64)
        real = len(self._lengths)
        wanted = np.bincount(groups, self._source.frequencies) * (1 - INDEPENDENT) / real
        taken = np.ones(len(self._ranks), dtype=np.float32)
        for _ in range(_FIT_ROUNDS):
            drawn = self._merged(self._draw(_FIT_DOCUMENTS, taken, random))
            found = np.bincount(groups[drawn.ranks], minlength=len(wanted)) / _FIT_DOCUMENTS
            taken *= np.divide(wanted, found, out=np.ones(len(wanted)), where=found > 0)[groups[self._ranks]]
        at = np.linspace(0, 1, _QUANTILES)
        have, first = np.unique(np.quantile(drawn.values, at), return_index=True)
        mapped = np.interp(np.arange(1 << _BITS), have, np.quantile(self._impacts, at)[first])
        return taken, np.rint(mapped).clip(min=1).astype(np.int32)


def _places(matrix: Sparse) -> NDArray[np.float32]:
    """(nnz,) where each posting stands within its document by its impact: near 0 the highest, near 1 the lowest."""
    lengths = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    places = np.empty(len(order), dtype=np.float32)
    places[order] = (np.arange(len(order)) - np.repeat(matrix.indptr[:-1], lengths) + 0.5) / np.repeat(lengths, lengths)
    return places


def _chances(parts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where such a part of a document is taken, its posting at place p is with a chance of highest - fall * p.

    Chances are within [0, 1] and their mean over all places is the part.
    """
    return (2 * parts).clip(max=1), 2 * np.minimum(parts, 1 - parts)


def _sixteenths(impacts: NDArray[np.float32]) -> NDArray[np.int64]:
    return (impacts * _FRACTION).clip(1, (1 << _BITS) - 1).astype(np.int64)


def _renamings(terms: int, topics: int, random: np.random.Generator) -> NDArray[np.int32]:
    """(topics, V) the rank of the term whose name each term takes."""
    doublings = topics.bit_length() - 1
    ranks = np.log2(np.arange(1, terms + 1))
    far = _SPREAD * ((ranks - _STILL) / (_FREE - _STILL)).clip(0, 1) / np.sqrt(max(doublings, 1))
    moved = ranks[None]
    for _ in range(doublings):
        moved = np.repeat(moved, 2, axis=0)
        moved += far * random.standard_normal(moved.shape)
    moved = np.where(far > 0, _STILL + np.abs(moved - _STILL), moved)  # none comes among those that stay
    names = np.empty(moved.shape, dtype=np.int32)
    np.put_along_axis(names, np.argsort(moved, axis=1, kind="stable"), np.arange(terms, dtype=np.int32)[None], axis=1)
    return names


def nearest(matrix: Sparse, rows: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(R, count) the other rows of highest cosine to each of these rows, best first, and their cosines."""
    lengths = np.sqrt((matrix * matrix).sum(axis=1))
    transposed = matrix.T.tocsr()
    found = np.empty((len(rows), count), dtype=np.int64)
    cosines = np.empty((len(rows), count))
    for start in range(0, len(rows), 256):  # whole numbers below 2**53, so that the order depends on no machine
        some = rows[start : start + 256]
        close = (matrix[some] @ transposed).toarray() / lengths / lengths[some, None]
        close[np.arange(len(some)), some] = -1
        found[start : start + 256] = np.argsort(-close, axis=1, kind="stable")[:, :count]
        cosines[start : start + 256] = np.take_along_axis(close, found[start : start + 256], axis=1)
    return found, cosines


def answers(matrix: Sparse, queries: Sparse) -> NDArray[np.float64]:
    """(Q,) how well documents answer: the score of the tenth hit over what the terms' highest impacts would give."""
    possible: NDArray[np.int64] = queries @ matrix.max(axis=0).toarray().ravel()
    transposed = matrix.T.tocsr()
    tenth = np.zeros(queries.shape[0])
    for start in range(0, len(tenth), 256):
        scores = (queries[start : start + 256] @ transposed).toarray()
        tenth[start : start + 256] = np.partition(scores, -10, axis=1)[:, -10]
    return tenth / np.maximum(possible, 1)  # where nothing is possible, nothing was found


def lifts(matrix: Sparse, random: np.random.Generator) -> NDArray[np.float64]:
    """How many times more often than by chance two terms meet that met in a document, terms in 1 to 10 % of them.

    Of each of some documents two such terms are drawn: N f(a and b) / (f(a) f(b)), N and f counted in the others.
    """
    found = np.bincount(matrix.indices, minlength=matrix.shape[1])
    middle = (found > max(1, 0.01 * matrix.shape[0])) & (found < 0.1 * matrix.shape[0])
    pairs = []
    for row in random.choice(matrix.shape[0], min(SAMPLED, matrix.shape[0]), replace=False).tolist():
        terms = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        if (usable := terms[middle[terms]]).size > 1:
            pairs.append(random.choice(usable, 2, replace=False))
    ones, others = np.array(pairs).T
    present = (matrix > 0).astype(np.int64).tocsc()
    both: NDArray[np.int64] = present[:, ones].multiply(present[:, others]).sum(axis=0)
    by_chance: NDArray[np.float64] = (found[ones] - 1) * (found[others] - 1) / (matrix.shape[0] - 1)
    return (both - 1) / by_chance


def figures(matrix: Sparse, queries: Sparse, random: np.random.Generator) -> dict[str, float]:
    """What is compared between real documents and generated ones."""
    documents = matrix.shape[0]
    found = np.sort(np.bincount(matrix.indices, minlength=matrix.shape[1]))[::-1] / documents
    sampled = np.sort(random.choice(documents, min(SAMPLED, documents), replace=False))
    cosines = nearest(matrix, sampled, 10)[1]
    met = (queries > 0).astype(np.int64) @ np.bincount(matrix.indices, minlength=matrix.shape[1])
    return {
        **_percentiles("terms a document", np.diff(matrix.indptr)),
        **_percentiles("impact", matrix.data),
        **{f"documents that have the term of rank {rank:,}, %": float(100 * found[rank - 1]) for rank in RANKS},
        **_percentiles("lift of two terms", lifts(matrix, random)),
        **_percentiles("cosine to the nearest", cosines[:, 0]),
        **_percentiles("cosine to the 10th nearest", cosines[:, 9]),
        **_percentiles("10th hit, of what is possible", answers(matrix, queries)),
        "postings a query / documents": float(met.mean() / documents),
    }


def _percentiles(name: str, values: NDArray[Any]) -> dict[str, float]:
    return {f"{name}, p{each}": float(np.percentile(values, each)) for each in (5, 50, 95)}


def _matrix_of(batches: Sequence[ImpactVectors]) -> Sparse:
    return vstack(
        [
            csr_array((batch.impacts.astype(np.int64), batch.terms, batch.indptr), (len(batch), len(batch.vocabulary)))
            for batch in batches
        ],
        format="csr",
    )


def compare(source: Source, documents: int, queries: int, *, seed: int) -> list[Row]:
    """One row for each figure."""
    random = np.random.default_rng(seed)
    asked = source.queries[np.flatnonzero(answers(source.matrix, source.queries) >= ANSWERED)[:queries]]
    topic = Mixture(source, source.matrix.shape[0], seed=seed, topics=1)
    mixture = Mixture(source, documents, seed=seed)
    start = time.perf_counter()
    mixed = _matrix_of(mixture)
    speed = documents / (time.perf_counter() - start)
    columns = {
        "real": figures(source.matrix, asked, random),
        "one topic": figures(_matrix_of(topic), asked, random),
        "all topics": figures(mixed, _matrix_of([mixture.queries(queries)]), random),
    }
    rows: list[Row] = [
        {"figure": name, **{column: of[name] for column, of in columns.items()}} for name in columns["real"]
    ]
    return [*rows, {"figure": "documents/s", "real": None, "one topic": None, "all topics": speed}]


NOTES = [
    "one topic: as many documents as there are real ones, which is what each topic has; a document has its "
    "near ones within its topic, and there they may not be nearer than real ones are",
    f"cosines and lifts: of {SAMPLED:,} documents; a lift is how many times more often than by chance two terms meet",
    "10th hit, of what is possible: its score over the sum of each query term's impact times its highest impact",
]


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser("benchmarks.mixture", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--like", type=Path, required=True, help="real vectors: a folder, .jsonl or .tsv (also .gz)")
    parser.add_argument("--query-vectors", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=20_000, help="of all topics")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--scale", type=float, default=1.0, help="1: the weights are impacts already")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    source = Source(arguments.like, arguments.query_vectors, scale=arguments.scale)
    Report(
        "mixture",
        {"cores": os.cpu_count(), "numpy": np.__version__},
        {"real": source.name, "documents": source.matrix.shape[0], "queries": source.queries.shape[0]},
        {"generated": arguments.documents, "seed": arguments.seed},
        compare(source, arguments.documents, arguments.queries, seed=arguments.seed),
        NOTES,
    ).print(as_json=arguments.json)


if __name__ == "__main__":
    main()
