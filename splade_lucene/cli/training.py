"""The verbs of training: train."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from splade_lucene.cli.choices import Json
from splade_lucene.errors import ConfigError

if TYPE_CHECKING:
    from splade_lucene.runs import Run
    from splade_lucene.training.run import Outcome
    from splade_lucene.vectors import TermVectors


def train(
    config: Annotated[Path, typer.Option(help="What is learned from what, and how: conf/training/*.yaml for one.")],
    output: Annotated[
        Path, typer.Option(help="A folder for the run, its model in it; run again, an interrupted training goes on.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=VALUE", help="A setting in the place of the file's; may be repeated."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="SPLADE_LUCENE_DATA", help="A folder in which what the file names is looked for, too."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew; what OUTPUT has of a run is lost.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a model, validating it by retrieval; stop it and run it again, it goes on."""
    if find_spec("accelerate") is None:
        raise ConfigError("training needs the package accelerate: pip install 'splade-lucene[train]'")
    from splade_lucene.config import load
    from splade_lucene.terminal import note, out, progress
    from splade_lucene.training.experiment import TrainingExperiment
    from splade_lucene.training.run import Surroundings, train

    experiment = load(config, TrainingExperiment, settings or [])
    first = os.environ.get("RANK", "0") == "0"  # of processes that torchrun started together
    outside = Surroundings(_search, note if first else _silent, progress if first else _hidden, data)
    outcome = train(experiment, output, outside, overwrite=overwrite)
    if not first:
        return
    if as_json:
        measured = {str(step): values for step, values in outcome.validations.items()}
        out.print_json(data={"model": str(outcome.model), "step": outcome.step, "validations": measured})
        return
    _show(outcome)
    typer.echo(f"{outcome.model}: the student as it was after step {outcome.step:,}")


def _show(outcome: "Outcome") -> None:
    """What the validations measured, a line each; the model's stands out."""
    from splade_lucene.terminal import out, table

    names = list(next(iter(outcome.validations.values()), ()))
    if not names:
        return
    made = table("step", *(name.replace("_", " ") for name in names), right=range(len(names) + 1))
    for step, measured in outcome.validations.items():
        cells = (f"{value:.4f}" if "@" in name else f"{value:,.0f}" for name, value in measured.items())
        made.add_row(f"{step:,}", *cells, style="bold" if step == outcome.step else "")
    out.print(made)


def _search(documents: "TermVectors", queries: "TermVectors", k: int) -> "Run":
    """The k best documents of each query, by an index that is made for it."""
    from splade_lucene.lucene.build import IndexOptions
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.lucene.searcher import Searcher

    with (
        TemporaryDirectory(prefix="splade-lucene-") as folder,
        ImpactIndex.build(Path(folder) / "index", [documents], IndexOptions(blocks=False)) as index,
    ):
        return Searcher(index).search_vectors(queries, k)


def _silent(message: str) -> None:
    """Says nothing: the first process does."""


@contextmanager
def _hidden(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda count: None
