"""The verbs that need a model: encode, export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_lucene.cli.choices import (
    INPUT,
    NETWORK,
    TEXTS,
    VECTORS,
    ActivationName,
    BinaryQueries,
    Json,
    MaxLength,
    Model,
    NetworkThreads,
    PoolingName,
    PrecisionName,
    PresetName,
    SpecialTermsChoice,
    as_preset,
)
from splade_lucene.encoding.options import PRESETS, EncoderOptions, Side

if TYPE_CHECKING:
    from splade_lucene.vector_folders import Shard, VectorFolder


def encode(
    model: Model,
    input: Annotated[str, typer.Option(help=f"Texts: {INPUT}.")],
    output: Annotated[Path, typer.Option(help="A folder for the vectors; run again, an interrupted encoding goes on.")],
    side: Annotated[Side, typer.Option(help="Which texts of INPUT, and which encoder of the model.")] = "documents",
    preset: PresetName = None,
    device: Annotated[
        str,
        typer.Option(
            rich_help_panel=NETWORK,
            help="auto, cpu, cuda, cuda:1, mps; several (cuda:0,cuda:1) share the work. `auto` takes all GPUs.",
        ),
    ] = "auto",
    precision: PrecisionName = "auto",
    max_length: MaxLength = None,
    batch_tokens: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=NETWORK, help="Tokens that go through it at a time, padding included."),
    ] = None,
    threads: NetworkThreads = None,
    pooling: PoolingName = None,
    activation: ActivationName = None,
    top_terms: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=VECTORS, help="Keep so many terms a text, the heaviest.")
    ] = None,
    min_weight: Annotated[float, typer.Option(min=0, rich_help_panel=VECTORS, help="Drop smaller weights.")] = 0.0,
    special_terms: SpecialTermsChoice = None,
    binary_queries: BinaryQueries = False,
    weights: Annotated[
        Literal["float32", "float16"], typer.Option(rich_help_panel=VECTORS, help="What the files store.")
    ] = "float32",
    passages: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=TEXTS, help="Cut documents into passages of so many words."),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=TEXTS, show_default="--passages", help="Begin a passage every so many words."
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", rich_help_panel=TEXTS, help="Encode the I-th of N parts; `index` merges the parts of OUTPUT."
        ),
    ] = None,
) -> None:
    """Encode texts into vectors; stop it and run it again, it goes on."""
    if stride is not None and passages is None:
        raise typer.BadParameter("--stride is for --passages")
    if passages is not None and side == "queries":
        raise typer.BadParameter("queries are not cut into passages")
    if binary_queries and side == "documents":
        raise typer.BadParameter("--binary-queries is for --side queries")
    from splade_lucene.datasets import Passages, count_records
    from splade_lucene.encoding.pipeline import CollectionOptions
    from splade_lucene.encoding.workers import EncodingJob, devices_of, encode_on_devices
    from splade_lucene.terminal import note, progress
    from splade_lucene.vector_folders import Part

    options = EncoderOptions(
        max_length=max_length,
        batch_tokens=batch_tokens,
        device=device,
        precision=precision,
        threads=threads,
        top_terms=top_terms,
        min_weight=min_weight,
        binary_queries=binary_queries,
        pooling=pooling,
        activation=activation,
    )
    job = EncodingJob(
        model,
        side,
        as_preset(options, preset, side, special_terms),
        input,
        output,
        CollectionOptions(
            passages=Passages(passages, stride or passages) if passages else None,
            weights=weights,
            scale=PRESETS[preset].scale if preset else None,
            part=Part.parse(shard) if shard else None,
        ),
    )
    total = count_records(input, side) if not passages else None
    if total is not None and job.options.part:
        total = job.options.part.share(total, job.shard_size)
    with progress(f"encoding {side}", total) as advance:
        folders = encode_on_devices(job, devices_of(model, device, side), advance)
    shards = [each for folder in folders for each in folder.shards]
    note(_summary(folders[0], shards))
    typer.echo(f"{output}: {sum(each.documents for each in shards):,} vectors in {len(shards)} shards")


def export(
    model: Model,
    output: Annotated[Path, typer.Option(help="A folder for the exported model; a MODEL for the other verbs.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Integer products: the fastest on a CPU, a quarter of the size.")
    ] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Half precision, for GPUs.")] = False,
    side: Annotated[Side, typer.Option(help="Which encoder of the model, where it has two.")] = "documents",
    max_length: MaxLength = None,
    pooling: PoolingName = None,
    activation: ActivationName = None,
    as_json: Json = False,
) -> None:
    """Write a model for onnxruntime, and measure it against the original; one that strays too far is not written."""
    if int8 and fp16:
        raise typer.BadParameter("give one of --int8 and --fp16")
    from dataclasses import asdict

    from splade_lucene.encoding.export import export as write_export
    from splade_lucene.terminal import note, out

    parity = write_export(
        model,
        output,
        precision="int8" if int8 else "fp16" if fp16 else "fp32",
        side=side,
        options=EncoderOptions(max_length=max_length, pooling=pooling, activation=activation),
    )
    if as_json:
        out.print_json(data={"output": str(output), "parity": asdict(parity)})
        return
    note(str(parity))
    typer.echo(f"{output}: {sum(each.stat().st_size for each in output.iterdir()) / 1e6:,.1f} MB")


def _summary(folder: "VectorFolder", shards: "list[Shard]") -> str:
    """What was lost of the texts and who made the vectors, in one line."""
    truncated, empty, dropped = (
        sum(getattr(each, what) for each in shards) for what in ("truncated", "empty", "dropped")
    )
    rounded = f", {dropped:,} weights rounded to 0 by {folder.weights}" if dropped else ""
    cut = f"; passages of {folder.passages}" if folder.passages else ""
    limit = folder.encoder.max_length
    return f"{truncated:,} cut at {limit} tokens, {empty:,} without a term{rounded}{cut}; by {folder.encoder}"
