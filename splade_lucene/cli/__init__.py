"""The command line: one verb, one function; each loads, calls and prints.

Results go to stdout, everything else to stderr. Exit 0: done; 1: failed; 2: wrong usage; 130: stopped by Ctrl-C. Heavy
imports stand inside the verbs, so that `--help` needs neither torch nor a JVM.
"""

import sys
from typing import Annotated

import typer

from splade_lucene import __version__
from splade_lucene.cli.beir import beir
from splade_lucene.cli.converting import convert
from splade_lucene.cli.encoding import encode, export
from splade_lucene.cli.evaluating import evaluate
from splade_lucene.cli.first_steps import demo, doctor
from splade_lucene.cli.indexing import append, delete, index, merge, update
from splade_lucene.cli.inspecting import inspect
from splade_lucene.cli.mining import examples, mine
from splade_lucene.cli.scoring import score, train_cross_encoder
from splade_lucene.cli.searching import explain, search
from splade_lucene.cli.training import train
from splade_lucene.errors import SpladeLuceneError

app = typer.Typer(
    name="splade-lucene",
    help="Learned sparse retrieval on Lucene: encode, index, search, explain, evaluate, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _verb in (
    demo,
    doctor,
    encode,
    export,
    index,
    append,
    update,
    delete,
    merge,
    convert,
    search,
    explain,
    inspect,
    evaluate,
    beir,
    examples,
    mine,
    score,
    train_cross_encoder,
    train,
):
    app.command()(_verb)


def main() -> None:
    """The console script: errors become one line and exit code 1."""
    try:
        app(prog_name="splade-lucene")
    except BrokenPipeError:  # `splade-lucene search … | head`
        sys.stderr.close()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        from splade_lucene.terminal import complain

        complain(_in_one_line(error))
        sys.exit(1)


def _in_one_line(error: Exception) -> str:
    """What an error says to somebody who did not ask for `--debug`."""
    if isinstance(error, SpladeLuceneError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}. This should not happen; with --debug before the verb you see where it did"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"splade-lucene {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from, Java's trace too.")] = False,
) -> None:
    """Learned sparse retrieval on Lucene: encode, index, search, explain, evaluate, export."""


if __name__ == "__main__":
    main()
