"""The command line: one verb, one function; each loads, calls and prints.

Results go to stdout, everything else to stderr. Exit 0: done; 1: failed; 2: wrong usage; 130: stopped by Ctrl-C. Heavy
imports stand inside the verbs, so that `--help` needs neither torch nor a JVM.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from splade_lucene import __version__
from splade_lucene.encoding.options import PRESETS, EncoderOptions, Precision, Side, SpecialTerms
from splade_lucene.errors import FormatError, SpladeLuceneError

if TYPE_CHECKING:
    from splade_lucene.quantization import Quantizer
    from splade_lucene.runs import Hits, Run
    from splade_lucene.vector_files import Shard, VectorFolder

app = typer.Typer(
    name="splade-lucene",
    help="Learned sparse retrieval on Lucene: encode, index, search, explain, evaluate, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


NETWORK, VECTORS, TEXTS = "Network", "Vectors", "Long texts, large collections"  # headings of options in help

Model = Annotated[str, typer.Option(help="A hub name (NAME or NAME@REVISION), a local folder, or `default`.")]
OptionalModel = Annotated[
    str | None, typer.Option("--model", help="What encodes the queries: hub name, folder, `default`.")
]
Index = Annotated[Path, typer.Option(help="The index's folder.")]
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


@app.command()
def demo(
    query: Annotated[str | None, typer.Option(help="Your own question to Python's documentation.")] = None,
    k: Annotated[int, typer.Option(min=1, help="Hits to show.")] = 5,
    folder: Annotated[
        Path | None, typer.Option(help="Where the demo keeps its work; the user's cache by default.")
    ] = None,
) -> None:
    """Take the whole road on the documentation of Python's standard library, and measure it."""
    from splade_lucene import terminal
    from splade_lucene.demo import tour

    walked = tour.Tour(folder or tour.default_folder(), terminal.progress)
    terminal.show_steps(walked.steps)
    for each in [query] if query is not None else [example.text for example in tour.examples()]:
        hits = walked.searcher.search(each, k if query is not None else 3)
        terminal.show_hits(each, hits, {hit.doc_id: walked.documents[hit.doc_id].text for hit in hits})
    if query is None:
        each = next(tour.examples()).text
        hits = walked.searcher.search(each, 1)
    if hits:
        terminal.show_explanation(each, walked.searcher.explain(each, hits[0].doc_id))
    if query is None:
        taken = len(walked.steps)
        measured = walked.measure()
        terminal.show_measured(measured)
        terminal.show_steps(walked.steps[taken:])
        typer.echo('\nYour own question: splade-lucene demo --query "how do I read a csv file"')


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say which Java, jar, heap and encoder backends there are, and how to mend what is wrong."""
    from splade_lucene.doctor import examine
    from splade_lucene.terminal import out, show_findings

    findings = examine()
    if as_json:
        out.print_json(data={each.what: {"found": each.found, "mend": each.mend} for each in findings})
    else:
        show_findings(findings)
    if any(each.mend and each.needed for each in findings):
        raise typer.Exit(1)


@app.command()
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
    from splade_lucene.vector_files import Part

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
        _as_preset(options, preset, side, special_terms),
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


@app.command()
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


def _as_preset(
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


def _summary(folder: "VectorFolder", shards: "list[Shard]") -> str:
    """What was lost of the texts and who made the vectors, in one line."""
    truncated, empty, dropped = (
        sum(getattr(each, what) for each in shards) for what in ("truncated", "empty", "dropped")
    )
    rounded = f", {dropped:,} weights rounded to 0 by {folder.weights}" if dropped else ""
    cut = f"; passages of {folder.passages}" if folder.passages else ""
    limit = folder.encoder.max_length
    return f"{truncated:,} cut at {limit} tokens, {empty:,} without a term{rounded}{cut}; by {folder.encoder}"


@app.command()
def index(
    vectors: Annotated[
        Path, typer.Option(help="A folder made by `encode`, whole or in parts, or Anserini's .jsonl (.gz).")
    ],
    index: Index,
    scale: Annotated[
        float | None,
        typer.Option(
            show_default="the preset's, or 100",
            help="impact = round(scale * weight); 1 if the weights are impacts already.",
        ),
    ] = None,
    form: Annotated[
        Literal["impacts", "repeat"],
        typer.Option(help="The same postings either way; `repeat` goes through Anserini."),
    ] = "impacts",
    texts: Annotated[str | None, typer.Option(help=f"Store the texts beside the postings: {INPUT}.")] = None,
    threads: Threads = None,
    merge: Annotated[bool, typer.Option(help="Into one segment, which searches fastest.")] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the index that is there, once this one is whole.")
    ] = False,
) -> None:
    """Write vectors as a Lucene impact index that Pyserini and Anserini can search too."""
    from splade_lucene.datasets import read_documents
    from splade_lucene.lucene.build import IndexOptions
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.terminal import counted, note
    from splade_lucene.vector_files import open_vectors, read_vectors

    encoded = open_vectors(vectors)
    passages = encoded.passages if encoded else None
    options: dict[str, Any] = {"threads": threads} if threads else {}
    stored = None
    if texts is not None:
        documents = read_documents(texts)
        stored = ((doc.doc_id, doc.default_text()) for doc in (passages.cut(documents) if passages else documents))
    if scale is None:
        scale = encoded.scale if encoded and encoded.scale else 100
    given = encoded.read() if encoded else read_vectors(vectors)
    built = ImpactIndex.build(
        index,
        counted(given, "indexing", encoded.documents if encoded else None),
        IndexOptions(_quantizer(scale), form, merge=merge, overwrite=overwrite, **options),
        encoder=encoded.encoder if encoded else None,
        texts=stored,
        passages=passages,
    )
    assert built.manifest is not None
    note(
        f"{built.manifest.dropped_weights:,} weights rounded to 0, "
        f"{built.manifest.empty_documents:,} documents without a posting"
    )
    if built.manifest.unaskable_terms:
        note(
            f"{built.manifest.unaskable_terms:,} terms hold white space or are too long for Pyserini's analyzer, which "
            "cannot search them; splade-lucene can"
        )
    if passages:
        note(f"passages of {passages}; `search` finds documents by their best one")
    typer.echo(f"{index}: {len(built):,} documents, {built.manifest.postings:,} postings, {built.segments} segments")


@app.command()
def search(
    index: Index,
    model: OptionalModel = None,
    text: Annotated[str | None, typer.Option(help="One question; prints its hits.")] = None,
    queries: Annotated[str | None, typer.Option(help=f"Many: {INPUT}.")] = None,
    query_vectors: Annotated[
        Path | None, typer.Option(help="Vectors of queries: as for `index`, or Anserini's .tsv.")
    ] = None,
    k: Annotated[int | None, typer.Option(min=1, help="Hits a query; 10 for --text, else 1000.")] = None,
    scale: QueryScale = None,
    run: Annotated[Path | None, typer.Option(help="Write the TREC run to this file instead of stdout.")] = None,
    threads: Threads = None,
    fold: Annotated[
        bool, typer.Option("--fold/--no-fold", help="Of an index of passages, find documents by their best one.")
    ] = True,
    as_json: Json = False,
    preset: PresetName = None,
    device: Device = "auto",
    precision: PrecisionName = "auto",
    max_length: MaxLength = None,
    pooling: PoolingName = None,
    activation: ActivationName = None,
    special_terms: SpecialTermsChoice = None,
    binary_queries: BinaryQueries = False,
) -> None:
    """Search: a TREC run for many queries, hits for one."""
    if sum(each is not None for each in (text, queries, query_vectors)) != 1:
        raise typer.BadParameter("give one of --text, --queries and --query-vectors")
    if (model is None) != (query_vectors is not None):
        raise typer.BadParameter("--text and --queries need --model; --query-vectors has no use for it")
    from splade_lucene.datasets import read_queries
    from splade_lucene.files import kind
    from splade_lucene.lucene.searcher import Searcher
    from splade_lucene.terminal import out, progress, show_hits
    from splade_lucene.vector_files import open_vectors, read_vectors

    if query_vectors is not None:
        if scale is None and kind(query_vectors) == ".tsv":
            scale = 1
        searcher = Searcher(index, quantizer=None if scale is None else _quantizer(scale), fold=fold)
        if encoded := open_vectors(query_vectors):
            searcher.index.check_vocabulary(encoded.encoder)
        found: dict[str, Hits] = {}
        for batch in read_vectors(query_vectors):
            if twice := found.keys() & set(batch.ids):
                raise FormatError(f"{query_vectors}: the query_id {min(twice)!r} stands there twice")
            found |= searcher.search_vectors(batch, k or 1000, threads=threads)
    else:
        from splade_lucene.encoding.encoder import load_encoder

        options = EncoderOptions(
            max_length=max_length,
            device=device,
            precision=precision,
            binary_queries=binary_queries,
            pooling=pooling,
            activation=activation,
        )
        options = _as_preset(options, preset, "queries", special_terms)
        encoder = load_encoder(str(model), side="queries", options=options)
        searcher = Searcher(index, encoder, quantizer=None if scale is None else _quantizer(scale), fold=fold)
        if text is not None:
            hits = searcher.search(text, k or 10, threads=threads)
            if as_json:
                out.print_json(data=[hit._asdict() for hit in hits])
            else:
                show_hits(text, hits, {hit.doc_id: searcher.text(hit.doc_id) for hit in hits})
            return
        texts = {query.query_id: query.text for query in read_queries(str(queries))}
        with progress("searching", len(texts)):
            found = searcher.search_texts(texts, k or 1000, threads=threads)
    _report_run(found, run)


@app.command()
def explain(
    index: Index,
    model: Model,
    query: Annotated[str, typer.Option(help="The question.")],
    doc: Annotated[str, typer.Option(help="The doc_id; of an index of passages also a passage, DOC_ID#3.")],
    scale: QueryScale = None,
    as_json: Json = False,
    preset: PresetName = None,
    device: Device = "auto",
    precision: PrecisionName = "auto",
    max_length: MaxLength = None,
    pooling: PoolingName = None,
    activation: ActivationName = None,
    special_terms: SpecialTermsChoice = None,
    binary_queries: BinaryQueries = False,
) -> None:
    """Say which terms made a document's score, which of them are expansions, and what each gave."""
    from dataclasses import asdict

    from splade_lucene.encoding.encoder import load_encoder
    from splade_lucene.lucene.searcher import Searcher
    from splade_lucene.terminal import out, show_explanation

    options = EncoderOptions(
        max_length=max_length,
        device=device,
        precision=precision,
        binary_queries=binary_queries,
        pooling=pooling,
        activation=activation,
    )
    encoder = load_encoder(model, side="queries", options=_as_preset(options, preset, "queries", special_terms))
    explanation = Searcher(index, encoder, quantizer=None if scale is None else _quantizer(scale)).explain(query, doc)
    if as_json:
        out.print_json(data={"score": explanation.score, **asdict(explanation)})
    else:
        show_explanation(query, explanation)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Option(help="A TREC run.")],
    qrels: Annotated[str, typer.Option(help="TREC or BEIR qrels, a BEIR folder, or an ir_datasets id.")],
    measures: Annotated[str, typer.Option(help="Comma-separated.")] = "nDCG@10,R@100,RR@10",
    baseline: Annotated[Path | None, typer.Option(help="Another run, to compare with by a paired t-test.")] = None,
    as_json: Json = False,
) -> None:
    """Evaluate a run against judgments; queries that found nothing count as 0."""
    from dataclasses import asdict

    from splade_lucene.datasets import read_qrels
    from splade_lucene.evaluation import measures as of
    from splade_lucene.runs import read_run
    from splade_lucene.terminal import note, out, show_measures

    judgments = list(read_qrels(qrels))
    names = [name.strip() for name in measures.split(",")]
    evaluation = of.evaluate(read_run(run), judgments, names)
    comparisons = of.compare(evaluation, of.evaluate(read_run(baseline), judgments, names)) if baseline else []
    if evaluation.missing_queries or evaluation.unjudged_queries:
        note(
            f"{evaluation.missing_queries} judged queries found nothing and count as 0; "
            f"{evaluation.unjudged_queries} queries of the run are not judged and do not count"
        )
    if as_json:
        out.print_json(data={**evaluation.summary(), "comparisons": [asdict(each) for each in comparisons]})
    else:
        show_measures(evaluation, comparisons)


def _quantizer(scale: float) -> "Quantizer":
    from splade_lucene.quantization import Quantizer

    try:
        return Quantizer(scale)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _report_run(found: "Run", file: Path | None) -> None:
    """Write a run to a file or to stdout, and say how many queries found nothing."""
    from splade_lucene.runs import run_lines, write_run
    from splade_lucene.terminal import note

    nothing = [query_id for query_id, hits in found.items() if not hits]
    if nothing:
        note(
            f"{len(nothing)} of {len(found)} queries found nothing, {nothing[0]} for one: "
            "the index has none of their terms"
        )
    if file is None:
        sys.stdout.writelines(run_lines(found))
    else:
        write_run(file, found)
        note(f"{file}: {sum(map(len, found.values())):,} hits of {len(found):,} queries")


if __name__ == "__main__":
    main()
