"""`evaluate --config`: an experiment is run, and held against its numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Said

from splade_lucene.cli import app
from splade_lucene.evaluation.results import Result

pytestmark = pytest.mark.jvm

DOCUMENTS = {"d1": "a black cat", "d2": "the brown fox", "d3": "rain and snow"}
VECTORS = {"d1": {"black": 20, "cat": 30, "pet": 12}, "d2": {"fox": 30, "brown": 10}, "d3": {"rain": 25, "snow": 25}}
QUERIES = {"q1": "pet", "q2": "brown fox", "q3": "weather"}
QUERY_VECTORS = {"q1": "cat cat pet pet pet", "q2": "brown fox fox", "q3": "wind wind"}
JUDGED = {"q1": "d1", "q2": "d2", "q3": "d3"}
EXPERIMENT = """\
collections: [pets]
vectors: {model: somebody/model, documents: "vectors/{collection}.jsonl", queries: vectors/queries.tsv}
scale: 1
measures: [RR@10, R@100]
expected: {pets: {RR@10: .6667, R@100: .6667}}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data root with one made-up collection, and vectors of it."""
    root = tmp_path / "data"
    (root / "pets" / "qrels").mkdir(parents=True)
    (root / "vectors").mkdir()
    _write(root / "pets" / "corpus.jsonl", [{"_id": name, "text": text} for name, text in DOCUMENTS.items()])
    _write(root / "pets" / "queries.jsonl", [{"_id": name, "text": text} for name, text in QUERIES.items()])
    lines = ["query-id\tcorpus-id\tscore", *(f"{query}\t{doc}\t1" for query, doc in JUDGED.items())]
    (root / "pets" / "qrels" / "test.tsv").write_text("\n".join(lines), encoding="utf-8")
    _write(
        root / "vectors" / "pets.jsonl",
        [{"id": name, "contents": "", "vector": vector} for name, vector in VECTORS.items()],
    )
    queries = "\n".join(f"{name}\t{terms}" for name, terms in QUERY_VECTORS.items())
    (root / "vectors" / "queries.tsv").write_text(queries, encoding="utf-8")
    return root


def _write(file: Path, records: list[dict[str, Any]]) -> None:
    file.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")


def run(data: Path | None, *options: str, experiment: str = EXPERIMENT, folder: Path | None = None) -> Said:
    """Run an experiment; its file and its output lie beside the data root."""
    beside = folder or (data.parent if data else Path())
    file = beside / "experiment.yaml"
    file.write_text(experiment, encoding="utf-8")
    given = ["--data", str(data)] if data else []
    arguments = ["evaluate", "--config", str(file), "--output", str(beside / "output"), *given, *options]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "SPLADE_LUCENE_DATA": None})


def test_given_vectors_reach_their_numbers(data: Path) -> None:
    said = run(data)
    assert said.exit_code == 0, said.output
    assert [line.split()[:5] for line in said.stdout.splitlines()[-2:]] == [
        ["pets", "RR@10", "0.6667", "0.6667", "+0.0000"],
        ["pets", "R@100", "0.6667", "0.6667", "+0.0000"],
    ]
    assert said.stdout.count("met") == 2
    again = run(data)
    assert (again.exit_code, again.stdout) == (0, said.stdout)
    assert "the result was there already" in again.stderr


def test_a_number_that_is_missed_is_named_and_fails(data: Path) -> None:
    said = run(data, "--set", "expected.pets.RR@10=.9")
    assert said.exit_code == 1
    (missed,) = (line for line in said.stdout.splitlines() if "missed" in line)
    assert missed.split()[:6] == ["pets", "RR@10", "0.9000", "0.6667", "-0.2333", "missed"]
    said = run(data, "--set", "expected.pets.RR@10=.9", "--json")
    answer = json.loads(said.stdout)
    assert (said.exit_code, answer["met"], answer["failed"]) == (1, False, [])
    assert [each["met"] for each in answer["expectations"]] == [False, True]


def test_what_given_vectors_ask_for_is_shown(data: Path) -> None:
    run(data)
    result = Result.read(data.parent / "output" / "somebody--model" / "pets" / "result.json")
    assert result.system == "somebody/model"
    assert {name: result.settings[name] for name in ("vectors", "scale", "k")} == {
        "vectors": "given", "scale": 1.0, "k": 1000
    }  # fmt: skip
    shown = {query.query_id: query for query in result.shown}
    assert [(term.term, term.impact, term.expansion) for term in shown["q1"].terms] == [
        ("pet", 3, False), ("cat", 2, True)
    ]  # fmt: skip
    (found,) = shown["q1"].found
    assert (found.doc_id, found.score) == ("d1", 96)
    assert [(match.term, match.contribution, match.in_query, match.in_document) for match in found.matches] == [
        ("cat", 60, False, True), ("pet", 36, True, False)
    ]  # fmt: skip
    assert [document.doc_id for document in shown["q3"].missed] == ["d3"]
    assert result.cost is not None
    assert (result.cost.documents, result.cost.query_encoding, result.cost.encode_seconds) == (3, None, None)


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("pets.jsonl", '{"id": "d1", "vector": {"cat": 3}}', "holds vectors of 1 documents, pets has 3"),
        ("queries.tsv", "q1\tcat", "has no vector of 2 queries that are asked, 'q2' for one"),
        ("queries.tsv", "", "is empty"),
    ],
)
def test_vectors_that_are_not_whole_are_not_measured(data: Path, file: str, text: str, complaint: str) -> None:
    (data / "vectors" / file).write_text(text, encoding="utf-8")
    said = run(data)
    assert said.exit_code == 1
    assert complaint in said.stderr
    assert "no result" in said.stdout


def test_other_vectors_are_indexed_and_searched_anew(data: Path) -> None:
    assert run(data).exit_code == 0
    file = data / "vectors" / "queries.tsv"
    file.write_text(file.read_text(encoding="utf-8").replace("wind wind", "rain"), encoding="utf-8")
    said = run(data, "--set", "expected.pets={RR@10: 1, R@100: 1}")
    assert said.exit_code == 0, said.output
    assert "the index was there already" in said.stderr


def test_a_model_is_evaluated_as_its_preset_says(data: Path) -> None:
    experiment = (
        "collections: [pets]\nmodel: default\npreset: castorini\nmeasures: [R@100]\nexpected: {pets: {R@100: 1}}\n"
    )
    said = run(data, experiment=experiment)
    assert said.exit_code == 0, said.output
    result = Result.read(data.parent / "output" / "default" / "pets" / "result.json")
    assert result.settings["scale"] == 51.2


def test_a_system_that_is_not_published_cannot_be_held_against_it(data: Path) -> None:
    said = run(data, "--set", "expected=published")
    assert said.exit_code == 1
    assert "no score of somebody/model on pets is published" in str(said.exception)


def test_a_collection_that_cannot_be_had_fails(data: Path) -> None:
    said = run(data, "--set", "collections=[bioasq]", "--set", "expected={bioasq: {RR@10: .5}}")
    assert said.exit_code == 1
    assert "bioasq" in said.stderr
    assert "no result" in said.stdout


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--run", "x"], "--config says what is evaluated"),
        (["--qrels", "x"], "--config says what is evaluated"),
    ],
)
def test_an_experiment_is_not_a_run(data: Path, options: list[str], complaint: str) -> None:
    said = run(data, *options)
    assert said.exit_code == 2
    assert complaint in said.stderr


def test_without_a_run_and_without_an_experiment_there_is_nothing_to_evaluate() -> None:
    said = CliRunner().invoke(app, ["evaluate", "--qrels", "x"])
    assert said.exit_code == 2
    assert "give --run and --qrels, or --config" in said.stderr


def test_vectors_need_a_data_root(data: Path, tmp_path: Path) -> None:
    said = run(None, "--set", f"collections=[{data / 'pets'}]", folder=tmp_path)
    assert said.exit_code == 2
    assert "give --data or SPLADE_LUCENE_DATA" in said.stderr


def test_what_is_expected_of_another_collection_is_a_mistake(data: Path) -> None:
    said = run(data, "--set", "expected={cats: {RR@10: 1}}")
    assert said.exit_code == 1
    assert "expected names cats, which is none of pets" in str(said.exception)
