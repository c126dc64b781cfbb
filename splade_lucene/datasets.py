"""Documents, queries and qrels: the edge where text enters.

An INPUT is an ir_datasets id (`beir/scifact/test`), a folder in BEIR layout (`corpus.jsonl`, `queries.jsonl`,
`qrels/test.tsv`), or one `.jsonl`/`.tsv` file; each file may be gzipped. All are read into the record names of
ir_datasets (`doc_id`, `query_id`, `relevance`), one record at a time: no collection is ever held in memory.

May import `errors` and `files`. Laws: a record that cannot be read is a `FormatError` that names file and line; none is
skipped; passages hold every word of their document.
"""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from splade_lucene.errors import ConfigError, FormatError
from splade_lucene.files import kind, read_json_lines, read_lines, shown, writing_text

Records = Literal["documents", "queries"]

MAX_ID_BYTES = 32_766  # the longest term that Lucene stores (IndexWriter.MAX_TERM_LENGTH); ids are terms of field `id`
_BAD_IN_ID = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Doc(NamedTuple):
    """A document; `text` does not repeat the title."""

    doc_id: str
    title: str
    text: str

    def default_text(self) -> str:
        """What is encoded: title, a space, text, without white space at the ends (BEIR's convention)."""
        return f"{self.title} {self.text}".strip()


class Query(NamedTuple):
    """A question asked of the collection."""

    query_id: str
    text: str

    def default_text(self) -> str:
        """What is encoded."""
        return self.text


class Qrel(NamedTuple):
    """A judgment: how relevant the document is to the query (0 is not relevant)."""

    query_id: str
    doc_id: str
    relevance: int


@dataclass(frozen=True)
class Passages:
    """How long documents are cut: every `stride` words begins a passage of at most `words` words.

    Words are what white space parts. Passage n of a document has the id `doc_id#n` and the document's title.

    Raises:
        ConfigError: the stride is below 1, or above `words`, where words between two passages would be lost.
    """

    words: int
    stride: int

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.words:
            raise ConfigError(
                f"passages of {self.words} words with a stride of {self.stride}: the stride is at least 1, and at most "
                "the passage's length, as words between two passages would be lost"
            )

    def __str__(self) -> str:
        return f"{self.words} words every {self.stride}"

    def cut(self, documents: Iterable[Doc]) -> Iterator[Doc]:
        """The passages of the documents, streamed; a document without words gives one passage."""
        for doc in documents:
            words = doc.text.split()
            last = max(0, len(words) - self.words)  # the first passage to start here or later reaches the end
            starts = range(0, last + self.stride, self.stride)
            for number, start in enumerate(starts):
                yield Doc(passage_id(doc.doc_id, number), doc.title, " ".join(words[start : start + self.words]))


def passage_id(doc_id: str, number: int) -> str:
    """The id of a document's passage, counted from 0."""
    return f"{doc_id}#{number}"


def document_of(passage: str) -> str:
    """The doc_id that a passage's id begins with."""
    return passage.rpartition("#")[0]


def check_ids(ids: Iterable[str], *, where: str) -> None:
    """Refuse ids that a run file or Lucene's `id` field cannot carry.

    An id is a string of 1 to 32,766 UTF-8 bytes without white space, control characters or lone surrogates.

    Raises:
        FormatError: naming the id and `where` it was found.
    """
    for given in ids:
        problem = id_problem(given)
        if problem:
            shown = repr(given if len(given) <= 40 else given[:40] + "…")
            raise FormatError(f"{where}: the id {shown} {problem}; ids are 1 to {MAX_ID_BYTES:,} bytes without spaces")


def check_unique(ids: Sequence[str], *, where: str) -> None:
    """Refuse an id that stands there twice.

    Raises:
        FormatError: naming the id and `where` it was found.
    """
    if len(set(ids)) != len(ids):
        twice = next(given for given, count in Counter(ids).items() if count > 1)
        raise FormatError(f"{where}: the id {twice!r} stands there twice")


def id_problem(given: str) -> str | None:
    """What is wrong with an id, or None."""
    if not given:
        return "is empty"
    if _BAD_IN_ID.search(given):
        return "holds white space, a control character or a lone surrogate"
    if len(given) > MAX_ID_BYTES // 4 and len(given.encode()) > MAX_ID_BYTES:
        return f"is {len(given.encode()):,} bytes long"
    return None


def field(record: Mapping[str, Any], names: tuple[str, ...], *, where: str, default: str | None = None) -> str:
    """The first of `names` that the record has, as a string.

    Raises:
        FormatError: none is there and there is no default, or it is not a string or whole number.
    """
    for name in names:
        if name in record:
            value = record[name]
            if isinstance(value, str):
                return value
            if isinstance(value, int) and not isinstance(value, bool):
                return str(value)
            raise FormatError(f"{where}: {name!r} must be a string, not {type(value).__name__}")
    if default is not None:
        return default
    raise FormatError(f"{where}: no field {' or '.join(map(repr, names))}; it has {', '.join(record) or 'none'}")


def read_documents(source: str) -> Iterator[Doc]:
    """The documents of an INPUT, streamed.

    JSONL records have `_id`, `id` or `doc_id`, `text` or `contents`, and may have `title`; TSV lines are
    `doc_id<TAB>text` or `doc_id<TAB>title<TAB>text`.

    Raises:
        FormatError: a record is malformed. ConfigError: the INPUT is neither file, folder nor ir_datasets id.
    """
    return (doc for _, doc, _ in _read_document_records(source))


def read_fields(
    source: str, names: Iterable[str], passages: Passages | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """(doc_id, {field: value}) of the documents of an INPUT, or of their passages, streamed.

    The fields are `text`, `title` where it is not empty, both as `read_documents` gives them, and those named that a
    record has.

    Raises:
        FormatError: as `read_documents`; also for a named field that is neither a string nor a whole number.
    """
    others = sorted(set(names) - {"title", "text"})
    for where, doc, record in _read_document_records(source):
        fields = {"title": doc.title} if doc.title else {}
        fields |= {name: field(record, (name,), where=where) for name in others if record.get(name) is not None}
        for each in passages.cut([doc]) if passages else [doc]:
            yield each.doc_id, {**fields, "text": each.text}


def _read_document_records(source: str) -> Iterator[tuple[str, Doc, Mapping[str, Any]]]:
    """(where it stands, document, all that its record has), streamed."""
    path = Path(source)
    if path.is_dir():
        path = _beir_file(path, "corpus.jsonl")
    if not _is_file_name(path):
        for record in _ir_dataset(source, "docs").docs_iter():
            text, title = record.default_text(), getattr(record, "title", "")
            is_beir = bool(title) and text == f"{title} {record.text}"  # else its text is more than these two
            doc = Doc(record.doc_id, title, record.text) if is_beir else Doc(record.doc_id, "", text)
            yield f"{source}: {doc.doc_id}", doc, record._asdict()
    elif kind(path) == ".tsv":
        for where, columns in _read_tsv(path, (2, 3)):
            check_ids(columns[:1], where=where)
            yield where, Doc(columns[0], columns[1] if len(columns) == 3 else "", columns[-1]), {}
    else:
        for where, record in read_json_lines(path):
            doc_id = field(record, ("_id", "id", "doc_id"), where=where)
            check_ids([doc_id], where=where)
            title = field(record, ("title",), where=where, default="")
            yield where, Doc(doc_id, title, field(record, ("text", "contents"), where=where)), record


def read_queries(source: str) -> Iterator[Query]:
    """The queries of an INPUT, streamed: as `read_documents`, with `query_id` accepted for the id.

    Of a BEIR folder only the queries that its test qrels judge are given, as BEIR evaluates.

    Raises:
        FormatError: also for a query_id that stands there twice, as a run has one list of hits for each.
    """
    path = Path(source)
    judged: set[str] | None = None
    if path.is_dir():
        judged = {qrel.query_id for qrel in read_qrels(source)}
        path = _beir_file(path, "queries.jsonl")
    if not _is_file_name(path):
        for query in _ir_dataset(source, "queries").queries_iter():
            yield Query(query.query_id, query.default_text())
        return
    for query in _read_query_file(path):
        if judged is None or query.query_id in judged:
            yield query


def _read_query_file(path: Path) -> Iterator[Query]:
    seen: set[str] = set()
    for where, query in _read_query_lines(path):
        check_ids([query.query_id], where=where)
        if query.query_id in seen:
            raise FormatError(f"{where}: the query_id {query.query_id!r} stands there twice")
        seen.add(query.query_id)
        yield query


def _read_query_lines(path: Path) -> Iterator[tuple[str, Query]]:
    if kind(path) == ".tsv":
        for where, columns in _read_tsv(path, (2,)):
            yield where, Query(*columns)
    else:
        for where, record in read_json_lines(path):
            query_id = field(record, ("_id", "id", "query_id"), where=where)
            yield where, Query(query_id, field(record, ("text", "contents"), where=where))


def read_qrels(source: str) -> Iterator[Qrel]:
    """The judgments of an INPUT: an ir_datasets id, a BEIR folder (`qrels/test.tsv`), or a file.

    A file is TREC qrels (`query_id 0 doc_id relevance`) or BEIR's TSV (`query-id<TAB>corpus-id<TAB>score`, with
    header); columns are parted by spaces, tabs or both, and all lines have as many as the first. A judgment that stands
    there twice is given once. Any whole number is a relevance; 0 and below are not relevant.

    Raises:
        FormatError: a line has another number of columns, a relevance is not a whole number, two judgments contradict
            each other.
    """
    seen: dict[tuple[str, str], int] = {}
    for where, qrel in _read_judgments(source):
        query_id, doc_id, relevance = qrel
        if (query_id, doc_id) not in seen:
            seen[query_id, doc_id] = relevance
            yield qrel
        elif seen[query_id, doc_id] != relevance:
            raise FormatError(
                f"{where}: query {query_id} judges document {doc_id} as {relevance}, and as "
                f"{seen[query_id, doc_id]} further up; keep one of the two"
            )


def write_qrels(path: Path, qrels: Iterable[Qrel]) -> None:
    """Write judgments as TREC has them, or as BEIR where the name ends in .tsv (.gz): whole or not at all.

    Law: `read_qrels` gives them again.

    Raises:
        FormatError: an id cannot stand in such a file.
    """
    beir = kind(path) == ".tsv"
    with writing_text(path) as file:
        if beir:
            file.write("query-id\tcorpus-id\tscore\n")
        for query_id, doc_id, relevance in qrels:
            check_ids((query_id, doc_id), where=str(path))
            file.write(f"{query_id}\t{doc_id}\t{relevance}\n" if beir else f"{query_id} 0 {doc_id} {relevance}\n")


def _read_judgments(source: str) -> Iterator[tuple[str, Qrel]]:
    """(where it stands, judgment), streamed."""
    path = Path(source)
    if path.is_dir():
        path = _beir_file(path, "qrels/test.tsv")
    if not _is_file_name(path):
        for record in _ir_dataset(source, "qrels").qrels_iter():
            yield source, Qrel(record.query_id, record.doc_id, record.relevance)
        return
    widths = {4: "4 columns (TREC)", 3: "3 columns (BEIR)"}
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        columns = line.split(maxsplit=4)  # no more, or a file on one line would become millions of strings
        if columns[:2] == ["query-id", "corpus-id"] and len(widths) == 2:
            widths = {3: widths[3]}
            continue
        if len(columns) not in widths:
            count = "more" if len(columns) > 4 else len(columns)
            raise FormatError(f"{where}: {' or '.join(widths.values())} were expected, found {count}: {shown(line)}")
        widths = {len(columns): widths[len(columns)]}
        query_id, doc_id, relevance = columns[0], columns[-2], columns[-1]
        check_ids((query_id, doc_id), where=where)
        try:
            judged = int(relevance)
        except ValueError as error:
            raise FormatError(f"{where}: the relevance {shown(relevance)!r} is not a whole number") from error
        yield where, Qrel(query_id, doc_id, judged)


def count_records(source: str, records: Records) -> int | None:
    """How many documents or queries an INPUT has, where that is cheap to know: for progress bars; None elsewhere.

    ir_datasets knows it of its collections; a file has its lines counted.
    """
    path = Path(source)
    if path.is_dir():
        if records == "queries":
            return None  # only those that are judged are read
        path = _beir_file(path, "corpus.jsonl")
    if path.is_file():
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                return sum(not line.isspace() for line in file)
        except (OSError, EOFError, zlib.error):  # whoever reads the records will say what is wrong, and where
            return None
    if _is_file_name(path):
        return None
    part = "docs" if records == "documents" else "queries"
    count = _ir_dataset(source, part).metadata().get(part, {}).get("count")
    return int(count) if count is not None else None


def _read_tsv(path: Path, widths: tuple[int, ...]) -> Iterator[tuple[str, list[str]]]:
    for number, line in read_lines(path):
        columns = line.split("\t")
        if len(columns) not in widths:
            wanted = " or ".join(map(str, widths))
            raise FormatError(f"{path}:{number}: {wanted} tab-separated columns were expected, found {len(columns)}")
        yield f"{path}:{number}", columns


def _is_file_name(path: Path) -> bool:
    """Whether an INPUT that is no folder names a file; ir_datasets ids have no suffix and are no files."""
    return path.is_file() or kind(path) in (".jsonl", ".tsv", ".json", ".txt", ".qrels")


def _beir_file(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise FormatError(
        f"{folder}: no {name} (or {name}.gz) there; a BEIR folder has corpus.jsonl, queries.jsonl, qrels/test.tsv"
    )


def _ir_dataset(name: str, part: str) -> Any:
    import ir_datasets

    try:
        dataset = ir_datasets.load(name)
    except KeyError as error:
        import difflib

        near = difflib.get_close_matches(name, list(ir_datasets.registry), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(
            f"{name!r} is neither a file, a folder in BEIR layout, nor an ir_datasets id{hint}"
        ) from error
    if not getattr(dataset, f"has_{part}")():
        raise ConfigError(f"the ir_datasets collection {name!r} has no {part}")
    return dataset
