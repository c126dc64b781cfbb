"""The verbs that need nothing: demo, doctor."""

from pathlib import Path
from typing import Annotated

import typer

from splade_lucene.cli.choices import Json


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


def doctor(
    index: Annotated[Path | None, typer.Option(help="Check every file of this index too.")] = None,
    as_json: Json = False,
) -> None:
    """Say which Java, jar, heap and encoder backends there are, and how to mend what is wrong."""
    from splade_lucene.doctor import examine
    from splade_lucene.terminal import out, show_findings

    findings = examine(index)
    if as_json:
        out.print_json(data={each.what: {"found": each.found, "mend": each.mend} for each in findings})
    else:
        show_findings(findings)
    if any(each.mend and each.needed for each in findings):
        raise typer.Exit(1)
