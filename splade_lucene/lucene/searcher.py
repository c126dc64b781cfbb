"""Searcher: exact top-k search of an impact index, for one query or many, for texts or for vectors.

Laws: hits and scores equal brute force, `score = sum over terms of query impact * document impact`, in whole numbers,
ordered by score descending and then doc_id ascending as bytes, also at the cut; they do not depend on threads or
segments. A document that shares no term with the query is no hit. Where the index holds passages, a document's score
is its best passage's, as exactly.
"""

import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from splade_lucene.datasets import passage_id
from splade_lucene.errors import SearchError
from splade_lucene.lucene.explain import Explanation, explain
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits, fold_passages
from splade_lucene.vectors import Encoder, ImpactVectors, TermVectors

PASSAGES_A_DOCUMENT = 4  # are fetched first, and so many times more where that does not decide a query
QUERIES_AT_A_TIME = 256  # these two bound what a long run holds in memory on the Java side
HITS_AT_A_TIME = 10_000_000


class Searcher:
    """Searches an `ImpactIndex`.

    Args:
        index: the index, or its folder.
        encoder: what turns texts into weights; without one, only vectors can be searched.
        quantizer: weights of queries → impacts. Its scale need not be the index's: it multiplies all scores alike. The
            index's where not given, or 100 for an index of impacts that were given as such (scale 1).
        fold: of an index of passages, find documents by their best passage; otherwise find the passages.

    Raises:
        IndexMismatchError: the encoder's vocabulary is not the one the index was built with.
    """

    def __init__(
        self,
        index: ImpactIndex | Path | str,
        encoder: Encoder | None = None,
        *,
        quantizer: Quantizer | None = None,
        fold: bool = True,
    ) -> None:
        self.index = index if isinstance(index, ImpactIndex) else ImpactIndex(index)
        self.encoder = encoder
        manifest = self.index.manifest
        self.quantizer = quantizer or (Quantizer(manifest.scale) if manifest and manifest.scale != 1 else Quantizer())
        self.folds = fold and manifest is not None and manifest.passages is not None
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
        threads = threads or os.cpu_count() or 1
        return self._folded(impacts, k, threads) if self.folds else self._best(impacts, k, threads)

    def _best(self, queries: ImpactVectors, k: int, threads: int) -> dict[str, Hits]:
        """The k best of what the index holds, documents or passages."""
        run: dict[str, Hits] = {}
        k = min(k, max(1, len(self.index)))
        at_a_time = max(1, min(QUERIES_AT_A_TIME, HITS_AT_A_TIME // k))
        for start in range(0, len(queries), at_a_time):
            some = queries if len(queries) <= at_a_time else queries.rows(start, start + at_a_time)
            hits = self.index.search(some, k, threads=threads)
            run.update(zip(some.ids, hits, strict=True))
        return run

    def _folded(self, queries: ImpactVectors, k: int, threads: int) -> dict[str, Hits]:
        """The k best documents by their best passage: more passages are fetched until these are sure."""
        run: dict[str, Hits] = {}
        fetched = PASSAGES_A_DOCUMENT * k
        for row, (query_id, passages) in enumerate(self._best(queries, fetched, threads).items()):
            asked = fetched
            while (folded := fold_passages(passages, k, all_known=len(passages) < asked)) is None:
                asked *= PASSAGES_A_DOCUMENT
                passages = self._best(queries.rows(row, row + 1), asked, threads)[query_id]
            run[query_id] = folded
        return run

    def search_texts(self, queries: Mapping[str, str], k: int = 1000, *, threads: int | None = None) -> dict[str, Hits]:
        """The k best documents of each query {query_id: text}, as a run."""
        vectors = self._encoder().encode(queries.values(), ids=queries)
        return self.search_vectors(vectors, k, threads=threads)

    def explain(self, query: str | Mapping[str, float], doc_id: str) -> Explanation:
        """Which terms made the score of a document for a query, and what each gave: the parts sum to the score.

        Of an index of passages, `doc_id` may name a document, whose best passage is then explained, or a passage.

        Raises:
            SearchError: there is no such document.
        """
        impacts = self.quantizer(self._vectors(query)).row(0)
        typed = self._encoder().terms_in(query) if isinstance(query, str) else None
        if self.folds:
            doc_id = self._best_passage(doc_id, impacts)
        return explain(self.index, impacts, doc_id, query_terms=typed, encoder=self.encoder)

    def text(self, doc_id: str) -> str | None:
        """The stored text of a hit, of a document of passages its first; None where texts were not stored."""
        return self.index.text(passage_id(doc_id, 0) if self.folds else doc_id)

    def _best_passage(self, doc_id: str, query: Mapping[str, int]) -> str:
        """The id of a document's passage of highest score, the first of equals; what is no document stays as it is."""
        numbers = count()
        best, best_score = doc_id, -1
        while (impacts := self.index.impacts(passage := passage_id(doc_id, next(numbers)), list(query))) is not None:
            score = sum(impact * impacts[term] for term, impact in query.items())
            if score > best_score:
                best, best_score = passage, score
        return best

    def _vectors(self, query: str | Mapping[str, float]) -> TermVectors:
        if isinstance(query, str):
            return self._encoder().encode([query], ids=["query"])
        return TermVectors.from_rows({"query": query})

    def _encoder(self) -> Encoder:
        if self.encoder is None:
            raise SearchError("a text is searched with an encoder: Searcher(index, encoder)")
        return self.encoder
