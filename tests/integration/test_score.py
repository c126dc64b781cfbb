"""Teachers by the command line: each kind writes a column of scores, and a student's teacher can be trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.training.examples import Example, TrainingExamples

pytestmark = pytest.mark.jvm

Cli = Callable[..., Any]

QUERIES = {"q1": "a cat in the sun", "q2": "the moon on the water"}
EXAMPLES = TrainingExamples.of(
    [Example("q1", ("d1",), ("d9", "é", "empty")), Example("q2", ("twin-a",), ("d12", "last", "d11"))]
)


@pytest.fixture
def folder(toy_corpus: dict[str, str], tmp_path: Path) -> Path:
    """The toy corpus in BEIR layout, without judgments, and the examples beside it."""
    for name, texts in ("corpus", toy_corpus), ("queries", QUERIES):
        lines = (json.dumps({"_id": each, "text": text}) + "\n" for each, text in texts.items())
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    EXAMPLES.write(tmp_path / "given.parquet")
    return tmp_path


def test_every_kind_of_teacher(folder: Path, tiny_model: Path, cli: Cli) -> None:
    texts = ("--documents", folder / "corpus.jsonl", "--queries", folder)
    trained = cli(
        *("train-cross-encoder", "--examples", folder / "given.parquet", *texts, "--model", tiny_model),
        *("--output", folder / "trained", "--steps", 3, "--batch", 2, "--negatives", 2, "--max-length", 24, "--cpu"),
    )
    assert (trained.code, trained.out) == (0, f"{folder / 'trained'}: a cross-encoder of 3 steps\n"), trained.err
    vectors, index = folder / "vectors", folder / "index"
    assert cli("encode", "--model", tiny_model, "--input", folder / "corpus.jsonl", "--output", vectors).code == 0
    indexed = cli("index", "--vectors", vectors, "--index", index, "--texts", folder / "corpus.jsonl", "--bm25")
    assert indexed.code == 0, indexed.err
    before = folder / "given.parquet"
    for teacher, options in {
        "cross-encoder": ("--model", folder / "trained", "--max-length", 10),
        "dense": ("--model", tiny_model, "--dense-pooling", "mean", "--normalised"),
        "sparse": ("--model", tiny_model),
        "bm25": ("--index", index),
    }.items():
        output = folder / f"{teacher}.parquet"
        done = cli("score", "--examples", before, *texts, "--teacher", teacher, *options, "--output", output)
        assert done.code == 0, done.err
        assert ("were cut at max_length" in done.err) == (teacher == "cross-encoder")
        assert len(list((folder / f"{teacher}.scores").iterdir())) == 1
        before = output
    scored = TrainingExamples.read(before)
    assert done.out == f"{before}: 2 queries with scores of cross-encoder, dense, sparse, bm25\n"
    assert all(-1 <= score <= 1.000001 for each in scored for score in each.scores["dense"])
    with ImpactIndex(index) as opened:
        run = Searcher(opened).search_bm25(QUERIES)
    for each in scored:
        found = dict(run[each.query_id])
        assert each.scores["bm25"].tolist() == [
            pytest.approx(found.get(doc_id, 0.0)) for doc_id in each.positives + each.negatives
        ]
    again = ("score", "--examples", before, *texts, "--teacher", "bm25", "--index", index, "--output")
    assert "is there already; say --overwrite" in cli(*again, before).err
    assert "have scores of bm25 already" in cli(*again, folder / "new.parquet").err
    assert "--index is for bm25" in cli(*again, folder / "new.parquet", "--model", tiny_model).err
    other = TrainingExamples.of([Example("q1", ("d1",), ("other",))])
    other.write(folder / "other.parquet")
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "a"}\n{"_id": "other", "text": "b"}\n')
    asked = ("score", "--examples", folder / "other.parquet", *again[3:])
    assert "does not hold the document 'other'" in cli(*asked, folder / "new.parquet").err
    assert not (folder / "new.parquet").exists()
