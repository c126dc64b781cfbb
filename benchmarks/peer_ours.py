"""Our own searches, asked as the peers are."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peer import Feed, Found, Peer, Setting
from benchmarks.peer_data import QUERY_SCALE, Asked, inference_free_encoder
from splade_lucene.quantization import Quantizer


def index_with_ours(feed: Feed, path: Path, threads: int, *, reorder: bool, first_pass_doc_terms: int = 0) -> None:
    """`ImpactIndex.build` of vectors in memory."""
    from splade_lucene.lucene import jvm
    from splade_lucene.lucene.build import IndexOptions
    from splade_lucene.lucene.index import ImpactIndex

    with feed.preparing():
        jvm.start()
    options = IndexOptions(Quantizer(1), threads=threads, reorder=reorder, first_pass_doc_terms=first_pass_doc_terms)
    ImpactIndex.build(path, feed.weights(), options).close()


class Ours(Peer):
    """`Searcher.search_vectors`, of one query or of all, with one thread."""

    def __init__(self, path: Path, asked: Asked) -> None:
        from splade_lucene.lucene.searcher import Searcher

        self._searcher = Searcher(path, quantizer=Quantizer(1))
        self._queries = asked.queries
        self._each = [asked.queries.rows(query, query + 1) for query in range(len(asked.queries))]

    def search(self, query: int, k: int) -> Any:
        """Hits."""
        found = self._searcher.search_vectors(self._each[query], k, threads=1)
        return found[self._queries.ids[query]]

    def search_all(self, count: int, k: int) -> object:
        """A run."""
        some = self._queries if count == len(self._queries) else self._queries.rows(0, count)
        return self._searcher.search_vectors(some, k, threads=1)

    def read(self, hits: Any) -> Found:
        """Doc_ids and scores."""
        return hits.doc_ids, hits.scores.tolist()


class OursInTwoSteps(Ours):
    """Approximate: the same, with candidates from a query's first terms, which all of its terms then score."""

    settings: ClassVar[Sequence[Setting]] = [
        {"first_pass_terms": terms, "rescore": candidates}
        for terms, candidates in product((3, 5, 8, 10, 15, 20, 30), (100, 200, 300, 1_000, 3_000, 10_000))
    ]

    def use(self, setting: Setting) -> None:
        """Take candidates from so many terms, and score so many, k at least."""
        from splade_lucene.lucene.options import SearchOptions
        from splade_lucene.lucene.searcher import Searcher

        terms, candidates = int(setting["first_pass_terms"]), int(setting["rescore"])
        options = SearchOptions(first_pass_terms=terms, rescore=candidates)
        self._searcher = Searcher(self._searcher.index, quantizer=Quantizer(1), options=options)


class OursFromText(Peer):
    """`Searcher.search` of a text, its terms looked up in a table: from a query as it was typed to its hits."""

    def __init__(self, path: Path, asked: Asked) -> None:
        from splade_lucene.lucene.searcher import Searcher

        self._searcher = Searcher(path, inference_free_encoder(asked.folder), quantizer=Quantizer(QUERY_SCALE))
        self._texts = asked.texts

    def search(self, query: int, k: int) -> Any:
        """Hits."""
        return self._searcher.search(self._texts[query], k, threads=1)

    def read(self, hits: Any) -> Found:
        """Doc_ids and scores."""
        return hits.doc_ids, hits.scores.tolist()
