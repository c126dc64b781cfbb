"""The experiments in conf/retrieval: each can be loaded, says its command, and expects what is published."""

import shlex
from pathlib import Path

import pytest
import typer.main

from splade_lucene.beir import registry
from splade_lucene.cli import app
from splade_lucene.config import RetrievalExperiment, load
from splade_lucene.evaluation.measures import measure_names
from splade_lucene.evaluation.published import canonical, find
from tests.helpers import ROOT

EXPERIMENTS = sorted((ROOT / "conf" / "retrieval").glob("*.yaml"))
each_experiment = pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.stem)


def test_there_are_experiments() -> None:
    assert len(EXPERIMENTS) >= 5


@each_experiment
def test_an_experiment_can_be_loaded(file: Path) -> None:
    experiment = load(file, RetrievalExperiment)
    names = {collection.name for collection in registry.chosen(experiment.collections)}
    assert measure_names(",".join(experiment.measures)) == list(experiment.measures)
    assert experiment.expected == "published" or experiment.expected.keys() == names


@each_experiment
def test_an_experiment_begins_with_its_command(file: Path) -> None:
    (command,) = (line for line in file.read_text(encoding="utf-8").splitlines() if "splade-lucene evaluate" in line)
    program, verb, *options = shlex.split(command.removeprefix("#"))
    assert (program, verb) == ("splade-lucene", "evaluate")
    evaluate = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    given = evaluate.make_context(verb, options).params
    assert given["config"] == file.relative_to(ROOT)
    assert (given["data"] is not None) == (load(file, RetrievalExperiment).vectors is not None)


@each_experiment
def test_what_is_expected_of_published_systems_is_published(file: Path) -> None:
    experiment = load(file, RetrievalExperiment)
    if experiment.expected != "published":
        return
    assert canonical(experiment.system) is not None
    for collection in registry.chosen(experiment.collections):
        scores = {score.measure for score in find(collection.name, experiment.system)}
        assert set(experiment.measures) <= scores, collection.name


@each_experiment
def test_an_experiment_names_no_path_of_a_machine(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not any(sign in text for sign in ("../", "~/", "/home", "/tmp", "/work", " /"))
