"""What the benchmarks run on: real vectors, any number of documents fitted to them, or a synthetic collection.

Law: the same files, seed and sizes give the same collection on every machine.

How documents are fitted to real vectors is in `mixture.py`. The synthetic collection copies the shape of SPLADE's
vectors, not their meaning. Document frequencies follow those of SPLADE-v3 on NFCorpus, scaled from its 275 terms a
document to 165: term r of 30,000 is drawn with probability proportional to exp(-(r/51)^.35), Zipf-like with a flatter
head and a steeper tail; the commonest term is then in 49 % of the documents, the 100th in 17 %, the 1,000th in 4 %, the
10,000th in .1 %. A document is about 173 independent draws, of which 165 are distinct. Impacts are floor(1 + e), e
exponential with mean 38, at most 250: SPLADE-v3's have mean 39 and nearly these quantiles. A query is made as a
document is, of fewer draws; real query terms are as frequent as document terms, too. What is missing is the topics of
real texts: terms meet by chance, so that few documents stand out, which is the hard case for engines that skip
documents.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.mixture import Mixture, Source
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import BATCH_SIZE, read_vectors
from splade_lucene.vectors import ImpactVectors, Vocabulary

VOCABULARY_SIZE = 30_000
DOCUMENT_TERMS = 165
QUERY_TERMS = 50
MAX_IMPACT = 250
ALIKE_BATCHES = 20  # that say what a collection of many is
_RANK_SCALE, _RANK_EXPONENT = 51.0, 0.35
_MEAN_EXCESS = 38.0  # of an impact over 1


@dataclass(frozen=True)
class Collection:
    """Documents in batches, as they are handed to Lucene, and queries.

    alike: batches are drawn alike, so that the first ones say what all of them are; only real ones differ.
    """

    name: str
    documents: Sequence[ImpactVectors]
    queries: ImpactVectors | None
    alike: bool = False

    def facts(self) -> dict[str, float | str]:
        """Its sizes: what a speed depends on. Those of many batches that are alike are extrapolated from some."""
        looked_at = min(len(self.documents), ALIKE_BATCHES) if self.alike else len(self.documents)
        count = postings = impacts = met = 0
        for number in range(looked_at):  # one at a time: they may be drawn only now
            batch = self.documents[number]
            count += len(batch)
            postings += len(batch.impacts)
            impacts += int(batch.impacts.sum())
            met += self._postings_met(batch)
        documents = count
        if looked_at < len(self.documents):
            documents = (len(self.documents) - 1) * len(self.documents[0]) + len(self.documents[-1])
        facts: dict[str, float | str] = {
            "collection": self.name,
            "documents": documents,
            "postings": round(postings * documents / count),
            "terms a document": round(postings / count, 1),
            "mean impact": round(impacts / postings, 1),
        }
        if self.queries is not None:
            facts |= {
                "queries": len(self.queries),
                "terms a query": round(len(self.queries.impacts) / len(self.queries), 1),
                "postings a query": round(met * documents / count / len(self.queries)),
            }
        return facts

    def _postings_met(self, batch: ImpactVectors) -> int:
        """How many postings of a batch the queries' terms have, all queries together."""
        if self.queries is None:
            return 0
        wanted = np.bincount(self.queries.terms, minlength=len(self.queries.vocabulary))
        frequencies = np.bincount(batch.terms, minlength=len(batch.vocabulary))
        if batch.vocabulary is self.queries.vocabulary:
            return int(wanted @ frequencies)
        id_of = batch.vocabulary.id_of
        places = [id_of.get(term, -1) for term in self.queries.vocabulary.terms]
        return int(wanted @ np.append(frequencies, 0)[places])


def synthetic(documents: int, queries: int, *, seed: int = 0) -> Collection:
    """The seeded collection of the module's docstring."""
    random = np.random.default_rng(seed)
    shuffled = random.permutation(VOCABULARY_SIZE).astype(np.int32)
    vocabulary = Vocabulary(f"t{number}" for number in range(VOCABULARY_SIZE))
    draw = _Draw(random, shuffled, vocabulary)
    batches = [
        draw.rows([f"d{number:07}" for number in range(start, min(start + BATCH_SIZE, documents))], DOCUMENT_TERMS)
        for start in range(0, documents, BATCH_SIZE)
    ]
    asked = draw.rows([f"q{number:04}" for number in range(queries)], QUERY_TERMS) if queries else None
    return Collection(f"synthetic, seed {seed}", batches, asked)


class _Draw:
    """Draws vectors from one random generator."""

    def __init__(self, random: np.random.Generator, term_of_rank: NDArray[np.int32], vocabulary: Vocabulary) -> None:
        self._random = random
        self._term_of_rank = term_of_rank
        self._vocabulary = vocabulary
        weights = np.exp(-((np.arange(len(vocabulary)) / _RANK_SCALE) ** _RANK_EXPONENT))
        self._chances = weights / weights.sum()
        self._cumulated = self._chances.cumsum()

    def rows(self, ids: list[str], distinct_terms: int) -> ImpactVectors:
        """One vector for each id, of about so many distinct terms."""
        lengths = self._random.normal(1.0, 0.2, len(ids)).clip(0.3, 1.7) * self._draws_for(distinct_terms)
        draws = lengths.round().astype(np.int64)
        ranks = np.searchsorted(self._cumulated, self._random.random(draws.sum()), side="right")
        terms = self._term_of_rank[ranks.clip(max=len(self._vocabulary) - 1)]
        rows = np.repeat(np.arange(len(ids), dtype=np.int64), draws)
        kept_rows, kept_terms = np.divmod(np.unique(rows * len(self._vocabulary) + terms), len(self._vocabulary))
        return ImpactVectors(
            ids=ids,
            indptr=np.searchsorted(kept_rows, np.arange(len(ids) + 1)).astype(np.int64),
            terms=kept_terms.astype(np.int32),
            vocabulary=self._vocabulary,
            impacts=self._impacts(len(kept_terms)),
        )

    def _draws_for(self, distinct_terms: int) -> float:
        """How many draws give so many distinct terms on average: solves sum_r 1 - (1 - p_r)^draws = distinct_terms."""
        few, many = float(distinct_terms), 100.0 * distinct_terms
        while many - few > 0.01:
            middle = (few + many) / 2
            if -np.expm1(middle * np.log1p(-self._chances)).sum() < distinct_terms:
                few = middle
            else:
                many = middle
        return many

    def _impacts(self, count: int) -> NDArray[np.int32]:
        return (1 + self._random.exponential(_MEAN_EXCESS, count)).clip(max=MAX_IMPACT).astype(np.int32)


def real(vectors: Path, query_vectors: Path | None, *, scale: float) -> Collection:
    """Vectors from files: a folder of ours, Anserini's JSONL or TSV, each also gzipped."""
    quantizer = Quantizer(scale)
    batches = [quantizer(batch) for batch in read_vectors(vectors)]
    queries = None
    if query_vectors is not None:
        (queries,) = (quantizer(batch) for batch in read_vectors(query_vectors, batch_size=10**9))
    return Collection(vectors.name, batches, queries)


def fitted(source: Source, documents: int, queries: int, *, seed: int = 0) -> Collection:
    """Documents and queries fitted to real ones; batches are drawn as they are asked for."""
    mixed = Mixture(source, documents, seed=seed)
    asked = mixed.queries(queries) if queries else None
    return Collection(f"fitted to {source.name}, seed {seed}", mixed, asked, alike=True)


def add_arguments(parser: ArgumentParser) -> None:
    """The options that choose a collection."""
    group = parser.add_argument_group("collection")
    group.add_argument("--documents", type=int, default=100_000, help="of the synthetic or fitted collection")
    group.add_argument("--queries", type=int, default=200, help="how many; of a file's queries, the first ones")
    group.add_argument("--seed", type=int, default=0)
    group.add_argument("--like", type=Path, help="documents fitted to these real vectors, instead of synthetic ones")
    group.add_argument("--vectors", type=Path, help="real vectors instead: a folder, .jsonl or .tsv (each also .gz)")
    group.add_argument("--query-vectors", type=Path, help="the queries that go with --vectors or --like")
    group.add_argument("--scale", type=float, default=1.0, help="of real vectors; 1: the weights are impacts already")


def chosen(arguments: Namespace, *, with_queries: bool) -> Collection:
    """The collection that the command line asks for."""
    if arguments.like is None and arguments.vectors is None:
        return synthetic(arguments.documents, arguments.queries if with_queries else 0, seed=arguments.seed)
    if arguments.like is not None and arguments.vectors is not None:
        raise SystemExit("give --vectors for real documents or --like for documents fitted to them, not both")
    if with_queries and arguments.query_vectors is None:
        raise SystemExit("--vectors and --like are searched with --query-vectors")
    if arguments.like is not None:  # its terms are the queries' too, so that the documents do not depend on the purpose
        return fitted(
            Source(arguments.like, arguments.query_vectors, scale=arguments.scale),
            arguments.documents,
            arguments.queries if with_queries else 0,
            seed=arguments.seed,
        )
    found = real(arguments.vectors, arguments.query_vectors if with_queries else None, scale=arguments.scale)
    few = found.queries.rows(0, arguments.queries) if found.queries is not None else None
    return Collection(found.name, found.documents, few)
