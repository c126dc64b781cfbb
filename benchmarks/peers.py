"""The search engines that `benchmarks.engines` compares, one small class each.

Law: importing this module imports no engine; each imports its own libraries when it is built or opened, so that a
process pays for one engine alone.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from benchmarks.peer_data import QUERY_SCALE, Asked, Documents, inference_free_encoder, split
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import write_jsonl
from splade_lucene.vectors import ImpactVectors, TermVectors, Vocabulary

BMP_LEVELS = 32  # bmp rounds the weights of a query to so many
SEISMIC_TERMS = 65_535  # that its smaller index can number

Setting = Mapping[str, float]
Found = tuple[Sequence[Any] | None, Sequence[float]]
"""The doc_ids of hits, or the numbers of their documents, or None where neither is at hand; and their scores."""


class Feed:
    """Documents in the forms that engines take.

    Attributes:
        documents: all of them.
        source: the INPUT of their texts, where there are some.
        seconds: that it took to make these forms; they are no cost of an engine.
    """

    def __init__(self, documents: Documents, order: NDArray[np.int64] | None, source: str | None) -> None:
        self.documents = documents
        self.source = source
        self.seconds = 0.0
        self._order = order

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """What is done in this block is no cost of the engine."""
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start

    def weights(self) -> Iterator[TermVectors]:
        """Batches, as our own index takes them; making them counts as its cost."""
        for batch in self.batches():
            weights = batch.impacts.astype(np.float32)
            yield TermVectors(batch.ids, batch.indptr, batch.terms, batch.vocabulary, weights)

    def dicts(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Each document's doc_id and {term: impact}."""
        return self._prepared((batch.ids[i], batch.row(i)) for batch in self.batches() for i in range(len(batch)))

    def arrays(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Each document's term ids and impacts."""
        return self._prepared(self.rows())

    def rows(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """The same, where the time that it takes is not to be told apart."""
        for batch in self.batches():
            yield from split(batch.indptr, batch.terms, batch.impacts)

    def batches(self) -> Iterator[ImpactVectors]:
        """All of them."""
        return self.documents.batches(self._order)

    def _prepared[T](self, made: Iterator[T]) -> Iterator[T]:
        while True:
            with self.preparing():
                item = next(made, None)
            if item is None:
                return
            yield item


# What an engine is


class Peer(ABC):
    """An engine with its index open, that knows the queries in its own form.

    settings: what it can be asked with, of which the fastest that finds enough is chosen; none if there is no choice.
    """

    settings: ClassVar[Sequence[Setting]] = ()

    @abstractmethod
    def search(self, query: int, k: int) -> Any:
        """The hits of one query, as the engine gives them. This is what is timed."""

    @abstractmethod
    def read(self, hits: Any) -> Found:
        """What `search` has found. This is not timed."""

    def search_all(self, count: int, k: int) -> object:
        """The hits of the first queries, by the engine's own call for many where it has one."""
        return [self.search(query, k) for query in range(count)]

    def use(self, setting: Setting) -> None:
        """Search with this setting from now on."""
        raise ValueError(f"{type(self).__name__} has no settings, so not {setting}")


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


def save_columns(feed: Feed, path: Path, threads: int) -> None:
    """The inverted index of naver's way: documents and float impacts of each term, three arrays."""
    columns = feed.documents.matrix().tocsc()
    np.savez(path.with_suffix(".npz"), indptr=columns.indptr, documents=columns.indices, impacts=columns.data)
    path.with_suffix(".npz").rename(path)


def _accumulate(
    indptr: Any, documents: Any, impacts: Any, terms: Any, weights: Any, count: int
) -> tuple[Any, Any]:  # for numba, which knows no types of numpy.typing
    scores = np.zeros(count, np.float32)
    for i in range(len(terms)):
        for j in range(indptr[terms[i]], indptr[terms[i] + 1]):
            scores[documents[j]] += weights[i] * impacts[j]
    found = np.nonzero(scores)[0]
    return found, scores[found]


class NumbaDots(Peer):
    """naver's way: every posting of every term of a query added up, by a loop that numba compiles."""

    def __init__(self, path: Path, asked: Asked) -> None:
        self._scores = import_module("numba").njit(nogil=True)(_accumulate)
        with np.load(path) as arrays:
            self._columns = arrays["indptr"], arrays["documents"], arrays["impacts"]
        self._queries = asked.arrays()
        self._documents = asked.documents

    def search(self, query: int, k: int) -> Any:
        """Arrays of the numbers of documents and of scores."""
        found, scores = self._scores(*self._columns, *self._queries[query], self._documents)
        if len(found) > k:
            best = np.argpartition(scores, -k)[-k:]
            found, scores = found[best], scores[best]
        order = np.argsort(-scores)
        return found[order], scores[order]

    def read(self, hits: Any) -> Found:
        """The numbers and the scores."""
        return hits[0].tolist(), hits[1].tolist()


def save_tensor(feed: Feed, path: Path, threads: int) -> None:
    """The sparse tensor, in torch's own form."""
    with feed.preparing():
        import torch
    torch.save(_coo(feed.documents.matrix()), path)


def _coo(matrix: Any) -> Any:
    import torch

    found = matrix.tocoo()
    places = np.stack([found.row, found.col]).astype(np.int64)
    return torch.sparse_coo_tensor(places, found.data, found.shape, check_invariants=False).coalesce()  # type: ignore[arg-type]


class SemanticSearch(Peer):
    """sentence-transformers' `semantic_search` over a sparse tensor, by dot products."""

    def __init__(self, path: Path, asked: Asked) -> None:
        import torch

        _refuse_if_too_large(2 * path.stat().st_size)  # it copies the tensor for each call
        from sentence_transformers.util import dot_score, semantic_search

        torch.set_num_threads(1)
        self._documents = torch.load(path)
        self._search = partial(semantic_search, corpus_embeddings=self._documents, score_function=dot_score)
        queries = asked.queries
        arrays = (queries.impacts.astype(np.float32), queries.terms, queries.indptr)
        self._queries = csr_array(arrays, shape=(len(queries), len(queries.vocabulary)))
        self._each = [_coo(self._queries[[query]]) for query in range(len(queries))]

    def search(self, query: int, k: int) -> Any:
        """Dictionaries of the number of a document and its score."""
        return self._search(self._each[query], top_k=k)[0]

    def search_all(self, count: int, k: int) -> object:
        """The same for a tensor of queries."""
        return self._search(_coo(self._queries[:count]), top_k=k)

    def read(self, hits: Any) -> Found:
        """The numbers and the scores of those that share a term."""
        found = [(hit["corpus_id"], hit["score"]) for hit in hits if hit["score"]]
        return [number for number, _ in found], [score for _, score in found]


def _refuse_if_too_large(needed: int) -> None:
    """Rather than be killed, and others with it."""
    file = Path("/proc/meminfo")
    if file.is_file():
        free = next(int(line.split()[1]) for line in file.open() if line.startswith("MemAvailable")) * 1024
        if needed > free:
            raise MemoryError(f"it needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free")


def index_with_ours(feed: Feed, path: Path, threads: int, *, reorder: bool) -> None:
    """`ImpactIndex.build` of vectors in memory."""
    from splade_lucene.lucene import jvm
    from splade_lucene.lucene.build import IndexOptions
    from splade_lucene.lucene.index import ImpactIndex

    with feed.preparing():
        jvm.start()
    options = IndexOptions(Quantizer(1), threads=threads, reorder=reorder)
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
        for terms, candidates in product((3, 5, 8, 10, 15, 20, 30), (100, 300, 1_000, 3_000, 10_000))
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


# All of them


@dataclass(frozen=True)
class Index:
    """What some engines search.

    build: writes it to a path where nothing is, with so many threads at most. ordered: documents are given in the order
    that our own reordering has found, for engines whose authors recommend such an order.
    """

    build: Callable[[Feed, Path, int], None]
    ordered: bool = False


INDEXES: Mapping[str, Index] = {
    "anserini": Index(index_with_anserini),
    "pisa": Index(index_with_pisa),
    "pisa-ordered": Index(index_with_pisa, ordered=True),
    "bmp-8": Index(partial(index_with_bmp, block=8)),
    "bmp-8-ordered": Index(partial(index_with_bmp, block=8), ordered=True),
    "bmp-32": Index(partial(index_with_bmp, block=32)),
    "bmp-32-ordered": Index(partial(index_with_bmp, block=32), ordered=True),
    "impact-index": Index(partial(index_with_impact_index, reorder=False)),
    "impact-index-reordered": Index(partial(index_with_impact_index, reorder=True)),
    "seismic": Index(index_with_seismic),
    "numba": Index(save_columns),
    "sentence-transformers": Index(save_tensor),
    "ours": Index(partial(index_with_ours, reorder=False)),
    "ours-reordered": Index(partial(index_with_ours, reorder=True)),
    "bm25": Index(index_texts),
}


@dataclass(frozen=True)
class Engine:
    """One row of the table.

    Attributes:
        label: what the row is called.
        index: the name of the index that it searches.
        open: opens that.
        module: what must be installed.
        answers: whether they must be those of brute force, may come short of them, or have scores of their own.
        rounds: what it makes of queries before it searches, where that is not what was asked.
        texts: it is asked with texts, so that it needs some.
    """

    label: str
    index: str
    open: Callable[[Path, Asked], Peer]
    module: str = "splade_lucene"
    answers: Literal["exact", "approximate", "others"] = "exact"
    rounds: Callable[[ImpactVectors], ImpactVectors] | None = None
    texts: bool = False


def _pisa(label: str, algorithm: str, index: str = "pisa") -> Engine:
    return Engine(f"PISA {label}", index, partial(Pisa, algorithm=algorithm), "pyterrier_pisa")


def _bmp(block: int, *, ordered: bool = False) -> Engine:
    label, index = (", our order", "-ordered") if ordered else ("", "")
    return Engine(f"bmp, blocks of {block}{label}", f"bmp-{block}{index}", Bmp, "bmp", rounds=bmp_queries)


ENGINES: Mapping[str, Engine] = {
    "pyserini": Engine("Pyserini LuceneImpactSearcher", "anserini", Pyserini),
    "lucene": Engine("Lucene BooleanQuery (MaxScore)", "anserini", Lucene),
    "pisa-maxscore": _pisa("MaxScore", "maxscore"),
    "pisa-block-max-maxscore": _pisa("block-max MaxScore", "block_max_maxscore"),
    "pisa-block-max-wand": _pisa("block-max WAND", "block_max_wand"),
    "pisa-exhaustive": _pisa("term at a time, exhaustive", "ranked_or_taat"),
    "pisa-maxscore-ordered": _pisa("MaxScore, our order", "maxscore", "pisa-ordered"),
    "pisa-block-max-maxscore-ordered": _pisa("block-max MaxScore, our order", "block_max_maxscore", "pisa-ordered"),
    "bmp-8": _bmp(8),
    "bmp-32": _bmp(32),
    "bmp-8-ordered": _bmp(8, ordered=True),
    "bmp-32-ordered": _bmp(32, ordered=True),
    "impact-index": Engine("impact-index MaxScore", "impact-index", ImpactIndexMaxScore, "impact_index"),
    "impact-index-reordered": Engine(
        "impact-index MaxScore, reordered", "impact-index-reordered", ImpactIndexMaxScore, "impact_index"
    ),
    "seismic": Engine("Seismic", "seismic", Seismic, "seismic", answers="approximate"),
    "numba": Engine("numba dot products (naver's way)", "numba", NumbaDots, "numba"),
    "sentence-transformers": Engine(
        "sentence-transformers semantic_search", "sentence-transformers", SemanticSearch, "sentence_transformers"
    ),
    "ours": Engine("ours, exact", "ours", Ours),
    "ours-reordered": Engine("ours, exact, reordered", "ours-reordered", Ours),
    "ours-two-steps": Engine("ours, two steps, reordered", "ours-reordered", OursInTwoSteps, answers="approximate"),
    "bm25-anserini": Engine("BM25 of texts, Anserini", "bm25", AnseriniBm25, answers="others", texts=True),
    "bm25": Engine("BM25 of texts, Lucene IndexSearcher", "bm25", LuceneBm25, answers="others", texts=True),
    "ours-text": Engine("ours, exact, inference-free, from texts", "ours", OursFromText, texts=True),
}
