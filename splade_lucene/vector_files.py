"""Vectors on disk, in three forms: read as a stream of batches, written whole or not at all.

Our own folders of Parquet shards (`VectorFolder`), Anserini's JSONL (`{"id": …, "contents": …, "vector": {term:
weight}}`), and Anserini's TSV of queries, each term repeated impact times. May import `errors`, `files`, `datasets` and
`vectors`. Law: `read(write(x)) == x`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from splade_lucene.datasets import check_ids, field
from splade_lucene.errors import FormatError, WeightError
from splade_lucene.files import kind, read_json_lines, read_lines, replacing, writing_text
from splade_lucene.vectors import EncoderIdentity, ImpactVectors, TermVectors, Vocabulary

BATCH_SIZE = 5_000  # documents handed to Lucene at a time; measured flat from 2,000 to 20,000


def read_vectors(path: Path, *, batch_size: int = BATCH_SIZE) -> Iterator[TermVectors]:
    """Stream the vectors of a folder of ours, of Anserini's JSONL (`.jsonl`, `.json`), or of its TSV (`.tsv`).

    Files may be gzipped, and a folder may also hold Anserini's JSONL files.

    Raises:
        FormatError: naming file and line. WeightError: a weight is NaN, infinite or negative.
    """
    if path.is_dir() and not VectorFolder.is_one(path):
        files = sorted(file for file in path.iterdir() if kind(file) in (".jsonl", ".json"))
        if not files:
            raise FormatError(f"{path}: neither a folder written by `splade-lucene encode` nor one of JSONL files")
        for file in files:
            yield from _batches(_read_jsonl(file), batch_size, source=file)
    elif path.is_dir():
        yield from VectorFolder.open(path).read()
    elif kind(path) == ".tsv":
        yield from _batches(_read_tsv(path), batch_size, source=path)
    elif kind(path) in (".jsonl", ".json") or not path.exists():
        yield from _batches(_read_jsonl(path), batch_size, source=path)
    else:
        raise FormatError(f"{path}: vectors are read from a folder, .jsonl or .tsv (each also .gz)")


def _read_jsonl(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for where, record in read_json_lines(path):
        row_id = field(record, ("id", "_id", "doc_id", "query_id"), where=where)
        vector = record.get("vector")
        if not isinstance(vector, dict):
            raise FormatError(f"{where}: no field 'vector' with an object of term: weight")
        if not set(map(type, vector.values())) <= {int, float}:
            wrong = next(term for term, weight in vector.items() if type(weight) not in (int, float))
            raise FormatError(f"{where}: the weight of term {wrong!r} is not a number: {vector[wrong]!r}")
        yield where, row_id, vector


def _read_tsv(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for number, line in read_lines(path):
        query_id, tab, repeated = line.partition("\t")
        if not tab:
            raise FormatError(f"{path}:{number}: 'query_id<TAB>term term …' was expected, found no tab")
        yield f"{path}:{number}", query_id, dict(Counter(repeated.split()))


def _batches(records: Iterator[tuple[str, str, dict[str, Any]]], size: int, *, source: Path) -> Iterator[TermVectors]:
    while batch := list(islice(records, size)):
        rows: dict[str, dict[str, Any]] = {}
        for where, row_id, vector in batch:
            check_ids([row_id], where=where)
            if row_id in rows:
                raise FormatError(f"{where}: the id {row_id!r} was there before")
            rows[row_id] = vector
        try:
            yield TermVectors.from_rows(rows)
        except WeightError as error:
            raise WeightError(f"{source}: {error}") from error
        except OverflowError as error:  # a whole number beyond float64
            raise WeightError(f"{source}: a weight is too large ({error})") from error


def write_jsonl(path: Path, batches: Iterable[ImpactVectors]) -> int:
    """Write impacts as Anserini's JSONL, a document a line, and return how many; it appears whole or not at all."""
    count = 0
    with writing_text(path) as file:
        for batch in batches:
            for number, row_id in enumerate(batch.ids):
                record = {"id": row_id, "contents": "", "vector": batch.row(number)}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += len(batch)
    return count


def write_query_tsv(path: Path, queries: ImpactVectors) -> None:
    """Write query impacts as Anserini's topics: `query_id<TAB>` and each term repeated impact times.

    Raises:
        WeightError: a term is empty or holds white space, which this form cannot carry.
    """
    with writing_text(path) as file:
        for number, query_id in enumerate(queries.ids):
            row = queries.row(number)
            refuse_unrepeatable(row)
            file.write(query_id + "\t" + " ".join(" ".join([term] * impact) for term, impact in row.items()) + "\n")


def refuse_unrepeatable(terms: Iterable[str]) -> None:
    """Refuse terms that Anserini's whitespace-separated pseudo-texts would change.

    Raises:
        WeightError: naming a term that is empty, holds white space, or is longer than the 255 characters at which
            Lucene's WhitespaceTokenizer cuts (anserini#1843).
    """
    for term in terms:
        if len(term.split()) != 1 or term != term.strip() or len(term) > 255:
            raise WeightError(
                f"the term {term[:40]!r} cannot be written by repetition: it is empty, holds white space or is longer "
                "than 255 characters; use the form `impacts`"
            )


@dataclass(frozen=True)
class Shard:
    """One finished Parquet file of a vector folder."""

    file: str
    documents: int
    digest: str  # of the ids and texts that went in, so that a resumed run can tell that the input is the same
    truncated: int
    empty: int


@dataclass(frozen=True)
class VectorFolder:
    """A folder written by `encode`: `vectors.json` (this record), `vocabulary.json` and Parquet shards.

    A shard has the columns `id` (string), `terms` (list of int32) and `weights` (list of float32). The record is
    rewritten after each whole shard, so that a killed run loses at most the shard it was in.
    """

    path: Path
    encoder: EncoderIdentity
    source: str
    shard_size: int
    shards: tuple[Shard, ...] = ()
    complete: bool = False

    RECORD: ClassVar[str] = "vectors.json"
    VOCABULARY: ClassVar[str] = "vocabulary.json"
    FORMAT_VERSION: ClassVar[int] = 1

    @classmethod
    def is_one(cls, path: Path) -> bool:
        """Whether a folder was written by `encode`."""
        return (path / cls.RECORD).is_file()

    @classmethod
    def open(cls, path: Path) -> "VectorFolder":
        """Read the record of a folder.

        Raises:
            FormatError: it is missing, damaged, or of a newer version.
        """
        where = path / cls.RECORD
        try:
            record = json.loads(where.read_text(encoding="utf-8"))
            if record.pop("format_version") != cls.FORMAT_VERSION:
                raise FormatError(f"{where}: written by another version of splade-lucene; encode again, or upgrade")
            record["encoder"] = EncoderIdentity(**record["encoder"])
            record["shards"] = tuple(Shard(**shard) for shard in record["shards"])
            return cls(path=path, **record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"{where}: not a record of encoded vectors ({error})") from error

    def save(self) -> None:
        """Write the record; it replaces the last one whole."""
        record = {"format_version": self.FORMAT_VERSION}
        record |= {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in ("path", "encoder", "shards")
        }
        record |= {"encoder": asdict(self.encoder), "shards": [asdict(shard) for shard in self.shards]}  # type: ignore[dict-item]
        with writing_text(self.path / self.RECORD) as file:
            json.dump(record, file, indent=1)

    @property
    def documents(self) -> int:
        """How many vectors the whole shards hold."""
        return sum(shard.documents for shard in self.shards)

    def write_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Write the terms that the shards' term ids stand for."""
        with writing_text(self.path / self.VOCABULARY) as file:
            json.dump(vocabulary.terms, file, ensure_ascii=False)

    def write_shard(self, name: str, vectors: TermVectors) -> None:
        """Write one shard; it appears whole or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            "id": pa.array(vectors.ids, pa.string()),
            "terms": pa.ListArray.from_arrays(pa.array(vectors.indptr, pa.int32()), pa.array(vectors.terms)),
            "weights": pa.ListArray.from_arrays(pa.array(vectors.indptr, pa.int32()), pa.array(vectors.weights)),
        }
        with replacing(self.path / name) as part:
            pq.write_table(pa.table(columns), part, compression="zstd")

    def read(self) -> Iterator[TermVectors]:
        """Stream the shards, one batch each.

        Raises:
            FormatError: the encoding is not finished, or a file is missing or damaged.
        """
        if not self.complete:
            raise FormatError(
                f"{self.path}: the encoding is not finished ({self.documents:,} vectors so far); "
                "run the same `splade-lucene encode` again, it goes on where it stopped"
            )
        try:
            vocabulary = Vocabulary(json.loads((self.path / self.VOCABULARY).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise FormatError(f"{self.path / self.VOCABULARY}: missing or damaged ({error}); encode again") from error
        if vocabulary.fingerprint != self.encoder.vocabulary:
            raise FormatError(f"{self.path / self.VOCABULARY}: not the vocabulary that the shards were written with")
        for shard in self.shards:
            yield self._read_shard(shard, vocabulary)

    def _read_shard(self, shard: Shard, vocabulary: Vocabulary) -> TermVectors:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.path / shard.file).combine_chunks()
            terms, weights = (table.column(name).chunk(0) for name in ("terms", "weights"))
            vectors = TermVectors(
                ids=table.column("id").to_pylist(),
                indptr=terms.offsets.to_numpy().astype(np.int64),
                terms=terms.values.to_numpy(),
                vocabulary=vocabulary,
                weights=weights.values.to_numpy(),
            )
        except (OSError, pa.ArrowException, KeyError, IndexError, ValueError) as error:
            raise FormatError(
                f"{self.path / shard.file}: missing or damaged ({error}); delete the folder, encode again"
            ) from error
        if len(vectors) != shard.documents:
            raise FormatError(f"{self.path / shard.file}: {len(vectors)} vectors, the record says {shard.documents}")
        return vectors
