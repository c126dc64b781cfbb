"""`splade-lucene inspect`: for a person, for a program, beside an index, and of two models at once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.encoding.encoder import load_encoder
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.frequencies import document_frequencies
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import write_jsonl
from tests.helpers import impacts, weights

pytestmark = pytest.mark.jvm

Cli = Callable[..., Any]
QUESTION = "the cat in the sun"


@pytest.fixture(scope="module")
def index(toy_corpus: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy corpus by the default model, scale 50."""
    encoder, path = load_encoder("default"), tmp_path_factory.mktemp("indexes") / "toy"
    vectors = encoder.encode(toy_corpus.values(), ids=toy_corpus)
    ImpactIndex.build(path, [vectors], IndexOptions(Quantizer(50)), encoder=encoder.identity).close()
    return path


@pytest.fixture
def texts(toy_corpus: dict[str, str], tmp_path: Path) -> Path:
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in toy_corpus.items()))
    return file


def test_posting_lists_are_as_long_as_lucene_says(tmp_path: Path) -> None:
    rows = {"d1": {"a": 1, "é😀": 2}, "d2": {"a": 3, "nul\0": 1}, "d3": {}}
    with ImpactIndex.build(tmp_path / "index", [weights(rows)], IndexOptions(Quantizer(1))) as index:
        terms = ["nowhere", "a", "é😀", "nul\0", ""]
        assert document_frequencies(index, terms) == [len(index.postings(term)) for term in terms] == [0, 2, 1, 1, 0]


def test_a_text_for_a_program_with_what_it_costs_an_index(cli: Cli, index: Path) -> None:
    done = cli("inspect", "--model", "default", "--side", "queries", "--text", QUESTION, "--index", index, "--json")
    assert (done.code, done.err) == (0, "")
    (found,) = json.loads(done.out)
    vector = load_encoder("default").encode([QUESTION])
    assert {each["term"]: each["weight"] for each in found["terms"]} == pytest.approx(vector.row(0))
    assert {each["term"]: each["impact"] for each in found["terms"] if each["impact"]} == Quantizer(50)(vector).row(0)
    with ImpactIndex(index) as opened:
        lists = {each["term"]: len(opened.postings(each["term"])) for each in found["terms"]}
    assert {each["term"]: each["postings"] for each in found["terms"]} == lists
    assert found["expected_postings"] == sum(lists[each["term"]] for each in found["terms"] if each["impact"])
    assert [part["token"] for part in found["token_parts"]] == ["[CLS]", *QUESTION.split(), "[SEP]"]


def test_a_text_for_a_person(cli: Cli) -> None:
    done = cli("inspect", "--model", "default", "--text", QUESTION, "--terms", 3)
    assert done.code == 0
    assert QUESTION in done.out
    assert "given by" in done.out
    assert "more" in done.out
    assert "postings" not in done.out


def test_two_models_side_by_side(cli: Cli, tiny_model: Path) -> None:
    done = cli("inspect", "--model", "default", "--model", tiny_model, "--text", QUESTION, "--json")
    ours, tiny = json.loads(done.out)
    assert (ours["encoder"]["name"], tiny["encoder"]["name"]) == ("splade-lucene/default-untrained", str(tiny_model))
    shown = cli("inspect", "--model", "default", "--model", tiny_model, "--text", QUESTION).out
    assert "default" in shown
    assert "[CLS]" in shown


def test_a_collection(cli: Cli, texts: Path, index: Path, toy_corpus: dict[str, str]) -> None:
    common = ["inspect", "--model", "default", "--input", texts]
    (found,) = json.loads(cli(*common, "--index", index, "--json", "--terms", 2, "--top-terms", 5).out)
    assert (found["vectors"], found["cut"], found["scale"]) == (len(toy_corpus), 0, 50)
    assert found["terms"]["most"] == 5
    assert len(found["most_used"]) == 2
    assert found["expected_postings"]["mean"] > 0
    (first,) = json.loads(cli(*common, "--limit", 3, "--json").out)
    assert (first["vectors"], first["scale"], first["expected_postings"]) == (3, 100, None)
    shown = cli(*common, "--limit", 3).out
    assert f"the first 3 documents of {texts}" in shown
    assert "terms of the vocabulary in use" in shown
    assert "terms that no vector has" in shown


def test_vectors_that_are_there(cli: Cli, tmp_path: Path, toy_rows: dict[str, dict[str, int]]) -> None:
    write_jsonl(tmp_path / "one.jsonl", [impacts(toy_rows)])
    write_jsonl(tmp_path / "two.jsonl", [impacts({"x": {"cat": 3}})])
    common = ["inspect", "--vectors", tmp_path / "one.jsonl", "--vectors", tmp_path / "two.jsonl", "--scale", 1]
    one, two = json.loads(cli(*common, "--json").out)
    assert (one["vectors"], one["encoder"], one["largest_error"]) == (len(toy_rows), None, 0)
    assert (two["vectors"], two["impacts"]["most"]) == (1, 3)
    assert "Used most" in cli(*common).out


def test_an_index_of_other_terms_is_refused(cli: Cli, index: Path, tiny_model: Path) -> None:
    done = cli("inspect", "--model", tiny_model, "--text", QUESTION, "--index", index)
    assert (done.code, done.out) == (1, "")
    assert "was built by splade-lucene/default-untrained" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "default"],
        ["--text", "a"],
        ["--model", "default", "--text", "a", "--input", "b"],
        ["--model", "default", "--vectors", "b"],
        ["--model", "default", "--text", "a", "--limit", "3"],
        ["--model", "default", "--text", "a", "--binary-queries"],
        ["--model", "default", "--text", "a", "--scale", "0"],
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], cli: Cli) -> None:
    done = cli("inspect", *arguments)
    assert (done.code, done.out) == (2, "")
