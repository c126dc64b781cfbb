"""Training experiments: what can be known to be wrong before anything is loaded; those in conf/training."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from splade_lucene.cli import app
from splade_lucene.config import dump, load
from splade_lucene.errors import ConfigError
from splade_lucene.training.experiment import QueryNetwork, TrainingExperiment
from tests.helpers import ROOT

EXPERIMENTS = sorted((ROOT / "conf" / "training").glob("*.yaml"))  # proof/ has plans of many runs
each_experiment = pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.stem)

SMALL = """\
student: {documents: some/model}
texts: {documents: [corpus.jsonl], queries: [queries.jsonl]}
examples: [{source: examples.parquet}]
objective:
  losses: [{name: info_nce}]
  documents: [{name: flops, weight: 1e-3}]
optimization: {steps: 100, batch: 8, negatives: 2}
validation: {documents: corpus.jsonl, queries: queries.jsonl, qrels: qrels.tsv, every: 50}
"""


def loaded(folder: Path, *overrides: str) -> TrainingExperiment:
    file = folder / "experiment.yaml"
    file.write_text(SMALL, encoding="utf-8")
    return load(file, TrainingExperiment, overrides)


def test_what_is_not_said(tmp_path: Path) -> None:
    experiment = loaded(tmp_path)
    assert experiment.student.queries == "same"
    assert experiment.student.max_length.by_side() == {"documents": 256, "queries": 256}
    assert experiment.save_every == 50
    assert loaded(tmp_path, "validation=null").save_every == 10
    assert loaded(tmp_path, "checkpoint_every=25").save_every == 25
    network = loaded(tmp_path, "student.queries.model=another/model").student.queries
    assert network == QueryNetwork(model="another/model")


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["objective.losses=[{name: kl}]"], "kl learns from a teacher: name the scores in objective.teachers"),
        (["objective.teachers={teachers: [bm25]}"], "teachers are given, and no loss learns from them"),
        (["objective.losses=[{name: info_nce}, {name: info_nce, negatives: own}]"], "info_nce stands there twice"),
        (
            ["optimization.negatives=0", "objective.losses=[{name: info_nce, negatives: own}]"],
            "info_nce has nothing to tell from a positive",
        ),
        (["optimization.negatives=0", "optimization.batch=1"], "info_nce has nothing to tell from a positive"),
        (
            ["optimization.negatives=0", "objective.losses=[{name: kl}]", "objective.teachers={teachers: [bm25]}"],
            "kl has nothing to tell from a positive",
        ),
        (["objective.target_terms=100", "objective.documents=[]"], "regularizers, and there are none"),
        (["student.queries=idf"], "an idf is wanted, and none is named"),
        (["objective.documents=[{name: idf_flops, weight: 1}]"], "an idf is wanted, and none is named"),
        (["idf=documents"], "neither queries nor idf_flops use it"),
        (
            ["idf=documents", "student.queries=idf", "objective.documents=[{name: idf_flops, weight: 1}]"],
            "the same thing twice",
        ),
        (
            ["student.queries=binary", "objective.queries=[{name: l1, weight: 1}]"],
            "queries are looked up and do not change",
        ),
        (["student.learn_table=true"], "learn_table is for queries that are looked up"),
        (["checkpoint_every=20"], "validation.every is 50, no multiple of checkpoint_every, 20"),
        (["validation.measures=['nDCG@10, RR@10']"], "name each measure by itself"),
        (["student.queries=other"], "student.queries: input should be 'same', 'idf' or 'binary', not 'other'"),
        (["student.queries={network: x}"], "the key 'student.queries.network' is not known"),
        (["optimization.step=7"], "'optimization.step' is not known; did you mean 'steps'"),
    ],
)
def test_what_does_not_fit_together(tmp_path: Path, overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        loaded(tmp_path, *overrides)


def test_a_learned_table_can_be_made_sparser(tmp_path: Path) -> None:
    overrides = ["student.queries=binary", "student.learn_table=true", "objective.queries=[{name: l1, weight: 1}]"]
    assert loaded(tmp_path, *overrides).student.inference_free


def test_there_are_experiments() -> None:
    assert len(EXPERIMENTS) >= 10


@each_experiment
def test_an_experiment_can_be_loaded(file: Path, tmp_path: Path) -> None:
    experiment = load(file, TrainingExperiment)
    (tmp_path / "again.yaml").write_text(dump(experiment), encoding="utf-8")
    assert load(tmp_path / "again.yaml", TrainingExperiment) == experiment


@each_experiment
def test_an_experiment_says_its_command(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    (command,) = (line for line in lines if line.startswith("#   splade-lucene train"))
    _, verb, *options = shlex.split(command.removeprefix("#"))
    train = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    assert train.make_context(verb, options).params["config"] == file.relative_to(ROOT)


@each_experiment
def test_an_experiment_names_no_path_of_a_machine(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not any(sign in text for sign in ("../", "~/", "/home", "/tmp", "/work", " /"))


PUBLISHED = {  # λ of queries and of documents, and the reduction that they belong to
    "splade-max": (3e-4, 1e-4, "pos_neg_mean"),
    "splade-pp-distilmse": (0.5, 0.4, "pos_neg_mean"),
    "splade-pp-selfdistil": (0.5, 0.4, "pos_neg_mean"),
    "splade-pp-ensembledistil": (0.1, 0.08, "pos_neg_mean"),
    "splade-pp-cocondenser-selfdistil": (0.5, 0.4, "pos_neg_mean"),
    "splade-pp-cocondenser-ensembledistil": (0.5, 0.4, "pos_neg_mean"),
    "efficient-splade-v-large": (5e-4, 5e-4, "pos_neg_mean"),
    "efficient-splade-vi-bt-large": (5e-4, 5e-4, "pos_neg_mean"),
    "inference-free-pretraining": (None, 1e-7, "slot_sum"),
    "inference-free-finetuning": (None, 0.02, "slot_sum"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_lambda_belongs_to_its_reduction(name: str) -> None:
    objective: Any = load(ROOT / "conf" / "training" / f"{name}.yaml", TrainingExperiment).objective
    of_queries, of_documents, reduction = PUBLISHED[name]
    assert [each.weight for each in objective.queries] == ([] if of_queries is None else [of_queries])
    assert [(each.weight, each.reduction) for each in objective.documents] == [(of_documents, reduction)]
