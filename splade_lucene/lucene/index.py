"""ImpactIndex: term impacts as the postings of an ordinary Lucene index, in Anserini's schema."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np

from splade_lucene.datasets import Passages
from splade_lucene.errors import (
    CorruptIndexError,
    ImpactIndexError,
    IndexMismatchError,
    IndexNotFoundError,
    JvmError,
    SearchError,
)
from splade_lucene.lucene import block_files, jvm
from splade_lucene.lucene.build import Build, IndexOptions
from splade_lucene.lucene.filters import LONGEST_VALUE, DocFilter
from splade_lucene.lucene.handover import MAX_LENGTH, RAW, Text, text_of
from splade_lucene.lucene.manifest import Manifest
from splade_lucene.lucene.options import SearchOptions
from splade_lucene.lucene.packed import (
    pack_encoded,
    pack_ints,
    pack_strings,
    unpack_answers,
    unpack_bm25,
    unpack_strings,
    unpack_vectors,
)
from splade_lucene.lucene.writer import ImpactWriter
from splade_lucene.pruning import prune
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits
from splade_lucene.vectors import EncoderIdentity, ImpactVectors, TermVectors

_THROWN = re.compile(r"^[\w.$]+(?:Exception|Error): (.*)$", re.MULTILINE)  # in a log of Java's
RESCORED = 100  # candidates of a first pass, in 2404.13357


class ImpactIndex:
    """A finished index, opened for reading; safe for any number of threads. Anserini's own indexes open too.

    Attributes:
        path: its folder.
        manifest: what it knows of itself; None for an index that Anserini built.

    Raises:
        IndexNotFoundError: no finished index there. IndexMismatchError: a newer version wrote it.
        CorruptIndexError: Lucene cannot read it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise IndexNotFoundError(f"{self.path}: no such folder; `splade-lucene index` builds an index")
        with jvm.calling(self.path):
            reader = jvm.java_class("splade_lucene.ImpactReader")
            if not reader.exists(str(self.path)):
                raise IndexNotFoundError(
                    f"{self.path} holds no finished index: none was built there, or the build was stopped; build it"
                )
            opened = reader(str(self.path))
        self._take(opened)

    def _take(self, reader: Any) -> None:
        """Become what this reader of Java's has open."""
        self._reader = reader
        with jvm.calling(self.path):
            manifest = reader.manifest()
            self._documents = int(reader.documents())  # what is open does not change any more
        self.manifest = Manifest.from_json(manifest, where=self.path) if manifest is not None else None
        if self.manifest is not None and self.manifest.blocks:
            self._restore_blocks(self.manifest)

    def refreshed(self) -> "ImpactIndex":
        """The index as its last commit left it: this one where nothing was committed since, else one opened anew.

        That shares what did not change, which makes it cheap; searches in this one go on, until it is closed.
        """
        with jvm.calling(self.path):
            newer = self._reader.refreshed()
        if newer is None:
            return self
        index = ImpactIndex.__new__(ImpactIndex)
        index.path = self.path
        index._take(newer)
        return index

    def _restore_blocks(self, manifest: Manifest) -> None:
        """Write what is missing beside the index, if that is possible; a search does without."""
        with jvm.calling(self.path):
            whole = self._reader.hasBlocks()
        if not whole:
            with suppress(ImpactIndexError, JvmError):  # the folder may be read-only, the heap small
                block_files.refresh(self.path, manifest)
                with jvm.calling(self.path):
                    self._reader.close()
                    self._reader = jvm.java_class("splade_lucene.ImpactReader")(str(self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its files; a closed index answers nothing any more."""
        self._reader.close()

    def __len__(self) -> int:
        """How many documents can be found."""
        return self._documents

    @property
    def segments(self) -> int:
        """How many Lucene segments it has."""
        with jvm.calling(self.path):
            return int(self._reader.segments())

    def check_vocabulary(self, encoder: EncoderIdentity) -> None:
        """Refuse an encoder whose terms are not the index's. An index that does not know its vocabulary takes any.

        Raises:
            IndexMismatchError: naming both.
        """
        wrote = self.manifest.encoder if self.manifest else None
        if wrote is not None and wrote.vocabulary != encoder.vocabulary:
            raise IndexMismatchError(
                f"{self.path} was built by {wrote}; this encoder is {encoder}. "
                "Encode the queries with the first, or build the index with the second"
            )

    def terms(self) -> list[str]:
        """All terms that have a posting, in byte order."""
        with jvm.calling(self.path):
            return unpack_strings(jvm.to_bytes(self._reader.terms()))

    def postings(self, term: str) -> dict[str, int]:
        """The posting list of a term: doc_id → impact; empty where the index has no such term."""
        with jvm.calling(self.path):
            found = unpack_answers(jvm.to_bytes(self._reader.postings(_utf8(term))), 1)[0]
        return dict(zip(found.doc_ids, found.scores.tolist(), strict=True))

    def impacts(self, doc_id: str, terms: list[str]) -> dict[str, int] | None:
        """The impacts that a document has for these terms, 0 where it lacks one; None if there is no such document."""
        with jvm.calling(self.path):
            found = self._reader.impacts(_utf8(doc_id), pack_encoded([_utf8(term) for term in terms]))
        if found is None:
            return None
        return dict(zip(terms, np.frombuffer(jvm.to_bytes(found), "<i4").tolist(), strict=True))

    def fields(self, doc_id: str) -> dict[str, str] | None:
        """What is stored of a document: {field: value}; None if there is no such document."""
        with jvm.calling(self.path):
            found = self._reader.stored(_utf8(doc_id))
        if found is None:
            return None
        names_and_values = unpack_strings(jvm.to_bytes(found))
        return dict(zip(names_and_values[::2], names_and_values[1::2], strict=True))

    def text(self, doc_id: str) -> str | None:
        """The text of a document, as far as it is stored; None if it is not, or there is no such document."""
        fields = self.fields(doc_id) or {}
        return fields.get(RAW) or text_of(fields) or None

    def search(
        self,
        queries: ImpactVectors,
        k: int,
        *,
        options: SearchOptions | None = None,
        filter: DocFilter | None = None,
        threads: int = 1,
    ) -> list[Hits]:
        """The k best documents of each query, exactly unless the options say otherwise.

        Many queries are spread over the threads; a single one has its documents parted among them. `Searcher` is the
        comfortable way to call this.
        """
        options = options or SearchOptions()
        queries = prune(queries, options.pruning)
        names = queries.vocabulary.terms
        query_terms = pack_strings([names[term] for term in queries.terms.tolist()])
        arguments = (query_terms, pack_ints(queries.impacts), pack_ints(queries.indptr), min(k, MAX_LENGTH), threads)
        with jvm.calling(self.path):
            how = jvm.java_class("splade_lucene.SearchOptions")(
                options.skip,
                options.first_pass_terms or 0,
                min(options.rescore or RESCORED, MAX_LENGTH),
                min(options.time_budget_ms or 0, MAX_LENGTH),
                options.max_postings or 0,
            )
        if len(queries) == 1:
            with jvm.calling(self.path):
                packed = jvm.to_bytes(self._reader.search(*arguments, how, self._within(filter)))
        else:
            packed = jvm.wait(self._reader.searchAll(*arguments, how, self._within(filter)), self.path)
        return unpack_answers(packed, len(queries))

    def filter(
        self, *, doc_ids: Iterable[str] | None = None, field: str | None = None, value: str | None = None
    ) -> DocFilter:
        """The documents to search within: those with these doc_ids, or those of which a stored field has a value.

        doc_ids that the index does not have change nothing. Of an index of passages they name documents, all of whose
        passages are searched then.

        Raises:
            ValueError: neither or both are given. SearchError: the index has no such field, or the value is longer than
                256 bytes, which no field is filtered on by.
        """
        if (doc_ids is None) == (field is None) or (field is None) != (value is None):
            raise ValueError("a filter is made of doc_ids, or of a field and its value")
        if doc_ids is not None:
            names = pack_encoded([_utf8(doc_id) for doc_id in doc_ids])
            with jvm.calling(self.path):
                if self.manifest is not None and self.manifest.passages is not None:
                    return self._filter(self._reader.filterPassages(names))
                return self._filter(self._reader.filterIds(names))
        stored = self.manifest.stored if self.manifest is not None else None
        known = [name for name in stored or () if name != RAW]
        if field not in known:
            has = f"it has {', '.join(known)}" if known else "it has none: build it with `--texts` and `--store`"
            raise SearchError(f"{self.path} has no field {field!r} to filter on; {has}")
        wanted = _utf8(str(value))
        if len(wanted) > LONGEST_VALUE:
            raise SearchError(f"a value of {len(wanted):,} bytes: fields are filtered on by up to {LONGEST_VALUE}")
        with jvm.calling(self.path):
            return self._filter(self._reader.filterField(_utf8(str(field)), wanted))

    def _filter(self, java: Any) -> DocFilter:
        return DocFilter(int(java.size()), self._reader, java)

    def _within(self, filter: DocFilter | None) -> Any:
        """What Java takes for a filter."""
        if filter is None:
            return None
        if filter.reader is not self._reader:
            raise ValueError("a filter of another index, or of another view of this one; `ImpactIndex.filter` makes it")
        return filter.java

    def search_texts(
        self, texts: Sequence[str], k: int, *, filter: DocFilter | None = None, threads: int = 1
    ) -> list[Hits]:
        """The k best documents of each text by BM25, as Anserini's: k1 .9, b .4, Porter stemming.

        Statistics are of all documents of the index, deleted ones included until a merge drops them.

        Raises:
            SearchError: the index was built without BM25.
        """
        if self.manifest is None or not self.manifest.bm25:
            raise SearchError(f"{self.path} holds no texts for BM25; build it with `--texts` and `--bm25`")
        queries = pack_encoded([text.encode("utf-8", "replace") for text in texts])
        job = self._reader.searchTexts(queries, min(k, MAX_LENGTH), self._within(filter), threads)
        return [
            Hits(hits.doc_ids, hits.scores.astype(np.float64))
            for hits in unpack_bm25(jvm.wait(job, self.path), len(texts))
        ]

    def vectors(self, doc_ids: Sequence[str]) -> ImpactVectors:
        """The vectors of documents, in this order.

        Raises:
            SearchError: there is no such document.
        """
        with jvm.calling(self.path):
            packed = jvm.to_bytes(self._reader.vectors(pack_encoded([_utf8(doc_id) for doc_id in doc_ids])))
        lengths, impacts, terms = unpack_vectors(packed, len(doc_ids))
        if (missing := np.flatnonzero(lengths < 0)).size:
            raise SearchError(f"{self.path} holds no document {doc_ids[missing[0]]!r}")
        postings = iter(zip(terms, impacts.tolist(), strict=True))
        rows = {doc_id: dict(islice(postings, length)) for doc_id, length in zip(doc_ids, lengths, strict=True)}
        return Quantizer(1)(TermVectors.from_rows(rows))

    def check(self) -> None:
        """Run Lucene's CheckIndex over every file: a search reads only some, and trusts them.

        Raises:
            CorruptIndexError: with what it complains of, a file's checksum for one.
        """
        complaints = jvm.wait(jvm.java_class("splade_lucene.ImpactReader").check(str(self.path)), self.path)
        if complaints:
            log = complaints.decode()
            thrown = _THROWN.search(log)  # its first line; the log is pages, with Java's traces
            raise CorruptIndexError(f"{self.path} is damaged; build it again ({thrown[1] if thrown else log})")

    @classmethod
    def build(
        cls,
        path: Path | str,
        vectors: Iterable[TermVectors],
        options: IndexOptions | None = None,
        *,
        encoder: EncoderIdentity | None = None,
        texts: Iterable[tuple[str, Text]] | None = None,
        passages: Passages | None = None,
    ) -> "ImpactIndex":
        """Write vectors as a Lucene index and open it.

        Args:
            path: the index's folder; made if it is not there.
            vectors: batches of documents, streamed: a few batches are in memory at a time. To prune by a term_quantile
                they are read twice, and must begin anew each time they are iterated.
            options: how.
            encoder: who made the vectors; later searches with another vocabulary are then refused.
            texts: (doc_id, text) or (doc_id, {field: value}) of each document, in the order of the vectors; the options
                say what is kept of them.
            passages: how the documents were cut, if the vectors are of passages; searches then fold them back.

        Raises:
            IndexExistsError: there is an index, or something else, in the folder.
            IndexLockedError: another process is writing there.
            ValueError: a term_quantile is asked for, and the vectors are an iterator.
            FormatError: a doc_id was given twice. WeightError: a term or an impact does not fit Lucene.
            IncompleteIndexError: Lucene holds another number of documents than were given, or the texts are of others.
        """
        options = options or IndexOptions()
        path = Path(path)
        existed = path.exists()
        build = Build(path, options)
        try:
            build.add_all(vectors, texts)
            manifest = build.commit(encoder, passages)
        except BaseException:
            build.roll_back(remove_folder=not existed)
            raise
        if options.blocks:
            block_files.refresh(path, manifest, options.threads)
        return cls(path)

    @staticmethod
    def writer(
        path: Path | str,
        *,
        encoder: EncoderIdentity | None = None,
        quantizer: Quantizer | None = None,
        passages: Passages | None = None,
        threads: int | None = None,
    ) -> ImpactWriter:
        """Open the index in a folder for changes; `ImpactWriter` says how and what it refuses."""
        return ImpactWriter(path, encoder=encoder, quantizer=quantizer, passages=passages, threads=threads)


def _utf8(name: str) -> bytes:
    """A doc_id or term to look up; a lone surrogate becomes bytes that no index holds, since they are not UTF-8."""
    return name.encode("utf-8", "surrogatepass")
