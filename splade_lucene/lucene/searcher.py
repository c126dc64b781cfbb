"""Searcher: exact top-k search of an impact index, for one query or many, for texts or for vectors.

Laws: hits and scores equal brute force, `score = sum over terms of query impact * document impact`, in whole numbers,
ordered by score descending and then doc_id ascending as bytes, also at the cut; they do not depend on threads or
segments. A document that shares no term with the query is no hit.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from splade_lucene.errors import SearchError
from splade_lucene.lucene.explain import Explanation, explain
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits
from splade_lucene.vectors import Encoder, ImpactVectors, TermVectors

QUERIES_AT_A_TIME = 256  # these two bound what a long run holds in memory on the Java side
HITS_AT_A_TIME = 10_000_000


class Searcher:
    """Searches an `ImpactIndex`.

    Args:
        index: the index, or its folder.
        encoder: what turns texts into weights; without one, only vectors can be searched.
        quantizer: weights of queries → impacts. Its scale need not be the index's: it multiplies all scores alike.

    Raises:
        IndexMismatchError: the encoder's vocabulary is not the one the index was built with.
    """

    def __init__(
        self, index: ImpactIndex | Path | str, encoder: Encoder | None = None, *, quantizer: Quantizer | None = None
    ) -> None:
        self.index = index if isinstance(index, ImpactIndex) else ImpactIndex(index)
        self.encoder = encoder
        self.quantizer = quantizer or Quantizer()
        if encoder is not None:
            self.index.check_vocabulary(encoder.identity)

    def search(self, query: str | Mapping[str, float], k: int = 10, *, threads: int | None = None) -> Hits:
        """The k best documents for a text, or for weights {term: weight}; fewer where fewer share a term.

        The documents of a large index are parted among the threads, all cores where not given; a server that answers
        many at a time gives each one thread.

        Raises:
            SearchError: k is below 1, or a text is given and there is no encoder. WeightError: a weight is unusable.
        """
        return self.search_vectors(self._vectors(query), k, threads=threads)["query"]

    def search_vectors(
        self, queries: TermVectors | ImpactVectors, k: int = 1000, *, threads: int | None = None
    ) -> dict[str, Hits]:
        """The k best documents of each query, as a run; queries that find nothing have empty hits.

        Args:
            queries: weights, which the quantizer makes impacts, or impacts as they are.
            k: how many hits a query may have.
            threads: how many work at a time, on several queries or on parts of a single one; all cores where not given.
        """
        if k < 1:
            raise SearchError(f"k must be at least 1, not {k}")
        impacts = self.quantizer(queries) if isinstance(queries, TermVectors) else queries
        run: dict[str, Hits] = {}
        k = min(k, max(1, len(self.index)))
        at_a_time = max(1, min(QUERIES_AT_A_TIME, HITS_AT_A_TIME // k))
        for start in range(0, len(impacts), at_a_time):
            some = impacts if len(impacts) <= at_a_time else impacts.rows(start, start + at_a_time)
            hits = self.index.search(some, k, threads=threads or os.cpu_count() or 1)
            run.update(zip(some.ids, hits, strict=True))
        return run

    def search_texts(self, queries: Mapping[str, str], k: int = 1000, *, threads: int | None = None) -> dict[str, Hits]:
        """The k best documents of each query {query_id: text}, as a run."""
        vectors = self._encoder().encode(queries.values(), ids=queries)
        return self.search_vectors(vectors, k, threads=threads)

    def explain(self, query: str | Mapping[str, float], doc_id: str) -> Explanation:
        """Which terms made the score of a document for a query, and what each gave: the parts sum to the score.

        Raises:
            SearchError: there is no such document.
        """
        impacts = self.quantizer(self._vectors(query)).row(0)
        typed = self._encoder().terms_in(query) if isinstance(query, str) else None
        return explain(self.index, impacts, doc_id, query_terms=typed, encoder=self.encoder)

    def _vectors(self, query: str | Mapping[str, float]) -> TermVectors:
        if isinstance(query, str):
            return self._encoder().encode([query], ids=["query"])
        return TermVectors.from_rows({"query": query})

    def _encoder(self) -> Encoder:
        if self.encoder is None:
            raise SearchError("a text is searched with an encoder: Searcher(index, encoder)")
        return self.encoder
