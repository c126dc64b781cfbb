"""Living with an index, on the command line: append, update, delete, merge, filters, BM25, hybrid, feedback."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.lucene import jvm
from splade_lucene.lucene.index import ImpactIndex
from tests.helpers import WORDS, brute_force, tiny_backend
from tests.integration.support import fails

pytestmark = pytest.mark.jvm

Cli = Callable[..., Any]

TEXTS = {
    "d1": ("Cats", "the black cat sleeps in the sun", "animal"),
    "d2": ("Foxes", "a brown fox jumps over the black dog", "animal"),
    "d3": ("Weather", "rain and snow and cold wind", "sky"),
    "d4": ("Boats", "the red boat on the green river", "water"),
    "d5": ("Fish", "fish swim in the sea", "water"),
}


def records(path: Path, *doc_ids: str) -> Path:
    """Texts of these documents, with a field more."""
    lines = (
        {"_id": doc_id, "title": TEXTS[doc_id][0], "text": TEXTS[doc_id][1], "kind": TEXTS[doc_id][2], "year": 2024}
        for doc_id in doc_ids
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def vectors(path: Path, rows: Mapping[str, Mapping[str, float]]) -> Path:
    path.write_text("".join(json.dumps({"id": doc_id, "vector": row}) + "\n" for doc_id, row in rows.items()))
    return path


def of(*doc_ids: str) -> dict[str, dict[str, int]]:
    """A vector of a text: its words."""
    return {doc_id: dict.fromkeys(TEXTS[doc_id][1].split(), 1) for doc_id in doc_ids}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Encodes a query as its words."""
    folder = tmp_path / "model"
    folder.mkdir()
    tiny_backend().save(str(folder / "tokenizer.json"))
    (folder / "idf.json").write_text(json.dumps(dict.fromkeys(WORDS, 1)))
    return folder


@pytest.fixture
def index(cli: Cli, tmp_path: Path) -> Path:
    """Three documents, with fields and BM25."""
    given = ("--vectors", vectors(tmp_path / "v.jsonl", of("d1", "d2", "d3")), "--scale", 1)
    texts = ("--texts", records(tmp_path / "t.jsonl", "d1", "d2", "d3"), "--store", "title, text, kind,year", "--bm25")
    built = cli("index", "--index", tmp_path / "i", *given, *texts)
    assert (built.code, built.out) == (0, f"{tmp_path / 'i'}: 3 documents, 19 postings, 1 segments\n"), built.err
    return tmp_path / "i"


def wrong(finished: Any, said: str) -> None:
    """Wrong usage."""
    assert (finished.code, finished.out) == (2, "")
    assert said in finished.err.replace("\n", " ")


def more(tmp_path: Path, *doc_ids: str) -> tuple[object, ...]:
    """What `append` and `update` want for these documents."""
    return (
        *("--vectors", vectors(tmp_path / "more.jsonl", of(*doc_ids))),
        *("--texts", records(tmp_path / "more-texts.jsonl", *doc_ids)),
    )


def test_append_update_delete_merge(cli: Cli, index: Path, tmp_path: Path) -> None:
    done = cli("append", "--index", index, *more(tmp_path, "d4", "d5"), "--scale", 1)
    assert (done.code, done.out.startswith(f"{index}: 5 documents, 30 postings, ")) == (0, True), done.err
    fails(cli("append", "--index", index, *more(tmp_path, "d5")), "has a document 'd5' already", "`update`")
    done = cli("update", "--index", index, *more(tmp_path, "d1", "d5"))
    assert (done.code, done.out.startswith(f"{index}: 5 documents, 30 postings, ")) == (0, True), done.err
    done = cli("delete", "--index", index, "--ids", "d2, never,d2")
    assert (done.code, done.out) == (0, f"{index}: 1 documents deleted, 4 left\n")
    assert "1 of the 2 doc_ids are not in the index" in done.err
    (tmp_path / "ids.txt").write_text("d3\n\nd4\n")
    done = cli("delete", "--index", index, "--ids-file", tmp_path / "ids.txt")
    assert (done.code, done.out, done.err) == (0, f"{index}: 2 documents deleted, 2 left\n", "")
    done = cli("merge", "--index", index)
    assert (done.code, done.out) == (0, f"{index}: 2 documents, 11 postings, 1 segments\n")
    with ImpactIndex(index) as changed:
        changed.check()
        assert changed.postings("the") == {"d1": 1, "d5": 1}
        assert changed.fields("d5") == {
            "title": "Fish",
            "text": "fish swim in the sea",
            "kind": "water",
            "year": "2024",
        }
    assert cli("merge", "--index", index, "--reorder").code == 0
    assert cli("delete", "--index", index, "--ids", "d1,d5").out == f"{index}: 2 documents deleted, 0 left\n"
    assert cli("merge", "--index", index).out == f"{index}: 0 documents, 0 postings, 0 segments\n"


def test_changes_that_are_refused_change_nothing(cli: Cli, index: Path, tmp_path: Path) -> None:
    only_vectors = ("--vectors", vectors(tmp_path / "x.jsonl", of("d4")))
    fails(cli("append", "--index", index, *only_vectors), "keeps title, text, kind, year, bm25", "give the texts")
    fails(cli("append", "--index", index, *more(tmp_path, "d4"), "--scale", 100), "scale 1, not 100")
    fails(cli("update", "--index", tmp_path / "nowhere", *only_vectors), "nowhere: no such folder")
    fails(cli("delete", "--index", tmp_path, "--ids", "d1"), "holds no finished index")
    fails(cli("delete", "--index", index, "--ids-file", tmp_path / "none"), "none: no such file")
    wrong(cli("delete", "--index", index), "give one of --ids and --ids-file")
    wrong(cli("merge", "--index", index, "--segments", 0), "--segments")
    with ImpactIndex(index) as unchanged:
        assert len(unchanged) == 3


def test_vectors_of_another_vocabulary_and_of_another_model(cli: Cli, model: Path, tmp_path: Path) -> None:
    texts = records(tmp_path / "t.jsonl", "d1")
    for name, words in (("same", WORDS), ("other", WORDS[:-1])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes())
        (tmp_path / name / "idf.json").write_text(json.dumps(dict.fromkeys(words, 2)))
    for name in ("model", "same"):
        encode = ("--model", tmp_path / name, "--side", "queries", "--input", texts, "--output", tmp_path / f"v-{name}")
        assert cli("encode", *encode).code == 0
    assert cli("index", "--vectors", tmp_path / "v-model", "--index", tmp_path / "i").code == 0
    done = cli("update", "--vectors", tmp_path / "v-same", "--index", tmp_path / "i")
    assert done.code == 0
    assert "the index was built by" in done.err and "these vectors are by" in done.err
    assert cli("encode", "--model", "default", "--input", texts, "--output", tmp_path / "v-default").code == 0
    fails(
        cli("update", "--vectors", tmp_path / "v-default", "--index", tmp_path / "i"),
        "was built by",
        "these vectors are by splade-lucene/default",
        "Encode the documents with the first",
    )


def test_passages_are_appended_as_passages(cli: Cli, tmp_path: Path) -> None:
    encode = ("encode", "--model", "default", "--passages", 4, "--stride", 3)
    for name, doc_ids in (("one", ("d1", "d2")), ("two", ("d3",)), ("again", ("d1",))):
        texts = records(tmp_path / f"{name}.jsonl", *doc_ids)
        assert cli(*encode, "--input", texts, "--output", tmp_path / name).code == 0
    built = ("--vectors", tmp_path / "one", "--texts", tmp_path / "one.jsonl", "--store", "text,kind", "--bm25")
    assert cli("index", "--index", tmp_path / "i", *built).code == 0
    for verb, name in (("append", "two"), ("update", "again")):
        change = ("--vectors", tmp_path / name, "--texts", tmp_path / f"{name}.jsonl")
        assert cli(verb, "--index", tmp_path / "i", *change).code == 0
    with ImpactIndex(tmp_path / "i") as index:
        assert index.fields("d3#1") == {
            "text": "and cold wind",
            "kind": "sky",
        }
        assert len(index) == 2 + 3 + 2
    search = ("search", "--index", tmp_path / "i", "--model", "default", "--text", "black", "--json")
    assert {hit["doc_id"] for hit in json.loads(cli(*search).out)} <= {"d1", "d2", "d3"}
    (tmp_path / "ids").write_text("d2\nd3\n")
    within = json.loads(cli(*search, "--filter", f"@{tmp_path / 'ids'}").out)
    assert {hit["doc_id"] for hit in within} <= {"d2", "d3"} and within[0]["doc_id"] == "d2"
    done = cli("delete", "--index", tmp_path / "i", "--ids", "d2")
    assert done.out == f"{tmp_path / 'i'}: 1 documents deleted, 4 left\n"
    whole = vectors(tmp_path / "whole.jsonl", {"d9": {"cat": 1}})
    texts = tmp_path / "whole-texts.jsonl"
    texts.write_text('{"_id": "d9", "text": "x", "kind": "y"}\n')
    fails(cli("append", "--index", tmp_path / "i", "--vectors", whole, "--texts", texts), "'d9' is no such id")


def test_anserini_searches_a_changed_index_with_fields_and_bm25(cli: Cli, index: Path, tmp_path: Path) -> None:
    assert cli("append", "--index", index, *more(tmp_path, "d4", "d5")).code == 0
    assert cli("update", "--index", index, *more(tmp_path, "d2")).code == 0
    assert cli("delete", "--index", index, "--ids", "d1").code == 0
    hash_map, integer = (jvm.java_class(f"java.{name}") for name in ("util.HashMap", "lang.Integer"))
    query = hash_map()
    asked = {"the": 3, "black": 2, "sea": 9}
    for term, impact in asked.items():
        query.put(term, integer(impact))
    found = jvm.java_class("io.anserini.search.SimpleImpactSearcher")(str(index)).search(query, 10)
    expected = brute_force(of("d2", "d3", "d4", "d5"), asked, 10)
    assert [(hit.docid, round(hit.score)) for hit in found] == expected


# Searching


def found(cli: Cli, index: Path, *options: object) -> list[str]:
    """The doc_ids of `--text` and their order."""
    done = cli("search", "--index", index, "--json", *options)
    assert done.code == 0, done.err
    return [hit["doc_id"] for hit in json.loads(done.out)]


def test_a_search_within_a_filter(cli: Cli, index: Path, model: Path, tmp_path: Path) -> None:
    assert cli("append", "--index", index, *more(tmp_path, "d4", "d5")).code == 0
    ask = ("--model", model, "--text", "the black cat")
    assert found(cli, index, *ask) == ["d1", "d2", "d4", "d5"]
    assert found(cli, index, *ask, "--filter", "kind=water") == ["d4", "d5"]
    assert found(cli, index, *ask, "--filter", "title=Cats") == ["d1"]
    assert found(cli, index, *ask, "--filter", "kind=nothing") == []
    (tmp_path / "ids").write_text("d5\nd2\nnever\n")
    assert found(cli, index, *ask, "--filter", f"@{tmp_path / 'ids'}") == ["d2", "d5"]
    queries = tmp_path / "q.tsv"
    queries.write_text("q1\tthe\nq2\tsnow\n")
    done = cli("search", "--index", index, "--query-vectors", queries, "--filter", "year=2024", "--k", 1)
    assert [line.split()[:3] for line in done.out.splitlines()] == [["q1", "Q0", "d1"], ["q2", "Q0", "d3"]]
    done = cli("search", "--index", index, "--query-vectors", queries, "--filter", "kind=sky")
    assert "1 of 2 queries found nothing, q1 for one" in done.err
    search = ("search", "--index", index, *ask, "--filter")
    fails(cli(*search, "knid=water"), "no field 'knid' to filter on; it has title, text, kind, year")
    fails(cli(*search, "@nowhere"), "nowhere: no such file")
    wrong(cli(*search, "kind"), "FIELD=VALUE, or @FILE")


def test_hits_are_shown_with_what_is_stored(cli: Cli, index: Path, model: Path) -> None:
    done = cli("search", "--index", index, "--model", model, "--text", "snow")
    assert "d3" in done.out and "Weather rain and snow and cold wind" in done.out


def test_hybrid_search(cli: Cli, index: Path, model: Path, tmp_path: Path) -> None:
    ask = ("--model", model, "--text", "sleeping foxes")  # as words unknown to the model; BM25 stems them
    assert found(cli, index, *ask) == []
    assert found(cli, index, *ask, "--hybrid", "rrf") == ["d2", "d1"]
    assert found(cli, index, *ask, "--hybrid", "sum", "--weights", "1,2.5", "--filter", "title=Foxes") == ["d2"]
    done = cli("search", "--index", index, *ask, "--hybrid", "rrf")
    assert "0.0164" in done.out
    queries = tmp_path / "q.tsv"
    queries.write_text("q1\tblack dogs\nq2\tfoxes\n")
    done = cli("search", "--index", index, "--model", model, "--queries", queries, "--hybrid", "rrf")
    assert [line.split()[:3] for line in done.out.splitlines()] == [
        ["q1", "Q0", "d2"],
        ["q1", "Q0", "d1"],
        ["q2", "Q0", "d2"],
    ]
    search = ("search", "--index", index, *ask)
    wrong(cli(*search, "--weights", "1,2"), "--weights is for --hybrid sum")
    wrong(cli(*search, "--hybrid", "rrf", "--weights", "1,2"), "weights are for the method 'sum'")
    wrong(cli(*search, "--hybrid", "sum", "--weights", "1,2,3"), "--weights: 3 of them")
    wrong(cli(*search, "--hybrid", "sum", "--weights", "1,x"), "--weights: could not convert")
    wrong(cli(*search, "--hybrid", "rrf", "--feedback", "rm3"), "--hybrid is for --text and --queries")
    wrong(cli("search", "--index", index, "--query-vectors", queries, "--hybrid", "rrf"), "--hybrid is for")
    assert cli("index", "--vectors", tmp_path / "v.jsonl", "--index", tmp_path / "plain").code == 0
    fails(
        cli("search", "--index", tmp_path / "plain", *ask, "--hybrid", "rrf"),
        "holds no texts for BM25; build it with `--texts` and `--bm25`",
    )


def test_feedback(cli: Cli, index: Path, model: Path, tmp_path: Path) -> None:
    assert cli("append", "--index", index, *more(tmp_path, "d4", "d5")).code == 0
    ask = ("--model", model, "--text", "fox")
    assert found(cli, index, *ask) == ["d2"]
    for method in ("rm3", "rocchio"):
        learned = found(cli, index, *ask, "--feedback", method, "--feedback-docs", 1, "--feedback-terms", 8)
        assert learned == ["d2", "d1", "d4", "d5"]  # they share words with d2
        assert found(cli, index, *ask, "--feedback", method, "--feedback-terms", 1) == ["d2"]
        assert found(cli, index, *ask, "--feedback", method, "--filter", "kind=water") == []
    (tmp_path / "q.tsv").write_text("q1\tfox\nq2\tunheard\n")
    done = cli("search", "--index", index, "--query-vectors", tmp_path / "q.tsv", "--feedback", "rm3")
    assert next(line.split()[2] for line in done.out.splitlines()) == "d2"
    assert "1 of 2 queries found nothing, q2 for one" in done.err
    wrong(cli("search", "--index", index, *ask, "--feedback-docs", 3), "are for --feedback")


# Storing


def test_what_can_be_stored(cli: Cli, tmp_path: Path) -> None:
    given = ("index", "--index", tmp_path / "i", "--vectors", vectors(tmp_path / "v.jsonl", of("d1")))
    texts = ("--texts", records(tmp_path / "t.jsonl", "d1"))
    wrong(cli(*given, "--store", "title"), "--store and --bm25 are for --texts")
    wrong(cli(*given, "--bm25"), "--store and --bm25 are for --texts")
    wrong(cli(*given, *texts, "--store", "title,id"), "cannot be stored as 'id'")
    wrong(cli(*given, *texts, "--store", "title,title"), "is to be stored twice")
    fails(cli(*given, *texts, "--store", "title,ulr"), "not one of the texts has a field 'ulr'")
    (tmp_path / "bad.jsonl").write_text('{"_id": "d1", "text": "x", "tags": ["a"]}\n')
    fails(cli(*given, "--texts", tmp_path / "bad.jsonl", "--store", "tags"), "bad.jsonl:1", "'tags' must be a string")
    assert not (tmp_path / "i").exists()
    assert cli(*given, *texts, "--store", "raw,kind").code == 0
    with ImpactIndex(tmp_path / "i") as index:
        assert index.fields("d1") == {"raw": "Cats the black cat sleeps in the sun", "kind": "animal"}
