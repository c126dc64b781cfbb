"""One build of an impact index: batches of vectors in, Lucene postings out, all or nothing.

Laws: documents in == documents in Lucene; the postings do not depend on the number of threads or on the form of the
pseudo-documents; a build that fails, is interrupted or is killed leaves what was in the folder before, because all of
it becomes visible with one Lucene commit, which carries the manifest too.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from splade_lucene import __version__
from splade_lucene.datasets import Passages
from splade_lucene.errors import (
    ConfigError,
    FormatError,
    ImpactIndexError,
    IncompleteIndexError,
    IndexExistsError,
)
from splade_lucene.lucene import anserini, block_files, jvm
from splade_lucene.lucene.handover import BM25, RAW, RESERVED, Handover, Text
from splade_lucene.lucene.manifest import Form, Manifest
from splade_lucene.lucene.packed import unpack_strings
from splade_lucene.pruning import Pruning, term_bars
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import EncoderIdentity, ImpactVectors, TermVectors

_PREFIXES = ("_", "segments", "pending_segments", *block_files.PREFIXES)  # of the names of an index's files
_TRIMMED = "".join(map(chr, range(0x21)))  # what String.trim takes off both ends


@dataclass(frozen=True)
class IndexOptions:
    """How an index is built.

    quantizer: weights → impacts. form: `impacts` (term frequency = impact) or `repeat` (Anserini's
    JsonVectorCollection, each term written impact times; the same postings, slower). threads: writers at work. merge:
    into one segment, which searches fastest. reorder: give documents internal numbers by recursive graph
    bisection, so that neighbours share terms: a smaller index, more of which a search can skip; merges, too. Hits are
    the same. overwrite: replace the index that is there, once the new one is whole. pruning: which postings are written
    at all; a search then finds what it can in these. store: what is kept of the texts, where texts are given: `raw`,
    title and text in one, as Anserini keeps it, or names of fields, which can then be filtered on where they are not
    longer than 256 bytes. bm25: the texts can be searched by BM25 too. blocks: write block files beside the postings,
    with which a search reads fewer of these. first_pass_doc_terms: of each document the terms of highest impact that
    these keep apart, in three bytes each, for searches in two steps; with 0, these find their candidates by all
    postings, slower. 128 of SPLADE-v3's 273 terms are a fifth more bytes, and what is asked for 14 terms and 200
    candidates then has 99 % of the best ten of a million documents in half the time of an exact search.
    """

    quantizer: Quantizer = field(default_factory=Quantizer)
    form: Form = "impacts"
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    merge: bool = True
    reorder: bool = False
    overwrite: bool = False
    pruning: Pruning = field(default_factory=Pruning)
    store: tuple[str, ...] = (RAW,)
    bm25: bool = False
    blocks: bool = True
    first_pass_doc_terms: int = 128

    def __post_init__(self) -> None:
        if self.form not in ("impacts", "repeat"):
            raise ValueError(f"form must be 'impacts' or 'repeat', not {self.form!r}")
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")
        if self.first_pass_doc_terms < 0:
            raise ValueError(f"first_pass_doc_terms must be at least 0, not {self.first_pass_doc_terms}")
        for name, count in Counter(self.store).items():
            if name in RESERVED or not name:
                raise ValueError(f"a field cannot be stored as {name!r}: the index has its own of this name")
            if count > 1:
                raise ValueError(f"the field {name!r} is to be stored twice")

    @property
    def columns(self) -> tuple[str, ...]:
        """What the index keeps of texts, stored or searchable."""
        return (*self.store, BM25) if self.bm25 else self.store


class Build:
    """One build: a Lucene writer that holds the folder's lock, and replaces all that the index had."""

    def __init__(self, path: Path, options: IndexOptions) -> None:
        self.path = path
        self.options = options
        self._stores_texts = False
        _refuse_foreign_folder(path)
        with jvm.calling(path):
            self._writer = jvm.java_class("splade_lucene.ImpactWriter")(str(path), options.threads, options.overwrite)
            exists = jvm.java_class("splade_lucene.ImpactReader").exists(str(path))
        if exists and not options.overwrite:  # asked only now, with the lock held: another build may just have ended
            self.roll_back(remove_folder=False)
            raise IndexExistsError(
                f"{path} holds an index already; say --overwrite to replace it, or name another folder"
            )
        self._handover = Handover(path, self._writer, options.quantizer, options.pruning)

    def add_all(self, vectors: Iterable[TermVectors], texts: Iterable[tuple[str, Text]] | None) -> None:
        """Take all documents; of texts, where given, is kept what the options say."""
        quantile = self.options.pruning.term_quantile
        measured = self._measure(vectors, quantile) if quantile is not None else None
        impacts = (self._handover.impacts(batch) for batch in vectors)
        if texts is None and self.options.columns != (RAW,):
            raise ValueError("to store fields, or to search by BM25, the texts of the documents are needed")
        if self.options.form == "impacts":
            if texts is not None:
                self._stores_texts = True
                self._handover.store(self.options.columns)
            self._handover.add_all(impacts, texts)
        elif texts is not None:
            raise ImpactIndexError("the form `repeat` stores no texts; use the form `impacts`")
        else:
            self._add_repeated(impacts)
        if measured not in (None, self._handover.documents):
            raise IncompleteIndexError(
                f"{self.path}: the vectors were of {measured:,} documents when they were read for the term_quantile, "
                f"and of {self._handover.documents:,} when they were read again"
            )
        if self._handover.missing and self._handover.documents:
            missing = min(self._handover.missing)
            raise ConfigError(f"not one of the texts has a field {missing!r}, which was to be stored")

    def _measure(self, vectors: Iterable[TermVectors], quantile: float) -> int:
        """Find the bars of all terms, for which the vectors are read once more; says of how many documents they are."""
        if iter(vectors) is vectors:
            raise ValueError(
                "a term_quantile needs the vectors twice, and an iterator gives them once: "
                "give a list, or an object that begins anew each time it is iterated"
            )
        documents = 0

        def first_time() -> Iterator[ImpactVectors]:
            nonlocal documents
            for batch in vectors:
                documents += len(batch)
                yield self.options.quantizer(batch)

        self._handover.bars = term_bars(first_time(), quantile)
        return documents

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
            self._handover.add(Quantizer(1)(TermVectors.from_rows(dropped)))

    def commit(self, encoder: EncoderIdentity | None, passages: Passages | None) -> Manifest:
        """Wait for the workers, check what Lucene holds, and make it visible; the answer is its manifest.

        An interrupt while the commit itself runs comes too late: the index is there.
        """
        repeated = unpack_strings(jvm.wait(self._writer.finish(self.options.merge, self.options.reorder), self.path))
        if repeated:
            raise FormatError(f"the doc_id {repeated[0]!r} stands in the vectors twice; {self.path} was not built")
        given, found = self._handover, self._handover.counts()
        if found.documents != given.documents:
            raise IncompleteIndexError(
                f"{self.path}: {given.documents:,} documents were given, Lucene holds {found.documents:,}"
            )
        manifest = Manifest(
            scale=self.options.quantizer.scale,
            form=self.options.form,
            encoder=encoder,
            **found._asdict(),
            dropped_weights=given.dropped_weights,
            versions={"splade_lucene": __version__, **jvm.versions()},
            unaskable_terms=len(given.unaskable),
            passages=passages,
            pruning=self.options.pruning or None,
            pruned_postings=given.pruned_postings,
            emptied_documents=given.emptied_documents,
            stored=self.options.store if self._stores_texts else (),
            bm25=self.options.bm25,
            blocks=self.options.blocks,
            first_pass_doc_terms=self.options.first_pass_doc_terms if self.options.blocks else 0,
        )
        with jvm.calling(self.path):
            self._writer.commit(manifest.to_json())
        return manifest

    def roll_back(self, *, remove_folder: bool) -> None:
        """Forget this build; the folder is as it was before."""
        with jvm.calling(self.path):
            self._writer.rollback()
        if remove_folder and self.path.is_dir():
            (self.path / "write.lock").unlink(missing_ok=True)
            if not any(self.path.iterdir()):
                self.path.rmdir()


def _refuse_foreign_folder(path: Path) -> None:
    """Never write an index between files that are neither Lucene's nor derived from them: their names tell."""
    if path.exists() and not path.is_dir():
        raise IndexExistsError(f"{path} is a file; an index is a folder")
    if path.is_dir():
        foreign = [
            file.name for file in path.iterdir() if not file.name.startswith(_PREFIXES) and file.name != "write.lock"
        ]
        if foreign:
            raise IndexExistsError(
                f"{path} holds files that are not an index's ({sorted(foreign)[0]}); name another folder"
            )


def _blank_rows(batch: ImpactVectors) -> list[int]:
    """The documents whose repeated text Java's `trim` makes empty: without terms, or with control characters alone."""
    shown = np.array([bool(term.strip(_TRIMMED)) for term in batch.vocabulary.terms], dtype=bool)
    shown_before = np.concatenate([[0], np.cumsum(shown[batch.terms])])
    return np.flatnonzero(np.diff(shown_before[batch.indptr]) == 0).tolist()
