"""ImpactIndex: term impacts as the postings of an ordinary Lucene index, in Anserini's schema."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

from splade_lucene.datasets import Passages
from splade_lucene.errors import CorruptIndexError, IndexMismatchError, IndexNotFoundError
from splade_lucene.lucene import jvm
from splade_lucene.lucene.build import MAX_LENGTH, Build, IndexOptions
from splade_lucene.lucene.manifest import Manifest
from splade_lucene.lucene.packed import pack_encoded, pack_ints, pack_strings, unpack_hits, unpack_strings
from splade_lucene.runs import Hits
from splade_lucene.vectors import EncoderIdentity, ImpactVectors, TermVectors


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
        build = Build(path, options)
        try:
            build.add_all(vectors, texts)
            build.commit(encoder, passages)
        except BaseException:
            build.roll_back(remove_folder=not existed)
            raise
        return cls(path)


def _utf8(name: str) -> bytes:
    """A doc_id or term to look up; a lone surrogate becomes bytes that no index holds, since they are not UTF-8."""
    return name.encode("utf-8", "surrogatepass")
