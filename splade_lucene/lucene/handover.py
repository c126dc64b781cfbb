"""Batches of vectors on their way into a Java writer: what building an index and changing one have in common.

Law: whatever is handed over is counted, and what Lucene cannot hold is refused before it gets there.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from splade_lucene.datasets import MAX_ID_BYTES, Doc
from splade_lucene.errors import IncompleteIndexError, WeightError
from splade_lucene.lucene import jvm
from splade_lucene.lucene.packed import ABSENT, pack_encoded, pack_ints, pack_strings
from splade_lucene.pruning import Pruning, prune
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import is_repeatable
from splade_lucene.vectors import ImpactVectors, TermVectors, Vocabulary

MAX_LENGTH = 2**31 - 1  # Lucene counts a field's length, here the sum of a document's impacts, in an int
HEADROOM = 2**25  # bytes of Java's heap to be free beside a batch: until it is there, the workers take some

RAW = "raw"  # Anserini's name for what is stored of a document
BM25 = "bm25"  # the field whose text is analyzed, and searched by BM25
RESERVED = ("id", "contents", "contents.terms", BM25)

Text = str | Mapping[str, str]
"""A document's text; or its fields, of which `title` and `text` make its text."""


class Counts(NamedTuple):
    """What a writer holds: documents, those of them without a posting, postings."""

    documents: int
    empty_documents: int
    postings: int


class Handover:
    """Hands batches over to a Java writer.

    Args:
        path: the index's folder, for messages.
        writer: Java's `ImpactWriter`.
        quantizer: weights → impacts.
        pruning: which of these stay.

    Attributes:
        bars: what a pruning by term_quantile needs.
        documents: handed over.
        dropped_weights: of theirs, how many weights > 0 became impact 0.
        pruned_postings: how many impacts did not stay.
        emptied_documents: how many documents lost all of theirs.
        unaskable: terms that have postings and are not repeatable.
        missing: fields to store that no document had so far.
    """

    def __init__(self, path: Path, writer: Any, quantizer: Quantizer, pruning: Pruning) -> None:
        self.path = path
        self._writer = writer
        self._quantizer = quantizer
        self._pruning = pruning
        self._columns: tuple[str, ...] = ()
        self._vocabulary: Vocabulary | None = None
        self._suspects: list[int] = []  # the term ids of unaskable terms in this vocabulary
        self.bars: Mapping[str, int] | None = None
        self.documents = self.dropped_weights = self.pruned_postings = self.emptied_documents = 0
        self.unaskable: set[str] = set()
        self.missing: set[str] = set()

    def store(self, columns: Iterable[str]) -> None:
        """From now on keep these of the texts: RAW, BM25 and names of fields."""
        self._columns = tuple(columns)
        self.missing = set(self._columns)
        with jvm.calling(self.path):
            self._writer.columns(pack_strings(self._columns))

    def impacts(self, batch: TermVectors) -> ImpactVectors:
        """What of a batch will be written, counted.

        Raises:
            WeightError: a term is too long for Lucene, or a document's impacts overflow its length.
        """
        impacts = self._quantizer(batch)
        pruned = prune(impacts, self._pruning, self.bars)
        empty = pruned.row_lengths == 0
        self.documents += len(batch)
        self.dropped_weights += int((batch.weights > 0).sum()) - len(impacts.impacts)
        self.emptied_documents += int((empty & (impacts.row_lengths > 0)).sum())
        self.pruned_postings += len(impacts.impacts) - len(pruned.impacts)
        _refuse_unstorable(pruned)
        return pruned

    def add_all(self, batches: Iterable[ImpactVectors], texts: Iterable[tuple[str, Text]] | None) -> None:
        """Hand over all batches, and with them the texts of the same documents in the same order.

        Raises:
            IncompleteIndexError: the texts are of other documents.
        """
        remaining = iter(texts) if texts is not None else None
        for batch in batches:
            self.add(batch, remaining)
        if remaining is not None and next(remaining, None) is not None:
            raise IncompleteIndexError(f"{self.path}: more texts than vectors were given")

    def add(self, batch: ImpactVectors, texts: Iterator[tuple[str, Text]] | None = None) -> None:
        """Hand over one batch; returns before it is written."""
        values = None if texts is None else pack_encoded(self._values(batch, texts))
        arrays = [pack_strings(batch.ids), pack_ints(batch.indptr), pack_ints(batch.terms), pack_ints(batch.impacts)]
        with jvm.calling(self.path):
            self._writer.expect(sum(map(len, arrays)) + len(values or b"") + HEADROOM)
            if batch.vocabulary is not self._vocabulary:
                names = batch.vocabulary.terms
                self._writer.vocabulary(pack_strings(names))
                self._vocabulary = batch.vocabulary
                self._suspects = [number for number, term in enumerate(names) if not is_repeatable(term)]
            self._writer.add(*arrays, values)
        if self._suspects:
            found = np.intersect1d(self._suspects, batch.terms).tolist()
            self.unaskable.update(batch.vocabulary.terms[number] for number in found)

    def _values(self, batch: ImpactVectors, texts: Iterator[tuple[str, Text]]) -> list[bytes]:
        """The columns of each document, one document after another."""
        given = list(islice(texts, len(batch)))
        if [doc_id for doc_id, _ in given] != list(batch.ids):
            raise IncompleteIndexError(f"{self.path}: the texts are not those of the vectors, in the same order")
        values = []
        for _, text in given:
            for column in self._columns:
                value = _value(text, column)
                if value is not None:
                    self.missing.discard(column)
                values.append(ABSENT if value is None else value.encode("utf-8", "replace"))
        return values

    def counts(self) -> Counts:
        """Wait until all is written, and count it as Lucene does."""
        packed = jvm.wait(self._writer.counts(), self.path)
        return Counts(*np.frombuffer(packed, "<i8").tolist())


def text_of(fields: Mapping[str, str]) -> str:
    """The text that a document's fields make."""
    return Doc("", fields.get("title", ""), fields.get("text", "")).default_text()


def _value(text: Text, column: str) -> str | None:
    """What a column holds of a document; None where it has nothing to hold."""
    if isinstance(text, str):
        return text if column in (RAW, BM25, "text") else None
    return text_of(text) if column in (RAW, BM25) else text.get(column)


def _refuse_unstorable(impacts: ImpactVectors) -> None:
    """Refuse what Lucene cannot hold: a term too long, a document whose impacts overflow its length."""
    names = impacts.vocabulary.terms
    long = [
        number
        for number, term in enumerate(names)
        if len(term) > MAX_ID_BYTES // 4 and len(term.encode()) > MAX_ID_BYTES
    ]
    if long and (found := np.flatnonzero(np.isin(impacts.terms, long))).size:
        row = int(np.searchsorted(impacts.indptr, found[0], side="right")) - 1
        term = names[impacts.terms[found[0]]]
        raise WeightError(
            f"{impacts.ids[row]}: the term {term[:40]!r}… is {len(term.encode()):,} bytes long; "
            f"Lucene stores {MAX_ID_BYTES:,}"
        )
    sums = np.concatenate([[0], np.cumsum(impacts.impacts, dtype=np.int64)])[impacts.indptr]
    lengths = np.diff(sums)
    if lengths.size and lengths.max() > MAX_LENGTH:
        row = int(lengths.argmax())
        raise WeightError(
            f"{impacts.ids[row]}: its impacts sum to {lengths[row]:,}, and Lucene counts to {MAX_LENGTH:,}; "
            "use a smaller scale"
        )
