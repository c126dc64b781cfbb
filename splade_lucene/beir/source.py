"""Where the texts of a collection are, and what tells them from others.

Laws: a data root is looked into before ir_datasets; a folder that has fewer documents, queries or judgments than the
collection is refused, not measured; only judged queries are asked.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection as Names
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from splade_lucene.beir.registry import Collection
from splade_lucene.datasets import Doc, Qrel, count_records, read_documents, read_qrels, read_queries
from splade_lucene.errors import FormatError, SpladeLuceneError
from splade_lucene.files import shown
from splade_lucene.runs import Hits, Run

EXCLUDED = -100  # how BRIGHT judges documents that are not to be found
_BLOCK = 2**20


@dataclass(frozen=True)
class Source:
    """A collection's texts.

    documents, queries, qrels: INPUTs. corpus: what its documents are called among a system's vectors and indexes, the
    same for collections that share them. pinned: they come from an archive whose checksum ir_datasets knows.
    """

    collection: Collection
    documents: str
    queries: str
    qrels: str
    corpus: str
    pinned: bool = False

    @property
    def name(self) -> str:
        """The collection's name."""
        return self.collection.name

    @cached_property
    def documents_digest(self) -> str:
        """What tells the documents from others."""
        if self.pinned:
            return f"ir_datasets {self.collection.corpus or self.documents}"
        return file_digest(either(Path(self.documents, "corpus.jsonl")))

    @cached_property
    def asked_digest(self) -> str:
        """What tells the queries that are asked from others."""
        return digest(sorted(self.asked.items()))

    @cached_property
    def judged_digest(self) -> str:
        """What tells the judgments from others."""
        return digest(sorted(self._all_judgments))

    @cached_property
    def asked(self) -> dict[str, str]:
        """The judged queries: query_id → text.

        Raises:
            FormatError: one that is judged has no text, or there are other numbers of queries and judgments than the
                collection has.
        """
        expected = self.collection
        judged = {qrel.query_id for qrel in self._all_judgments}
        texts = {query.query_id: query.text for query in self._read(read_queries(self.queries))}
        if missing := judged - texts.keys():
            raise FormatError(
                f"{self.queries} lacks {len(missing):,} of the {len(judged):,} queries that {self.qrels} judges, "
                f"{min(missing)!r} for one"
            )
        self._check(self.qrels, "judgments", len(self._all_judgments), expected.judgments)
        self._check(self.qrels, "judged queries", len(judged), expected.queries)
        return {query_id: text for query_id, text in texts.items() if query_id in judged}

    def check(self) -> None:
        """Read queries and judgments, before anything takes hours: these tell whether a collection can be had.

        Raises:
            FormatError: it cannot.
        """
        if not self.asked:
            raise FormatError(f"{self.qrels} judges no query")

    @property
    def judgments(self) -> list[Qrel]:
        """What a run is evaluated against: all judgments but the exclusions."""
        if self.collection.removes != "excluded":
            return self._all_judgments
        return [qrel for qrel in self._all_judgments if qrel.relevance != EXCLUDED]

    @cached_property
    def _all_judgments(self) -> list[Qrel]:
        return list(self._read(read_qrels(self.qrels)))

    @cached_property
    def removed(self) -> dict[str, set[str]]:
        """The documents that are no hits of a query, by the collection's rule."""
        if self.collection.removes == "query":
            return {query_id: {query_id} for query_id in self.asked}
        removed: defaultdict[str, set[str]] = defaultdict(set)
        if self.collection.removes == "excluded":
            for qrel in self._all_judgments:
                if qrel.relevance == EXCLUDED:
                    removed[qrel.query_id].add(qrel.doc_id)
        return dict(removed)

    def depth(self, k: int) -> int:
        """How many hits to search for, so that k are left of them."""
        return k + max(map(len, self.removed.values()), default=0)

    def cleaned(self, run: Run, k: int) -> dict[str, Hits]:
        """The k best hits of each query, without those that are none."""
        return {query_id: _without(hits, self.removed.get(query_id, set()))[:k] for query_id, hits in run.items()}

    def read_documents(self) -> Iterator[Doc]:
        """The documents, streamed."""
        return self._read(read_documents(self.documents))

    def count_documents(self) -> int | None:
        """How many there are, where that is cheap to know.

        Raises:
            FormatError: a folder has another number than the collection.
        """
        count = count_records(self.documents, "documents")
        if count is not None:
            self._check(self.documents, "documents", count, self.collection.documents)
        return count

    def texts(self, doc_ids: Names[str]) -> dict[str, str]:
        """The texts of some documents; one that the collection lacks has none."""
        found: dict[str, str] = {}
        wanted = set(doc_ids)
        for doc in self.read_documents() if wanted else ():
            if doc.doc_id in wanted:
                found[doc.doc_id] = doc.default_text()
                if len(found) == len(wanted):
                    break
        return found

    def _check(self, where: str, what: str, found: int, expected: int | None) -> None:
        """Refuse another number than that of a public collection; a licensed one's folder is made by its user."""
        if self.pinned or expected is None or found == expected or self.collection.licence:
            return
        raise FormatError(
            f"{where}: {found:,} {what}, and {self.name} has {expected:,}: it was cut off, or is another version; "
            "to evaluate on it nevertheless, rename its folder and name that one"
        )

    def _read[Record](self, records: Iterable[Record]) -> Iterator[Record]:
        """The records, with what ir_datasets raises in our words."""
        try:
            yield from records
        except SpladeLuceneError:
            raise
        except Exception as error:  # downloads, checksums, archives: everyone raises something else
            if not self.pinned:
                raise
            raise FormatError(
                f"{self.documents} could not be had through ir_datasets ({type(error).__name__}: {shown(str(error))}); "
                f"without network, put a folder {self.name} in BEIR layout into the data root (--data)"
            ) from error


def located(collection: Collection, data: Path | None) -> Source:
    """Where a collection is: its own path, a folder of the data root, or ir_datasets.

    Raises:
        FormatError: it is nowhere.
    """
    names = [collection.name, *([collection.folder] if collection.folder else [])]
    folders = [Path(collection.path)] if collection.path else [data / name for name in names] if data else []
    for folder in folders:
        if folder.is_dir():
            return Source(
                collection,
                str(folder),
                str(either(folder / "queries.jsonl")),
                str(either(folder / "qrels" / f"{collection.split}.tsv")),
                collection.name,
            )
    if collection.input is None:
        needs = f"; it needs a licence: {collection.licence}" if collection.licence else ""
        raise FormatError(
            f"ir_datasets has no {collection.name}: put a folder of this name in BEIR layout into the data root "
            f"(--data){needs}"
        )
    given = collection.input
    return Source(collection, given, given, given, collection.corpus or collection.name, pinned=True)


def either(file: Path) -> Path:
    """The file, or its gzipped form where there is only that."""
    gzipped = file.with_name(f"{file.name}.gz")
    return gzipped if not file.exists() and gzipped.exists() else file


def digest(content: object) -> str:
    """12 hex digits of SHA-256 over what an object is written as."""
    return hashlib.sha256(repr(content).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def file_digest(file: Path) -> str:
    """12 hex digits of SHA-256 over the bytes of a file."""
    found = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                found.update(block)
    except FileNotFoundError as error:
        raise FormatError(f"{file}: no such file") from error
    return found.hexdigest()[:12]


def _without(hits: Hits, removed: set[str]) -> Hits:
    kept = [number for number, doc_id in enumerate(hits.doc_ids) if doc_id not in removed]
    if len(kept) == len(hits):
        return hits
    return Hits([hits.doc_ids[number] for number in kept], hits.scores[kept], cut=hits.cut)
