"""Manifest: what an index knows of itself, kept in Lucene's commit, so that it is atomic with the postings."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from splade_lucene import __version__
from splade_lucene.datasets import Passages
from splade_lucene.errors import ConfigError, CorruptIndexError, IndexMismatchError
from splade_lucene.vectors import EncoderIdentity

Form = Literal["impacts", "repeat"]


@dataclass(frozen=True)
class Manifest:
    """What an index knows of itself; kept in Lucene's commit user data, so that it is atomic with the postings.

    unaskable_terms: index terms that our queries reach and Pyserini's do not, since its analyzer parts queries at white
    space; `vector_files.is_repeatable` has the rule. passages: how documents were cut, None where they were not.
    """

    scale: float
    form: Form
    encoder: EncoderIdentity | None  # None: the vectors did not say who made them (Anserini's JSONL)
    documents: int
    empty_documents: int  # in the index, but without a posting
    postings: int
    dropped_weights: int  # weights > 0 that rounded to impact 0
    versions: dict[str, str]
    unaskable_terms: int = 0
    passages: Passages | None = None
    format_version: int = 2

    FORMAT_VERSION = 2

    def to_json(self) -> str:
        """For Lucene's commit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, *, where: Path) -> "Manifest":
        """Read back.

        Raises:
            IndexMismatchError: a newer splade-lucene wrote it. CorruptIndexError: it is not a manifest.
        """
        try:
            record = json.loads(text)
            if record["format_version"] > cls.FORMAT_VERSION:
                raise IndexMismatchError(
                    f"{where} was written in format {record['format_version']} by splade-lucene "
                    f"{record.get('versions', {}).get('splade_lucene', 'newer than this')}; "
                    f"{__version__} reads format {cls.FORMAT_VERSION}: upgrade splade-lucene"
                )
            if record["encoder"] is not None:
                record["encoder"] = EncoderIdentity(**record["encoder"])
            if record.get("passages") is not None:
                record["passages"] = Passages(**record["passages"])
            return cls(**record)
        except (ValueError, KeyError, TypeError, ConfigError) as error:
            raise CorruptIndexError(f"{where}: its manifest cannot be read ({error}); build it again") from error
