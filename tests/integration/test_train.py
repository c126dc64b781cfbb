"""`train`: from a configuration to a model that every reader takes; stopped and gone on with; refused where wrong."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner
from typer.testing import Result as Said

from splade_lucene import terminal
from splade_lucene.cli import app
from splade_lucene.encoding.encoder import load_encoder
from splade_lucene.training.examples import Example, TrainingExamples
from tests.helpers import WORDS
from tests.integration.support import PATIENCE, PROGRAM, environment

pytestmark = [pytest.mark.jvm, pytest.mark.slow]

EXPERIMENT = """\
student: {{documents: {model}, max_length: {{documents: 16, queries: 16}}}}
texts: {{documents: [corpus.jsonl], queries: [queries.jsonl]}}
examples: [{{source: examples.parquet}}]
objective:
  losses: [{{name: info_nce}}]
  documents: [{{name: flops, weight: 1e-3}}]
  warmup_steps: 20
optimization: {{steps: 40, batch: 4, negatives: 2, learning_rate: 1e-3, warmup_steps: 5}}
validation: {{documents: corpus.jsonl, queries: queries.jsonl, qrels: qrels.tsv, every: 20}}
"""


@pytest.fixture(scope="module")
def data(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 documents of six words, 32 queries of two of a document's, and the configuration above."""
    folder = tmp_path_factory.mktemp("training")
    chance = np.random.default_rng(7)
    words = [chance.choice(WORDS, 6, replace=False).tolist() for _ in range(40)]
    documents = {f"d{number}": " ".join(chosen) for number, chosen in enumerate(words)}
    queries = {f"q{number}": " ".join(chosen[:2]) for number, chosen in enumerate(words[:32])}
    for name, texts in (("corpus", documents), ("queries", queries)):
        lines = (json.dumps({"_id": identifier, "text": text}) for identifier, text in texts.items())
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "qrels.tsv").write_text("\n".join(f"q{number} 0 d{number} 1" for number in range(32)), encoding="utf-8")
    examples = TrainingExamples.of(
        Example(
            f"q{number}",
            (f"d{number}",),
            tuple(f"d{(number + 11 + away) % 40}" for away in range(5)),
            {"dense": np.linspace(1, 0, 6, dtype=np.float32), "sparse": np.linspace(30, 5, 6, dtype=np.float32)},
        )
        for number in range(32)
    )
    examples.write(folder / "examples.parquet")
    (folder / "experiment.yaml").write_text(EXPERIMENT.format(model=tiny_model), encoding="utf-8")
    return folder


def command(data: Path, output: Path, *settings: str) -> list[str]:
    given = [word for setting in settings for word in ("--set", setting)]
    return ["train", "--config", str(data / "experiment.yaml"), "--data", str(data), "--output", str(output), *given]


def train(data: Path, output: Path, *settings: str, options: tuple[str, ...] = ()) -> Said:
    return CliRunner().invoke(app, [*command(data, output, *settings), *options], env={"COLUMNS": "200"})


def trained(data: Path, output: Path, *settings: str) -> dict[str, Any]:
    said = train(data, output, *settings, options=("--json",))
    assert said.exit_code == 0, said.output
    return dict(json.loads(said.stdout))


def log(output: Path) -> list[dict[str, Any]]:
    """Without what the clock says."""
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name != "batches_per_second"} for line in lines]


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@contextmanager
def stopped_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ctrl-C comes in this step."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if done >= step:
            raise KeyboardInterrupt

    @contextmanager
    def progress(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        yield advance

    with monkeypatch.context() as patched:
        patched.setattr(terminal, "progress", progress)
        yield


def test_a_run(data: Path, tmp_path: Path) -> None:
    said = train(data, tmp_path / "run")
    assert said.exit_code == 0, said.output
    table = [line.split() for line in said.stdout.splitlines() if line]
    assert table[0] == ["step", "nDCG@10", "RR@10", "document", "terms", "expected", "postings", "query", "terms"]
    assert [line[0] for line in table[1:4]] == ["0", "20", "40"]
    assert float(table[3][1]) > float(table[1][1])  # it has learned
    assert "{" not in said.stdout  # nothing of transformers'
    assert sorted(each.name for each in (tmp_path / "run").iterdir()) == ["experiment.yaml", "log.jsonl", "model"]
    lines = log(tmp_path / "run")
    assert [line["step"] for line in lines] == [0, 10, 20, 20, 30, 40, 40]
    assert {"loss", "loss_info_nce", "document_flops", "document_terms", "dead_terms", "lambda"} <= lines[1].keys()
    vectors = load_encoder(tmp_path / "run" / "model").encode(["a cat"])
    assert len(vectors.terms)
    again = train(data, tmp_path / "run")
    assert again.stdout == said.stdout
    assert "this run is finished; nothing was done" in again.stderr


def test_what_validates_best_is_kept(data: Path, tmp_path: Path) -> None:
    """A learning rate that ruins what was learned."""
    settings = ("optimization.steps=20", "optimization.learning_rate=0.05", "optimization.schedule=constant")
    found = trained(data, tmp_path / "run", *settings, "validation.every=2", "checkpoint_every=1")
    measured = {int(step): values["nDCG@10"] for step, values in found["validations"].items() if step != "0"}
    assert found["step"] == max(measured, key=lambda step: measured[step]) < 20
    encoder = load_encoder(found["model"])
    rows = found["validations"][str(found["step"])]
    corpus = [json.loads(line)["text"] for line in (data / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    assert encoder.encode(corpus).row_lengths.mean() == pytest.approx(rows["document_terms"])


def test_a_run_that_is_stopped_ends_with_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("optimization.steps=200", "validation.every=100")
    whole = trained(data, tmp_path / "whole", *settings)
    with stopped_at(137, monkeypatch):
        assert train(data, tmp_path / "parts", *settings).exit_code != 0
    assert [each.name for each in (tmp_path / "parts" / "checkpoints").iterdir()] == ["checkpoint-100"]
    (tmp_path / "parts" / "checkpoints" / "checkpoint-120").mkdir()  # one whose writer was killed
    rest = train(data, tmp_path / "parts", *settings, options=("--json",))
    assert "going on after step 100" in rest.stderr
    assert json.loads(rest.stdout) == {**whole, "model": str(tmp_path / "parts" / "model")}
    assert files(tmp_path / "parts" / "model") == files(tmp_path / "whole" / "model")
    assert log(tmp_path / "parts") == log(tmp_path / "whole")


def test_a_run_that_is_killed_goes_on(data: Path, tmp_path: Path) -> None:
    settings = ("optimization.steps=60", "validation=null", "checkpoint_every=20")
    threads = str(torch.get_num_threads())  # other threads add up in another order
    arguments = [*PROGRAM, *command(data, tmp_path / "killed", *settings)]
    process = subprocess.Popen(arguments, env=environment(OMP_NUM_THREADS=threads))
    try:
        until = time.monotonic() + PATIENCE
        while not list((tmp_path / "killed").glob("checkpoints/*/splade_lucene_state.pt")):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    trained(data, tmp_path / "killed", *settings)
    trained(data, tmp_path / "whole", *settings)
    assert files(tmp_path / "killed" / "model") == files(tmp_path / "whole" / "model")


def test_32_pairs_are_learned_by_heart(data: Path, tmp_path: Path) -> None:
    from tests.checkpoints import make_bert  # imports torch

    model = make_bert(
        tmp_path / "model", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.1
    )
    settings = ("optimization.steps=100", "optimization.batch=16", "optimization.negatives=0")
    others = (f"student.documents={model}", "optimization.learning_rate=3e-3", "validation.every=100")
    found = trained(data, tmp_path / "run", *settings, *others)
    assert found["validations"]["0"]["nDCG@10"] < 0.5
    assert found["validations"]["100"]["nDCG@10"] == 1.0


DISTILLED = "objective.teachers={teachers: [dense, sparse], scale: 10}"


@pytest.mark.parametrize(
    "settings",
    [
        ["student.queries=idf", "idf=documents", "objective.losses=[{name: kl}]", DISTILLED],
        ["student.queries=binary", "student.learn_table=true", "objective.queries=[{name: l1, weight: 1e-3}]"],
        ["objective.documents=[{name: idf_flops, weight: 1e-3}]", "idf=documents", "optimization.accumulation=2"],
        ["objective.documents=[{name: df_flops, weight: 1e-3}]", "optimization.decay_all=true"],
        ["objective.target_terms=10", "optimization.precision=bf16", "optimization.schedule=cosine"],
        ["student.queries.model=MODEL", "student.layers=1", "objective.losses=[{name: margin_mse}]", DISTILLED],
        ["examples=[{source: qrels.tsv, format: qrels}]", "optimization.negatives=0", "validation.sample_queries=5"],
    ],
    ids=lambda settings: settings[0].partition("=")[0] + "=" + settings[0].partition("=")[2][:30],
)
def test_every_kind_of_student_and_objective(data: Path, tmp_path: Path, tiny_model: Path, settings: list[str]) -> None:
    few = ("optimization.steps=4", "validation.every=2", "log_every=1")
    given = [each.replace("MODEL", str(tiny_model)) for each in settings]
    found = trained(data, tmp_path / "run", *few, *given)
    for side in ("documents", "queries"):
        assert len(load_encoder(found["model"], side=side).encode(["a black cat"]).terms)  # type: ignore[arg-type]
    assert all(line["loss"] > 0 for line in log(tmp_path / "run") if "loss" in line)


def test_tensorboard_where_it_is_installed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from splade_lucene.training import run

    written: dict[str, Any] = {}

    class Board(run.TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            written[self.logging_dir] = logs  # type: ignore[attr-defined]

    monkeypatch.setattr(run, "is_tensorboard_available", lambda: True)
    monkeypatch.setattr(run, "TensorBoardCallback", Board)
    trained(data, tmp_path / "run", "optimization.steps=2", "validation=null")
    assert list(written) == [str(tmp_path / "run" / "tensorboard")]


def examples(**changes: Any) -> TrainingExamples:
    example = Example("q1", ("d1",), ("d2", "d3"), {"dense": np.array([3, 2, 1], dtype=np.float32)})
    values = {name: getattr(example, name) for name in ("query_id", "positives", "negatives", "scores")}
    others = [Example(f"q{number}", ("d1",), ("d2", "d3"), example.scores) for number in range(2, 6)]
    return TrainingExamples.of([Example(**(values | changes)), *others])


@pytest.mark.parametrize(
    ("changes", "settings", "complaint"),
    [
        ({"query_id": "q99"}, [], "the examples name the query 'q99', which the collection does not have"),
        ({"positives": ("d99",)}, [], "the examples name the document 'd99', which the collection does not have"),
        ({}, ["optimization.negatives=3"], "'q1' has 2 negatives, and 3 are to be drawn"),
        ({}, ["optimization.batch=9"], "5 examples do not fill a batch of 9"),
        (
            {},
            ["objective.losses=[{name: kl}]", "objective.teachers={teachers: [bm25]}"],
            "the examples have no scores of bm25; they have dense",
        ),
        ({}, ["examples=[{source: none.parquet}]"], "none.parquet: no such file"),
        ({}, ["texts.documents=[nowhere.jsonl]"], "nowhere.jsonl: no such file"),
        ({}, ["optimization.precision=fp16"], "fp16 is for GPUs"),
        ({}, ["student.queries=idf", "idf=nowhere/model"], "'nowhere/model' is no folder that is there"),
        ({}, ["validation.qrels=none.tsv"], "none.tsv: no such file"),
        ({}, ["validation.measures=[nDCG@ten]"], "nDCG@ten"),
    ],
)
def test_bad_input_is_said_before_a_network_is_loaded(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    settings: list[str],
    complaint: str,
) -> None:
    from splade_lucene.training import run

    monkeypatch.setattr(run, "load_student", None)
    examples(**changes).write(tmp_path / "examples.parquet")
    given = (
        settings
        if any(each.startswith("examples") for each in settings)
        else [
            f"examples=[{{source: {tmp_path}/examples.parquet}}]",
            *settings,
        ]
    )
    said = train(data, tmp_path / "run", *given)
    assert said.exit_code == 1
    assert complaint in str(said.exception)


def test_a_loss_that_is_no_number_stops_the_run(data: Path, tmp_path: Path) -> None:
    said = train(data, tmp_path / "run", "optimization.learning_rate=1e30", "optimization.warmup_steps=0")
    assert "is nan; a smaller learning rate" in str(said.exception) or "is inf; a" in str(said.exception)


def test_lambda_that_kills_everything_stops_the_run(data: Path, tmp_path: Path) -> None:
    deadly = ["objective.documents=[{name: l1, weight: 1e4}]", "objective.warmup_steps=0"]
    hasty = ["optimization.learning_rate=1e-2", "optimization.steps=200", "validation=null"]
    said = train(data, tmp_path / "run", *deadly, *hasty)
    assert "weights of 0 learn nothing: λ is too large" in str(said.exception)


def test_a_folder_belongs_to_its_run(data: Path, tmp_path: Path) -> None:
    few = ("optimization.steps=2", "validation=null")
    trained(data, tmp_path / "run", *few)
    said = train(data, tmp_path / "run", *few, "optimization.seed=1", "student.layers=1")
    assert "optimization.seed: 0 there, 1 here" in str(said.exception)
    assert "student.layers: None there, 1 here" in str(said.exception)
    before = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    assert train(data, tmp_path / "run", *few, "optimization.seed=1", options=("--overwrite",)).exit_code == 0
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() != before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine", encoding="utf-8")
    for options in ((), ("--overwrite",)):
        assert "holds no training run" in str(train(data, tmp_path / "other", options=options).exception)
    assert (tmp_path / "other" / "thesis.txt").read_text(encoding="utf-8") == "mine"


def test_what_was_wrong_can_be_mended_in_place(data: Path, tmp_path: Path) -> None:
    few = ("optimization.steps=2", "validation=null")
    assert train(data, tmp_path / "run", *few, "optimization.batch=99").exit_code == 1
    trained(data, tmp_path / "run", *few)


def test_examples_that_have_changed_since(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples().write(tmp_path / "examples.parquet")
    settings = (f"examples=[{{source: {tmp_path}/examples.parquet}}]", "validation=null", "checkpoint_every=2")
    with stopped_at(3, monkeypatch):
        train(data, tmp_path / "run", *settings)
    examples(negatives=("d3", "d2")).write(tmp_path / "examples.parquet")
    assert "the examples are not those that" in str(train(data, tmp_path / "run", *settings).exception)


def test_an_error_is_one_line(data: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    said = cli(*command(data, tmp_path / "run", "optimization.batch=99"))
    assert (said.code, said.out) == (1, "")
    assert said.err == "Error: 32 examples do not fill a batch of 99 queries\n"
