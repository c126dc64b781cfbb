"""Vectors in files of other programs: read as a stream of batches, written whole or not at all.

JSONL as Anserini and Seismic read it (`{"id": …, "contents": …, "vector": {term: weight}}`), and Anserini's TSV of
queries, each term repeated impact times. May import `errors`, `files`, `datasets`, `vectors` and `vector_folders`. Law:
`read(write(x)) == x`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from splade_lucene.datasets import check_ids, field
from splade_lucene.errors import FormatError, WeightError
from splade_lucene.files import kind, read_json_lines, read_lines, writing_text
from splade_lucene.vector_folders import open_vectors
from splade_lucene.vectors import ImpactVectors, TermVectors

BATCH_SIZE = 5_000  # documents handed to Lucene at a time; measured flat from 2,000 to 20,000
_SPACE = re.compile(r"\s")


def read_vectors(path: Path, *, batch_size: int = BATCH_SIZE) -> Iterator[TermVectors]:
    """Stream the vectors of a folder of ours, of Anserini's JSONL (`.jsonl`, `.json`), or of its TSV (`.tsv`).

    Files may be gzipped, and a folder may also hold Anserini's JSONL files.

    Raises:
        FormatError: naming file and line. WeightError: a weight is NaN, infinite or negative.
    """
    if (encoded := open_vectors(path)) is not None:
        yield from encoded.read()
    elif path.is_dir():
        files = sorted(file for file in path.iterdir() if kind(file) in (".jsonl", ".json"))
        if not files:
            raise FormatError(f"{path}: neither a folder written by `splade-lucene encode` nor one of JSONL files")
        for file in files:
            yield from _batches(_read_jsonl(file), batch_size, source=file)
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


def write_jsonl(path: Path, batches: Iterable[TermVectors | ImpactVectors]) -> int:
    """Write vectors as JSONL, a document a line, and return how many; the file appears whole or not at all.

    Impacts are what Anserini indexes; Seismic takes them, and weights, too.
    """
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


def is_repeatable(term: str) -> bool:
    """Whether a whitespace-separated text can hold a term and Anserini's analyzer finds it there.

    Not if it is empty, holds white space, or is longer than the 255 UTF-16 units at which Lucene's WhitespaceTokenizer
    cuts (anserini#1843).
    """
    return bool(term) and _SPACE.search(term) is None and (len(term) < 128 or len(term.encode("utf-16-le")) <= 2 * 255)


def refuse_unrepeatable(terms: Iterable[str]) -> None:
    """Refuse terms that Anserini's whitespace-separated pseudo-texts would change.

    Raises:
        WeightError: naming a term that is not repeatable.
    """
    for term in terms:
        if not is_repeatable(term):
            raise WeightError(
                f"the term {term[:40]!r} cannot be written by repetition: it is empty, holds white space or is longer "
                "than 255 characters; use the form `impacts`"
            )
