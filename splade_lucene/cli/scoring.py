"""The verbs of teachers: score, train-cross-encoder."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_lucene.cli.choices import (
    INPUT,
    NETWORK,
    Device,
    MaxLength,
    NetworkThreads,
    PrecisionName,
    listed,
)
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.errors import ConfigError

if TYPE_CHECKING:
    from splade_lucene.encoding.encoder import TextEncoder
    from splade_lucene.training.examples import TextStore, TrainingExamples
    from splade_lucene.training.scoring import Bm25, Teacher
    from splade_lucene.training.teaching_networks import CrossEncoder, DenseEncoder, DensePooling

SIDES: tuple[Side, Side] = ("queries", "documents")

Examples = Annotated[Path, typer.Option(help="Training examples, .parquet.")]
Documents = Annotated[str, typer.Option(help=f"Their documents: {INPUT}; several with commas between.")]
Queries = Annotated[str, typer.Option(help="Their queries, the same.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT where it is there.")]


def score(
    examples: Examples,
    documents: Documents,
    queries: Queries,
    teacher: Annotated[
        Literal["cross-encoder", "dense", "sparse", "bm25"],
        typer.Option(
            help="A sequence classifier, a bi-encoder of transformers or sentence-transformers, a MODEL, BM25."
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="The examples with the scores; run again, an interrupted scoring goes on.")
    ],
    model: Annotated[str | None, typer.Option(help="Who teaches: a hub name or a local folder.")] = None,
    index: Annotated[Path | None, typer.Option(help="For bm25: an index made with `index --texts --bm25`.")] = None,
    name: Annotated[
        str | None, typer.Option(help="What the scores are called.", show_default="the teacher's kind")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="A folder for what was scored, which may be removed.", show_default="OUTPUT.scores"),
    ] = None,
    dense_pooling: Annotated[
        Literal["mean", "cls"] | None,
        typer.Option(rich_help_panel=NETWORK, help="For a dense model that does not say how it was trained."),
    ] = None,
    normalised: Annotated[
        bool | None,
        typer.Option(
            "--normalised/--not-normalised",
            rich_help_panel=NETWORK,
            help="Dense vectors of length 1, or as they are.",
            show_default="as the model says",
        ),
    ] = None,
    device: Device = "auto",
    precision: PrecisionName = "auto",
    max_length: MaxLength = None,
    batch_tokens: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=NETWORK, help="Tokens that go through it at a time, padding included."),
    ] = None,
    threads: NetworkThreads = None,
    overwrite: Overwrite = False,
) -> None:
    """Let a teacher score the documents of training examples; stop it and run it again, it goes on."""
    if (teacher == "bm25") != (model is None) or (teacher == "bm25") != (index is not None):
        raise typer.BadParameter("--index is for bm25, and --model for all other teachers")
    if teacher != "dense" and (dense_pooling is not None or normalised is not None):
        raise typer.BadParameter("--dense-pooling and --normalised are for dense teachers")
    from splade_lucene.terminal import note, progress
    from splade_lucene.training.examples import TrainingExamples
    from splade_lucene.training.scoring import score_examples

    if output.exists() and not overwrite:
        raise ConfigError(f"{output} is there already; say --overwrite to replace it, or name another file")
    options = EncoderOptions(
        max_length=max_length, batch_tokens=batch_tokens, device=device, precision=precision, threads=threads
    )
    given = TrainingExamples.read(examples)
    asked, found = _texts(given, queries, documents)
    with progress("scoring", sum(len(each.positives) + len(each.negatives) for each in given)) as advance:
        scorer, readers = _teacher(teacher, str(model), index, options, dense_pooling, normalised)
        kept = cache or output.with_name(f"{output.stem}.scores")
        scored = score_examples(given, scorer, asked, found, kept, name=name or teacher, progress=advance)
    scored.write(output)
    if cut := sum(each.truncated_texts for each in readers):
        note(f"{cut:,} texts or pairs were cut at max_length")
    typer.echo(f"{output}: {len(scored):,} queries with scores of {', '.join(scored.teachers)}")


def train_cross_encoder(
    examples: Examples,
    documents: Documents,
    queries: Queries,
    model: Annotated[str, typer.Option(help="The encoder that it begins as: a hub name or a local folder.")],
    output: Annotated[Path, typer.Option(help="A folder for the cross-encoder; a model for `score`.")],
    steps: Annotated[int, typer.Option(min=1, help="Of the optimizer.")] = 300,
    batch: Annotated[int, typer.Option(min=1, help="Queries a step.")] = 8,
    negatives: Annotated[int, typer.Option(min=1, help="Of each query, drawn anew each time.")] = 7,
    learning_rate: Annotated[float, typer.Option(min=0, help="At its height.")] = 5e-5,
    max_length: Annotated[int, typer.Option(min=3, help="Tokens of a pair.")] = 256,
    layers: Annotated[
        int | None, typer.Option(min=1, help="Keep so many of the encoder's layers, the lower ones.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of chance.")] = 0,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        typer.Option(help="What the network computes in; `auto`: bf16 on GPUs that have it."),
    ] = "auto",
    cpu: Annotated[bool, typer.Option("--cpu", help="Leave a GPU alone.")] = False,
) -> None:
    """Train a cross-encoder on examples, to be a teacher of others."""
    from splade_lucene.terminal import note, progress
    from splade_lucene.training.cross_encoder import CrossEncoderTraining
    from splade_lucene.training.cross_encoder import train_cross_encoder as train
    from splade_lucene.training.examples import TrainingExamples

    given = TrainingExamples.read(examples)
    asked, found = _texts(given, queries, documents)
    training = CrossEncoderTraining(steps, batch, negatives, learning_rate, max_length, layers, seed, precision)
    with progress("training", steps) as advance:
        losses = train(model, given, asked, found, output, training=training, cpu=cpu, progress=advance)
    tenth = max(1, steps // 10)
    first, last = (sum(some) / tenth for some in (losses[:tenth], losses[-tenth:]))
    note(f"loss {first:.4f} in the first tenth of the steps, {last:.4f} in the last")
    typer.echo(f"{output}: a cross-encoder of {steps:,} steps")


def _texts(examples: "TrainingExamples", queries: str, documents: str) -> "tuple[TextStore, TextStore]":
    """The texts that the examples name."""
    from itertools import chain

    from splade_lucene.datasets import read_documents, read_queries
    from splade_lucene.terminal import progress
    from splade_lucene.training.examples import TextStore
    from splade_lucene.training.readers import within_folder

    with progress("reading texts"):
        asked = (read_queries(within_folder(each, "queries.jsonl")) for each in listed(queries))
        found = (read_documents(each) for each in listed(documents))
        named = set(examples.table["query_id"].to_pylist())
        return (
            TextStore(chain.from_iterable(asked), "query", named),
            TextStore(chain.from_iterable(found), "document", examples.documents()),
        )


def _teacher(
    kind: str,
    model: str,
    index: Path | None,
    options: EncoderOptions,
    pooling: "DensePooling | None",
    normalised: bool | None,
) -> "tuple[Teacher, Sequence[TextEncoder | CrossEncoder | DenseEncoder]]":
    """Who teaches, and what reads the texts for it."""
    if index is not None:
        return _bm25(index), []
    if kind == "sparse":
        from splade_lucene.encoding.encoder import load_encoder
        from splade_lucene.training.scoring import DotProducts

        asking, answering = (load_encoder(model, side=side, options=options) for side in SIDES)
        return DotProducts.of_sparse(asking, answering), [asking, answering]
    from splade_lucene.training.teaching_networks import CrossEncoder, DenseEncoder, dense_teacher

    if kind == "cross-encoder":
        network = CrossEncoder(model, options)
        return network, [network]
    encoder = DenseEncoder(model, options, pooling=pooling, normalised=normalised)
    return dense_teacher(encoder, encoder), [encoder]


def _bm25(path: Path) -> "Bm25":
    """BM25 with the statistics of an index as its last commit left it."""
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.lucene.searcher import Searcher
    from splade_lucene.training.scoring import Bm25

    index = ImpactIndex(path)
    searcher = Searcher(index)

    def search(query: str, doc_ids: Sequence[str]) -> Mapping[str, float]:
        among = index.filter(doc_ids=doc_ids)
        if among.size < len(doc_ids):
            missing = next(each for each in doc_ids if not index.filter(doc_ids=[each]).size)
            raise ConfigError(f"{path} does not hold the document {missing!r}, which the examples name")
        hits = searcher.search_bm25({"query": query}, len(doc_ids), filter=among, threads=1)["query"]
        return dict(zip(hits.doc_ids, hits.scores.tolist(), strict=True))

    commit = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(path.glob("segments_*"))))
    return Bm25(search, identity=commit.hexdigest())
