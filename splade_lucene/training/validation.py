"""Validation: how good a student is, by retrieval in a sample of a collection. Imports neither torch nor Lucene.

Law: the sample follows from the collection and the seed alone, so that all models of an experiment, and all of its
steps, are asked the same questions of the same documents.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from splade_lucene.datasets import Doc, Qrel, Query
from splade_lucene.encoding.encoder import TextEncoder
from splade_lucene.encoding.options import Side
from splade_lucene.errors import ConfigError
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.inspection import inspect_vectors
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Run
from splade_lucene.vectors import TermVectors

DEPTH = 1000  # hits a query, what R@1000 needs

Search = Callable[[TermVectors, TermVectors, int], Run]
"""Documents, queries and k → the k best documents of each query."""


@dataclass(frozen=True)
class Sample:
    """Some queries of a collection, their judgments, and some of its documents, all judged ones among them."""

    documents: list[Doc]
    queries: list[Query]
    qrels: list[Qrel]

    @classmethod
    def draw(
        cls,
        documents: Iterable[Doc],
        queries: Iterable[Query],
        qrels: Iterable[Qrel],
        *,
        most_queries: int | None = None,
        most_others: int | None = None,
        seed: int = 0,
    ) -> "Sample":
        """Draw from a collection, whose documents are streamed.

        Args:
            documents: all of them.
            queries: all of them; those for which nothing is judged relevant are left out.
            qrels: of these queries.
            most_queries: so many; all where not given.
            most_others: so many documents beside those that are judged for these queries; all where not given.
            seed: of the draw.

        Raises:
            ConfigError: no query has a relevant document, or the collection has none of these.
        """
        judged = list(qrels)
        answered = {qrel.query_id for qrel in judged if qrel.relevance > 0}
        asked = [query for query in queries if query.query_id in answered]
        chance = random.Random(seed)
        if most_queries is not None and len(asked) > most_queries:
            asked = [asked[row] for row in sorted(chance.sample(range(len(asked)), most_queries))]
        names = {query.query_id for query in asked}
        judged = [qrel for qrel in judged if qrel.query_id in names]
        relevant, known = {qrel.doc_id for qrel in judged if qrel.relevance > 0}, {qrel.doc_id for qrel in judged}
        kept: list[tuple[int, Doc]] = []
        others: list[tuple[int, Doc]] = []
        passed = 0
        for place, doc in enumerate(documents):
            if doc.doc_id in known:
                kept.append((place, doc))
                continue
            passed += 1
            if most_others is None or len(others) < most_others:
                others.append((place, doc))
            elif (at := chance.randrange(passed)) < most_others:  # so that all are alike likely to stay
                others[at] = (place, doc)
        if not any(doc.doc_id in relevant for _, doc in kept):
            raise ConfigError(
                "nothing can be validated: the qrels, the queries and the documents have no query in common that has a "
                "relevant document"
            )
        return cls([doc for _, doc in sorted(kept + others)], asked, judged)


@dataclass(frozen=True)
class Validation:
    """Measures of encoders: search in the sample, and what the vectors cost.

    search: finds. measures: as `evaluate` names them. quantizer: of impacts, for expected postings.

    Raises:
        ConfigError: a measure is unknown.
    """

    sample: Sample
    search: Search
    measures: tuple[str, ...]
    quantizer: Quantizer

    def __post_init__(self) -> None:
        evaluate({}, self.sample.qrels, self.measures)  # refuses measures that it does not know

    def __call__(self, encoder: Callable[[Side], TextEncoder]) -> dict[str, float]:
        """Measure → value; and document_terms, query_terms: means; expected_postings of a query in the sample."""
        sample = self.sample
        documents = encoder("documents").encode(
            (doc.default_text() for doc in sample.documents), ids=(doc.doc_id for doc in sample.documents)
        )
        queries = encoder("queries").encode(
            (query.text for query in sample.queries), ids=(query.query_id for query in sample.queries)
        )
        run = self.search(documents, queries, DEPTH)
        values = evaluate(run, sample.qrels, self.measures, name="the validation's run").measures
        lengths = np.bincount(self.quantizer(documents).terms, minlength=len(documents.vocabulary))
        number_of = documents.vocabulary.id_of
        asked = inspect_vectors(
            [queries],
            quantizer=self.quantizer,
            postings_of=lambda terms: lengths[[number_of[term] for term in terms]].tolist(),
        )
        expected = asked.expected_postings
        return values | {
            "document_terms": float(documents.row_lengths.mean()),
            "query_terms": asked.terms.mean,
            "expected_postings": expected.mean if expected else 0.0,
        }
