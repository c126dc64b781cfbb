"""Bad input, through the command line: exit 1, one line that says what, where and what to do, and nothing lost."""

import gzip
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.errors import IncompleteIndexError, SearchError
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import Vocabulary
from tests.helpers import WORDS, tiny_backend, weights
from tests.integration.support import clean, fails

pytestmark = pytest.mark.jvm

Cli = Callable[..., Any]


def jsonl(path: Path, *records: Mapping[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def documents(path: Path, rows: Mapping[str, Mapping[str, float]]) -> Path:
    """A file of Anserini's vectors."""
    return jsonl(path, *({"id": doc_id, "vector": dict(row)} for doc_id, row in rows.items()))


@pytest.fixture
def old_index(tmp_path: Path) -> Path:
    """An index that stands there before; it must be there afterwards."""
    path = tmp_path / "index"
    ImpactIndex.build(path, [weights({"old": {"word": 1}})], IndexOptions(Quantizer(1))).close()
    return path


# Vectors


UNUSABLE_ROWS = [
    ({"d1": {"a": 1}, "d2": {"b": float("nan")}}, ["d2", "'b'", "nan", "finite"]),
    ({"d1": {"a": 1}, "d2": {"b": float("inf")}}, ["d2", "'b'", "inf", "finite"]),
    ({"d1": {"a": 1}, "d2": {"b": -1.0}}, ["d2", "'b'", "-1.0", ">= 0"]),
    ({"d1": {"a": 1}, "d2": {"b": 1.5}}, ["d2", "'b'", "1.5", "not a whole number", "scale"]),
    ({"d1": {"a": 1}, "d2": {"b": 2**24}}, ["d2", "'b'", "16,777,216", "16,777,215", "scale below"]),
    ({"d1": {"a": 1}, "d2": {"b": 10**400}}, ["too large"]),
    ({"d1": {"a": 1}, "": {"b": 1}}, ["documents.jsonl:2", "the id '' is empty"]),
    ({"d1": {"a": 1}, "my doc": {"b": 1}}, ["documents.jsonl:2", "'my doc'", "white space"]),
    ({"d1": {"a": 1}, "do\u0007c": {"b": 1}}, ["documents.jsonl:2", "control character"]),
    ({"d1": {"a": 1}, "d" * 40_000: {"b": 1}}, ["documents.jsonl:2", "40,000 bytes", "32,766"]),
    ({"d1": {"a": 1}, "d2": {"t" * 40_000: 1}}, ["d2", "ttt", "40,000 bytes", "32,766"]),
]


@pytest.mark.parametrize(("rows", "said"), UNUSABLE_ROWS, ids=[" ".join(said)[:40] for _, said in UNUSABLE_ROWS])
def test_vectors_that_no_index_can_hold(
    rows: dict[str, dict[str, float]], said: list[str], cli: Cli, old_index: Path, tmp_path: Path
) -> None:
    file = documents(tmp_path / "documents.jsonl", rows)
    fails(cli("index", "--vectors", file, "--index", old_index, "--scale", 1, "--overwrite"), *said)
    fails(cli("index", "--vectors", file, "--index", tmp_path / "new", "--scale", 1), *said)
    assert not (tmp_path / "new").exists()
    with ImpactIndex(old_index) as index:
        assert index.postings("word") == {"old": 1}


def test_a_term_that_repetition_cannot_write(cli: Cli, tmp_path: Path) -> None:
    file = documents(tmp_path / "documents.jsonl", {"d1": {"two words": 3}})
    options = ("--vectors", file, "--scale", 1)
    fails(cli("index", *options, "--form", "repeat", "--index", tmp_path / "r"), "two words", "use the form `impacts`")
    assert not (tmp_path / "r").exists()
    assert cli("index", *options, "--index", tmp_path / "i").code == 0
    with ImpactIndex(tmp_path / "i") as index:
        assert index.postings("two words") == {"d1": 3}


def test_a_doc_id_given_twice_in_a_batch(cli: Cli, tmp_path: Path) -> None:
    records = [{"id": each, "vector": {"a": 1}} for each in ("d1", "d2", "d1")]
    file = jsonl(tmp_path / "documents.jsonl", *records)
    fails(cli("index", "--vectors", file, "--index", tmp_path / "new"), "documents.jsonl:3", "'d1'")


@pytest.mark.parametrize("form", ["impacts", "repeat"])
def test_a_doc_id_given_twice_in_different_batches(form: str, cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    folder.mkdir()
    documents(folder / "1.jsonl", {"d1": {"a": 1}, "d2": {"a": 1}})
    documents(folder / "2.jsonl", {"d3": {"a": 1}, "d1": {"b": 1}})
    fails(cli("index", "--vectors", folder, "--index", tmp_path / "new", "--form", form), "'d1'", "twice")
    assert not (tmp_path / "new").exists()


def test_an_empty_vector_is_a_document_all_the_same(cli: Cli, tmp_path: Path) -> None:
    file = documents(tmp_path / "documents.jsonl", {"d1": {"a": 1}, "nothing": {}, "rounded": {"a": 0.001}})
    finished = cli("index", "--vectors", file, "--index", tmp_path / "new")
    assert (finished.code, "3 documents" in finished.out) == (0, True)
    assert "1 weights rounded to 0, 2 documents without a posting" in finished.err
    with ImpactIndex(tmp_path / "new") as index:
        assert (len(index), index.impacts("nothing", ["a"])) == (3, {"a": 0})


def test_a_jsonl_line_cut_in_the_middle(cli: Cli, old_index: Path, tmp_path: Path) -> None:
    file = documents(tmp_path / "documents.jsonl", {"d1": {"a": 1}, "d2": {"b": 2}})
    whole = file.read_text()
    file.write_text(whole[: len(whole) - 9])
    fails(
        cli("index", "--vectors", file, "--index", old_index, "--overwrite"), "documents.jsonl:2", "not a JSON object"
    )
    with ImpactIndex(old_index) as index:
        assert len(index) == 1


def test_a_gzip_file_cut_in_the_middle(cli: Cli, tmp_path: Path) -> None:
    packed = gzip.compress(documents(tmp_path / "d.jsonl", {f"d{n}": {f"t{n}": 1} for n in range(500)}).read_bytes())
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    damaged = bytearray(packed)
    damaged[len(packed) // 2 : len(packed) // 2 + 40] = bytes(40)
    (tmp_path / "damaged.jsonl.gz").write_bytes(damaged)
    for name in ("cut.jsonl.gz", "damaged.jsonl.gz"):
        fails(cli("index", "--vectors", tmp_path / name, "--index", tmp_path / "new"), f"{name}:", "damaged")


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.tsv", "corpus.jsonl.gz"])
def test_a_corpus_of_0_bytes(name: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    options = ("--model", "default", "--input", tmp_path / name, "--output", tmp_path / "vectors")
    fails(cli("encode", *options), name, "is empty")


def test_vectors_of_0_bytes(cli: Cli, old_index: Path, tmp_path: Path) -> None:
    (tmp_path / "v.jsonl").write_bytes(b"")
    fails(cli("index", "--vectors", tmp_path / "v.jsonl", "--index", old_index, "--overwrite"), "v.jsonl", "is empty")
    with ImpactIndex(old_index) as index:
        assert len(index) == 1


def test_vectors_that_are_not_there(cli: Cli, tmp_path: Path) -> None:
    fails(cli("index", "--vectors", tmp_path / "v.jsonl", "--index", tmp_path / "new"), "v.jsonl", "no such file")
    fails(cli("index", "--vectors", tmp_path / "v.bin", "--index", tmp_path / "new"), "v.bin", "no such file")


# Texts beside vectors


def test_texts_of_other_documents(cli: Cli, old_index: Path, tmp_path: Path) -> None:
    vectors = documents(tmp_path / "v.jsonl", {"d1": {"a": 1}, "d2": {"b": 1}})
    given = {"others": ["d1", "d3"], "another order": ["d2", "d1"], "fewer": ["d1"], "more": ["d1", "d2", "d3"]}
    for what, doc_ids in given.items():
        texts = jsonl(tmp_path / f"{what}.jsonl", *({"_id": doc_id, "text": "x"} for doc_id in doc_ids))
        fails(cli("index", "--vectors", vectors, "--index", old_index, "--overwrite", "--texts", texts), "texts")
        with ImpactIndex(old_index) as index:
            assert index.text("d1") is None
            assert len(index) == 1


def test_texts_beside_the_repeat_form(cli: Cli, tmp_path: Path) -> None:
    vectors = documents(tmp_path / "v.jsonl", {"d1": {"a": 1}})
    texts = jsonl(tmp_path / "t.jsonl", {"_id": "d1", "text": "x"})
    options = ("--vectors", vectors, "--index", tmp_path / "new", "--form", "repeat", "--texts", texts)
    fails(cli("index", *options), "use the form `impacts`")


def test_texts_of_other_documents_in_the_python_api(tmp_path: Path) -> None:
    with pytest.raises(IncompleteIndexError, match="texts"):
        ImpactIndex.build(tmp_path / "i", [weights({"d1": {"a": 1}})], texts=[("d2", "text")])


# Queries


@pytest.fixture
def small_index(cli: Cli, tmp_path: Path) -> Path:
    vectors = documents(tmp_path / "small.jsonl", {"d1": {"a": 1, "b": 2}, "d2": {"b": 1}, "d3": {}})
    assert cli("index", "--vectors", vectors, "--index", tmp_path / "small", "--scale", 1).code == 0
    return tmp_path / "small"


def test_a_query_with_no_known_term_is_counted(cli: Cli, small_index: Path, tmp_path: Path) -> None:
    queries = tmp_path / "q.tsv"
    queries.write_text("q1\tb\nq2\tunknown unknown\nq3\ta unknown\n")
    finished = cli("search", "--index", small_index, "--query-vectors", queries)
    assert finished.code == 0
    assert [line.split()[:3] for line in finished.out.splitlines()] == [
        ["q1", "Q0", "d1"],
        ["q1", "Q0", "d2"],
        ["q3", "Q0", "d1"],
    ]
    assert "1 of 3 queries found nothing, q2 for one" in finished.err


def test_queries_of_which_none_finds_anything(cli: Cli, small_index: Path, tmp_path: Path) -> None:
    queries = tmp_path / "q.tsv"
    queries.write_text("q1\tunknown\nq2\tunknown\n")
    finished = cli("search", "--index", small_index, "--query-vectors", queries, "--run", tmp_path / "empty.run")
    assert finished.code == 0
    assert "2 of 2 queries found nothing, q1 for one" in finished.err
    qrels = tmp_path / "test.qrels"
    qrels.write_text("q1 0 d1 1\n")
    fails(cli("evaluate", "--run", tmp_path / "empty.run", "--qrels", qrels), "empty.run is empty")


def test_names_in_brackets_are_names_and_no_markup(cli: Cli, small_index: Path, tmp_path: Path) -> None:
    queries = tmp_path / "[bold] q.tsv"
    queries.write_text("[q1]\tunknown\n[/q2]\tb\n")
    finished = cli("search", "--index", small_index, "--query-vectors", queries, "--run", tmp_path / "[/x].run")
    assert finished.code == 0
    assert "1 of 2 queries found nothing, [q1] for one" in finished.err
    assert "[/x].run: 2 hits of 2 queries" in finished.err
    fails(cli("search", "--index", small_index, "--query-vectors", tmp_path / "[/y].tsv"), "[/y].tsv: no such file")


def test_a_query_id_given_twice(cli: Cli, small_index: Path, tmp_path: Path) -> None:
    queries = tmp_path / "q.jsonl"
    jsonl(queries, {"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}, {"_id": "q1", "text": "three"})
    options = ("--index", small_index, "--model", "default")
    fails(cli("search", *options, "--queries", queries), "q.jsonl:3", "'q1'")
    vectors = tmp_path / "v.tsv"
    vectors.write_text("q1\tb\nq1\ta\n")
    fails(cli("search", "--index", small_index, "--query-vectors", vectors), "v.tsv:2", "'q1'")
    folder = tmp_path / "queries"
    folder.mkdir()
    for name in ("1.jsonl", "2.jsonl"):
        documents(folder / name, {"q1": {"b": 1}})
    fails(cli("search", "--index", small_index, "--query-vectors", folder), "'q1'", "twice")


def test_k_of_0_is_wrong_usage(cli: Cli, small_index: Path, tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("q1\tb\n")
    finished = cli("search", "--index", small_index, "--query-vectors", tmp_path / "q.tsv", "--k", 0)
    assert (finished.code, finished.out) == (2, "")
    assert "--k" in finished.err
    with ImpactIndex(small_index) as index, pytest.raises(SearchError, match="k must be at least 1, not 0"):
        Searcher(index).search({"b": 1}, 0)


def test_k_larger_than_the_collection(cli: Cli, small_index: Path, tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("q1\tb\n")
    for k in (3, 4, 10**6, 10**12):
        finished = cli("search", "--index", small_index, "--query-vectors", tmp_path / "q.tsv", "--k", k)
        assert (finished.code, len(finished.out.splitlines())) == (0, 2)


# Texts


ODD_TEXTS = {
    "lone surrogate": "a cat \ud800 in the sun",
    "NUL": "a cat\x00 in the\x00 sun",
    "one megabyte": "a cat in the sun " * 62_000,
    "right to left": "\u202eקטה תחת השמש\u202c cat",
    "combining": "c\u0301a\u0308t" + "\u0301" * 10_000,
    "no word": "\u200b\u200d\ufeff",
    "emoji": "👩‍👩‍👧‍👦" * 500,
    "one word": "cat" * 100_000,
}


def test_odd_texts_are_documents_and_queries_like_others(cli: Cli, tmp_path: Path) -> None:
    """Each is encoded, counted, indexed, stored and found; what has no UTF-8 becomes U+FFFD."""
    records = [{"_id": f"d{number}", "text": text} for number, text in enumerate(ODD_TEXTS.values())]
    texts = jsonl(tmp_path / "t.jsonl", *records, {"_id": "plain", "text": "a cat in the sun"})
    done = cli("encode", "--model", "default", "--input", texts, "--output", tmp_path / "v")
    assert done.code == 0 and clean(done.err)
    assert "1 cut at 256 tokens, 3 without a term" in done.err
    assert cli("index", "--vectors", tmp_path / "v", "--index", tmp_path / "i", "--texts", texts).code == 0
    with ImpactIndex(tmp_path / "i") as index:
        assert len(index) == len(ODD_TEXTS) + 1
        stored = {name: index.text(f"d{number}") for number, name in enumerate(ODD_TEXTS)}
    for name, text in ODD_TEXTS.items():
        kept = text.replace("\ud800", "?").strip()
        assert (stored[name] or "").replace("\ufffd", "?") == kept, name
    found = cli("search", "--index", tmp_path / "i", "--model", "default", "--queries", texts)
    assert found.code == 0 and clean(found.err)
    by_query = {line.split()[0]: line.split()[2] for line in reversed(found.out.splitlines())}
    assert by_query["d0"] in ("d0", "plain")
    assert by_query["d2"] == "d2"


def test_bytes_that_are_not_utf8_are_refused_with_their_line(cli: Cli, tmp_path: Path) -> None:
    for name, line in (("t.jsonl", b'{"_id": "d2", "text": "caf\xe9"}\n'), ("t.tsv", b"d2\tcaf\xe9\n")):
        good = b'{"_id": "d1", "text": "cat"}\n' if name == "t.jsonl" else b"d1\tcat\n"
        (tmp_path / name).write_bytes(good + line)
        encode = ("encode", "--model", "default", "--input", tmp_path / name, "--output", tmp_path / "v")
        fails(cli(*encode), f"{name}:2: not UTF-8", "byte")
        (tmp_path / name).write_bytes(good + line.replace(b"\xe9", "é".encode()))
        assert cli(*encode).code == 0  # mended, it goes on
        shutil.rmtree(tmp_path / "v")


def test_a_collection_that_does_not_exist(cli: Cli, tmp_path: Path) -> None:
    encode = ("encode", "--model", "default", "--output", tmp_path / "v", "--input")
    fails(cli(*encode, "beir/scifcat"), "'beir/scifcat'", "did you mean", "beir/scifact")
    fails(cli(*encode, tmp_path / "nowhere.tsv"), "nowhere.tsv: no such file")
    assert not list((tmp_path / "v").glob("*.parquet"))


def test_a_model_that_emits_nothing(cli: Cli, tmp_path: Path) -> None:
    """A table of zeros stands for a network that has collapsed."""
    (tmp_path / "model").mkdir()
    tiny_backend().save(str(tmp_path / "model" / "tokenizer.json"))
    (tmp_path / "model" / "idf.json").write_text(json.dumps(dict.fromkeys(WORDS, 0)))
    texts = jsonl(tmp_path / "t.jsonl", {"_id": "q1", "text": "a cat"}, {"_id": "q2", "text": "the sun"})
    encode = (
        "encode",
        "--side",
        "queries",
        "--model",
        tmp_path / "model",
        "--input",
        texts,
        "--output",
        tmp_path / "v",
    )
    fails(cli(*encode), "not one of the first 2 texts a term", "collapsed")
    assert not (tmp_path / "v").exists()
    (tmp_path / "model" / "idf.json").write_text(json.dumps({"cat": 2}))
    assert cli(*encode).code == 0


# Index folders


def test_an_index_folder_that_is_not_there_or_empty(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("q1\tb\n")
    (tmp_path / "empty").mkdir()
    for name, said in (("nowhere", "no such folder"), ("empty", "no finished index")):
        fails(cli("search", "--index", tmp_path / name, "--query-vectors", tmp_path / "q.tsv"), name, said, "build")
    assert not (tmp_path / "nowhere").exists()
    assert not any((tmp_path / "empty").iterdir())


def test_a_half_written_index(cli: Cli, small_index: Path, tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("q1\tb\n")
    search = ("search", "--index", small_index, "--query-vectors", tmp_path / "q.tsv")
    postings = next(small_index.glob("*.doc"))
    whole = postings.read_bytes()
    postings.write_bytes(whole[: len(whole) // 2])
    fails(cli(*search), str(small_index), "damaged", "build it again")
    postings.unlink()
    fails(cli(*search), str(small_index), "damaged")
    next(small_index.glob("segments_*")).write_bytes(b"")
    fails(cli(*search), str(small_index), "damaged")
    next(small_index.glob("segments_*")).unlink()
    fails(cli(*search), str(small_index), "no finished index")


@pytest.mark.parametrize(
    "damage", ["segments_* emptied", "segments_* scribbled", "*.si gone", "*.doc cut", "*.tim gone"]
)
def test_a_damaged_index_can_be_built_again(damage: str, cli: Cli, small_index: Path, tmp_path: Path) -> None:
    pattern, what = damage.split()
    file = next(small_index.glob(pattern))
    whole = file.read_bytes()
    if what == "gone":
        file.unlink()
    else:
        file.write_bytes({"emptied": b"", "scribbled": b"x" * len(whole), "cut": whole[:-9]}[what])
    again = ("index", "--vectors", documents(tmp_path / "v.jsonl", {"d1": {"a": 1}}), "--index", small_index)
    fails(cli(*again), str(small_index))
    assert cli(*again, "--overwrite").code == 0
    with ImpactIndex(small_index) as index:
        index.check()
        assert len(index) == 1


def test_an_index_of_another_vocabulary(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    texts = jsonl(tmp_path / "t.jsonl", {"_id": "d1", "text": "the black cat"})
    assert cli("encode", "--model", tiny_model, "--input", texts, "--output", tmp_path / "v").code == 0
    assert cli("index", "--vectors", tmp_path / "v", "--index", tmp_path / "i").code == 0
    both = (str(tiny_model), "splade-lucene/default", "was built by", "Encode the queries with the first")
    fails(cli("search", "--index", tmp_path / "i", "--model", "default", "--text", "cat"), *both)
    fails(cli("explain", "--index", tmp_path / "i", "--model", "default", "--query", "cat", "--doc", "d1"), *both)
    assert cli("encode", "--model", "default", "--input", texts, "--output", tmp_path / "q").code == 0
    fails(cli("search", "--index", tmp_path / "i", "--query-vectors", tmp_path / "q"), *both)


def test_an_index_of_a_newer_format(cli: Cli, small_index: Path, tmp_path: Path) -> None:
    from splade_lucene.lucene import jvm

    (tmp_path / "q.tsv").write_text("q1\tb\n")
    search = ("search", "--index", small_index, "--query-vectors", tmp_path / "q.tsv")
    segments = next(small_index.glob("segments_*"))
    lucene = bytearray(segments.read_bytes())
    version = lucene.index(b"segments") + len(b"segments")
    lucene[version : version + 4] = (9999).to_bytes(4, "big")
    segments.write_bytes(lucene)
    fails(cli(*search), str(small_index), "newer Lucene", "upgrade splade-lucene")
    writer = jvm.java_class("splade_lucene.ImpactWriter")(str(tmp_path / "newer"), 1, False)
    jvm.wait(writer.finish(True, False), tmp_path)
    writer.commit(json.dumps({"format_version": 5, "versions": {"splade_lucene": "9.0"}}))
    fails(
        cli("search", "--index", tmp_path / "newer", "--query-vectors", tmp_path / "q.tsv"),
        "format 4",
        "9.0",
        "upgrade",
    )


def test_a_folder_that_holds_something_else(cli: Cli, tmp_path: Path) -> None:
    vectors = documents(tmp_path / "v.jsonl", {"d1": {"a": 1}})
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("It was a dark and stormy night.")
    for options in ([], ["--overwrite"]):
        fails(
            cli("index", "--vectors", vectors, "--index", tmp_path / "thesis", *options),
            "chapter1.tex",
            "another folder",
        )
        fails(cli("index", "--vectors", vectors, "--index", vectors, *options), "v.jsonl is a file")
    assert [file.name for file in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]


def test_an_index_is_replaced_only_if_asked_for(cli: Cli, old_index: Path, tmp_path: Path) -> None:
    vectors = documents(tmp_path / "v.jsonl", {"d1": {"a": 1}, "d2": {"a": 2}})
    fails(cli("index", "--vectors", vectors, "--index", old_index), "holds an index already", "--overwrite")
    with ImpactIndex(old_index) as index:
        assert index.terms() == ["word"]
    assert cli("index", "--vectors", vectors, "--index", old_index, "--overwrite").code == 0
    with ImpactIndex(old_index) as index:
        assert index.terms() == ["a"]


def test_terms_of_a_vocabulary_that_no_document_has_may_be_of_any_length(tmp_path: Path) -> None:
    vocabulary = Vocabulary(["a", "t" * 40_000])
    with ImpactIndex.build(tmp_path / "i", [weights({"d1": {"a": 1}}, vocabulary)]) as index:
        assert index.terms() == ["a"]
