"""The verb that writes an index or vectors for other engines: convert."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_lucene.cli.choices import quantizer_of
from splade_lucene.errors import ConfigError

if TYPE_CHECKING:
    from splade_lucene.vectors import ImpactVectors, TermVectors

BYTE = 255  # what BMP keeps of an impact


def convert(
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Its name says the form: .ciff, postings of an index, for PISA, BMP and JASS; or .jsonl (.gz), "
            "vectors, for Anserini and Seismic.",
        ),
    ],
    index: Annotated[Path | None, typer.Option(help="What to write: an index, also one of Anserini's,")] = None,
    vectors: Annotated[Path | None, typer.Option(help="or vectors, as for `index`.")] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            show_default="weights as they are",
            help="With --vectors: impact = round(scale * weight), as Anserini wants them.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
) -> None:
    """Write an index, or vectors, for other engines: one set of vectors serves them all."""
    from splade_lucene.files import kind

    if (index is None) == (vectors is None):
        raise typer.BadParameter("give one of --index and --vectors")
    if scale is not None and index is not None:
        raise typer.BadParameter("--scale is for --vectors; an index holds impacts already")
    if output.suffix != ".ciff" and kind(output) != ".jsonl":
        raise typer.BadParameter(f"--output {output}: its name ends in .ciff, .jsonl or .jsonl.gz")
    if output.suffix == ".ciff" and index is None:
        raise typer.BadParameter("a .ciff file is written from an index; `splade-lucene index` builds one of vectors")
    if output.exists() and not overwrite:
        raise ConfigError(f"{output} is there already; say --overwrite to replace it, or name another file")
    if output.suffix == ".ciff" and index is not None:
        _write_ciff(index, output)
    else:
        _write_jsonl(_batches(index, vectors, scale), output)


def _write_ciff(index: Path, output: Path) -> None:
    from splade_lucene.lucene.ciff import write_ciff
    from splade_lucene.terminal import note, progress

    with progress("writing posting lists"):
        written = write_ciff(index, output)
    if written.highest_impact > BYTE:
        note(
            f"the highest impact is {written.highest_impact:,}, and BMP takes them up to {BYTE}: "
            "for BMP, build the index with a smaller --scale"
        )
    typer.echo(
        f"{output}: {written.documents:,} documents, {written.posting_lists:,} posting lists, "
        f"{written.postings:,} postings"
    )


def _batches(index: Path | None, vectors: Path | None, scale: float | None) -> "Iterable[TermVectors | ImpactVectors]":
    from splade_lucene.vector_files import read_vectors

    if vectors is not None:
        weights = read_vectors(vectors)
        return weights if scale is None else map(quantizer_of(scale), weights)
    from splade_lucene.lucene.scan import scan

    assert index is not None
    return scan(index)


def _write_jsonl(batches: "Iterable[TermVectors | ImpactVectors]", output: Path) -> None:
    from splade_lucene.terminal import counted
    from splade_lucene.vector_files import write_jsonl

    typer.echo(f"{output}: {write_jsonl(output, counted(batches, 'writing')):,} vectors")
