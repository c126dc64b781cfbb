"""Training examples by the command line: mined in an index, or read from a published file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from splade_lucene.training.examples import TrainingExamples

pytestmark = pytest.mark.jvm

Cli = Callable[..., Any]

QUERIES = {"q1": "a cat in the sun", "q2": "the moon on the water", "q3": "cold rain", "unjudged": "a stone"}
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\ttwin-a\t1\nq3\td11\t1\nq3\td12\t0\n"


@pytest.fixture(scope="module")
def folder(toy_corpus: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy corpus in BEIR layout, with judgments to train with and none to test."""
    folder = tmp_path_factory.mktemp("mining") / "toy"
    (folder / "qrels").mkdir(parents=True)
    for name, texts in ("corpus", toy_corpus), ("queries", QUERIES):
        lines = (json.dumps({"_id": each, "text": text}) + "\n" for each, text in texts.items())
        (folder / f"{name}.jsonl").write_text("".join(lines))
    (folder / "qrels" / "train.tsv").write_text(QRELS)
    return folder


@pytest.fixture
def index(folder: Path, tiny_model: Path, cli: Cli) -> Path:
    """The toy corpus by the tiny model, with its texts for BM25."""
    path = folder.parent / "index"
    if not path.exists():
        vectors = folder.parent / "vectors"
        assert cli("encode", "--model", tiny_model, "--input", folder, "--output", vectors).code == 0
        done = cli("index", "--vectors", vectors, "--index", path, "--texts", folder, "--bm25", "--threads", 1)
        assert done.code == 0
    return path


def test_negatives_of_a_model_of_bm25_and_of_a_run(
    index: Path, folder: Path, tiny_model: Path, cli: Cli, tmp_path: Path
) -> None:
    run, output = tmp_path / "dense.run", tmp_path / "examples.parquet"
    run.write_text("q1 Q0 d9 1 2.0 dense\nq1 Q0 empty 2 1.0 dense\nother Q0 d9 1 2.0 dense\n")
    command = ["mine", "--index", index, "--model", tiny_model, "--bm25", "--queries", folder, "--run", f"dense={run}"]
    command += ["--qrels", folder, "--documents", folder, "--ranks", "1-12", "--negatives", 4, "--output", output]
    done = cli(*command)
    assert done.code == 0, done.err
    examples = TrainingExamples.read(output)
    assert [(each.query_id, each.positives) for each in examples] == [
        ("q1", ("d1",)),
        ("q2", ("twin-a",)),
        ("q3", ("d11",)),
    ]
    assert done.out == f"{output}: 3 queries, 3 positives, 12 negatives, 4 to 4 a query\n"
    assert all("twin-b" not in each.negatives for each in examples)  # it says what twin-a says
    assert "hits with the same words as a positive" in done.err
    assert "2 queries for which dense found nothing" in done.err
    assert "1 judgments below the relevance asked for" in done.err
    found_by = pq.read_table(output)["found_by"].to_pylist()
    assert {name for query in found_by for names in query for name in names} == {"tiny", "bm25", "dense"}
    again = cli(*command)
    assert (again.code, f"{output} is there already; say --overwrite" in again.err) == (1, True)
    before = output.read_bytes()
    assert cli(*command, "--overwrite").code == 0
    assert output.read_bytes() == before


def test_from_examples_and_a_run_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"query": "cold rain", "positive": "rain and snow and cold wind"}\n')
    pairs, texts = tmp_path / "pairs.parquet", tmp_path / "texts"
    read = cli(
        "examples", "--input", tmp_path / "pairs.jsonl", "--format", "jsonl", "--texts", texts, "--output", pairs
    )
    assert (read.code, read.out) == (0, f"{pairs}: 1 queries, 1 positives, 0 negatives\n"), read.err
    query_id = TrainingExamples.read(pairs)[0].query_id
    (tmp_path / "a.run").write_text(f"{query_id} Q0 d1 1 2.0 a\n")
    output = tmp_path / "mined.parquet"
    mined = cli("mine", "--positives", pairs, "--run", f"a={tmp_path / 'a.run'}", "--ranks", "1-5", "--output", output)
    assert mined.code == 0, mined.err
    assert TrainingExamples.read(output)[0].negatives == ("d1",)
    again = cli("examples", "--input", tmp_path / "pairs.jsonl", "--format", "jsonl", "--texts", texts, "--output", "x")
    assert (again.code, "corpus.jsonl is there already" in again.err) == (1, True)


def test_a_margin_of_published_scores(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "scores.tsv").write_text("9\t8\tq\tp\tnear\n9\t1\tq\tp\tfar\n")
    command = ["examples", "--input", tmp_path / "scores.tsv", "--format", "scored-triples", "--teacher", "ce"]
    done = cli(*command, "--margin", 3, "--output", tmp_path / "examples.parquet")
    assert done.code == 0, done.err
    assert "1 negatives that ce scores less than 3 below a positive" in done.err
    (example,) = TrainingExamples.read(tmp_path / "examples.parquet")
    assert (example.negatives, example.scores["ce"].tolist()) == (("far",), [9, 1])


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--qrels", "FOLDER"], 2, "nobody to find them"),
        (["--run", "a=b"], 2, "give one of --qrels and --positives"),
        (["--qrels", "FOLDER", "--index", "x", "--queries", "y"], 2, "--index goes with --queries"),
        (["--qrels", "FOLDER", "--run", "a"], 2, "write it as NAME=FILE"),
        (["--qrels", "FOLDER", "--run", "a=b", "--jaccard", "0.8"], 2, "--jaccard is for --documents"),
        (["--qrels", "FOLDER", "--run", "a=b", "--ranks", "10"], 2, "--ranks 10"),
        (["--qrels", "FOLDER", "--run", "a=b", "--ranks", "10-2"], 2, "not 10 and 2"),
        (["--qrels", "FOLDER", "--run", "a=b"], 1, "b: no such file"),
        (
            ["--qrels", "FOLDER", "--index", "x", "--queries", "y", "--bm25", "--run", "bm25=RUN"],
            2,
            "two miners are called bm25",
        ),
        (["--qrels", "FOLDER", "--index", "x", "--queries", "QUERIES", "--bm25"], 1, "lacks 3 of the 3 queries with"),
    ],
)
def test_what_cannot_be(
    arguments: list[str], code: int, complaint: str, folder: Path, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "queries.tsv").write_text("q9\tanother one\n")
    (folder / "a.run").write_text("q1 Q0 d9 1 2.0 a\n")
    named = {"FOLDER": str(folder), "QUERIES": str(tmp_path / "queries.tsv"), "bm25=RUN": f"bm25={folder / 'a.run'}"}
    done = cli("mine", "--output", tmp_path / "none.parquet", *(named.get(each, each) for each in arguments))
    assert (done.code, complaint in " ".join(done.err.replace("│", " ").split())) == (code, True), done.err
    assert list(tmp_path.iterdir()) == [tmp_path / "queries.tsv"]


def test_a_positive_that_no_document_is(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "qrels.tsv").write_text("q1\tghost\t1\n")
    (tmp_path / "a.run").write_text("q1 Q0 d1 1 2.0 a\n")
    command = ["mine", "--qrels", tmp_path / "qrels.tsv", "--run", f"a={tmp_path / 'a.run'}", "--ranks", "1-5"]
    done = cli(*command, "--documents", folder, "--output", tmp_path / "none.parquet")
    assert (done.code, "the document 'ghost', which the collection does not have" in done.err) == (1, True)
