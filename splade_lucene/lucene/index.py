"""ImpactIndex: term impacts as the postings of an ordinary Lucene index, in Anserini's schema.

Laws: documents in == documents in Lucene; the postings do not depend on the number of threads or on the form of the
pseudo-documents; a build that fails, is interrupted or is killed leaves what was in the folder before, because all of
it becomes visible with one Lucene commit, which carries the manifest too.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, Self

import numpy as np

from splade_lucene import __version__
from splade_lucene.datasets import MAX_ID_BYTES, Passages
from splade_lucene.errors import (
    ConfigError,
    CorruptIndexError,
    FormatError,
    ImpactIndexError,
    IncompleteIndexError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
    WeightError,
)
from splade_lucene.lucene import anserini, jvm
from splade_lucene.lucene.packed import pack_encoded, pack_ints, pack_strings, unpack_hits, unpack_strings
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits
from splade_lucene.vector_files import is_repeatable
from splade_lucene.vectors import EncoderIdentity, ImpactVectors, TermVectors, Vocabulary

Form = Literal["impacts", "repeat"]

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
            self._reader = reader(str(self.path))
            manifest = self._reader.manifest()
            self._documents = int(self._reader.documents())  # what is open does not change any more
        self.manifest = Manifest.from_json(manifest, where=self.path) if manifest is not None else None

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
            found = unpack_hits(jvm.to_bytes(self._reader.postings(_utf8(term))), 1)[0]
        return dict(zip(found.doc_ids, found.scores.tolist(), strict=True))

    def impacts(self, doc_id: str, terms: list[str]) -> dict[str, int] | None:
        """The impacts that a document has for these terms, 0 where it lacks one; None if there is no such document."""
        with jvm.calling(self.path):
            found = self._reader.impacts(_utf8(doc_id), pack_encoded([_utf8(term) for term in terms]))
        if found is None:
            return None
        return dict(zip(terms, np.frombuffer(jvm.to_bytes(found), "<i4").tolist(), strict=True))

    def text(self, doc_id: str) -> str | None:
        """The stored text of a document; None if there is no such document, or texts were not stored."""
        with jvm.calling(self.path):
            text: str | None = self._reader.text(_utf8(doc_id))
        return text

    def search(self, queries: ImpactVectors, k: int, *, threads: int = 1) -> list[Hits]:
        """The k best documents of each query, exactly; `Searcher` is the comfortable way to call this.

        Many queries are spread over the threads; a single one has its documents parted among them.
        """
        names = queries.vocabulary.terms
        query_terms = pack_strings([names[term] for term in queries.terms.tolist()])
        arguments = (query_terms, pack_ints(queries.impacts), pack_ints(queries.indptr), min(k, MAX_LENGTH))
        if len(queries) == 1:
            with jvm.calling(self.path):
                packed = jvm.to_bytes(self._reader.search(*arguments, threads))
        else:
            packed = jvm.wait(self._reader.searchAll(*arguments, threads), self.path)
        return unpack_hits(packed, len(queries))

    def check(self) -> None:
        """Run Lucene's CheckIndex over every file.

        Raises:
            CorruptIndexError: with what it complains of.
        """
        complaints = jvm.wait(jvm.java_class("splade_lucene.ImpactReader").check(str(self.path)), self.path)
        if complaints:
            raise CorruptIndexError(f"{self.path}: Lucene's CheckIndex complains: {complaints.decode()}")

    @classmethod
    def build(
        cls,
        path: Path | str,
        vectors: Iterable[TermVectors],
        options: IndexOptions | None = None,
        *,
        encoder: EncoderIdentity | None = None,
        texts: Iterable[tuple[str, str]] | None = None,
        passages: Passages | None = None,
    ) -> "ImpactIndex":
        """Write vectors as a Lucene index and open it.

        Args:
            path: the index's folder; made if it is not there.
            vectors: batches of documents, streamed: a few batches are in memory at a time.
            options: how.
            encoder: who made the vectors; later searches with another vocabulary are then refused.
            texts: (doc_id, text) of each document, in the order of the vectors; stored as the field `raw`.
            passages: how the documents were cut, if the vectors are of passages; searches then fold them back.

        Raises:
            IndexExistsError: there is an index, or something else, in the folder.
            IndexLockedError: another process is writing there.
            FormatError: a doc_id was given twice. WeightError: a term or an impact does not fit Lucene.
            IncompleteIndexError: Lucene holds another number of documents than were given, or the texts are of others.
        """
        options = options or IndexOptions()
        path = Path(path)
        existed = path.exists()
        build = _Build(path, options)
        try:
            build.add_all(vectors, texts)
            build.commit(encoder, passages)
        except BaseException:
            build.roll_back(remove_folder=not existed)
            raise
        return cls(path)


class _Build:
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


def _utf8(name: str) -> bytes:
    """A doc_id or term to look up; a lone surrogate becomes bytes that no index holds, since they are not UTF-8."""
    return name.encode("utf-8", "surrogatepass")


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
