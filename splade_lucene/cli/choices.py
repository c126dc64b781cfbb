"""Options that several verbs have, and what their values mean."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_lucene.encoding.options import PRESETS, EncoderOptions, Precision, Side, SpecialTerms

if TYPE_CHECKING:
    from splade_lucene.quantization import Quantizer


# Headings of options in help.
NETWORK, VECTORS, TEXTS = "Network", "Vectors", "Long texts, large collections"
PRUNING, LIMITS, MORE = "Pruning", "Two steps, limits", "BM25 and feedback"

Model = Annotated[str, typer.Option(help="A hub name (NAME or NAME@REVISION), a local folder, or `default`.")]
OptionalModel = Annotated[
    str | None, typer.Option("--model", help="What encodes the queries: hub name, folder, `default`.")
]
Index = Annotated[Path, typer.Option(help="The index's folder.")]
Vectors = Annotated[
    Path, typer.Option(help="A folder made by `encode`, whole or in parts, or Anserini's .jsonl (.gz).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Threads = Annotated[int | None, typer.Option(min=1, help="All cores by default.")]
PresetName = Annotated[
    Literal["castorini", "naver"] | None,
    typer.Option(help="Lengths, scale and special terms of Pyserini's or naver's published indexes."),
]
MaxLength = Annotated[
    int | None,
    typer.Option(min=3, rich_help_panel=NETWORK, help="Tokens a text may have; the model's own limit by default."),
]
Device = Annotated[str, typer.Option(rich_help_panel=NETWORK, help="auto, cpu, cuda, cuda:1, mps.")]
PrecisionName = Annotated[
    Precision, typer.Option(rich_help_panel=NETWORK, help="What the network computes in; `auto`: as suits the device.")
]
NetworkThreads = Annotated[int | None, typer.Option(min=1, rich_help_panel=NETWORK, help="All cores by default.")]
PoolingName = Annotated[
    Literal["max", "sum"] | None,
    typer.Option(rich_help_panel=NETWORK, help="For a model that does not say how it was trained."),
]
ActivationName = Annotated[
    Literal["log1p_relu", "log1p_log1p_relu"] | None, typer.Option(rich_help_panel=NETWORK, help="The same.")
]
SpecialTermsChoice = Annotated[
    SpecialTerms | None,
    typer.Option(rich_help_panel=VECTORS, show_default="drop", help="[CLS], [SEP] and their like, as terms."),
]
BinaryQueries = Annotated[
    bool, typer.Option("--binary-queries", rich_help_panel=VECTORS, help="A query is the set of its own terms.")
]
QueryScale = Annotated[
    float | None, typer.Option(help="Of the query's weights; the index's by default, 1 for Anserini's .tsv.")
]

INPUT = "an ir_datasets id, a folder in BEIR layout, or a .jsonl or .tsv file (each also .gz)"
SameScale = Annotated[float | None, typer.Option(help="To be sure: it must be the index's.")]
MoreTexts = Annotated[
    str | None, typer.Option(help=f"Of the documents, where the index keeps something of texts: {INPUT}.")
]


def as_preset(
    options: EncoderOptions, preset: str | None, side: Side, special_terms: SpecialTerms | None
) -> EncoderOptions:
    """The options with a preset's settings where the user has given none."""
    if preset is None:
        return replace(options, special_terms=special_terms or options.special_terms)
    given = PRESETS[preset]
    return replace(
        options,
        max_length=options.max_length or given.max_length[side],
        special_terms=special_terms or given.special_terms,
    )


def listed(names: str) -> list[str]:
    """What a comma-separated list names."""
    return [name.strip() for name in names.split(",")]


def quantizer_of(scale: float) -> "Quantizer":
    """The quantizer of a --scale."""
    from splade_lucene.quantization import Quantizer

    try:
        return Quantizer(scale)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def lines(file: Path) -> list[str]:
    """The lines of a file of doc_ids."""
    from splade_lucene.files import read_lines

    return [line.strip() for _, line in read_lines(file)]
