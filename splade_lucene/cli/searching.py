"""The verbs that read an index: search, explain."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from splade_lucene.cli.choices import (
    INPUT,
    LIMITS,
    MORE,
    PRUNING,
    ActivationName,
    BinaryQueries,
    Device,
    Index,
    Json,
    MaxLength,
    Model,
    OptionalModel,
    PoolingName,
    PrecisionName,
    PresetName,
    QueryScale,
    SpecialTermsChoice,
    Threads,
    as_preset,
    lines,
    listed,
    quantizer_of,
)
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.errors import FormatError

if TYPE_CHECKING:
    from splade_lucene.fusion import Fusion
    from splade_lucene.lucene.feedback import Feedback
    from splade_lucene.lucene.filters import DocFilter
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.lucene.searcher import Searcher
    from splade_lucene.runs import Hits, Run
    from splade_lucene.vectors import TermVectors


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
    filter: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD=VALUE|@FILE",
            help="Only documents of which a stored field has this value, or the doc_ids of a file, one a line.",
        ),
    ] = None,
    as_json: Json = False,
    preset: PresetName = None,
    device: Device = "auto",
    precision: PrecisionName = "auto",
    max_length: MaxLength = None,
    pooling: PoolingName = None,
    activation: ActivationName = None,
    special_terms: SpecialTermsChoice = None,
    binary_queries: BinaryQueries = False,
    query_terms: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=PRUNING, help="Ask for so many terms a query, those of largest impact."),
    ] = None,
    min_query_impact: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=PRUNING, help="Ask for the terms of at least this impact.")
    ] = None,
    first_pass_terms: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=LIMITS, help="In two steps: find candidates by so many terms of a query."),
    ] = None,
    rescore: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=LIMITS, show_default="100", help="So many, k at least, then scored by all its terms."
        ),
    ] = None,
    time_budget_ms: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=LIMITS, help="Answer each after so long, with what there is.")
    ] = None,
    max_postings: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=LIMITS, help="Read so many postings for a query at most.")
    ] = None,
    hybrid: Annotated[
        Literal["rrf", "sum"] | None,
        typer.Option(
            rich_help_panel=MORE, help="Fuse with BM25 over the texts, by reciprocal ranks or weighted, scaled scores."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", rich_help_panel=MORE, show_default="1,1", help="Of impacts and of BM25, for --hybrid sum."
        ),
    ] = None,
    feedback: Annotated[
        Literal["rm3", "rocchio"] | None,
        typer.Option(rich_help_panel=MORE, help="Search again with what a query learns from its best hits."),
    ] = None,
    feedback_docs: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=MORE, show_default="10", help="How many hits these are.")
    ] = None,
    feedback_terms: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=MORE, show_default="20", help="How many terms it learns.")
    ] = None,
) -> None:
    """Search: a TREC run for many queries, hits for one."""
    if sum(each is not None for each in (text, queries, query_vectors)) != 1:
        raise typer.BadParameter("give one of --text, --queries and --query-vectors")
    if (model is None) != (query_vectors is not None):
        raise typer.BadParameter("--text and --queries need --model; --query-vectors has no use for it")
    if hybrid and (query_vectors is not None or feedback):
        raise typer.BadParameter("--hybrid is for --text and --queries, and without --feedback")
    if not feedback and (feedback_docs or feedback_terms):
        raise typer.BadParameter("--feedback-docs and --feedback-terms are for --feedback")
    from splade_lucene.datasets import read_queries
    from splade_lucene.files import kind
    from splade_lucene.lucene.feedback import Feedback
    from splade_lucene.lucene.options import SearchOptions
    from splade_lucene.lucene.searcher import Searcher
    from splade_lucene.terminal import note, out, progress, show_hits
    from splade_lucene.vector_files import read_vectors
    from splade_lucene.vector_folders import open_vectors

    how = SearchOptions(
        query_terms=query_terms,
        min_query_impact=min_query_impact,
        first_pass_terms=first_pass_terms,
        rescore=rescore,
        time_budget_ms=time_budget_ms,
        max_postings=max_postings,
    )
    fusion = _fusion(hybrid, weights)
    learned: dict[str, Any] = {"documents": feedback_docs, "terms": feedback_terms}
    learning = Feedback(feedback, **{name: count for name, count in learned.items() if count}) if feedback else None
    if query_vectors is not None:
        if scale is None and kind(query_vectors) == ".tsv":
            scale = 1
        searcher = Searcher(index, quantizer=None if scale is None else quantizer_of(scale), fold=fold, options=how)
        if encoded := open_vectors(query_vectors):
            searcher.index.check_vocabulary(encoded.encoder)
        asking = _Asking(searcher, _within(searcher.index, filter), fusion, learning, threads)
        found: dict[str, Hits] = {}
        for batch in read_vectors(query_vectors):
            if twice := found.keys() & set(batch.ids):
                raise FormatError(f"{query_vectors}: the query_id {min(twice)!r} stands there twice")
            found |= asking.vectors(batch, k or 1000)
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
        options = as_preset(options, preset, "queries", special_terms)
        encoder = load_encoder(str(model), side="queries", options=options)
        quantizer = None if scale is None else quantizer_of(scale)
        searcher = Searcher(index, encoder, quantizer=quantizer, fold=fold, options=how)
        asking = _Asking(searcher, _within(searcher.index, filter), fusion, learning, threads)
        if text is not None:
            hits = asking.texts({"query": text}, k or 10)["query"]
            if hits.cut:
                note("the search was cut at its limit: there may be better hits")
            if as_json:
                out.print_json(data=[hit._asdict() for hit in hits])
            else:
                show_hits(text, hits, {hit.doc_id: searcher.text(hit.doc_id) for hit in hits})
            return
        texts = {query.query_id: query.text for query in read_queries(str(queries))}
        with progress("searching", len(texts)):
            found = asking.texts(texts, k or 1000)
    _report_run(found, run)


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
    encoder = load_encoder(model, side="queries", options=as_preset(options, preset, "queries", special_terms))
    explanation = Searcher(index, encoder, quantizer=None if scale is None else quantizer_of(scale)).explain(query, doc)
    if as_json:
        out.print_json(data={"score": explanation.score, **asdict(explanation)})
    else:
        show_explanation(query, explanation)


@dataclass(frozen=True)
class _Asking:
    """How queries are put to an index: within a filter, fused with BM25, or learning from their hits."""

    searcher: "Searcher"
    filter: "DocFilter | None"
    fusion: "Fusion | None"
    feedback: "Feedback | None"
    threads: int | None

    def vectors(self, queries: "TermVectors", k: int) -> "dict[str, Hits]":
        if self.feedback is not None:
            return self.searcher.search_feedback(
                queries, k, feedback=self.feedback, filter=self.filter, threads=self.threads
            )
        return self.searcher.search_vectors(queries, k, filter=self.filter, threads=self.threads)

    def texts(self, queries: dict[str, str], k: int) -> "dict[str, Hits]":
        if self.fusion is not None:
            return self.searcher.search_hybrid(queries, k, fusion=self.fusion, filter=self.filter, threads=self.threads)
        return self.vectors(self.searcher.encode(queries), k)


def _within(index: "ImpactIndex", filter: str | None) -> "DocFilter | None":
    if filter is None:
        return None
    if filter.startswith("@"):
        return index.filter(doc_ids=lines(Path(filter[1:])))
    field, equals, value = filter.partition("=")
    if not equals:
        raise typer.BadParameter("--filter is FIELD=VALUE, or @FILE with a file of doc_ids")
    return index.filter(field=field, value=value)


def _fusion(method: Literal["rrf", "sum"] | None, weights: str | None) -> "Fusion | None":
    from splade_lucene.fusion import Fusion

    if method is None:
        if weights is not None:
            raise typer.BadParameter("--weights is for --hybrid sum")
        return None
    try:
        given = tuple(float(weight) for weight in listed(weights)) if weights is not None else None
        if given is not None and len(given) != 2:
            raise ValueError(f"{len(given)} of them, and there are two runs, by impacts and by BM25")
        return Fusion(method, given)
    except ValueError as error:
        raise typer.BadParameter(f"--weights: {error}") from error


def _report_run(found: "Run", file: Path | None) -> None:
    """Write a run to a file or to stdout, and say how many queries found nothing."""
    from splade_lucene.runs import run_lines, write_run
    from splade_lucene.terminal import note

    cut = sum(hits.cut for hits in found.values())
    if cut:
        note(f"{cut} of {len(found)} queries were cut at their limit: there may be better hits")
    nothing = [query_id for query_id, hits in found.items() if not hits]
    if nothing:
        note(
            f"{len(nothing)} of {len(found)} queries found nothing, {nothing[0]} for one: "
            "no document that was searched has any of their terms"
        )
    if file is None:
        sys.stdout.writelines(run_lines(found))
    else:
        write_run(file, found)
        note(f"{file}: {sum(map(len, found.values())):,} hits of {len(found):,} queries")
