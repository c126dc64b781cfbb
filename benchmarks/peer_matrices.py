"""Searches that are products of a sparse matrix in memory: naver's numba loop, sentence-transformers."""

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from benchmarks.peer import Feed, Found, Peer
from benchmarks.peer_data import Asked


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
