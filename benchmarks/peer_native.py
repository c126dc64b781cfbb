"""Engines in C++ and Rust through their Python packages: PISA, bmp, impact-index, Seismic."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer import Feed, Found, Peer, Setting
from benchmarks.peer_data import Asked
from splade_lucene.vectors import ImpactVectors, Vocabulary

BMP_LEVELS = 32  # bmp rounds the weights of a query to so many
SEISMIC_TERMS = 65_535  # that its smaller index can number


def index_with_pisa(feed: Feed, path: Path, threads: int) -> None:
    """`PisaIndex.toks_indexer`, and then what it makes when a search is prepared; what a search needs not is removed.

    It uses one thread, most of the time for Python.
    """
    with feed.preparing():
        pisa = import_module("pyterrier_pisa")
    indexer = pisa.PisaIndex(str(path), stemmer="none", stops="none").toks_indexer(scale=1)
    indexer.index({"docno": doc_id, "toks": impacts} for doc_id, impacts in feed.dicts())
    _pisa_context(path)
    for file in path.glob("inv.*"):
        file.unlink()


def _pisa_context(path: Path) -> Any:
    extension = import_module("pyterrier_pisa._pisathon")
    context = extension.RetrievalContext()
    extension.prepare_index(context, str(path), "block_simdbp", "quantized", "", stop_fname="")
    return context


class Pisa(Peer):
    """PISA through pyterrier_pisa's extension: the call below its DataFrames."""

    def __init__(self, path: Path, asked: Asked, algorithm: str) -> None:
        self._retrieve = import_module("pyterrier_pisa._pisathon").retrieve
        self._context = _pisa_context(path)
        self._algorithm = algorithm
        self._queries = list(enumerate(asked.dicts()))

    def search(self, query: int, k: int) -> Any:
        """How many, and the arrays that hold them."""
        return self._found(self._queries[query : query + 1], k)

    def search_all(self, count: int, k: int) -> object:
        """The same for a list of queries."""
        return self._found(self._queries[:count], k)

    def _found(self, queries: list[tuple[int, dict[str, float]]], k: int) -> tuple[int, Any, Any]:
        size = k * len(queries)
        doc_ids, scores = np.empty(size, object), np.empty(size, np.float32)
        found = self._retrieve(
            self._context,
            self._algorithm,
            queries,
            k=k,
            threads=1,
            query_weighted=1,
            pretokenised=True,
            result_qidxs=np.empty(size, np.int32),
            result_docnos=doc_ids,
            result_ranks=np.empty(size, np.int32),
            result_scores=scores,
        )
        return found, doc_ids, scores

    def read(self, hits: Any) -> Found:
        """Doc_ids and scores."""
        found, doc_ids, scores = hits
        return doc_ids[:found].tolist(), scores[:found].tolist()


def index_with_bmp(feed: Feed, path: Path, threads: int, *, block: int) -> None:
    """`bmp.Indexer`, which uses one thread."""
    indexer = import_module("bmp").Indexer(str(path), bsize=block, compress_range=False)
    for doc_id, impacts in feed.dicts():
        indexer.add_document(doc_id, impacts)
    indexer.finish()


def bmp_queries(queries: ImpactVectors) -> ImpactVectors:
    """What bmp makes of queries: ceil(impact * 32 / largest impact), in float32."""
    largest = np.maximum.reduceat(queries.impacts, queries.indptr[:-1])  # no query is empty
    factors = np.float32(BMP_LEVELS) / largest.astype(np.float32)
    rounded = np.ceil(queries.impacts.astype(np.float32) * np.repeat(factors, queries.row_lengths))
    return ImpactVectors(queries.ids, queries.indptr, queries.terms, queries.vocabulary, rounded.astype(np.int32))


class Bmp(Peer):
    """`bmp.Searcher.search` with alpha and beta 1, where it is exact for the queries as it rounds them.

    References:
        Block-max pruning, arXiv:2405.01117.
    """

    def __init__(self, path: Path, asked: Asked) -> None:
        self._searcher = import_module("bmp").Searcher(str(path))
        self._queries = asked.dicts()

    def search(self, query: int, k: int) -> Any:
        """Doc_ids and scores."""
        return self._searcher.search(self._queries[query], k=k, alpha=1.0, beta=1.0)

    def read(self, hits: Any) -> Found:
        """As they are."""
        return hits[0], hits[1]


def index_with_impact_index(feed: Feed, path: Path, threads: int, *, reorder: bool) -> None:
    """`IndexBuilder`, then compressed as its documentation recommends for whole numbers; or reordered, too."""
    builder = import_module("impact_index").IndexBuilder
    with TemporaryDirectory(dir=path.parent) as scratch:
        raw = builder(scratch, dtype="int32")
        for number, (terms, impacts) in enumerate(feed.arrays()):
            with feed.preparing():
                terms = terms.astype(np.uintp)
            raw.add(number, terms, impacts)
        index = raw.build(True)
        (index.reorder if reorder else index.compress)(str(path), nbits=0)


class ImpactIndexMaxScore(Peer):
    """impact-index: `search_maxscore`, its fastest exact search, with the index in memory."""

    def __init__(self, path: Path, asked: Asked) -> None:
        self._index = import_module("impact_index").Index.load(str(path), True)
        self._queries = [dict(zip(terms.tolist(), each.tolist(), strict=True)) for terms, each in asked.arrays()]

    def search(self, query: int, k: int) -> Any:
        """Objects with the number of a document and its score."""
        return self._index.search_maxscore(self._queries[query], k)

    def read(self, hits: Any) -> Found:
        """The numbers and the scores."""
        return [hit.docid for hit in hits], [hit.score for hit in hits]


def index_with_seismic(feed: Feed, path: Path, threads: int) -> None:
    """`SeismicIndexRaw.build`, with what its guidelines recommend for SPLADE at 99 % accuracy.

    The index of numbered terms and documents, because that of strings spends most of a build on strings.
    """
    with TemporaryDirectory(dir=path.parent) as scratch:
        file = Path(scratch, "documents.bin")
        with feed.preparing():
            _write_seismic(feed.rows(), len(feed.documents), file)
        index = _seismic_class(feed.documents.vocabulary).build(
            str(file), n_postings=3_000, centroid_fraction=0.2, summary_energy=0.5, max_fraction=6
        )
        index.save(str(path))


def _write_seismic(rows: Iterable[tuple[NDArray[Any], NDArray[Any]]], count: int, file: Path) -> None:
    """Its binary form: the number of rows, then of each row its length, its terms and its weights, 32 bits each."""
    with file.open("wb") as output:
        np.array([count], "<u4").tofile(output)
        for terms, impacts in rows:
            np.array([len(terms)], "<u4").tofile(output)
            terms.astype("<u4").tofile(output)
            impacts.astype("<f4").tofile(output)


def _seismic_class(vocabulary: Vocabulary) -> Any:
    seismic = import_module("seismic")
    return seismic.SeismicIndexRaw if len(vocabulary) <= SEISMIC_TERMS else seismic.SeismicIndexRawLV


class Seismic(Peer):
    """Approximate: `SeismicIndexRaw.search` and `batch_search`.

    References:
        Seismic, arXiv:2404.18812.
    """

    settings: ClassVar[Sequence[Setting]] = [
        {"query_cut": cut, "heap_factor": factor}
        for cut, factor in product((3, 5, 8, 10, 15, 20, 30, 50), (1.0, 0.9, 0.8, 0.7))
    ]

    def __init__(self, path: Path, asked: Asked) -> None:
        self._index = _seismic_class(asked.queries.vocabulary).load(str(path))
        self._queries = asked.arrays()
        self._files = TemporaryDirectory(prefix="benchmark-seismic-")
        self.use(self.settings[0])

    def use(self, setting: Setting) -> None:
        """Cut queries to so many terms, skip blocks below so much of the threshold."""
        self._cut, self._factor = int(setting["query_cut"]), setting["heap_factor"]

    def search(self, query: int, k: int) -> Any:
        """Pairs of a score and the number of a document."""
        terms, impacts = self._queries[query]
        return self._index.search(terms, impacts, k, self._cut, self._factor, 0, True)

    def search_all(self, count: int, k: int) -> object:
        """The queries of a file, which it reads each time, with one thread."""
        file = Path(self._files.name, str(count))
        if not file.exists():
            _write_seismic(self._queries[:count], count, file)
        return self._index.batch_search(str(file), k, self._cut, self._factor, 0, True, 1)

    def read(self, hits: Any) -> Found:
        """The numbers and the scores."""
        return [number for _, number in hits], [score for score, _ in hits]
