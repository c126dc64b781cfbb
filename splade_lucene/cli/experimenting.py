"""`evaluate --config`: an experiment of `conf/retrieval/` is run, and held against the numbers that it names."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from splade_lucene.cli.choices import as_preset, quantizer_of
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.errors import ConfigError

if TYPE_CHECKING:
    from splade_lucene.beir.systems import Place, System
    from splade_lucene.config import RetrievalExperiment


def run_experiment(
    config: Path, overrides: Sequence[str], *, data: Path | None, output: Path | None, as_json: bool
) -> None:
    """Index, search and evaluate as a file says; the exit code is 1 where a number is missed."""
    from splade_lucene.beir import registry
    from splade_lucene.beir.systems import Place
    from splade_lucene.beir.walk import Plan, walk
    from splade_lucene.config import RetrievalExperiment, load
    from splade_lucene.evaluation.expected import check
    from splade_lucene.files import cache_folder
    from splade_lucene.terminal import note, out, progress, show_expectations

    experiment = load(config, RetrievalExperiment, overrides)
    place = Place(output or cache_folder() / "experiments" / config.stem, os.cpu_count() or 1, note, progress)
    collections = registry.chosen(experiment.collections, data)
    names = {collection.name for collection in collections}
    if experiment.expected != "published" and (others := sorted(experiment.expected.keys() - names)):
        raise ConfigError(f"{config}: expected names {others[0]}, which is none of {', '.join(sorted(names))}")
    plan = Plan(experiment.measures, experiment.k)
    outcome = walk(collections, [_system(experiment, place, data)], plan, place, data=data)
    checked = check(outcome.results, experiment.expected, experiment.tolerance)
    met = bool(checked) and all(each.met for each in checked) and not outcome.failures
    if as_json:
        failed = [asdict(failure) for failure in outcome.failures]
        out.print_json(data={"met": met, "expectations": [asdict(each) for each in checked], "failed": failed})
    else:
        show_expectations(experiment.system, checked)
    for failure in outcome.failures:
        note(f"failed: {failure}")
    if not met:
        raise typer.Exit(1)


def _system(experiment: "RetrievalExperiment", place: "Place", data: Path | None) -> "System":
    """What the experiment evaluates."""
    from splade_lucene.beir.given_vectors import GivenVectors
    from splade_lucene.beir.systems import ModelSystem

    scale = quantizer_of(experiment.impact_scale).scale
    if given := experiment.vectors:
        if data is None:
            raise typer.BadParameter(
                f"{given.documents} is found within a data root: give --data or SPLADE_LUCENE_DATA"
            )
        files = data / given.documents, data / given.queries
        return GivenVectors(experiment.system, files, place, scale=scale, made_with=given.made_with)
    options = EncoderOptions(max_length=experiment.max_length)
    sides: tuple[Side, Side] = ("documents", "queries")
    return ModelSystem(
        experiment.system,
        experiment.system,
        place,
        options={side: as_preset(options, experiment.preset, side, None) for side in sides},
        scale=scale,
    )
