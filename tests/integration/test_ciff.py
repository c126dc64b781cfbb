"""An index in the Common Index File Format, and as vectors again: what other engines get is what the index has.

The files are read by google.protobuf, with messages declared here by the format's specification
(github.com/osirrc/ciff, CommonIndexFileFormat.proto), and by BMP.
"""

import io
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, proto

from splade_lucene.errors import IndexNotFoundError
from splade_lucene.lucene.anserini import index_collection
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.ciff import CiffCounts, write_ciff
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.scan import scan
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import MAX_IMPACT, Quantizer
from splade_lucene.vector_files import read_vectors, write_jsonl
from splade_lucene.vectors import EncoderIdentity
from tests.helpers import as_rows, impacts, weights

pytestmark = pytest.mark.jvm

Rows = Mapping[str, Mapping[str, int]]
ROWS = {
    "d2": {"b": 3, "a": 1, "##ing": MAX_IMPACT},
    "empty": {},
    "é": {"": 7, "a b": 2, "😀": 1, "\uffff": 1},
    "d10": {"a": 200, "only here": 5},
}
MESSAGES = {
    "Header": "int32 version, int32 num_postings_lists, int32 num_docs, int32 total_postings_lists, int32 total_docs, "
    "int64 total_terms_in_collection, double average_doclength, string description",
    "Posting": "int32 docid, int32 tf",
    "PostingsList": "string term, int64 df, int64 cf, Posting postings",
    "DocRecord": "int32 docid, string collection_docid, int32 doclength",
}


def declared() -> dict[str, Any]:
    """The messages of the format: their fields are numbered from 1 as they stand above."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="ciff.proto", package="ciff", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (kind, each) in enumerate((each.split() for each in fields.split(", ")), start=1):
            if kind in MESSAGES:
                message.field.add(
                    name=each, number=number, label=field.LABEL_REPEATED, type=field.TYPE_MESSAGE, type_name=kind
                )
            else:
                message.field.add(name=each, number=number, type=getattr(field, f"TYPE_{kind.upper()}"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ciff.{name}")) for name in MESSAGES}


CIFF = declared()


def read_ciff(path: Path) -> tuple[Any, list[Any], list[Any]]:
    """Header, posting lists and records of a file that ends with the last of them."""
    with io.BytesIO(path.read_bytes()) as file:
        header = proto.parse_length_prefixed(CIFF["Header"], file)
        lists = [proto.parse_length_prefixed(CIFF["PostingsList"], file) for _ in range(header.num_postings_lists)]
        records = [proto.parse_length_prefixed(CIFF["DocRecord"], file) for _ in range(header.num_docs)]
        assert not file.read()
        again = io.BytesIO()
        for message in (header, *lists, *records):
            proto.serialize_length_prefixed(message, again)
        assert again.getvalue() == file.getvalue()  # as protobuf itself would have written it
    return header, lists, records


def rows_of(lists: list[Any], records: list[Any]) -> dict[str, dict[str, int]]:
    """{doc_id: {term: impact}}."""
    rows: dict[str, dict[str, int]] = {record.collection_docid: {} for record in records}
    for each in lists:
        number = 0
        for posting in each.postings:
            number += posting.docid
            rows[records[number].collection_docid][each.term] = posting.tf
    return rows


def check(path: Path, rows: Rows) -> Any:
    """The file holds these documents, in this order, and says so throughout; its header."""
    header, lists, records = read_ciff(path)
    assert rows_of(lists, records) == rows
    assert [record.collection_docid for record in records] == list(rows)
    assert [record.docid for record in records] == list(range(len(rows)))
    lengths = [sum(row.values()) for row in rows.values()]
    assert [record.doclength for record in records] == lengths
    terms = sorted({term for row in rows.values() for term in row}, key=str.encode)
    assert [each.term for each in lists] == terms
    for each in lists:
        assert each.df == len(each.postings)
        assert each.cf == sum(posting.tf for posting in each.postings)
    assert header.version == 1
    assert header.num_postings_lists == header.total_postings_lists == len(terms)
    assert header.num_docs == header.total_docs == len(rows)
    assert header.total_terms_in_collection == sum(lengths)
    assert header.average_doclength == (sum(lengths) / len(rows) if rows else 0)
    return header


def build(path: Path, *batches: Rows, **options: Any) -> None:
    ImpactIndex.build(path, map(weights, batches), IndexOptions(quantizer=Quantizer(1), **options)).close()


def scanned(path: Path) -> dict[str, dict[str, float]]:
    return {doc_id: row for batch in scan(path) for doc_id, row in as_rows(batch).items()}


def test_postings_documents_and_counts(tmp_path: Path) -> None:
    build(tmp_path / "index", ROWS)
    assert write_ciff(tmp_path / "index", tmp_path / "new" / "a.ciff") == CiffCounts(4, 8, 9, MAX_IMPACT)
    check(tmp_path / "new" / "a.ciff", ROWS)
    assert scanned(tmp_path / "index") == ROWS


def test_deleted_documents_are_left_out_and_the_others_numbered_anew(tmp_path: Path) -> None:
    build(tmp_path / "index", {"gone": {"a": 9, "z": 1}, **ROWS}, merge=False)
    with ImpactIndex.writer(tmp_path / "index") as writer:
        writer.append([weights({"d3": {"a": 4}, "gone-too": {"z": 2}})])
        writer.update([weights({"d2": {"b": 1}})])
        writer.delete(["gone", "gone-too"])
    write_ciff(tmp_path / "index", tmp_path / "a.ciff")
    left = {doc_id: row for doc_id, row in ROWS.items() if doc_id != "d2"} | {"d3": {"a": 4}, "d2": {"b": 1}}
    found = scanned(tmp_path / "index")
    assert found == left
    check(tmp_path / "a.ciff", {doc_id: left[doc_id] for doc_id in found})  # Lucene chooses the order of segments


def test_an_index_without_documents_or_without_postings(tmp_path: Path) -> None:
    build(tmp_path / "none", {})
    assert write_ciff(tmp_path / "none", tmp_path / "none.ciff") == CiffCounts(0, 0, 0, 0)
    check(tmp_path / "none.ciff", {})
    build(tmp_path / "empty", {"a": {}, "b": {}})
    write_ciff(tmp_path / "empty", tmp_path / "empty.ciff")
    check(tmp_path / "empty.ciff", {"a": {}, "b": {}})
    assert scanned(tmp_path / "empty") == {"a": {}, "b": {}}


def test_more_documents_than_are_read_at_a_time(tmp_path: Path) -> None:
    rows = {f"d{n}": {f"t{n % 7}": 1 + n % 5, "all": 1} for n in range(20_000)}
    build(tmp_path / "index", rows, threads=2, merge=False)
    sizes = [len(batch) for batch in scan(tmp_path / "index")]
    assert len(sizes) > 2
    assert sum(sizes) == len(rows)
    found = scanned(tmp_path / "index")
    assert found == rows
    write_ciff(tmp_path / "index", tmp_path / "a.ciff")
    check(tmp_path / "a.ciff", {doc_id: rows[doc_id] for doc_id in found})  # in the index's order


def test_the_header_says_where_the_impacts_are_from(tmp_path: Path) -> None:
    identity = EncoderIdentity("tests/model", "f00d", "abc", 16, "log1p_relu")
    ImpactIndex.build(tmp_path / "index", [weights({"a": {"x": 0.5}})], encoder=identity).close()
    write_ciff(tmp_path / "index", tmp_path / "a.ciff")
    said = check(tmp_path / "a.ciff", {"a": {"x": 50}}).description
    assert said.startswith("splade-lucene ")
    assert said.endswith(f"impacts as term frequencies, scale 100, by {identity}")


def test_an_index_of_anserinis(tmp_path: Path) -> None:
    rows = {"d2": {"b": 3, "a": 1}, "d10": {"a": 200}}
    write_jsonl(tmp_path / "collection" / "a.jsonl", [impacts(rows)])
    options = ("-collection", "JsonVectorCollection", "-impact", "-pretokenized")
    index_collection(tmp_path / "collection", tmp_path / "index", *options, threads=1)
    write_ciff(tmp_path / "index", tmp_path / "a.ciff")
    assert check(tmp_path / "a.ciff", rows).description.endswith("impacts as term frequencies")
    assert scanned(tmp_path / "index") == rows


def test_where_there_is_no_index_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="no such folder"):
        write_ciff(tmp_path / "index", tmp_path / "a.ciff")
    with pytest.raises(IndexNotFoundError, match="no such folder"):
        next(scan(tmp_path / "index"))
    assert not list(tmp_path.iterdir())


def test_bmp_finds_what_a_searcher_finds(tmp_path: Path) -> None:
    bmp = pytest.importorskip("bmp", reason="bmp has no wheel for this machine")
    drawn = random.Random(0)
    names = [f"##t{n}" for n in range(60)]
    documents = {
        f"d{n}": {term: drawn.randint(1, 255) for term in drawn.sample(names, drawn.randint(0, 20))} for n in range(300)
    }
    # bmp rounds the weights of a query to 32 levels of the largest one, which leaves these as they are
    queries = {f"q{n}": {term: drawn.randint(1, 32) for term in drawn.sample(names, 8)} for n in range(20)}
    queries = {query_id: query | {names[0]: 32} for query_id, query in queries.items()}
    build(tmp_path / "index", documents)
    write_ciff(tmp_path / "index", tmp_path / "a.ciff")
    bmp.ciff2bmp(str(tmp_path / "a.ciff"), str(tmp_path / "a.bmp"), 8, False)
    theirs = bmp.Searcher(str(tmp_path / "a.bmp"))
    run = Searcher(tmp_path / "index").search_vectors(impacts(queries), 300)
    for query_id, query in queries.items():
        asked = {term: float(impact) for term, impact in query.items()}
        doc_ids, scores = theirs.search(asked, k=10, alpha=1.0, beta=1.0)
        ours = dict(run[query_id])
        assert [ours[doc_id] for doc_id in doc_ids] == scores == [hit.score for hit in run[query_id][:10]]


# The verb


def test_convert_an_index(tmp_path: Path, cli: Callable[..., Any]) -> None:
    build(tmp_path / "index", ROWS)
    done = cli("convert", "--index", tmp_path / "index", "--output", tmp_path / "a.ciff")
    assert done.code == 0
    assert done.out == f"{tmp_path / 'a.ciff'}: 4 documents, 8 posting lists, 9 postings\n"
    assert "the highest impact is 16,777,215, and BMP takes them up to 255" in done.err
    check(tmp_path / "a.ciff", ROWS)
    done = cli("convert", "--index", tmp_path / "index", "--output", tmp_path / "a.jsonl.gz")
    assert done.out == f"{tmp_path / 'a.jsonl.gz'}: 4 vectors\n"
    (read,) = read_vectors(tmp_path / "a.jsonl.gz")
    assert as_rows(read) == ROWS


def test_convert_vectors(tmp_path: Path, cli: Callable[..., Any]) -> None:
    given = weights({"d1": {"a": 0.1, "b": 2.5}, "d2": {}})
    write_jsonl(tmp_path / "given.jsonl", [given])
    assert cli("convert", "--vectors", tmp_path / "given.jsonl", "--output", tmp_path / "w.jsonl").code == 0
    (read,) = read_vectors(tmp_path / "w.jsonl")
    assert read == given
    done = cli("convert", "--vectors", tmp_path / "given.jsonl", "--scale", 100, "--output", tmp_path / "i.jsonl")
    assert done.code == 0
    assert '"vector": {"a": 10, "b": 250}' in (tmp_path / "i.jsonl").read_text()


def test_what_convert_refuses(tmp_path: Path, cli: Callable[..., Any]) -> None:
    output = tmp_path / "a.ciff"
    for arguments, said in {
        (): "give one of --index and --vectors",
        ("--index", "i", "--vectors", "v"): "give one of --index and --vectors",
        ("--index", "i", "--scale", 1): "--scale is for --vectors",
        ("--vectors", "v"): "is written from an index",
    }.items():
        done = cli("convert", *arguments, "--output", output)
        assert done.code == 2
        assert said in " ".join(done.err.replace("│", " ").split())
    done = cli("convert", "--index", "i", "--output", tmp_path / "a.bmp")
    assert done.code == 2
    output.write_bytes(b"mine")
    done = cli("convert", "--index", tmp_path, "--output", output)
    assert done.code == 1
    assert "is there already; say --overwrite" in done.err
    assert output.read_bytes() == b"mine"
    build(tmp_path / "index", ROWS)
    assert cli("convert", "--index", tmp_path / "index", "--output", output, "--overwrite").code == 0
    check(output, ROWS)
