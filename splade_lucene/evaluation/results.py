"""What one system did on one collection: the measures of every query, and what they cost.

A `Result` is one JSON file beside the run that it was made of; tables and reports are made of results alone, so that
nothing has to be encoded or searched again to be shown. May import `errors` and `files`. Law: a result that is written
and read again is equal.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from splade_lucene.errors import FormatError
from splade_lucene.files import writing_text

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class Latency:
    """Milliseconds that half, 95 and 99 of 100 queries took at most, each asked alone."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Latency":
        """The percentiles of what single queries took."""
        return cls(*(float(each) for each in np.percentile(np.array(seconds) * 1_000, (50, 95, 99))))


@dataclass(frozen=True, config=_STRICT)
class Cost:
    """What a system cost on a collection.

    encode_seconds: of the documents; None where nothing was encoded (BM25, vectors that were given). cut_documents:
    that were longer than the model reads. postings_per_document, terms_per_query: means. expected_postings: of a query,
    the mean over queries of Σ df(t) over its terms. query_encoding: None where queries are looked up or given.
    queries_per_second: of all queries in one call, encoding included, on `threads` threads.
    """

    documents: int
    queries: int
    encode_seconds: float | None
    cut_documents: int | None
    index_seconds: float
    index_bytes: int
    postings_per_document: float
    terms_per_query: float
    expected_postings: float
    query_encoding: Latency | None
    search: Latency
    queries_per_second: float
    threads: int


@dataclass(frozen=True, config=_STRICT)
class WeightedTerm:
    """A term of a query: its impact, and whether the text itself has it or the model added it."""

    term: str
    impact: float
    expansion: bool


@dataclass(frozen=True, config=_STRICT)
class Match:
    """What one term gave to a score, and whether each side's own text has the term (None: unknown)."""

    term: str
    contribution: float
    in_query: bool | None
    in_document: bool | None


@dataclass(frozen=True, config=_STRICT)
class ShownDocument:
    """A document that a query found, or should have found.

    rank: from 1 on; None where it was not among the hits. relevance: None where it is not judged. matches: the terms
    that gave most, best first; `score` is the sum over all of them.
    """

    doc_id: str
    text: str
    rank: int | None
    relevance: int | None
    score: float
    matches: tuple[Match, ...]


@dataclass(frozen=True, config=_STRICT)
class ShownQuery:
    """One query looked at: what it became, what it found first, and which relevant documents it missed."""

    query_id: str
    text: str
    value: float  # of the result's first measure
    terms: tuple[WeightedTerm, ...]
    found: tuple[ShownDocument, ...]
    missed: tuple[ShownDocument, ...]


@dataclass(frozen=True, config=_STRICT)
class Result:
    """One system on one collection.

    system: the model's name as the user gave it, `bm25`, or the name of a run or a fusion. settings: whatever else
    decides the numbers (max_length, scale, revision, title use), shown as they are. per_query: measure → query_id →
    value, over every judged query; a collection of parts has none, and its measures are the parts' macro mean.
    shown: the worst and the best queries.
    """

    collection: str
    system: str
    settings: Mapping[str, Any]
    measures: Mapping[str, float]
    per_query: Mapping[str, Mapping[str, float]]
    queries: Mapping[str, str]
    missing_queries: int
    unjudged_queries: int
    cost: Cost | None
    machine: Mapping[str, str]
    shown: tuple[ShownQuery, ...] = ()
    parts: tuple[str, ...] = ()

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        with writing_text(path) as file:
            file.write(_JSON.dump_json(self, indent=1).decode())

    @classmethod
    def read(cls, path: Path) -> "Result":
        """Read what `write` has written; raises FormatError."""
        try:
            return _JSON.validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise FormatError(f"{path} is not a result: {where}: {first['msg']}") from error


_JSON = TypeAdapter(Result)
