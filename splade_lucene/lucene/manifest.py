"""Manifest: what an index knows of itself, kept in Lucene's commit, so that it is atomic with the postings."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from splade_lucene import __version__
from splade_lucene.datasets import Passages
from splade_lucene.errors import ConfigError, CorruptIndexError, IndexMismatchError
from splade_lucene.pruning import Pruning
from splade_lucene.vectors import EncoderIdentity

Form = Literal["impacts", "repeat"]


@dataclass(frozen=True)
class Manifest:
    """What an index knows of itself; kept in Lucene's commit user data, so that it is atomic with the postings.

    unaskable_terms: index terms that our queries reach and Pyserini's do not, since its analyzer parts queries at white
    space; `vector_files.is_repeatable` has the rule. passages: how documents were cut, None where they were not.
    pruning: which postings were written, None where all were; it took pruned_postings, and emptied_documents lost all
    of theirs (they count among the empty ones). stored: the fields that are kept of texts; None where an index does not
    say, being of format 2. bm25: whether texts are searched by BM25 too. blocks: whether it is to have block files.
    first_pass_doc_terms: how many terms of a document these keep apart for a first pass. An index that was changed
    since it was built counts its documents, empty ones and postings anew, and adds to all other counts.
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
    pruning: Pruning | None = None
    pruned_postings: int = 0
    emptied_documents: int = 0
    stored: tuple[str, ...] | None = None
    bm25: bool = False
    blocks: bool = False
    first_pass_doc_terms: int = 0
    format_version: int = 4

    FORMAT_VERSION = 4

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
            if record.get("pruning") is not None:
                record["pruning"] = Pruning(**record["pruning"])
            if record.get("stored") is not None:
                record["stored"] = tuple(record["stored"])
            return cls(**record)
        except (ValueError, KeyError, TypeError, ConfigError) as error:
            raise CorruptIndexError(f"{where}: its manifest cannot be read ({error}); build it again") from error
