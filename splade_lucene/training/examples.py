"""Training examples: queries, with documents that answer them and documents that do not, and teachers' scores of both.

Texts are named, not held: an example is ids and numbers, and the texts come from a `TextStore`. Imports neither torch
nor a JVM. Laws: `TrainingExamples.read(write(x)) == x`; whatever a training step sees follows from the seed and the
number of the draw alone, so that a run that goes on after a stop sees what it would have seen.
"""

import hashlib
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from splade_lucene.datasets import Doc, Query
from splade_lucene.errors import ConfigError, FormatError
from splade_lucene.files import replacing

SCORES = "scores."  # columns of teachers' scores begin with it


@dataclass(frozen=True)
class Example:
    """A query with what answers it and what does not.

    scores: teacher → one score for each of positives and negatives, in this order.
    """

    query_id: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class TrainingExamples(Sequence[Example]):
    """Examples in columns: query_id, positives, negatives, and `scores.TEACHER` for each teacher.

    Memory: what Arrow takes for the ids and 4 bytes a score.

    Raises:
        FormatError: a query has no positive, a document is both, or a teacher has scored other documents.
    """

    def __init__(self, table: pa.Table, *, where: str = "the examples") -> None:
        if missing := {"query_id", "positives", "negatives"} - set(table.column_names):
            raise FormatError(f"{where}: no column {', '.join(sorted(missing))}; they are no training examples")
        self.table = table.combine_chunks()
        self.teachers = [name.removeprefix(SCORES) for name in table.column_names if name.startswith(SCORES)]
        self._check(where)

    def _check(self, where: str) -> None:
        wrong = self._wrong_rows()
        if not len(wrong):
            return
        example = self[int(wrong[0])]
        place = f"{where}: query {example.query_id!r}"
        if not example.positives:
            raise FormatError(f"{place} has no positive; nothing can be learned from it")
        if both := set(example.positives) & set(example.negatives):
            raise FormatError(f"{place}: document {min(both)!r} is a positive and a negative")
        count = len(example.positives) + len(example.negatives)
        for teacher, scores in example.scores.items():
            if len(scores) != count:
                raise FormatError(f"{place}: {teacher} has scored {len(scores)} documents, and there are {count}")
            if not np.isfinite(scores).all():
                raise FormatError(f"{place}: a score of {teacher} is not finite")

    def _wrong_rows(self) -> NDArray[np.int64]:
        """The numbers of the rows that are no examples, in their order; by column, as there may be millions."""
        sizes = {name: _lengths(self.table[name]) for name in ("positives", "negatives")}
        wrong = [np.flatnonzero(sizes["positives"] == 0)]
        # Rows in which a document is on both sides: the numbers of (row, document) that both sides have.
        sides = [pc.list_flatten(self.table[name]).combine_chunks() for name in sizes]
        known = pc.unique(sides[0])
        pairs = []
        for side, lengths in zip(sides, sizes.values(), strict=True):
            ids = pc.fill_null(pc.index_in(side, known), -1).to_numpy(zero_copy_only=False)
            rows = np.repeat(np.arange(len(lengths)), lengths)
            pairs.append((rows * len(known) + ids)[ids >= 0])
        wrong.append(np.intersect1d(*pairs) // max(1, len(known)))
        for teacher in self.teachers:
            column = self.table[f"{SCORES}{teacher}"]
            lengths = _lengths(column)
            scores = pc.list_flatten(column).to_numpy()
            wrong.append(np.flatnonzero(lengths != sizes["positives"] + sizes["negatives"]))
            wrong.append(np.repeat(np.arange(len(lengths)), lengths)[~np.isfinite(scores)])
        return np.unique(np.concatenate(wrong))

    @classmethod
    def of(cls, examples: Iterable[Example]) -> "TrainingExamples":
        """Made of single examples, which all have the same teachers."""
        rows = [
            {"query_id": each.query_id, "positives": list(each.positives), "negatives": list(each.negatives)}
            | {f"{SCORES}{teacher}": scores.tolist() for teacher, scores in each.scores.items()}
            for each in examples
        ]
        names = {name for row in rows for name in row}
        if ragged := next((row for row in rows if row.keys() != names), None):
            lacking = ", ".join(sorted(names - ragged.keys()))
            raise FormatError(f"query {ragged['query_id']!r} lacks {lacking}, which other examples have")
        ids = pa.list_(pa.string())
        types = [("query_id", pa.string()), ("positives", ids), ("negatives", ids)]
        types += [(name, pa.list_(pa.float32())) for name in sorted(names - dict(types).keys())]
        return cls(pa.Table.from_pylist(rows, schema=pa.schema(types)))

    @classmethod
    def read(cls, path: Path) -> "TrainingExamples":
        """Read a Parquet file that `write` wrote; raises FormatError."""
        try:
            return cls(pq.read_table(path), where=str(path))
        except FileNotFoundError as error:
            raise FormatError(f"{path}: no such file") from error
        except pa.ArrowInvalid as error:
            raise FormatError(f"{path} is not a Parquet file that can be read ({error})") from error

    @classmethod
    def joined(cls, parts: Sequence["TrainingExamples"]) -> "TrainingExamples":
        """The examples of several files, one after the other, with the columns that all of them have.

        Raises:
            FormatError: they do not have scores of the same teachers.
        """
        first = set(parts[0].teachers)
        if other := next((each for each in parts if set(each.teachers) != first), None):
            differing = ", ".join(sorted(first ^ set(other.teachers)))
            raise FormatError(f"some files of examples have scores of {differing}, and others have not")
        names = [name for name in parts[0].table.column_names if all(name in each.table.column_names for each in parts)]
        return parts[0] if len(parts) == 1 else cls(pa.concat_tables([each.table.select(names) for each in parts]))

    @cached_property
    def fingerprint(self) -> str:
        """Content hash (12 hex digits of SHA-256)."""
        digest = hashlib.sha256()
        for name in sorted(self.table.column_names):
            column = self.table[name].combine_chunks()
            digest.update(name.encode())
            if name != "query_id":
                digest.update(pc.list_value_length(column).to_numpy(zero_copy_only=False).tobytes())
                column = column.flatten()
            for start in range(0, len(column), 100_000):  # of many ids, few are Python's at a time
                some = column.slice(start, 100_000)
                scores = name.startswith(SCORES)
                digest.update(some.to_numpy().tobytes() if scores else json.dumps(some.to_pylist()).encode())
        return digest.hexdigest()[:12]

    def documents(self) -> set[str]:
        """All doc_ids that they name."""
        columns = (self.table[name].combine_chunks().flatten() for name in ("positives", "negatives"))
        return {each for column in columns for each in pc.unique(column).to_pylist()}

    def write(self, path: Path) -> None:
        """Write them as Parquet, whole or not at all."""
        with replacing(path) as part:
            pq.write_table(self.table, part, compression="zstd")

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return TrainingExamples(self.table.take(list(range(*row.indices(len(self))))))
        held = {name: self.table[name][row] for name in self.table.column_names}
        return Example(
            held["query_id"].as_py(),
            tuple(held["positives"].as_py()),
            tuple(held["negatives"].as_py()),
            {each: np.asarray(held[f"{SCORES}{each}"].values, dtype=np.float32) for each in self.teachers},
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrainingExamples) and bool(self.table.equals(other.table))

    __hash__ = None  # type: ignore[assignment]


def _lengths(lists: pa.ChunkedArray) -> NDArray[np.int64]:
    """How many each row's list has."""
    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0), dtype=np.int64)


class TextStore:
    """The texts of ids, held in memory as UTF-8; an id that is unknown is an error with its name.

    Args:
        records: documents or queries, as `datasets` reads them.
        what: `document` or `query`, for messages.
        wanted: ids; no other record is kept. All where not given.

    Raises:
        FormatError: an id stands there with two different texts.
    """

    def __init__(self, records: Iterable[Doc | Query], what: str, wanted: Container[str] | None = None) -> None:
        self._what = what
        self._texts: dict[str, bytes] = {}
        for record in records:
            if wanted is None or record[0] in wanted:
                text = record.default_text().encode("utf-8", "surrogatepass")
                if self._texts.setdefault(record[0], text) != text:
                    raise FormatError(f"the {what} {record[0]!r} stands there twice, with different texts")

    def check(self, named: Iterable[str]) -> None:
        """Raise ConfigError where one of these ids has no text."""
        if missing := min((each for each in named if each not in self._texts), default=None):
            self[missing]

    def __getitem__(self, identifier: str) -> str:
        try:
            return self._texts[identifier].decode("utf-8", "surrogatepass")
        except KeyError as error:
            raise ConfigError(
                f"the examples name the {self._what} {identifier!r}, which the collection does not have"
            ) from error

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._texts


class Draw(NamedTuple):
    """One query of a batch with its candidates, the positive first; scores: (J, M) of J teachers."""

    query_id: str
    candidates: tuple[str, ...]
    positives: frozenset[str]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Draws(Sequence[Draw]):
    """What a training run sees: draw n is an example and a choice of its candidates, both decided by seed and n alone.

    Every epoch is another order of the examples; what does not fill its last batch is left to the other epochs, so that
    no query stands in a batch twice. Of each example one positive and `negatives` negatives are chosen, all alike
    likely.

    Args:
        examples: at least a batch of them.
        total: draws in the whole run.
        batch: queries that are drawn for one optimizer step.
        negatives: of each query.
        teachers: whose scores are wanted.

    Raises:
        ConfigError: too few examples or negatives, or a teacher that has scored nothing: which, and what to do.
    """

    examples: TrainingExamples
    total: int
    batch: int
    negatives: int
    teachers: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.examples) < self.batch:
            raise ConfigError(f"{len(self.examples)} examples do not fill a batch of {self.batch} queries")
        if missing := set(self.teachers) - set(self.examples.teachers):
            there = ", ".join(self.examples.teachers) or "none"
            raise ConfigError(f"the examples have no scores of {', '.join(sorted(missing))}; they have {there}")
        negatives = _lengths(self.examples.table["negatives"])
        if len(too_few := np.flatnonzero(negatives < self.negatives)):
            example = self.examples[int(too_few[0])]
            raise ConfigError(
                f"query {example.query_id!r} has {len(example.negatives)} negatives, and {self.negatives} are to "
                "be drawn: mine more, or draw fewer"
            )

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if not 0 <= number < self.total:
            raise IndexError(number)
        an_epoch = len(self.examples) // self.batch * self.batch
        epoch, place = divmod(number, an_epoch)
        example = self.examples[int(_order(self.seed, epoch, len(self.examples))[place])]
        chance = np.random.default_rng((self.seed, epoch, place))
        positive = int(chance.integers(len(example.positives)))
        chosen = chance.choice(len(example.negatives), size=self.negatives, replace=False)
        places = [positive, *(len(example.positives) + chosen).tolist()]
        documents = example.positives + example.negatives
        scores = [example.scores[teacher][places] for teacher in self.teachers]
        return Draw(
            example.query_id,
            tuple(documents[each] for each in places),
            frozenset(example.positives),
            np.array(scores, dtype=np.float32).reshape(len(self.teachers), len(places)),
        )


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(size)
