"""One build of an impact index: batches of vectors in, Lucene postings out, all or nothing.

Laws: documents in == documents in Lucene; the postings do not depend on the number of threads or on the form of the
pseudo-documents; a build that fails, is interrupted or is killed leaves what was in the folder before, because all of
it becomes visible with one Lucene commit, which carries the manifest too.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from splade_lucene import __version__
from splade_lucene.datasets import MAX_ID_BYTES, Passages
from splade_lucene.errors import (
    FormatError,
    ImpactIndexError,
    IncompleteIndexError,
    IndexExistsError,
    WeightError,
)
from splade_lucene.lucene import anserini, jvm
from splade_lucene.lucene.manifest import Form, Manifest
from splade_lucene.lucene.packed import pack_ints, pack_strings, unpack_strings
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import is_repeatable
from splade_lucene.vectors import EncoderIdentity, ImpactVectors, TermVectors, Vocabulary

_TRIMMED = "".join(map(chr, range(0x21)))  # what String.trim takes off both ends
MAX_LENGTH = 2**31 - 1  # Lucene counts a field's length, here the sum of a document's impacts, in an int


@dataclass(frozen=True)
class IndexOptions:
    """How an index is built.

    quantizer: weights → impacts. form: `impacts` (term frequency = impact) or `repeat` (Anserini's
    JsonVectorCollection, each term written impact times; the same postings, slower). threads: writers at work. merge:
    into one segment, which searches fastest. overwrite: replace the index that is there, once the new one is whole.
    """

    quantizer: Quantizer = field(default_factory=Quantizer)
    form: Form = "impacts"
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    merge: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.form not in ("impacts", "repeat"):
            raise ValueError(f"form must be 'impacts' or 'repeat', not {self.form!r}")
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")


class Build:
    """One build: a Lucene writer that holds the folder's lock, and the counts that go into the manifest."""

    def __init__(self, path: Path, options: IndexOptions) -> None:
        self.path = path
        self.options = options
        self.documents = self.empty_documents = self.postings = self.dropped_weights = 0
        self._vocabulary: Vocabulary | None = None
        self._unaskable: set[str] = set()  # terms that have postings and are not repeatable
        self._suspects: list[int] = []  # the term ids of such terms in this vocabulary
        _refuse_foreign_folder(path)
        with jvm.calling(path):
            self._writer = jvm.java_class("splade_lucene.ImpactWriter")(str(path), options.threads, options.overwrite)
            exists = jvm.java_class("splade_lucene.ImpactReader").exists(str(path))
        if exists and not options.overwrite:  # asked only now, with the lock held: another build may just have ended
            self.roll_back(remove_folder=False)
            raise IndexExistsError(
                f"{path} holds an index already; say --overwrite to replace it, or name another folder"
            )

    def add_all(self, vectors: Iterable[TermVectors], texts: Iterable[tuple[str, str]] | None) -> None:
        """Take all documents; texts, where given, are stored beside the postings."""
        impacts = (self._quantized(batch) for batch in vectors)
        if self.options.form == "impacts":
            stored = iter(texts) if texts is not None else None
            for batch in impacts:
                self._add(batch, stored)
            if stored is not None and next(stored, None) is not None:
                raise IncompleteIndexError(f"{self.path}: more texts than vectors were given")
        elif texts is not None:
            raise ImpactIndexError("the form `repeat` stores no texts; use the form `impacts`")
        else:
            self._add_repeated(impacts)

    def _quantized(self, batch: TermVectors) -> ImpactVectors:
        impacts = self.options.quantizer(batch)
        self.documents += len(batch)
        self.empty_documents += int((impacts.row_lengths == 0).sum())
        self.postings += len(impacts.impacts)
        self.dropped_weights += int((batch.weights > 0).sum()) - len(impacts.impacts)
        _refuse_unstorable(impacts)
        return impacts

    def _add(self, batch: ImpactVectors, texts: Iterator[tuple[str, str]] | None) -> None:
        stored = None
        if texts is not None:
            given = list(islice(texts, len(batch)))
            if [doc_id for doc_id, _ in given] != list(batch.ids):
                raise IncompleteIndexError(f"{self.path}: the texts are not those of the vectors, in the same order")
            stored = pack_strings([text.encode("utf-8", "replace").decode() for _, text in given])
        arrays = [pack_strings(batch.ids), pack_ints(batch.indptr), pack_ints(batch.terms), pack_ints(batch.impacts)]
        with jvm.calling(self.path):
            self._writer.expect(sum(map(len, arrays)) + len(stored or b""))
            if batch.vocabulary is not self._vocabulary:
                names = batch.vocabulary.terms
                self._writer.vocabulary(pack_strings(names))
                self._vocabulary = batch.vocabulary
                self._suspects = [number for number, term in enumerate(names) if not is_repeatable(term)]
            self._writer.add(*arrays, stored)
        if self._suspects:
            found = np.intersect1d(self._suspects, batch.terms).tolist()
            self._unaskable.update(batch.vocabulary.terms[number] for number in found)

    def _add_repeated(self, batches: Iterator[ImpactVectors]) -> None:
        """Anserini builds the postings; the documents that it drops as empty are added to them here."""
        dropped: dict[str, dict[str, int]] = {}

        def noting_dropped() -> Iterator[ImpactVectors]:
            for batch in batches:
                for row in _blank_rows(batch):
                    if batch.ids[row] in dropped:
                        raise FormatError(f"the doc_id {batch.ids[row]!r} stands in the vectors twice")
                    dropped[batch.ids[row]] = batch.row(row)
                yield batch

        with anserini.index_repeated(noting_dropped(), beside=self.path, threads=self.options.threads) as built:
            jvm.wait(self._writer.addIndex(str(built)), self.path)
        if dropped:
            self._add(Quantizer(1)(TermVectors.from_rows(dropped)), None)

    def commit(self, encoder: EncoderIdentity | None, passages: Passages | None) -> None:
        """Wait for the workers, check what Lucene holds, and make it visible.

        An interrupt while the commit itself runs comes too late: the index is there.
        """
        repeated = unpack_strings(jvm.wait(self._writer.finish(self.options.merge), self.path))
        if repeated:
            raise FormatError(f"the doc_id {repeated[0]!r} stands in the vectors twice; {self.path} was not built")
        with jvm.calling(self.path):
            found = int(self._writer.documents())
            if found != self.documents:
                raise IncompleteIndexError(
                    f"{self.path}: {self.documents:,} documents were given, Lucene holds {found:,}"
                )
            manifest = Manifest(
                scale=self.options.quantizer.scale,
                form=self.options.form,
                encoder=encoder,
                documents=self.documents,
                empty_documents=self.empty_documents,
                postings=self.postings,
                dropped_weights=self.dropped_weights,
                versions={"splade_lucene": __version__, **jvm.versions()},
                unaskable_terms=len(self._unaskable),
                passages=passages,
            )
            self._writer.commit(manifest.to_json())

    def roll_back(self, *, remove_folder: bool) -> None:
        """Forget this build; the folder is as it was before."""
        with jvm.calling(self.path):
            self._writer.rollback()
        if remove_folder and self.path.is_dir():
            (self.path / "write.lock").unlink(missing_ok=True)
            if not any(self.path.iterdir()):
                self.path.rmdir()


def _refuse_foreign_folder(path: Path) -> None:
    """Never write an index between files that are not Lucene's (their names begin with `_` or `segments`)."""
    if path.exists() and not path.is_dir():
        raise IndexExistsError(f"{path} is a file; an index is a folder")
    if path.is_dir():
        foreign = [
            file.name
            for file in path.iterdir()
            if not file.name.startswith(("_", "segments", "pending_segments")) and file.name != "write.lock"
        ]
        if foreign:
            raise IndexExistsError(
                f"{path} holds files that are not an index's ({sorted(foreign)[0]}); name another folder"
            )


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


def _blank_rows(batch: ImpactVectors) -> list[int]:
    """The documents whose repeated text Java's `trim` makes empty: without terms, or with control characters alone."""
    shown = np.array([bool(term.strip(_TRIMMED)) for term in batch.vocabulary.terms], dtype=bool)
    shown_before = np.concatenate([[0], np.cumsum(shown[batch.terms])])
    return np.flatnonzero(np.diff(shown_before[batch.indptr]) == 0).tolist()
