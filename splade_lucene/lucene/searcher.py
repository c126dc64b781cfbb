"""Searcher: exact top-k search of an impact index, for one query or many, for texts or for vectors.

Laws: hits and scores equal brute force, `score = sum over terms of query impact * document impact`, in whole numbers,
ordered by score descending and then doc_id ascending as bytes, also at the cut; they do not depend on threads or
segments. A document that shares no term with the query is no hit. Where the index holds passages, a document's score
is its best passage's, as exactly.
"""

import os
from collections.abc import Callable, Mapping
from itertools import count, islice
from pathlib import Path

from splade_lucene.datasets import passage_id
from splade_lucene.errors import SearchError
from splade_lucene.fusion import Fusion
from splade_lucene.lucene.explain import Explanation, explain
from splade_lucene.lucene.feedback import Feedback
from splade_lucene.lucene.filters import DocFilter
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.options import SearchOptions
from splade_lucene.pruning import prune
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits, fold_passages
from splade_lucene.vectors import Encoder, ImpactVectors, TermVectors

PASSAGES_A_DOCUMENT = 4  # are fetched first, and so many times more where that does not decide a query
QUERIES_AT_A_TIME = 256  # these two bound what a long run holds in memory on the Java side
HITS_AT_A_TIME = 10_000_000
LEARNED = Quantizer(10_000)  # weights of at most 1: four digits of each


class Searcher:
    """Searches an `ImpactIndex`.

    Args:
        index: the index, or its folder.
        encoder: what turns texts into weights; without one, only vectors can be searched.
        quantizer: weights of queries → impacts. Its scale need not be the index's: it multiplies all scores alike. The
            index's where not given, or 100 for an index of impacts that were given as such (scale 1).
        fold: of an index of passages, find documents by their best passage; otherwise find the passages.
        options: how to search; exactly where not given.

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
        options: SearchOptions | None = None,
    ) -> None:
        self.index = index if isinstance(index, ImpactIndex) else ImpactIndex(index)
        self.encoder = encoder
        self.options = options or SearchOptions()
        manifest = self.index.manifest
        self.quantizer = quantizer or (Quantizer(manifest.scale) if manifest and manifest.scale != 1 else Quantizer())
        self.folds = fold and manifest is not None and manifest.passages is not None
        if encoder is not None:
            self.index.check_vocabulary(encoder.identity)

    def search(
        self,
        query: str | Mapping[str, float],
        k: int = 10,
        *,
        filter: DocFilter | None = None,
        threads: int | None = None,
    ) -> Hits:
        """The k best documents for a text, or for weights {term: weight}; fewer where fewer share a term.

        The documents of a large index are parted among the threads, all cores where not given; a server that answers
        many at a time gives each one thread.

        Raises:
            SearchError: k is below 1, or a text is given and there is no encoder. WeightError: a weight is unusable.
        """
        return self.search_vectors(self._vectors(query), k, filter=filter, threads=threads)["query"]

    def search_vectors(
        self,
        queries: TermVectors | ImpactVectors,
        k: int = 1000,
        *,
        filter: DocFilter | None = None,
        threads: int | None = None,
    ) -> dict[str, Hits]:
        """The k best documents of each query, as a run; queries that find nothing have empty hits.

        Args:
            queries: weights, which the quantizer makes impacts, or impacts as they are.
            k: how many hits a query may have.
            filter: the documents to search within; `ImpactIndex.filter` makes it.
            threads: how many work at a time, on several queries or on parts of a single one; all cores where not given.
        """
        if k < 1:
            raise SearchError(f"k must be at least 1, not {k}")
        impacts = self.quantizer(queries) if isinstance(queries, TermVectors) else queries
        threads = threads or os.cpu_count() or 1
        return (self._folded if self.folds else self._best)(impacts, k, filter, threads)

    def _best(self, queries: ImpactVectors, k: int, filter: DocFilter | None, threads: int) -> dict[str, Hits]:
        """The k best of what the index holds, documents or passages."""
        run: dict[str, Hits] = {}
        k = min(k, max(1, len(self.index)))
        at_a_time = max(1, min(QUERIES_AT_A_TIME, HITS_AT_A_TIME // k))
        for start in range(0, len(queries), at_a_time):
            some = queries if len(queries) <= at_a_time else queries.rows(start, start + at_a_time)
            hits = self.index.search(some, k, options=self.options, filter=filter, threads=threads)
            run.update(zip(some.ids, hits, strict=True))
        return run

    def _folded(self, queries: ImpactVectors, k: int, filter: DocFilter | None, threads: int) -> dict[str, Hits]:
        """The k best documents by their best passage."""
        passages = self._best(queries, PASSAGES_A_DOCUMENT * k, filter, threads)
        rows = {query_id: row for row, query_id in enumerate(passages)}

        def more(query_id: str, asked: int) -> Hits:
            row = rows[query_id]
            return self._best(queries.rows(row, row + 1), asked, filter, threads)[query_id]

        return _fold(passages, k, more)

    def search_texts(
        self,
        queries: Mapping[str, str],
        k: int = 1000,
        *,
        filter: DocFilter | None = None,
        threads: int | None = None,
    ) -> dict[str, Hits]:
        """The k best documents of each query {query_id: text}, as a run."""
        return self.search_vectors(self.encode(queries), k, filter=filter, threads=threads)

    def encode(self, queries: Mapping[str, str]) -> TermVectors:
        """The weights of queries {query_id: text}.

        Raises:
            SearchError: there is no encoder.
        """
        return self._encoder().encode(queries.values(), ids=queries)

    def search_bm25(
        self,
        queries: Mapping[str, str],
        k: int = 1000,
        *,
        filter: DocFilter | None = None,
        threads: int | None = None,
    ) -> dict[str, Hits]:
        """The k best documents of each query {query_id: text} by BM25, as a run; the scores are BM25's.

        Raises:
            SearchError: k is below 1, or the index was built without BM25.
        """
        if k < 1:
            raise SearchError(f"k must be at least 1, not {k}")
        asked = PASSAGES_A_DOCUMENT * k if self.folds else k
        at_a_time = max(1, min(QUERIES_AT_A_TIME, HITS_AT_A_TIME // min(asked, max(1, len(self.index)))))
        cores = threads or os.cpu_count() or 1
        texts = iter(queries.items())
        run: dict[str, Hits] = {}
        while some := dict(islice(texts, at_a_time)):
            hits = self.index.search_texts(list(some.values()), asked, filter=filter, threads=cores)
            run.update(zip(some, hits, strict=True))
        if not self.folds:
            return run
        return _fold(
            run, k, lambda query_id, more: self.index.search_texts([queries[query_id]], more, filter=filter)[0]
        )

    def search_hybrid(
        self,
        queries: Mapping[str, str],
        k: int = 1000,
        *,
        fusion: Fusion | None = None,
        filter: DocFilter | None = None,
        threads: int | None = None,
    ) -> dict[str, Hits]:
        """The k best documents of each query {query_id: text} by impacts and by BM25, fused, as a run.

        Args:
            queries: what is asked.
            k: how many hits a query may have.
            fusion: how; by reciprocal ranks where not given. Weights are of the impacts and of BM25, in this order.
            filter: the documents to search within.
            threads: how many work at a time; all cores where not given.

        Raises:
            SearchError: there is no encoder, or the index was built without BM25.
        """
        fusion = fusion or Fusion()
        depth = max(k, fusion.depth)
        by_bm25 = self.search_bm25(queries, depth, filter=filter, threads=threads)
        return fusion([self.search_texts(queries, depth, filter=filter, threads=threads), by_bm25], k)

    def search_feedback(
        self,
        queries: TermVectors | ImpactVectors,
        k: int = 1000,
        *,
        feedback: Feedback | None = None,
        filter: DocFilter | None = None,
        threads: int | None = None,
    ) -> dict[str, Hits]:
        """The k best documents of each query after it has learned from its best hits, as a run.

        What a query learns from are the best of what the index holds, documents or passages. The learned weights are
        impacts of scale 10,000, their largest 1, whatever the queries' scale.

        Raises:
            SearchError: k is below 1.
        """
        feedback = feedback or Feedback()
        impacts = self.quantizer(queries) if isinstance(queries, TermVectors) else queries
        first = self._best(impacts, feedback.documents, filter, threads or os.cpu_count() or 1)
        learned = {
            query_id: feedback(impacts.row(row), self.index.vectors(hits.doc_ids), hits.scores.tolist())
            for row, (query_id, hits) in enumerate(first.items())
        }
        run = self.search_vectors(LEARNED(TermVectors.from_rows(learned)), k, filter=filter, threads=threads)
        for query_id, hits in run.items():
            hits.cut |= first[query_id].cut
        return run

    def explain(self, query: str | Mapping[str, float], doc_id: str) -> Explanation:
        """Which terms made the score of a document for a query, and what each gave: the parts sum to the score.

        Of an index of passages, `doc_id` may name a document, whose best passage is then explained, or a passage.

        Raises:
            SearchError: there is no such document.
        """
        impacts = prune(self.quantizer(self._vectors(query)), self.options.pruning).row(0)
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


def _fold(run: Mapping[str, Hits], k: int, more: Callable[[str, int], Hits]) -> dict[str, Hits]:
    """The k best documents of each query by their best passage: more passages are fetched until these are sure.

    Args:
        run: PASSAGES_A_DOCUMENT times k passages of each query, or all that share a term with it.
        k: how many documents.
        more: so many passages of a query.
    """
    folded = {}
    for query_id, passages in run.items():
        asked = PASSAGES_A_DOCUMENT * k
        while (best := fold_passages(passages, k, all_known=len(passages) < asked)) is None:
            asked *= PASSAGES_A_DOCUMENT
            passages = more(query_id, asked)
        folded[query_id] = best
    return folded
