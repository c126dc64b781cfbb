"""The verb that reads runs: evaluate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_lucene.cli.choices import INPUT, Json
from splade_lucene.cli.experimenting import run_experiment

if TYPE_CHECKING:
    from splade_lucene.datasets import Qrel
    from splade_lucene.evaluation.measures import Evaluation
    from splade_lucene.evaluation.significance import Comparison
    from splade_lucene.runs import Run

COMPARING, EXPERIMENT = "Beside a baseline", "An experiment"
MEASURES = "nDCG@10,R@100,RR@10"


def evaluate(
    run: Annotated[Path | None, typer.Option(help="A TREC run.")] = None,
    qrels: Annotated[str | None, typer.Option(help="TREC or BEIR qrels, a BEIR folder, or an ir_datasets id.")] = None,
    measures: Annotated[
        str, typer.Option(help="Comma-separated, as ir_measures writes them: AP, P(rel=2)@5, Judged@10 …")
    ] = MEASURES,
    per_query: Annotated[
        Path | None, typer.Option(help="Write the values of each query to this file, a table with tabs.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=COMPARING, help="Another run: difference, interval, paired tests, effect size, queries."
        ),
    ] = None,
    changed: Annotated[
        int,
        typer.Option(
            min=0, rich_help_panel=COMPARING, help="List so many queries that gained most, and that lost most."
        ),
    ] = 0,
    queries: Annotated[
        str | None, typer.Option(rich_help_panel=COMPARING, help=f"Texts of the queries in that list: {INPUT}.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=EXPERIMENT,
            help="Instead of a run: index, search and evaluate as this file says, conf/retrieval/*.yaml for one; fails "
            "where a number is missed that it expects.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY.PATH=VALUE",
            rich_help_panel=EXPERIMENT,
            help="A setting in the place of the file's; may be repeated.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="SPLADE_LUCENE_DATA",
            rich_help_panel=EXPERIMENT,
            help="The folder within which the file names vectors, and that may hold collections in BEIR layout.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=EXPERIMENT,
            show_default="in the user's cache",
            help="Where its vectors and indexes are kept.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Evaluate a run against judgments; queries that found nothing count as 0."""
    from splade_lucene.datasets import read_qrels, read_queries
    from splade_lucene.errors import FormatError
    from splade_lucene.evaluation.measures import measure_names
    from splade_lucene.evaluation.significance import compare, wins_and_losses
    from splade_lucene.runs import read_run
    from splade_lucene.terminal import out, show_changes, show_measures

    if config is not None:
        if run or qrels or per_query or baseline or changed or queries or measures != MEASURES:
            raise typer.BadParameter("--config says what is evaluated, and how: beside it stands only how to run it")
        run_experiment(config, settings or [], data=data, output=output, as_json=as_json)
        return
    if run is None or qrels is None:
        raise typer.BadParameter("give --run and --qrels, or --config")
    if settings or output:
        raise typer.BadParameter("--set and --output belong to an experiment, which --config names")
    if changed and baseline is None:
        raise typer.BadParameter("--changed needs a --baseline")
    if queries and not changed:
        raise typer.BadParameter("--queries are the texts of what --changed lists")
    judgments, names = list(read_qrels(qrels)), measure_names(measures)
    texts = {query.query_id: query.text for query in read_queries(queries)} if queries else {}
    hits = read_run(run)
    evaluation = _evaluated(run, hits, judgments, names)
    other = None
    if baseline:
        theirs = read_run(baseline)
        if not hits.keys() & theirs.keys():
            raise FormatError(f"{run} and {baseline} share no query; a baseline is a run of the same queries")
        other = _evaluated(baseline, theirs, judgments, names)
    comparisons = compare(evaluation, other) if other else []
    if per_query:
        _write_values(per_query, evaluation, other)
    if as_json:
        said = [each.summary() | _changes(each, changed, texts) for each in comparisons]
        out.print_json(data={**evaluation.summary(), "comparisons": said})
        return
    show_measures(evaluation, comparisons)
    if changed:
        wins, losses = wins_and_losses(comparisons[0], changed)
        show_changes(comparisons[0], [*wins, *reversed(losses)], texts)


def _changes(comparison: "Comparison", changed: int, texts: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The queries that changed most, for a program."""
    from splade_lucene.evaluation.significance import wins_and_losses

    sides = zip(("wins", "losses"), wins_and_losses(comparison, changed), strict=True) if changed else ()
    return {
        name: [{"query_id": of, "difference": difference, "text": texts.get(of)} for of, difference in side]
        for name, side in sides
    }


def _evaluated(run: Path, hits: "Run", judgments: "list[Qrel]", names: list[str]) -> "Evaluation":
    """The evaluation, with what a person should know of it said."""
    from splade_lucene.evaluation.measures import evaluate
    from splade_lucene.terminal import note

    evaluation = evaluate(hits, judgments, names, name=str(run))
    if evaluation.missing_queries or evaluation.unjudged_queries:
        note(
            f"{run}: {evaluation.missing_queries} judged queries found nothing and count as 0; "
            f"{evaluation.unjudged_queries} queries of the run are not judged and do not count"
        )
    if not evaluation.judged_hits:
        note(f"{run}: not one hit is judged; do run and qrels write their doc_ids alike?")
    return evaluation


def _write_values(path: Path, evaluation: "Evaluation", baseline: "Evaluation | None") -> None:
    """One line for each query: its id, its value of each measure, then the baseline's."""
    from splade_lucene.files import writing_text

    columns = dict(evaluation.per_query)
    columns |= {f"baseline {name}": values for name, values in baseline.per_query.items()} if baseline else {}
    with writing_text(path) as file:
        file.write("\t".join(["query_id", *columns]) + "\n")
        for query_id in next(iter(columns.values())):
            file.write("\t".join([query_id, *(f"{values[query_id]:.6f}" for values in columns.values())]) + "\n")
