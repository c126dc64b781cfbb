"""Scores of teachers for training examples: computed in shards that are kept, so that what was scored once stays so.

Imports neither torch nor a JVM: networks stand in `teaching_networks`, and BM25 is a function that is given. Laws: a
score depends on the query, the document and the teacher alone, up to the rounding of the device, not on what is scored
beside it; a run that was stopped at any moment, called again, goes on from its last whole shard.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from splade_lucene.errors import ConfigError, EncoderError, FormatError
from splade_lucene.files import replacing
from splade_lucene.training.examples import SCORES, TextStore, TrainingExamples
from splade_lucene.vectors import Encoder, EncoderIdentity, TermVectors

SHARD_PAIRS = 2_048  # as many are lost at most when a run is stopped


class Candidates(NamedTuple):
    """A query and the N documents that are scored for it, by id and by text."""

    query_id: str
    query: str
    doc_ids: tuple[str, ...]
    documents: list[str]


class Teacher(Protocol):
    """Whatever scores documents for queries.

    identity: two teachers of one identity give the same scores, up to the rounding of the device.
    """

    identity: str

    def __call__(self, questions: Sequence[Candidates], /) -> list[NDArray[np.float32]]:
        """(N,) scores of each query's candidates, in their order."""
        ...


def score_examples(
    examples: TrainingExamples,
    teacher: Teacher,
    queries: TextStore,
    documents: TextStore,
    cache: Path,
    *,
    name: str,
    shard_pairs: int = SHARD_PAIRS,
    progress: Callable[[int], None] = lambda count: None,
) -> TrainingExamples:
    """The examples with a column `scores.NAME`: the teacher's scores as they are, of positives and then negatives.

    Args:
        examples: what is scored; they keep the scores that they have.
        teacher: who scores.
        queries: their texts.
        documents: their texts.
        cache: a folder of shards. Each is named by a hash of the teacher's identity, ids and texts, so that a shard is
            found again whichever examples stand before it; it may be removed at any time.
        name: what the scores are called.
        shard_pairs: queries are put into a shard until it has so many pairs.
        progress: called with the number of pairs that are done, for those found done already too.

    Raises:
        ConfigError: there are scores of this name, or an id without text. EncoderError: a score is not finite.
        FormatError: a shard is damaged.
    """
    if name in examples.teachers:
        raise ConfigError(f"the examples have scores of {name} already; give these another name")
    queries.check(examples.table["query_id"].to_pylist())
    documents.check(examples.documents())
    scores: list[NDArray[np.float32]] = []
    for shard in _shards(examples, queries, documents, shard_pairs):
        scores += _scored(shard, teacher, cache / f"{_digest(teacher.identity, shard)}.parquet")
        progress(sum(len(each.doc_ids) for each in shard))
    return TrainingExamples(examples.table.append_column(f"{SCORES}{name}", _lists(scores)))


def _shards(
    examples: TrainingExamples, queries: TextStore, documents: TextStore, pairs: int
) -> Iterator[list[Candidates]]:
    """The examples with their texts, in order."""
    shard: list[Candidates] = []
    held = 0
    for example in examples:
        doc_ids = example.positives + example.negatives
        texts = [documents[doc_id] for doc_id in doc_ids]
        shard.append(Candidates(example.query_id, queries[example.query_id], doc_ids, texts))
        held += len(doc_ids)
        if held >= pairs:
            yield shard
            shard, held = [], 0
    if shard:
        yield shard


def _digest(identity: str, shard: Sequence[Candidates]) -> str:
    """24 hex digits of SHA-256 over all that decides the scores."""
    digest = hashlib.sha256()
    parts = ([each.query_id, each.query, *each.doc_ids, *each.documents] for each in shard)
    for given in ([identity], *parts):
        digest.update(len(given).to_bytes(8, "little"))
        for part in given:
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()[:24]


def _scored(shard: Sequence[Candidates], teacher: Teacher, file: Path) -> list[NDArray[np.float32]]:
    """The scores of a shard: read, or computed and written."""
    if file.exists():
        try:
            return [np.asarray(row.values, dtype=np.float32) for row in pq.read_table(file)["scores"]]
        except pa.ArrowInvalid as error:
            raise FormatError(f"{file}: these scores cannot be read ({error}); remove the file") from error
    scores = teacher(shard)
    for each, found in zip(shard, scores, strict=True):
        if not np.isfinite(found).all():
            worst = int(np.argmin(np.isfinite(found)))
            raise EncoderError(
                f"query {each.query_id!r}, document {each.doc_ids[worst]!r}: the teacher's score is {found[worst]}, "
                "and nothing can be learned from that; try --precision fp32, or another teacher"
            )
    table = pa.table({"query_id": [each.query_id for each in shard], "scores": _lists(scores)})
    with replacing(file) as part:
        pq.write_table(table, part, compression="zstd")
    return scores


def _lists(scores: Sequence[NDArray[np.float32]]) -> pa.ListArray:
    offsets = np.cumsum([0, *map(len, scores)], dtype=np.int32)
    values = np.concatenate([np.zeros(0, np.float32), *scores])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, pa.float32()))


# Teachers without a network of their own


class _Vector(NamedTuple):
    """A text's vector: its weights, and where in the whole they stand; everywhere for a dense one."""

    at: NDArray[np.int32] | slice
    weights: NDArray[np.float32]


Encode = Callable[[list[str]], TermVectors | NDArray[np.float32]]
"""N texts → N vectors, sparse or (N, D) dense."""


class DotProducts:
    """score = q · d of a bi-encoder's vectors, sparse or dense.

    Each distinct text is encoded once. Memory: the vectors of all texts that were met, 8 bytes a term of a sparse one
    and 4 bytes a dimension of a dense one.

    Args:
        queries: encodes queries.
        documents: encodes documents.
        identity: who made the vectors.
        width: of a vector: terms of the vocabulary, or dimensions.
    """

    def __init__(self, queries: Encode, documents: Encode, *, identity: str, width: int) -> None:
        self.identity = identity
        self._encode = (queries, documents)
        self._known: tuple[dict[bytes, _Vector], dict[bytes, _Vector]] = ({}, {})
        self._width = width

    @classmethod
    def of_sparse(cls, queries: Encoder, documents: Encoder) -> "DotProducts":
        """Two encoders of ours, which may be one and the same.

        Raises:
            EncoderError: they have different vocabularies.
        """
        if queries.vocabulary.fingerprint != documents.vocabulary.fingerprint:
            raise EncoderError(
                f"{queries.identity} and {documents.identity} have different vocabularies; their terms cannot meet"
            )
        identity = f"sparse {_nameless(queries.identity)} {_nameless(documents.identity)}"
        return cls(queries.encode, documents.encode, identity=identity, width=len(documents.vocabulary))

    def __call__(self, questions: Sequence[Candidates]) -> list[NDArray[np.float32]]:
        """Encode what was not met before, and multiply."""
        queries = self._vectors(0, [each.query for each in questions])
        documents = self._vectors(1, [text for each in questions for text in each.documents])
        scores = []
        for each in questions:
            whole = np.zeros(self._width, dtype=np.float32)
            query = queries[_key(each.query)]
            whole[query.at] = query.weights
            candidates = [documents[_key(text)] for text in each.documents]
            scores.append(np.array([whole[of.at] @ of.weights for of in candidates], dtype=np.float32))
        return scores

    def _vectors(self, side: int, texts: Sequence[str]) -> dict[bytes, _Vector]:
        """The vectors of all texts that were met on this side, these among them."""
        known = self._known[side]
        if fresh := {key: text for text in texts if (key := _key(text)) not in known}:
            known.update(zip(fresh, _rows(self._encode[side](list(fresh.values()))), strict=True))
        return known


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _rows(vectors: TermVectors | NDArray[np.float32]) -> Iterator[_Vector]:
    if not isinstance(vectors, TermVectors):
        yield from (_Vector(slice(None), row) for row in vectors)
        return
    for start, end in zip(vectors.indptr, vectors.indptr[1:], strict=False):
        yield _Vector(vectors.terms[start:end], vectors.weights[start:end])


def _nameless(identity: EncoderIdentity) -> str:
    """All but the name: a folder that was moved is the same model."""
    settings = asdict(identity)
    del settings["name"]
    return json.dumps(settings)


class Bm25:
    """BM25, by a function (query's text, doc_ids) → {doc_id: score}; a document that it leaves out scores 0.

    Args:
        search: the function.
        identity: of the collection whose statistics it knows.
    """

    def __init__(self, search: Callable[[str, Sequence[str]], Mapping[str, float]], *, identity: str) -> None:
        self.identity = f"bm25 {identity}"
        self._search = search

    def __call__(self, questions: Sequence[Candidates]) -> list[NDArray[np.float32]]:
        """A search a query."""
        found = [(each.doc_ids, self._search(each.query, each.doc_ids)) for each in questions]
        return [
            np.array([scores.get(doc_id, 0.0) for doc_id in doc_ids], dtype=np.float32) for doc_ids, scores in found
        ]
