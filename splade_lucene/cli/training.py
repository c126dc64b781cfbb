"""The verbs of training: train."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_lucene.cli.choices import Json

if TYPE_CHECKING:
    from splade_lucene.training.run import Outcome


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
    from splade_lucene import learning
    from splade_lucene.terminal import note, out, progress

    first = os.environ.get("RANK", "0") == "0"  # of processes that torchrun started together
    seen: dict[str, Any] = {"say": note, "progress": progress} if first else {}
    outcome = learning.train(config, output, settings=settings or [], data=data, overwrite=overwrite, **seen)
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
