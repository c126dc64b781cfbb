"""Documents, queries and qrels as they come in, good and bad."""

import gzip
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.datasets import (
    MAX_ID_BYTES,
    Doc,
    Passages,
    Qrel,
    Query,
    check_ids,
    count_records,
    document_of,
    field,
    passage_id,
    read_documents,
    read_fields,
    read_qrels,
    read_queries,
)
from splade_lucene.errors import ConfigError, FormatError
from tests.integration.support import python, shared


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], str]:
    """Write a file and return its name."""

    def write(name: str, content: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        data = content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return str(path)

    return write


Written = Callable[[str, str], str]


def refusal(read: Callable[[str], Iterable[Any]], source: str) -> str:
    with pytest.raises(FormatError) as refused:
        list(read(source))
    return str(refused.value)


def test_a_title_comes_before_the_text() -> None:
    assert Doc("1", "Title", "text").default_text() == "Title text"
    assert Doc("1", "", "text").default_text() == "text"
    assert Doc("1", "Title", "").default_text() == "Title"
    assert Doc("1", "", " text ").default_text() == "text"
    assert Query("1", "text").default_text() == "text"


# Documents


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_json_documents(written: Written, name: str) -> None:
    source = written(
        name,
        '{"_id": "1", "title": "T", "text": "one"}\n'
        '{"id": 2, "contents": "two", "more": [1]}\n'
        '{"doc_id": "3", "text": ""}\n',
    )
    assert list(read_documents(source)) == [Doc("1", "T", "one"), Doc("2", "", "two"), Doc("3", "", "")]


def test_tsv_documents_with_and_without_titles(written: Written) -> None:
    source = written("a.tsv.gz", "1\tone\n2\tT\ttwo\n3\t\r\n")
    assert list(read_documents(source)) == [Doc("1", "", "one"), Doc("2", "T", "two"), Doc("3", "", "")]


def test_a_byte_order_mark_is_no_part_of_the_first_id(written: Written) -> None:
    assert next(read_documents(written("a.tsv", "\ufeff1\tone\n"))).doc_id == "1"
    assert next(read_documents(written("a.jsonl", '\ufeff{"_id": "1", "text": "one"}\n'))).doc_id == "1"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"_id": "2", "text": "cut in the mi', "not a JSON object"),
        ('{"text": "x"}', "no field '_id' or 'id' or 'doc_id'"),
        ('{"_id": "2"}', "no field 'text' or 'contents'"),
        ('{"_id": true, "text": "x"}', "'_id' must be a string, not bool"),
        ('{"_id": 1.5, "text": "x"}', "'_id' must be a string, not float"),
        ('{"_id": null, "text": "x"}', "'_id' must be a string, not NoneType"),
        ('{"_id": "2", "text": ["x"]}', "'text' must be a string, not list"),
        ('{"_id": "", "text": "x"}', "the id '' is empty"),
        ('{"_id": "2 b", "text": "x"}', "holds white space"),
        ('{"_id": "2\\u00a0b", "text": "x"}', "holds white space"),
        ('{"_id": "2\\u0085b", "text": "x"}', "holds white space"),
        ('{"_id": "2\\u0000", "text": "x"}', "control character"),
        ('{"_id": "\\ud800", "text": "x"}', "lone surrogate"),
        ('{"_id": "' + "x" * 40_000 + '", "text": "x"}', "is 40,000 bytes long"),
    ],
    ids=lambda given: str(given)[:40],
)
def test_a_bad_document_is_refused_with_its_line(written: Written, line: str, said: str) -> None:
    source = written("a.jsonl", '{"_id": "1", "text": "x"}\n' + line + "\n")
    assert refusal(read_documents, source).startswith(f"{source}:2: ")
    assert said in refusal(read_documents, source)


@pytest.mark.parametrize("line", ["2", "2\ta\tb\tc", "\ttext", "a b\ttext"])
def test_a_bad_tsv_line_is_refused_with_its_line(written: Written, line: str) -> None:
    source = written("a.tsv", f"1\tone\n{line}\n")
    assert f"{source}:2: " in refusal(read_documents, source)


def test_documents_stream(written: Written) -> None:
    documents = read_documents(written("a.jsonl", '{"_id": "1", "text": "x"}\nbroken\n'))
    assert next(documents) == Doc("1", "", "x")


# Ids


def test_ids_may_be_as_long_as_lucene_stores_them() -> None:
    check_ids(["x" * MAX_ID_BYTES, "é" * (MAX_ID_BYTES // 2), "😀", "\ufeff", "…"], where="here")
    for given in ("x" * (MAX_ID_BYTES + 1), "é" * (MAX_ID_BYTES // 2 + 1)):
        with pytest.raises(FormatError, match=r"here: the id 'x{40}|é{40}…' is 32,76\d bytes long"):
            check_ids([given], where="here")


def test_a_field_has_the_first_name_that_is_there() -> None:
    record = {"b": "second", "a": "first", "n": 7}
    assert field(record, ("a", "b"), where="here") == "first"
    assert field(record, ("n",), where="here") == "7"
    assert field(record, ("none",), where="here", default="") == ""
    with pytest.raises(FormatError, match="here: no field 'none'; it has b, a, n"):
        field(record, ("none",), where="here")


# Queries


def test_queries_of_files(written: Written) -> None:
    assert list(read_queries(written("q.tsv", "1\tone\n"))) == [Query("1", "one")]
    source = written("q.jsonl", '{"query_id": "1", "text": "one"}\n{"_id": 2, "text": "two"}\n')
    assert list(read_queries(source)) == [Query("1", "one"), Query("2", "two")]


def test_a_query_line_has_two_columns(written: Written) -> None:
    source = written("q.tsv", "1\tone\tmore\n")
    assert refusal(read_queries, source) == f"{source}:1: 2 tab-separated columns were expected, found 3"


def test_of_a_beir_folder_only_the_judged_queries_count(written: Written, tmp_path: Path) -> None:
    written("corpus.jsonl.gz", '{"_id": "d", "title": "T", "text": "one"}\n')
    written("queries.jsonl", '{"_id": "train", "text": "a"}\n{"_id": "test", "text": "b"}\n')
    written("qrels/test.tsv", "query-id\tcorpus-id\tscore\ntest\td\t2\n")
    folder = str(tmp_path)
    assert list(read_documents(folder)) == [Doc("d", "T", "one")]
    assert list(read_queries(folder)) == [Query("test", "b")]
    assert list(read_qrels(folder)) == [Qrel("test", "d", 2)]


def test_a_folder_that_is_none_of_beirs_is_refused(tmp_path: Path) -> None:
    assert "no corpus.jsonl (or corpus.jsonl.gz) there" in refusal(read_documents, str(tmp_path))


# Qrels


def test_trec_and_beir_qrels(written: Written) -> None:
    trec = written("a.qrels", "q 0 d1 1\nq 0 d2 -1\np\t0\td1\t0\n")
    assert list(read_qrels(trec)) == [Qrel("q", "d1", 1), Qrel("q", "d2", -1), Qrel("p", "d1", 0)]
    beir = written("a.tsv", "query-id\tcorpus-id\tscore\nq\td1\t1\n")
    assert list(read_qrels(beir)) == [Qrel("q", "d1", 1)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q d", "4 columns (TREC) were expected, found 2: q d"),
        ("q 0 d 1 extra", "found more"),
        ("q 0 d 1 " * 1_000, "found more"),
        ("q\td\t1", "4 columns (TREC) were expected, found 3"),
        ("query-id\tcorpus-id\tscore", "found 3"),
        ("q 0 d 1.5", "'1.5' is not a whole number"),
        ("q 0 d high", "'high' is not a whole number"),
        ("q 0 d " + "9" * 5_000, "is not a whole number"),
        ("q 0 \x07 1", "control character"),
        ("q 0 d1 0", "query q judges document d1 as 0, and as 1 further up; keep one of the two"),
    ],
    ids=lambda given: given[:30],
)
def test_a_bad_judgment_is_refused_with_its_line(written: Written, line: str, said: str) -> None:
    source = written("a.qrels", f"q 0 d1 1\n{line}\n")
    assert refusal(read_qrels, source).startswith(f"{source}:2: ")
    assert said in refusal(read_qrels, source)
    assert len(refusal(read_qrels, source)) < 400


def test_an_id_with_a_space_is_not_read_as_two_columns(written: Written) -> None:
    """BEIR's three columns would look like TREC's four."""
    header = "query-id\tcorpus-id\tscore\n"
    for source in (written("a.tsv", header + "q\td 1\t1\n"), written("b.tsv", "p\td\t1\nq\td 1\t1\n")):
        assert f"{source}:2: 3 columns (BEIR) were expected, found 4: q\td 1\t1" == refusal(read_qrels, source)


@pytest.mark.parametrize("relevance", ["-2", "0", "1", "3", "+1", "-0"])
def test_any_whole_number_is_a_relevance(written: Written, relevance: str) -> None:
    assert list(read_qrels(written("a.qrels", f"q 0 d {relevance}\n"))) == [Qrel("q", "d", int(relevance))]


def test_a_judgment_that_stands_there_twice_is_given_once(written: Written) -> None:
    source = written("a.qrels", "q 0 d 1\np 0 d 0\nq 0 d 1\nq 2 d 1\n")
    assert list(read_qrels(source)) == [Qrel("q", "d", 1), Qrel("p", "d", 0)]


def test_qrels_of_any_hand(written: Written) -> None:
    """Ends of Windows, a byte order mark, tabs and spaces mixed, blank lines, no end at the end."""
    trec = written("a.qrels", "\ufeffq1 0\td1 1\r\n\r\n q1\t0 d2  0 \r\n \t\r\nq2 Q0 d1 2")
    assert list(read_qrels(trec)) == [Qrel("q1", "d1", 1), Qrel("q1", "d2", 0), Qrel("q2", "d1", 2)]
    beir = written("a.tsv", "\ufeffquery-id\tcorpus-id\tscore\r\nq1\td1 1\r\n")
    assert list(read_qrels(beir)) == [Qrel("q1", "d1", 1)]


# What is no file


@pytest.mark.parametrize("read", [read_documents, read_queries, read_qrels])
def test_an_unknown_collection_is_refused_with_a_suggestion(read: Callable[[str], Iterable[Any]]) -> None:
    with pytest.raises(ConfigError, match=r"did you mean .*beir/scifact/test"):
        list(read("beir/scifcat/test"))


def test_a_collection_without_such_records_is_refused() -> None:
    with pytest.raises(ConfigError, match="'beir/scifact' has no qrels"):
        list(read_qrels("beir/scifact"))


@pytest.mark.parametrize("read", [read_documents, read_queries, read_qrels])
def test_a_file_that_is_not_there_is_refused_as_a_file(read: Callable[[str], Iterable[Any]], tmp_path: Path) -> None:
    assert refusal(read, str(tmp_path / "a.tsv")) == f"{tmp_path / 'a.tsv'}: no such file"


def test_an_id_that_resembles_none_has_no_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"nor an ir_datasets id$"):
        list(read_documents("0123456789"))


@pytest.mark.parametrize("collection", ["beir/scifact", "beir/nfcorpus"])
def test_ir_datasets_gives_beirs_documents_as_a_beir_folder_does(collection: str, tmp_path: Path) -> None:
    """Title and text apart, and put together as ir_datasets itself does it."""
    archive = shared("ir_datasets", collection, "source.zip")
    home = tmp_path / "home" / collection
    home.mkdir(parents=True)
    shutil.copyfile(archive, home / "source.zip")
    code = """
import json, sys, ir_datasets
from splade_lucene.datasets import count_records, read_documents, read_fields
name, folder = sys.argv[1:]
ours = list(read_documents(name))
assert ours == list(read_documents(folder)), "a folder gives others"
theirs = {doc.doc_id: doc.default_text().strip() for doc in ir_datasets.load(name).docs_iter()}
assert {doc.doc_id: doc.default_text() for doc in ours} == theirs
assert any(doc.title for doc in ours)
fields = dict(read_fields(name, ["url", "metadata"] if "nfcorpus" in name else []))
assert {doc_id: each["text"] for doc_id, each in fields.items()} == {doc.doc_id: doc.text for doc in ours}
assert all(each["url"] for each in fields.values()) if "nfcorpus" in name else True
assert count_records(name, "documents") == count_records(folder, "documents") == len(ours)
"""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "beir")
    (folder,) = (tmp_path / "beir").iterdir()
    said = python(code, collection, folder, IR_DATASETS_HOME=str(tmp_path / "home"))  # it asks for its home only once
    assert said.returncode == 0, said.stderr


# Fields


def test_fields_of_records_are_read_as_they_are_named(written: Written) -> None:
    source = written(
        "a.jsonl",
        '{"_id": "1", "title": "T", "text": "one", "url": "u", "year": 2024, "gone": null, "other": 1.5}\n'
        '{"_id": "2", "contents": "two"}\n',
    )
    assert list(read_fields(source, ["url", "title", "year", "gone", "text"])) == [
        ("1", {"title": "T", "text": "one", "url": "u", "year": "2024"}),
        ("2", {"text": "two"}),
    ]
    assert list(read_fields(source, [])) == [("1", {"title": "T", "text": "one"}), ("2", {"text": "two"})]
    with pytest.raises(FormatError, match=r"a\.jsonl:1: 'other' must be a string, not float"):
        list(read_fields(source, ["other"]))
    assert list(read_fields(written("a.tsv", "1\tT\tone\n"), ["url"])) == [("1", {"title": "T", "text": "one"})]


def test_fields_of_passages_are_their_documents_but_for_the_text(written: Written) -> None:
    source = written("a.jsonl", '{"_id": "1", "title": "T", "text": "one two three", "url": "u"}\n')
    assert list(read_fields(source, ["url"], Passages(2, 2))) == [
        ("1#0", {"title": "T", "text": "one two", "url": "u"}),
        ("1#1", {"title": "T", "text": "three", "url": "u"}),
    ]


# Counting


def test_records_are_counted_where_that_is_cheap(written: Written, tmp_path: Path) -> None:
    for name in ("a.tsv", "a.tsv.gz"):
        source = written(name, "1\tone\n\n2\ttwo\n  \n3\tthree")
        assert count_records(source, "documents") == count_records(source, "queries") == 3
    written("corpus.jsonl", "{}\n{}\n")
    assert count_records(str(tmp_path), "documents") == 2
    assert count_records(str(tmp_path), "queries") is None
    assert count_records(str(tmp_path / "none.tsv"), "documents") is None
    (tmp_path / "bad.tsv.gz").write_bytes(b"rubbish")
    assert count_records(str(tmp_path / "bad.tsv.gz"), "documents") is None
    assert count_records("beir/scifact/test", "documents") == 5183
    assert count_records("beir/scifact/test", "queries") == 300


def test_a_pipe_is_not_read_for_its_count(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tsv")
    assert count_records(str(tmp_path / "a.tsv"), "documents") is None


# Passages


@pytest.mark.parametrize(
    ("words", "stride", "text", "passages"),
    [
        (3, 3, "a b c d e f g", ["a b c", "d e f", "g"]),
        (3, 3, "a b c d e f", ["a b c", "d e f"]),
        (3, 2, "a b c d e", ["a b c", "c d e"]),
        (3, 2, "a b c d e f", ["a b c", "c d e", "e f"]),
        (3, 1, "a b c d", ["a b c", "b c d"]),
        (3, 1, "a b", ["a b"]),
        (1, 1, "a b", ["a", "b"]),
        (9, 9, " a \t b\u3000c\n", ["a b c"]),
        (9, 9, "", [""]),
        (9, 9, " \n", [""]),
    ],
)
def test_passages(words: int, stride: int, text: str, passages: list[str]) -> None:
    assert list(Passages(words, stride).cut([Doc("d#1", "T", text)])) == [
        Doc(f"d#1#{number}", "T", passage) for number, passage in enumerate(passages)
    ]


def test_passages_stream() -> None:
    def documents() -> Iterator[Doc]:
        yield Doc("d", "", "a b")
        raise AssertionError("read too far")

    cut = Passages(1, 1).cut(documents())
    assert [next(cut).text, next(cut).text] == ["a", "b"]


@pytest.mark.parametrize(("words", "stride"), [(3, 4), (3, 0), (0, 0), (-1, -1)])
def test_passages_that_would_lose_words_are_refused(words: int, stride: int) -> None:
    with pytest.raises(ConfigError, match="words between two passages would be lost"):
        Passages(words, stride)


@pytest.mark.parametrize("doc_id", ["d", "d#1", "#", "é"])
def test_the_document_of_a_passage(doc_id: str) -> None:
    assert document_of(passage_id(doc_id, 12)) == doc_id
