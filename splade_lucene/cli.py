"""The command line: one verb, one function; each loads, calls and prints.

Results go to stdout, everything else to stderr. Exit 0: done; 1: failed; 2: wrong usage; 130: stopped by Ctrl-C. Heavy
imports stand inside the verbs, so that `--help` needs neither torch nor a JVM.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_lucene import __version__
from splade_lucene.errors import FormatError, SpladeLuceneError

if TYPE_CHECKING:
    from splade_lucene.quantization import Quantizer
    from splade_lucene.runs import Hits, Run
    from splade_lucene.vectors import EncoderIdentity

app = typer.Typer(
    name="splade-lucene",
    help="Learned sparse retrieval on Lucene: encode, index, search, explain, evaluate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Side(StrEnum):
    """Which of a model's two encoders."""

    documents = "documents"
    queries = "queries"


class PseudoDocument(StrEnum):
    """How impacts become postings: as term frequencies, or each term written impact times, through Anserini."""

    impacts = "impacts"
    repeat = "repeat"


Model = Annotated[str, typer.Option(help="A hub name, a local folder, or `default` (comes with the package).")]
OptionalModel = Annotated[
    str | None, typer.Option("--model", help="What encodes the queries: hub name, folder, `default`.")
]
Index = Annotated[Path, typer.Option(help="The index's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
MaxLength = Annotated[int | None, typer.Option(min=3, help="Tokens a text may have; the model's own limit by default.")]
Threads = Annotated[int | None, typer.Option(min=1, help="All cores by default.")]

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
    """Learned sparse retrieval on Lucene: encode, index, search, explain, evaluate."""


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
    side: Annotated[Side, typer.Option(help="Which texts of INPUT, and which encoder of the model.")] = Side.documents,
    max_length: MaxLength = None,
) -> None:
    """Encode texts into vectors; stop it and run it again, it goes on."""
    from splade_lucene.datasets import read_documents, read_queries
    from splade_lucene.encoding.encoder import load_encoder
    from splade_lucene.encoding.pipeline import encode_collection
    from splade_lucene.terminal import note, progress

    encoder = load_encoder(model, side=side.value, max_length=max_length)
    records = read_documents(input) if side is Side.documents else read_queries(input)
    with progress(f"encoding {side.value}") as advance:
        folder = encode_collection(encoder, records, output, source=input, progress=advance)
    truncated, empty = (sum(getattr(shard, what) for shard in folder.shards) for what in ("truncated", "empty"))
    note(f"{truncated:,} cut at {encoder.identity.max_length} tokens, {empty:,} without a term; by {folder.encoder}")
    typer.echo(f"{output}: {folder.documents:,} vectors in {len(folder.shards)} shards")


@app.command()
def index(
    vectors: Annotated[Path, typer.Option(help="A folder made by `encode`, or Anserini's .jsonl (.gz).")],
    index: Index,
    scale: Annotated[
        float, typer.Option(help="impact = round(scale * weight); 1 if the weights are impacts already.")
    ] = 100,
    form: Annotated[
        PseudoDocument, typer.Option(help="The same postings either way; `repeat` goes through Anserini.")
    ] = PseudoDocument.impacts,
    texts: Annotated[str | None, typer.Option(help=f"Store the texts beside the postings: {INPUT}.")] = None,
    threads: Threads = None,
    merge: Annotated[bool, typer.Option(help="Into one segment, which searches fastest.")] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the index that is there, once this one is whole.")
    ] = False,
) -> None:
    """Write vectors as a Lucene impact index that Pyserini and Anserini can search too."""
    from splade_lucene.datasets import read_documents
    from splade_lucene.lucene.index import ImpactIndex, IndexOptions
    from splade_lucene.terminal import counted, note
    from splade_lucene.vector_files import read_vectors

    options: dict[str, Any] = {"threads": threads} if threads else {}
    built = ImpactIndex.build(
        index,
        counted(read_vectors(vectors), "indexing"),
        IndexOptions(_quantizer(scale), form.value, merge=merge, overwrite=overwrite, **options),
        encoder=_identity(vectors),
        texts=((doc.doc_id, doc.default_text()) for doc in read_documents(texts)) if texts else None,
    )
    assert built.manifest is not None
    note(
        f"{built.manifest.dropped_weights:,} weights rounded to 0, "
        f"{built.manifest.empty_documents:,} documents without a posting"
    )
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
    scale: Annotated[float | None, typer.Option(help="As for `index`; Anserini's .tsv has scale 1.")] = None,
    run: Annotated[Path | None, typer.Option(help="Write the TREC run to this file instead of stdout.")] = None,
    threads: Threads = None,
    max_length: MaxLength = None,
    as_json: Json = False,
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
    from splade_lucene.vector_files import read_vectors

    if query_vectors is not None:
        searcher = Searcher(index, quantizer=_quantizer(scale or (1 if kind(query_vectors) == ".tsv" else 100)))
        if identity := _identity(query_vectors):
            searcher.index.check_vocabulary(identity)
        found: dict[str, Hits] = {}
        for batch in read_vectors(query_vectors):
            if twice := found.keys() & set(batch.ids):
                raise FormatError(f"{query_vectors}: the query_id {min(twice)!r} stands there twice")
            found |= searcher.search_vectors(batch, k or 1000, threads=threads)
    else:
        from splade_lucene.encoding.encoder import load_encoder

        encoder = load_encoder(str(model), side="queries", max_length=max_length)
        searcher = Searcher(index, encoder, quantizer=_quantizer(scale or 100))
        if text is not None:
            hits = searcher.search(text, k or 10)
            if as_json:
                out.print_json(data=[hit._asdict() for hit in hits])
            else:
                show_hits(text, hits, {hit.doc_id: searcher.index.text(hit.doc_id) for hit in hits})
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
    doc: Annotated[str, typer.Option(help="The doc_id.")],
    scale: Annotated[float, typer.Option(help="Of the query's weights.")] = 100,
    as_json: Json = False,
) -> None:
    """Say which terms made a document's score, which of them are expansions, and what each gave."""
    from dataclasses import asdict

    from splade_lucene.encoding.encoder import load_encoder
    from splade_lucene.lucene.searcher import Searcher
    from splade_lucene.terminal import out, show_explanation

    searcher = Searcher(index, load_encoder(model, side="queries"), quantizer=_quantizer(scale))
    explanation = searcher.explain(query, doc)
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


def _identity(vectors: Path) -> "EncoderIdentity | None":
    """Who made a file or folder of vectors, if it says so."""
    from splade_lucene.vector_files import VectorFolder

    return VectorFolder.open(vectors).encoder if VectorFolder.is_one(vectors) else None


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
