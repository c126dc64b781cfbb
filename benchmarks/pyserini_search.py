"""Pyserini's own searcher over query vectors that are there already, and plain Lucene under the same queries.

The only module that imports Pyserini's search classes. They fetch a catalogue of downloadable indexes while they are
imported, which a search of a local index never looks at: it is replaced by an empty one, so that no network is needed.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from splade_lucene.lucene import jvm
from splade_lucene.vectors import ImpactVectors

_CATALOGUE = "pyserini.prebuilt_index_info"

Found = tuple[list[str] | None, list[float]]
"""The doc_ids and scores of a query's hits; None where doc_ids are not comparable."""


class _EmptyCatalogue(ModuleType):
    """A module in which every name stands for an empty dictionary."""

    def __getattr__(self, name: str) -> dict[str, Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return {}


class _Encoded:
    """A query encoder that knows the vectors of its queries, which are asked for by query_id."""

    def __init__(self, queries: ImpactVectors) -> None:
        self._vectors = {query_id: queries.row(number) for number, query_id in enumerate(queries.ids)}

    def encode(self, query_id: str) -> dict[str, int]:
        """Its impacts."""
        return self._vectors[query_id]


class PyseriniSearcher:
    """Pyserini's `LuceneImpactSearcher`; min_idf -1 makes it keep all query terms, as we do."""

    def __init__(self, index: Path, queries: ImpactVectors) -> None:
        jvm.start()
        sys.modules.setdefault(_CATALOGUE, _EmptyCatalogue(_CATALOGUE))
        from pyserini.search.lucene import LuceneImpactSearcher

        self._searcher = LuceneImpactSearcher(str(index), _Encoded(queries), min_idf=-1)

    def unread(self, query_id: str, k: int) -> Any:
        """Hits as Java objects."""
        return self._searcher.search(query_id, k)

    def search(self, query_id: str, k: int) -> Found:
        """Hits whose doc_id and score are read, as every user of Pyserini does."""
        return _read(self._searcher.search(query_id, k))

    def batch_search(self, query_ids: list[str], k: int, threads: int) -> dict[str, Found]:
        """The hits of all queries, read."""
        found = self._searcher.batch_search(query_ids, query_ids, k, threads)
        return {query_id: _read(hits) for query_id, hits in found.items()}


def _read(hits: Iterable[Any]) -> Found:
    read = list(hits)
    return [hit.docid for hit in read], [hit.score for hit in read]


def index_searcher(index: Path) -> Any:
    """Lucene's own searcher of an index."""
    folder = jvm.java_class("java.nio.file.Paths").get(str(index))
    directory = jvm.java_class("org.apache.lucene.store.FSDirectory").open(folder)
    reader = jvm.java_class("org.apache.lucene.index.DirectoryReader").open(directory)
    return jvm.java_class("org.apache.lucene.search.IndexSearcher")(reader.getContext())


class LuceneSearcher:
    """Lucene's IndexSearcher and a BooleanQuery of boosted terms with Anserini's similarity; ties as Lucene has them.

    What the pruning of an unchanged Lucene needs, without doc_ids, Anserini's sort or anything crossing to Python.
    """

    def __init__(self, index: Path, queries: ImpactVectors) -> None:
        self._searcher = index_searcher(index)
        self._searcher.setSimilarity(jvm.java_class("io.anserini.search.similarity.ImpactSimilarity")())
        self._queries = {query_id: _boolean(queries.row(number)) for number, query_id in enumerate(queries.ids)}

    def unread(self, query_id: str, k: int) -> Any:
        """Hits as a Java object."""
        return self._searcher.search(self._queries[query_id], k)

    def scores(self, query_id: str, k: int) -> Found:
        """The scores of the hits."""
        return None, [hit.score for hit in self.unread(query_id, k).scoreDocs]


def _boolean(impacts: dict[str, int]) -> Any:
    term_query = jvm.java_class("org.apache.lucene.search.TermQuery")
    boost_query = jvm.java_class("org.apache.lucene.search.BoostQuery")
    term = jvm.java_class("org.apache.lucene.index.Term")
    should = jvm.java_class("org.apache.lucene.search.BooleanClause$Occur").SHOULD
    builder = jvm.java_class("org.apache.lucene.search.BooleanQuery$Builder")()
    for each, impact in impacts.items():
        builder.add(boost_query(term_query(term("contents", each)), float(impact)), should)
    return builder.build()
