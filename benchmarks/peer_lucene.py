"""Lucene without our own classes: Anserini's indexes, searched as Pyserini, Lucene and Anserini search them."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.peer import Feed, Found, Peer
from benchmarks.peer_data import Asked
from splade_lucene.vector_files import write_jsonl


def index_with_anserini(feed: Feed, path: Path, threads: int) -> None:
    """Anserini's IndexCollection of JSONL, merged into one segment."""
    from splade_lucene.lucene import jvm
    from splade_lucene.lucene.anserini import index_collection

    with TemporaryDirectory(dir=path.parent) as scratch:
        collection = Path(scratch, "collection")
        with feed.preparing():
            collection.mkdir()
            for number, batch in enumerate(feed.batches()):  # Anserini gives each file to one thread
                write_jsonl(collection / f"{number:05}.jsonl", [batch])
            jvm.start()
        options = ("-collection", "JsonVectorCollection", "-impact", "-pretokenized", "-optimize")
        index_collection(collection, path, *options, threads=threads)


class Pyserini(Peer):
    """`LuceneImpactSearcher.search` and `batch_search`, their hits read as every user does."""

    def __init__(self, path: Path, asked: Asked) -> None:
        from benchmarks.pyserini_search import PyseriniSearcher

        self._ids = list(asked.queries.ids)
        self._searcher = PyseriniSearcher(path, asked.queries)

    def search(self, query: int, k: int) -> Found:
        """Doc_ids and scores."""
        doc_ids, scores = self._searcher.search(self._ids[query], k)
        return doc_ids, scores

    def search_all(self, count: int, k: int) -> object:
        """batch_search with one thread."""
        return self._searcher.batch_search(self._ids[:count], k, 1)

    def read(self, hits: Found) -> Found:
        """As they are."""
        return hits


class Lucene(Peer):
    """Lucene's own MaxScore: a BooleanQuery made before, hits a Java object of numbers and scores."""

    def __init__(self, path: Path, asked: Asked) -> None:
        from benchmarks.pyserini_search import LuceneSearcher

        self._ids = list(asked.queries.ids)
        self._searcher = LuceneSearcher(path, asked.queries)

    def search(self, query: int, k: int) -> Any:
        """TopDocs."""
        return self._searcher.unread(self._ids[query], k)

    def read(self, hits: Any) -> Found:
        """Scores alone."""
        return None, [hit.score for hit in hits.scoreDocs]


def index_texts(feed: Feed, path: Path, threads: int) -> None:
    """Anserini's IndexCollection of the texts, the writing of its JSONL included."""
    from splade_lucene.datasets import read_documents
    from splade_lucene.lucene import jvm
    from splade_lucene.lucene.anserini import bm25

    with feed.preparing():
        jvm.start()
    assert feed.source is not None
    path.mkdir()
    bm25(read_documents(feed.source), [], 1, folder=path, threads=threads)


class AnseriniBm25(Peer):
    """Anserini's SimpleSearcher over the same texts, BM25 with k1 .9 and b .4, hits read."""

    def __init__(self, path: Path, asked: Asked) -> None:
        from splade_lucene.lucene import jvm

        self._searcher = jvm.java_class("io.anserini.search.SimpleSearcher")(str(path / "index"))
        self._searcher.set_bm25(0.9, 0.4)
        self._texts = asked.texts

    def search(self, query: int, k: int) -> Found:
        """Doc_ids and scores."""
        hits = list(self._searcher.search(self._texts[query], k))
        return [hit.docid for hit in hits], [hit.score for hit in hits]

    def read(self, hits: Found) -> Found:
        """As they are."""
        return hits


class LuceneBm25(Peer):
    """Lucene's IndexSearcher over the same index with the same query, hits a Java object of numbers and scores.

    What an unchanged Lucene needs from a text to its hits, without Anserini's sort and without doc_ids.
    """

    def __init__(self, path: Path, asked: Asked) -> None:
        from benchmarks.pyserini_search import index_searcher
        from splade_lucene.lucene import jvm

        self._searcher = index_searcher(path / "index")
        self._searcher.setSimilarity(jvm.java_class("org.apache.lucene.search.similarities.BM25Similarity")(0.9, 0.4))
        self._analyzer = jvm.java_class("io.anserini.analysis.DefaultEnglishAnalyzer").newDefaultInstance()
        self._generator = jvm.java_class("io.anserini.search.query.BagOfWordsQueryGenerator")()
        self._texts = asked.texts

    def search(self, query: int, k: int) -> Any:
        """TopDocs."""
        return self._searcher.search(self._generator.buildQuery("contents", self._analyzer, self._texts[query]), k)

    def read(self, hits: Any) -> Found:
        """Scores alone."""
        return None, [hit.score for hit in hits.scoreDocs]
