"""Files: lines read with their numbers, and files that appear whole or not at all.

May import `errors` only. Laws: whatever cannot be read is a `FormatError` that names file and line; a file being
written has another name until it is complete, so that a reader never meets half of it.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from splade_lucene.errors import FormatError


def kind(path: Path) -> str:
    """`.jsonl`, `.tsv` …: the last suffix, or the one beneath `.gz`."""
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def cache_folder() -> Path:
    """Where the package keeps what it can make anew."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "splade-lucene"


def shown(line: str) -> str:
    """A line, cut to what an error message can hold."""
    return line if len(line) <= 80 else f"{line[:77]}…"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; it becomes `path` when the block ends well and is removed when not.

    A process that is killed leaves at most a `.path.PID.part` behind, never a partial `path`. A full disk is an OSError
    that names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # a write that fails names no file
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left behind in a folder that is finished."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


@contextmanager
def writing_text(path: Path) -> Iterator[IO[str]]:
    """Write a UTF-8 text file that appears whole or not at all, gzipped if its name ends in `.gz`."""
    with replacing(path) as part:
        opened = gzip.open(part, "wt", encoding="utf-8") if path.suffix == ".gz" else part.open("w", encoding="utf-8")
        with opened as file:
            yield file


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end) of a UTF-8 text; blank lines are passed over.

    A file whose name ends in `.gz` is unpacked; a byte order mark is no part of the text.

    Raises:
        FormatError: the file is missing, holds nothing, is a damaged gzip file or not UTF-8.
    """
    number = 0
    seen = False
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if line and not line.isspace():
                    seen = True
                    yield number, line
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise FormatError(f"{path} is a folder; a file was expected") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(f"{path}:{number + 1}: the gzip file is damaged or cut off ({error})") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}:{number}: not UTF-8 ({error.reason} at byte {error.start} of the line)") from error
    if not seen:
        raise FormatError(f"{path} is empty; at least one record was expected")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` for `json` that refuses a repeated key, where json would keep the last value."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return found


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("file:line", object) for each line of a JSONL file.

    Raises:
        FormatError: a line is not one JSON object, or repeats a key.
    """
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        try:
            record = json.loads(line, object_pairs_hook=unique_keys)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{where}: not a JSON object ({error}): {shown(line)}") from error
        if not isinstance(record, dict):
            raise FormatError(f"{where}: a JSON object was expected: {shown(line)}")
        yield where, record
