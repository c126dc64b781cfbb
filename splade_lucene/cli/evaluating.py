"""The verb that reads runs: evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from splade_lucene.cli.choices import Json, listed


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
    names = listed(measures)
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
