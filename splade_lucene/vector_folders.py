"""Vectors that `encode` wrote: folders of Parquet shards, read as a stream of batches.

One process writes a `VectorFolder`; where several did, their folders lie beside each other and are `VectorParts`. May
import `errors`, `files`, `datasets` and `vectors`. Law: `read(write(x)) == x`; with weights in float16 it is x rounded
to float16.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from splade_lucene.datasets import Passages
from splade_lucene.errors import ConfigError, FormatError, WeightError
from splade_lucene.files import replacing, writing_text
from splade_lucene.vectors import EncoderIdentity, TermVectors, Vocabulary

WeightType = Literal["float32", "float16"]

_PART_FOLDER = re.compile(r"part-([1-9]\d{0,8})-of-([1-9]\d{0,8})")


def open_vectors(path: Path) -> "VectorFolder | VectorParts | None":
    """What `encode` left in a folder, whole or in parts; None where the vectors are another program's.

    Raises:
        FormatError: a record is damaged, a part is missing, unfinished or of another encoding, or the folder is itself
            a part.
    """
    if VectorFolder.is_one(path):
        folder = VectorFolder.open(path)
        if folder.part is not None:
            raise FormatError(
                f"{path} is part {folder.part} of an encoding; give the folder that holds all {folder.part.parts} parts"
            )
        return folder
    return VectorParts.open(path) if part_folders(path) else None


@dataclass(frozen=True)
class Part:
    """One of several processes that encode one input together: of its shards s = 0, 1, …, those with s % parts = i - 1.

    number: i, from 1 to `parts`.

    Raises:
        ConfigError: the number is not among them.
    """

    number: int
    parts: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.parts:
            raise ConfigError(f"there is no part {self.number} of {self.parts}; parts are i/n with i from 1 to n")

    def __str__(self) -> str:
        return f"{self.number} of {self.parts}"

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read `i/n`."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if found is None:
            raise ConfigError(f"{text!r} is no part; parts are i/n with i from 1 to n, 2/4 for one")
        return cls(int(found[1]), int(found[2]))

    @property
    def folder(self) -> str:
        """The name of its folder within the output."""
        return f"part-{self.number}-of-{self.parts}"

    def takes(self, shard: int) -> bool:
        """Whether shard s, counted from 0, is this part's."""
        return shard % self.parts == self.number - 1

    def share(self, records: int, shard_size: int) -> int:
        """How many of so many records are this part's."""
        firsts = range((self.number - 1) * shard_size, records, self.parts * shard_size)
        return sum(min(shard_size, records - first) for first in firsts)

    def split(self, count: int) -> list["Part"]:
        """The parts that share this part's shards among `count` processes."""
        return [Part(self.number + self.parts * each, self.parts * count) for each in range(count)]


def part_folders(path: Path) -> dict[Part, Path]:
    """The parts of an encoding that are in a folder, by their names."""
    if not path.is_dir():
        return {}
    names = {file: _PART_FOLDER.fullmatch(file.name) for file in path.iterdir()}
    return {Part(int(name[1]), int(name[2])): file for file, name in sorted(names.items()) if name is not None}


@dataclass(frozen=True)
class Shard:
    """One finished Parquet file of a vector folder."""

    file: str
    documents: int
    digest: str  # of the ids and texts that went in, so that a resumed run can tell that the input is the same
    truncated: int
    empty: int
    dropped: int = 0  # weights > 0 that float16 rounds to 0


@dataclass(frozen=True)
class VectorFolder:
    """A folder written by `encode`: `vectors.json` (this record), `vocabulary.json` and Parquet shards.

    A shard has the columns `id` (string), `terms` (list of int32) and `weights` (list of float32 or float16). The
    record is rewritten after each whole shard, so that a killed run loses at most the shard it was in. Neither holds
    times or names of processes: the same encoding has the same bytes.

    weights: what the shards store. passages: how documents were cut, None where they were not. scale: of the preset
    that the encoding was made with, for impacts; None where none was named. part: which shards of the input these are;
    None for all. total, input_digest: the records of the whole input and a hash of them, other parts' too, known once
    it is complete.
    """

    path: Path
    encoder: EncoderIdentity
    source: str
    shard_size: int
    shards: tuple[Shard, ...] = ()
    complete: bool = False
    weights: WeightType = "float32"
    passages: Passages | None = None
    scale: float | None = None
    part: Part | None = None
    total: int | None = None
    input_digest: str | None = None

    RECORD: ClassVar[str] = "vectors.json"
    VOCABULARY: ClassVar[str] = "vocabulary.json"
    FORMAT_VERSION: ClassVar[int] = 2

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
            if record.pop("format_version") > cls.FORMAT_VERSION:
                raise FormatError(f"{where}: written by a newer splade-lucene; upgrade, or encode again")
            record["encoder"] = EncoderIdentity(**record["encoder"])
            record["shards"] = tuple(Shard(**shard) for shard in record["shards"])
            for name, made in (("passages", Passages), ("part", Part)):
                record[name] = made(**record[name]) if record.get(name) is not None else None
            if record.get("weights", "float32") not in get_args(WeightType):
                raise FormatError(f"{where}: weights of type {record['weights']!r}; upgrade splade-lucene")
            return cls(path=path, **record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise FormatError(f"{where}: not a record of encoded vectors ({error})") from error

    def save(self) -> None:
        """Write the record; it replaces the last one whole."""
        record: dict[str, Any] = {"format_version": self.FORMAT_VERSION}
        record |= {each.name: getattr(self, each.name) for each in fields(self) if each.name != "path"}
        record["shards"] = [asdict(shard) for shard in self.shards]
        for name in ("encoder", "passages", "part"):
            record[name] = asdict(record[name]) if record[name] is not None else None
        with writing_text(self.path / self.RECORD) as file:
            json.dump(record, file, indent=1)

    @property
    def documents(self) -> int:
        """How many vectors the whole shards hold."""
        return sum(shard.documents for shard in self.shards)

    def place(self, shard: int) -> int | None:
        """Where shard s of the input stands among this folder's shards; None if another part has it."""
        if self.part is None:
            return shard
        return shard // self.part.parts if self.part.takes(shard) else None

    def unlike(self, other: "VectorFolder", *more: str) -> str | None:
        """What this encoding has and not the other, for messages; None where they are alike.

        Compared are the encoder, but for the name it was called by, how texts were cut and weights stored, and `more`.
        """
        for name in ("encoder", "passages", "weights", "scale", *more):
            mine, others = getattr(self, name), getattr(other, name)
            if name == "encoder":
                which = [each.name for each in fields(mine) if getattr(mine, each.name) != getattr(others, each.name)]
                if which not in ([], ["name"]):
                    return f"the encoder {mine}, not {others}; they differ in {', '.join(which)}"
            elif mine != others:
                return f"the {name.replace('_', ' ')} {mine}, not {others}"
        return None

    def discard(self) -> None:
        """Remove a folder that was begun and has no shards."""
        for name in (self.RECORD, self.VOCABULARY):
            (self.path / name).unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def write_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Write the terms that the shards' term ids stand for."""
        with writing_text(self.path / self.VOCABULARY) as file:
            json.dump(vocabulary.terms, file, ensure_ascii=False)

    def write_shard(self, name: str, vectors: TermVectors) -> TermVectors:
        """Write one shard, which appears whole or not at all, and return it as it will be read.

        Raises:
            WeightError: a weight is beyond float16, where the shards store that.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.weights == "float16":
            vectors = _as_float16(vectors)
        weights = pa.array(vectors.weights.astype(self.weights))
        indptr = pa.array(vectors.indptr, pa.int32())
        columns = {
            "id": pa.array(vectors.ids, pa.string()),
            "terms": pa.ListArray.from_arrays(indptr, pa.array(vectors.terms)),
            "weights": pa.ListArray.from_arrays(indptr, weights),
        }
        with replacing(self.path / name) as part:
            pq.write_table(pa.table(columns), part, compression="zstd")
        return vectors

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
        vocabulary = self.read_vocabulary()
        for shard in self.shards:
            yield self.read_shard(shard, vocabulary)

    def read_vocabulary(self) -> Vocabulary:
        """The terms that the shards' term ids stand for.

        Raises:
            FormatError: the file is missing, damaged, or of another encoder.
        """
        file = self.path / self.VOCABULARY
        try:
            vocabulary = Vocabulary(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise FormatError(f"{file}: missing or damaged ({error}); encode again") from error
        if vocabulary.fingerprint != self.encoder.vocabulary:
            raise FormatError(f"{file}: not the vocabulary that the shards were written with")
        return vocabulary

    def read_shard(self, shard: Shard, vocabulary: Vocabulary) -> TermVectors:
        """One shard; weights are float32 whatever is stored.

        Raises:
            FormatError: the file is missing, damaged, or holds another number of vectors than the record says.
        """
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
                weights=weights.values.to_numpy().astype(np.float32, copy=False),
            )
        except (OSError, pa.ArrowException, KeyError, IndexError, ValueError) as error:
            raise FormatError(
                f"{self.path / shard.file}: missing or damaged ({error}); delete the folder, encode again"
            ) from error
        if len(vectors) != shard.documents:
            raise FormatError(f"{self.path / shard.file}: {len(vectors)} vectors, the record says {shard.documents}")
        return vectors


def _as_float16(vectors: TermVectors) -> TermVectors:
    """The weights rounded to float16, those that become 0 dropped."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = vectors.weights.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        wrong = vectors.describe(int(np.argmin(np.isfinite(rounded))))
        raise WeightError(f"{wrong} is beyond float16, which ends at 65,504; store the weights as float32")
    kept = (rounded > 0) | (vectors.weights == 0)
    kept_before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    return TermVectors(vectors.ids, kept_before[vectors.indptr], vectors.terms[kept], vectors.vocabulary, rounded[kept])


@dataclass(frozen=True)
class VectorParts:
    """A folder of folders `part-i-of-n`, one input encoded by n processes: together the encoding of one.

    Parts come from other machines as whole folders; to copy them beside each other is to merge them.
    """

    path: Path
    folders: tuple[VectorFolder, ...]

    @classmethod
    def open(cls, path: Path) -> "VectorParts":
        """Read the records of all parts.

        Raises:
            FormatError: naming the part that is missing, unfinished, damaged, or of another encoding than the first.
        """
        found = part_folders(path)
        first = min(found, key=lambda part: (part.parts, part.number))
        if others := [part for part in found if part.parts != first.parts]:
            raise FormatError(
                f"{path} holds {first.folder} and {others[0].folder}, which are parts of two encodings; keep one's"
            )
        folders = []
        for number in range(1, first.parts + 1):
            part = Part(number, first.parts)
            if part not in found:
                raise FormatError(f"{path}: {part.folder} is missing; encode it with --shard {number}/{first.parts}")
            folder = VectorFolder.open(found[part])
            folders.append(folder)
            cls._check(folder, part, folders[0])
        if sum(folder.documents for folder in folders) != folders[0].total:
            counts = ", ".join(f"{folder.documents:,}" for folder in folders)
            raise FormatError(f"{path}: its parts hold {counts} vectors, the input has {folders[0].total:,} texts")
        return cls(path, tuple(folders))

    @staticmethod
    def _check(folder: VectorFolder, part: Part, first: VectorFolder) -> None:
        if folder.part != part:
            raise FormatError(f"{folder.path}: by its record it is part {folder.part}; do not rename parts")
        if not folder.complete:
            raise FormatError(
                f"{folder.path}: this part is not finished ({folder.documents:,} vectors so far); "
                "run the same `splade-lucene encode` again, it goes on where it stopped"
            )
        if difference := folder.unlike(first, "shard_size", "total", "input_digest"):
            raise FormatError(
                f"{folder.path} was encoded otherwise than {first.path.name}, with {difference}: encode all parts "
                "alike, of the same input"
            )

    @property
    def encoder(self) -> EncoderIdentity:
        """Who made the vectors."""
        return self.folders[0].encoder

    @property
    def passages(self) -> Passages | None:
        """How documents were cut."""
        return self.folders[0].passages

    @property
    def scale(self) -> float | None:
        """Of the preset that the encoding was made with."""
        return self.folders[0].scale

    @property
    def documents(self) -> int:
        """How many vectors all parts hold."""
        return sum(folder.documents for folder in self.folders)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """All shards, in the order of the input."""
        return tuple(shard for _, shard in self._in_order())

    def _in_order(self) -> Iterator[tuple[VectorFolder, Shard]]:
        """Shard s of the input is the next of part s % n."""
        for row in zip_longest(*(folder.shards for folder in self.folders)):
            yield from ((folder, shard) for folder, shard in zip(self.folders, row, strict=True) if shard is not None)

    def read(self) -> Iterator[TermVectors]:
        """Stream the shards in the order of the input, one batch each.

        Raises:
            FormatError: a file is missing or damaged.
        """
        vocabulary = self.folders[0].read_vocabulary()
        for folder, shard in self._in_order():
            yield folder.read_shard(shard, vocabulary)
