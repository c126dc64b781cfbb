"""What engines are given to index and asked to find, on disk, and what they must find.

Law: it is the same for all engines: impacts from 1 to 255, queries without terms that no document has.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from splade_lucene.datasets import Query, read_documents, read_queries
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import BATCH_SIZE
from splade_lucene.vectors import ImpactVectors, Vocabulary

if TYPE_CHECKING:
    from benchmarks.collection import Collection
    from splade_lucene.encoding.table_encoder import IdfEncoder
    from splade_lucene.encoding.tokenizer import Tokenizer

MAX_IMPACT = 255  # bmp keeps no more of an impact
QUERY_SCALE = 10.0  # of the weights of texts: their impacts are about 100 at most


class Documents:
    """N vectors of impacts on disk, mapped into memory: drawn once, indexed by many.

    Attributes:
        indptr: (N + 1,) int64.
        terms: (nnz,) int32, ascending in each row.
        impacts: (nnz,) int32, from 1 to 255.
        vocabulary: of all of them, and of the queries.
    """

    def __init__(self, folder: Path) -> None:
        self.indptr: NDArray[np.int64] = np.load(folder / "indptr.npy")
        self.terms: NDArray[np.int32] = np.memmap(folder / "terms", np.int32, "r")
        self.impacts: NDArray[np.int32] = np.memmap(folder / "impacts", np.int32, "r")
        self.vocabulary = _read_vocabulary(folder)
        self._ids = folder / "ids.json"

    @cached_property
    def ids(self) -> list[str]:
        """The N doc_ids."""
        ids: list[str] = json.loads(self._ids.read_text(encoding="utf-8"))
        return ids

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @classmethod
    def write(cls, batches: Iterable[ImpactVectors], folder: Path, vocabulary: Iterable[str] = ()) -> float:
        """Write them into a folder, one batch in memory at a time.

        Where an impact is above 255, all are divided by what makes the largest one 255 and rounded, to 1 at least.

        Args:
            batches: of any vocabularies.
            folder: there must be one.
            vocabulary: the first terms of the one that all will share.

        Returns:
            What impacts were divided by, or 1.
        """
        number_of = {term: number for number, term in enumerate(vocabulary)}
        ids: list[str] = []
        lengths = [np.zeros(1, np.int64)]
        largest = 1
        last: Vocabulary | None = None
        with (folder / "terms").open("wb") as terms, (folder / "impacts").open("wb") as impacts:
            for batch in batches:
                if batch.vocabulary is not last:
                    last = batch.vocabulary
                    for term in last.terms:
                        number_of.setdefault(term, len(number_of))
                rows = renumbered(batch, number_of)
                rows.terms.tofile(terms)
                rows.impacts.tofile(impacts)
                ids += rows.ids
                lengths.append(rows.row_lengths)
                largest = max(largest, int(rows.impacts.max(initial=1)))
        if not (folder / "terms").stat().st_size:
            raise SystemExit("no document has a term")
        np.save(folder / "indptr.npy", np.concatenate(lengths).cumsum(dtype=np.int64))
        (folder / "ids.json").write_text(json.dumps(ids), encoding="utf-8")
        (folder / "vocabulary.json").write_text(json.dumps(list(number_of)), encoding="utf-8")
        divisor = max(1.0, largest / MAX_IMPACT)
        if divisor > 1:
            written = np.memmap(folder / "impacts", np.int32, "r+")
            for start in range(0, len(written), 10_000_000):
                some = written[start : start + 10_000_000]
                some[:] = np.rint(some / divisor).clip(1)
        return divisor

    def batches(self, order: NDArray[np.int64] | None = None) -> Iterator[ImpactVectors]:
        """All of them, 5,000 at a time; in another order where one is given."""
        for start in range(0, len(self), BATCH_SIZE):
            stop = min(start + BATCH_SIZE, len(self))
            if order is not None:
                yield self.select(order[start:stop])
                continue
            indptr = self.indptr[start : stop + 1]
            span = slice(indptr[0], indptr[-1])
            ids, terms, impacts = self.ids[start:stop], self.terms[span], self.impacts[span]
            yield ImpactVectors(ids, indptr - indptr[0], terms, self.vocabulary, impacts)

    def select(self, numbers: NDArray[np.int64]) -> ImpactVectors:
        """Some of them, no one twice, in that order."""
        lengths = self.indptr[numbers + 1] - self.indptr[numbers]
        indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        take = np.repeat(self.indptr[numbers] - indptr[:-1], lengths) + np.arange(indptr[-1])
        ids = [self.ids[number] for number in numbers.tolist()]
        return ImpactVectors(ids, indptr, self.terms[take], self.vocabulary, self.impacts[take])

    def matrix(self) -> Any:
        """(N, V) impacts, a csr_array of float32."""
        values = self.impacts.astype(np.float32)
        return csr_array((values, self.terms, self.indptr), shape=(len(self), len(self.vocabulary)))


def _read_vocabulary(folder: Path) -> Vocabulary:
    return Vocabulary(json.loads((folder / "vocabulary.json").read_text(encoding="utf-8")))


def renumbered(vectors: ImpactVectors, number_of: Mapping[str, int]) -> ImpactVectors:
    """The same over a vocabulary that has all their terms, given as term → term id."""
    numbers = np.array([number_of[term] for term in vectors.vocabulary.terms], dtype=np.int32)
    if np.array_equal(numbers, np.arange(len(numbers))):
        return vectors
    shape = (len(vectors), len(number_of))
    rows = csr_array((vectors.impacts, numbers[vectors.terms], vectors.indptr.copy()), shape=shape)
    rows.sort_indices()
    terms = rows.indices.astype(np.int32)
    return ImpactVectors(vectors.ids, vectors.indptr, terms, Vocabulary(number_of), rows.data)


def split(indptr: NDArray[np.int64], *columns: NDArray[Any]) -> Iterator[Any]:
    """Of each row a tuple: its part of each column."""
    return zip(*(np.split(column, indptr[1:-1]) for column in columns), strict=True)


@dataclass(frozen=True)
class Asked:
    """What engines are asked.

    folder: holds what else there is. queries: over the vocabulary of the documents. texts: of the queries, where they
    were texts. documents: how many are searched.
    """

    folder: Path
    queries: ImpactVectors
    texts: Sequence[str]
    documents: int

    @staticmethod
    def write(queries: ImpactVectors, texts: Sequence[str], folder: Path) -> None:
        """Write them beside the documents."""
        np.savez(folder / "queries.npz", indptr=queries.indptr, terms=queries.terms, impacts=queries.impacts)
        (folder / "queries.json").write_text(json.dumps([list(queries.ids), list(texts)]), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> "Asked":
        """Read them back."""
        arrays = np.load(folder / "queries.npz")
        ids, texts = json.loads((folder / "queries.json").read_text(encoding="utf-8"))
        rows = ImpactVectors(ids, arrays["indptr"], arrays["terms"], _read_vocabulary(folder), arrays["impacts"])
        return cls(folder, rows, texts, len(np.load(folder / "indptr.npy", mmap_mode="r")) - 1)

    def dicts(self) -> list[dict[str, float]]:
        """Each query as {term: impact}."""
        rows = map(self.queries.row, range(len(self.queries)))
        return [{term: float(impact) for term, impact in row.items()} for row in rows]

    def arrays(self) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Each query as term ids and float impacts."""
        return list(split(self.queries.indptr, self.queries.terms, self.queries.impacts.astype(np.float32)))


def prepare(
    vectors: "Collection", folder: Path, texts: str | None = None, query_texts: str | None = None, most: int = 0
) -> float:
    """Write documents and queries for `benchmarks.peers`: the collection's queries, or what is made of texts.

    Args:
        vectors: documents, and queries if there are no texts.
        folder: an empty one.
        texts: an INPUT, of the documents.
        query_texts: an INPUT, of the queries.
        most: query texts that are taken.

    Returns:
        What the impacts of documents were divided by.
    """
    asked = vectors.queries
    terms = asked.vocabulary.terms if asked is not None else tokenizer().vocabulary.terms
    divisor = Documents.write(vectors.documents, folder, terms)
    documents = Documents(folder)
    typed: dict[str, str] = {}
    if texts is not None and query_texts is not None:
        if [doc.doc_id for doc in read_documents(texts)] != documents.ids:
            raise SystemExit(
                f"--vectors has other documents than {texts}, or in another order: encode that file as it is"
            )
        found = list(islice(read_queries(query_texts), most))
        asked = inference_free(found, documents, folder)
        typed = {query.query_id: query.text for query in found}
    assert asked is not None
    queries = answerable(asked, documents)
    Asked.write(queries, [typed[query_id] for query_id in queries.ids] if typed else [], folder)
    return divisor


def answerable(queries: ImpactVectors, documents: Documents) -> ImpactVectors:
    """The queries over the documents' vocabulary, without terms that no document has, which not every engine takes.

    Those that have no other terms are left out.
    """
    frequencies = _document_frequencies(documents)
    number_of = {term: number for number, term in enumerate(documents.vocabulary.terms)}
    known = renumbered(queries, number_of)
    kept = frequencies[known.terms] > 0
    lengths = np.diff(np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])[known.indptr])
    rows = np.flatnonzero(lengths)
    if not len(rows):
        raise SystemExit("no query has a term that a document has")
    indptr = np.concatenate([[0], np.cumsum(lengths[rows])])
    ids = [known.ids[row] for row in rows.tolist()]
    return ImpactVectors(ids, indptr, known.terms[kept], documents.vocabulary, known.impacts[kept])


def _document_frequencies(documents: Documents) -> NDArray[np.int64]:
    """(V,) how many documents have each term."""
    counts = np.zeros(len(documents.vocabulary), np.int64)
    for batch in documents.batches():
        counts += np.bincount(batch.terms, minlength=len(counts))
    return counts


def inference_free(queries: Sequence[Query], documents: Documents, folder: Path) -> ImpactVectors:
    """The impacts of query texts: log(1 + (N - df + .5) / (df + .5)) for a term that is in df of the N documents.

    The table is kept in the folder, beside the documents, for the engine that is asked with texts.
    """
    counts = _document_frequencies(documents)
    idf = np.log1p((len(documents) - counts + 0.5) / (counts + 0.5)) * (counts > 0)
    table = dict(zip(documents.vocabulary.terms, idf.tolist(), strict=True))
    (folder / "idf.json").write_text(json.dumps(table), encoding="utf-8")
    encoder = inference_free_encoder(folder)
    return Quantizer(QUERY_SCALE)(
        encoder.encode((each.text for each in queries), ids=[each.query_id for each in queries])
    )


def tokenizer() -> "Tokenizer":
    """The default model's."""
    from splade_lucene.encoding.encoder import DEFAULT_MODEL
    from splade_lucene.encoding.tokenizer import Tokenizer

    return Tokenizer.load(DEFAULT_MODEL / "tokenizer.json", 512)


def inference_free_encoder(folder: Path) -> "IdfEncoder":
    """What makes weights of query texts: a table of the default model's terms, kept beside the documents."""
    from splade_lucene.encoding.table_encoder import IdfEncoder

    return IdfEncoder(tokenizer(), json.loads((folder / "idf.json").read_text(encoding="utf-8")), missing=0.0)


class Truth:
    """What brute force finds: score = sum over terms of query impact * document impact, in whole numbers.

    Attributes:
        best: of each query the highest scores above 0, descending, as many as are ever asked for.
    """

    def __init__(self, documents: Documents, queries: ImpactVectors, most: int) -> None:
        self._documents = documents
        self._queries = _matrix(queries)
        asked = self._queries.T.tocsc()
        best: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(queries)
        for batch in documents.batches():
            scores = (_matrix(batch) @ asked).tocsc()  # (B, Q)
            for query in range(len(queries)):
                found = scores.data[scores.indptr[query] : scores.indptr[query + 1]]
                merged = np.concatenate([best[query], found])
                best[query] = np.partition(merged, -most)[-most:] if len(merged) > most else merged
        self.best = [np.sort(scores)[::-1] for scores in best]

    def scores(self, query: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The scores of these documents."""
        weights = self._queries[[query]].toarray()[0]
        scores: NDArray[np.int64] = _matrix(self._documents.select(numbers)) @ weights
        return scores


def _matrix(vectors: ImpactVectors) -> Any:
    """(N, V) impacts, a csr_array of int64."""
    arrays = (vectors.impacts.astype(np.int64), vectors.terms, vectors.indptr)
    return csr_array(arrays, shape=(len(vectors), len(vectors.vocabulary)))
