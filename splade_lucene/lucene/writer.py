"""ImpactWriter: changes an index that is there: appends, updates, deletes, merges.

Laws: what is done since the last commit becomes visible with the next one, all of it and at once, the manifest
included; an error, an interrupt or a killed process leaves the last commit as it was; after a commit the index answers
as one that was built of the documents that are left; documents in == documents in Lucene.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from splade_lucene import __version__
from splade_lucene.datasets import Passages, document_of
from splade_lucene.errors import (
    FormatError,
    ImpactIndexError,
    IncompleteIndexError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
)
from splade_lucene.lucene import block_files, jvm
from splade_lucene.lucene.handover import BM25, RAW, Handover, Text
from splade_lucene.lucene.manifest import Manifest
from splade_lucene.lucene.packed import pack_encoded, pack_strings, unpack_strings
from splade_lucene.pruning import Pruning
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import is_repeatable
from splade_lucene.vectors import EncoderIdentity, ImpactVectors, TermVectors

_PASSAGE = re.compile(r".+#\d+")
IDS_AT_A_TIME = 100_000


class ImpactWriter:
    """Changes an index, as its only writer; readers go on with the commit that they opened.

    Leaving a `with` block commits; leaving it by an exception forgets what was not committed. An error in any of its
    methods does too, and closes it: there is no half of an update that could be committed later.

    Args:
        path: the index's folder.
        encoder: who made the vectors that will be given; None where that is not known.
        quantizer: their weights → impacts; the index's where not given, and it must be the index's.
        passages: how the documents of these vectors were cut; compared where the encoder is known.
        threads: writers at work; all cores where not given.

    Attributes:
        path: the index's folder.
        manifest: of the last commit.

    Raises:
        IndexNotFoundError: no finished index there. IndexLockedError: somebody else is writing it.
        IndexMismatchError: the vectors are of another vocabulary, scale or cut than the index's; or nobody knows of
            what scale the index is, since Anserini built it.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        encoder: EncoderIdentity | None = None,
        quantizer: Quantizer | None = None,
        passages: Passages | None = None,
        threads: int | None = None,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise IndexNotFoundError(f"{self.path}: no such folder; `splade-lucene index` builds an index")
        with jvm.calling(self.path):
            if not jvm.java_class("splade_lucene.ImpactReader").exists(str(self.path)):
                raise IndexNotFoundError(f"{self.path} holds no finished index; `splade-lucene index` builds one")
            java = jvm.java_class("splade_lucene.ImpactWriter")
            self._threads = threads or os.cpu_count() or 1
            self._writer = java.onto(str(self.path), self._threads)
        self._closed = False
        with self._all_or_nothing():
            with jvm.calling(self.path):
                manifest = self._writer.manifest()
            if manifest is None:
                raise IndexMismatchError(
                    f"{self.path} was not built by splade-lucene: of what scale its impacts are is not known; "
                    "build it again to change it"
                )
            self.manifest = self._opened = Manifest.from_json(manifest, where=self.path)
            _refuse_others(self.path, self.manifest, encoder, quantizer, passages)
            pruning = self.manifest.pruning or Pruning()
            self._handover = Handover(self.path, self._writer, Quantizer(self.manifest.scale), pruning)
            self._documents = self._handover.counts().documents  # as there should be
            self._unaskable = _unaskable_terms(self.path) if self.manifest.unaskable_terms else set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._closed:
            return
        try:
            if kind is None:
                self.commit()
        finally:
            self.close()

    def close(self) -> None:
        """Forget what was not committed, and let others write."""
        if not self._closed:
            self._closed = True
            with jvm.calling(self.path):
                self._writer.rollback()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        if self._closed:
            raise ImpactIndexError(f"this writer of {self.path} is closed; open another")
        try:
            yield
        except BaseException:
            self.close()
            raise

    def append(self, vectors: Iterable[TermVectors], texts: Iterable[tuple[str, Text]] | None = None) -> None:
        """Add documents that the index does not have.

        Args:
            vectors: batches of documents, streamed.
            texts: as `ImpactIndex.build` takes them; needed where the index keeps something of texts.

        Raises:
            IndexExistsError: the index has one of them; `update` would replace it.
            FormatError: a doc_id was given twice, or is no passage's in an index of passages.
            ImpactIndexError: the index keeps texts and none are given, or the other way round; or it was pruned by
                quantiles of its whole collection.
            IncompleteIndexError: the texts are of other documents.
        """
        self._take(vectors, texts, replacing=False)

    def update(self, vectors: Iterable[TermVectors], texts: Iterable[tuple[str, Text]] | None = None) -> None:
        """Put documents in the place of those of the same doc_id; new ones are added.

        In an index of passages all passages of a document make room for the new ones.

        Raises:
            as `append`, but for IndexExistsError.
        """
        self._take(vectors, texts, replacing=True)

    def _take(
        self, vectors: Iterable[TermVectors], texts: Iterable[tuple[str, Text]] | None, *, replacing: bool
    ) -> None:
        with self._all_or_nothing():
            if self.manifest.pruning and self.manifest.pruning.term_quantile is not None:
                raise ImpactIndexError(
                    f"{self.path} was pruned by quantiles of all its documents, which more documents would change; "
                    "build it again"
                )
            columns = self._columns(texts is not None)
            jvm.wait(self._writer.view(), self.path)
            self._handover.store(columns)
            impacts = (self._making_room(self._handover.impacts(batch), replacing=replacing) for batch in vectors)
            self._handover.add_all(impacts, texts)

    def _columns(self, texts_given: bool) -> tuple[str, ...]:
        """What is to be kept of texts."""
        if self.manifest.stored is None:  # of format 2: kept may be what --texts kept then
            return (RAW,) if texts_given else ()
        kept = (*self.manifest.stored, BM25) if self.manifest.bm25 else self.manifest.stored
        if kept and not texts_given:
            raise ImpactIndexError(f"{self.path} keeps {', '.join(kept)} of its documents' texts: give the texts, too")
        if texts_given and not kept:
            raise ImpactIndexError(f"{self.path} keeps nothing of texts: give none, or build it again with texts")
        return kept

    def _making_room(self, batch: ImpactVectors, *, replacing: bool) -> ImpactVectors:
        """Pass on a batch whose documents the index does not have, or no more."""
        names = pack_strings(batch.ids)
        with jvm.calling(self.path):
            repeated = unpack_strings(jvm.to_bytes(self._writer.repeated(names)))
        if repeated:
            raise FormatError(f"the doc_id {repeated[0]!r} stands in the vectors twice; {self.path} was not changed")
        if self.manifest.passages is not None:
            for doc_id in batch.ids:
                if not _PASSAGE.fullmatch(doc_id):
                    raise FormatError(
                        f"{self.path} holds passages, whose ids are DOC_ID#NUMBER; {doc_id!r} is no such id: "
                        "encode the documents with the same --passages"
                    )
            names = pack_strings(sorted(set(map(document_of, batch.ids))))
        found = self._present(names)
        if found and not replacing:
            known = document_of(found[0]) if self.manifest.passages else found[0]
            raise IndexExistsError(
                f"{self.path} has a document {known!r} already, and was not changed; `update` replaces documents"
            )
        self._remove(found)
        self._documents += len(batch)
        return batch

    def _present(self, names: bytes) -> list[str]:
        """What the index had of these documents before this call: their ids, or those of their passages."""
        with jvm.calling(self.path):
            return unpack_strings(jvm.to_bytes(self._writer.present(names, self.manifest.passages is not None)))

    def _remove(self, found: list[str]) -> None:
        with jvm.calling(self.path):
            self._documents -= self._writer.remove(pack_strings(found))

    def delete(self, doc_ids: Iterable[str]) -> int:
        """Remove documents, with all their passages, and say how many of them the index had."""
        with self._all_or_nothing():
            jvm.wait(self._writer.view(), self.path)
            names = sorted({doc_id.encode("utf-8", "surrogatepass") for doc_id in doc_ids})
            removed = 0
            for start in range(0, len(names), IDS_AT_A_TIME):
                found = self._present(pack_encoded(names[start : start + IDS_AT_A_TIME]))
                self._remove(found)
                removed += len(set(map(document_of, found))) if self.manifest.passages else len(found)
            return removed

    def merge(self, segments: int = 1, *, reorder: bool = False) -> None:
        """Merge into so many segments at most, which search faster than many, and drop what was deleted.

        reorder: into one, of documents that are given new internal numbers, as `IndexOptions.reorder` does.
        """
        if segments < 1:
            raise ValueError(f"segments must be at least 1, not {segments}")
        with self._all_or_nothing():
            jvm.wait(self._writer.merge(segments, reorder), self.path)

    def commit(self) -> None:
        """Make everything done so far visible; nothing to do where nothing changed.

        An interrupt while the commit itself runs comes too late: it is done.

        Raises:
            IncompleteIndexError: Lucene holds another number of documents than there should be.
        """
        with self._all_or_nothing():
            found = self._handover.counts()
            if found.documents != self._documents:
                raise IncompleteIndexError(
                    f"{self.path}: there should be {self._documents:,} documents, Lucene holds {found.documents:,}"
                )
            with jvm.calling(self.path):
                if not self._writer.changed():
                    return
            given = self._handover
            manifest = replace(
                self._opened,
                **found._asdict(),
                dropped_weights=self._opened.dropped_weights + given.dropped_weights,
                pruned_postings=self._opened.pruned_postings + given.pruned_postings,
                emptied_documents=self._opened.emptied_documents + given.emptied_documents,
                unaskable_terms=len(self._unaskable | given.unaskable),
                versions={"splade_lucene": __version__, **jvm.versions()},
                format_version=Manifest.FORMAT_VERSION,
            )
            with jvm.calling(self.path):
                self._writer.checkpoint(manifest.to_json())
            self.manifest = manifest
        if manifest.blocks:
            with suppress(ImpactIndexError):  # the commit is done; whoever opens the index next tries again
                block_files.refresh(self.path, manifest, self._threads)


def _unaskable_terms(path: Path) -> set[str]:
    """The terms that Pyserini cannot ask an index for."""
    with jvm.calling(path):
        reader = jvm.java_class("splade_lucene.ImpactReader")(str(path))
        terms = unpack_strings(jvm.to_bytes(reader.terms()))
        reader.close()
    return {term for term in terms if not is_repeatable(term)}


def _refuse_others(
    path: Path,
    manifest: Manifest,
    encoder: EncoderIdentity | None,
    quantizer: Quantizer | None,
    passages: Passages | None,
) -> None:
    """Refuse vectors that the index's own cannot be compared with."""
    if quantizer is not None and quantizer.scale != manifest.scale:
        raise IndexMismatchError(
            f"{path} has impacts of scale {manifest.scale:g}, not {quantizer.scale:g}; "
            "write all of an index with one scale"
        )
    if encoder is None:
        return
    if manifest.encoder is not None and manifest.encoder.vocabulary != encoder.vocabulary:
        raise IndexMismatchError(
            f"{path} was built by {manifest.encoder}; these vectors are by {encoder}. "
            "Encode the documents with the first, or build an index of their own for them"
        )
    if passages != manifest.passages:
        raise IndexMismatchError(
            f"{path} holds {_cut(manifest.passages)}, these vectors are of {_cut(passages)}; cut all documents alike"
        )


def _cut(passages: Passages | None) -> str:
    return "whole documents" if passages is None else f"passages of {passages}"
