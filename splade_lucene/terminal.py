"""What a person sees: progress on stderr, hits, explanations and tables on stdout.

May import the rooms below it; knows nothing of files and models.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # at run time these rooms would start a JVM that `encode` and `evaluate` do not need
    from splade_lucene.demo.tour import Measured, Step
    from splade_lucene.doctor import Finding
    from splade_lucene.evaluation.measures import Comparison, Evaluation
    from splade_lucene.lucene.explain import Explanation
    from splade_lucene.runs import Hits


# Neither markup nor emoji: a doc_id such as [b] or :smile: is a name.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; without a total, a count; nothing where stderr is no terminal."""
    columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}")]
    columns += [BarColumn(), MofNCompleteColumn(), _Rate()] + ([TimeRemainingColumn()] if total else [])
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)


def counted[Batch: Sized](batches: Iterable[Batch], description: str, total: int | None = None) -> Iterator[Batch]:
    """Pass batches on and show how many rows have gone by, of how many."""
    with progress(description, total) as advance:
        for batch in batches:
            yield batch
            advance(len(batch))


def note(message: str) -> None:
    """One line for the person, not for the program that reads stdout."""
    err.print(message, style="dim", soft_wrap=True)


def complain(message: str) -> None:
    """An error, on stderr."""
    err.print(Text("Error: ", style="bold red") + Text(message), soft_wrap=True)


def table(*headers: str, right: Iterable[int] = ()) -> Table:
    """A table whose columns numbered in `right` are numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for number, header in enumerate(headers):
        made.add_column(header, justify="right" if number in right else "left")
    return made


def explanation_table(explanation: "Explanation", *, most: int = 12) -> Table:
    """The terms of an explanation, largest part first; a plus marks an expansion."""
    made = table("term", "query", "document", "part of score", right=(1, 2, 3))
    for each in explanation.contributions[:most]:
        made.add_row(
            Text(each.term, style="bold" if each.typed else ""),
            f"{each.query_impact}{_mark(each.typed)}",
            f"{each.document_impact}{_mark(each.written)}",
            f"{each.score:,}",
        )
    rest = explanation.contributions[most:]
    if rest:
        made.add_row(f"{len(rest)} more", "", "", f"{sum(each.score for each in rest):,}")
    made.add_row(Text("score", style="bold"), "", "", Text(f"{explanation.score:,}", style="bold"))
    return made


def _mark(given: bool | None) -> str:
    return "+" if given is False else " "


def show_explanation(query: str, explanation: "Explanation") -> None:
    """An explanation with its heading."""
    out.print(Text.assemble("\nWhy ", (explanation.doc_id, "bold"), f" for “{query}”?"))
    out.print(explanation_table(explanation))
    out.print(Text("+ an expansion: the model added the term, it does not stand in the text", style="dim"))
    if explanation.missed:
        missed = ", ".join(explanation.missed[:8]) + (" …" if len(explanation.missed) > 8 else "")
        out.print(Text(f"terms of the query that the document lacks: {missed}", style="dim"))


def show_hits(query: str, hits: "Hits", texts: Mapping[str, str | None]) -> None:
    """Hits for a person: score, doc_id and, where the text is known, how it begins."""
    out.print(Text(f"\n{query}", style="bold"))
    if not hits:
        out.print(Text("nothing found: no document that was searched has a term of the question", style="dim"))
    made = Table(box=None, pad_edge=False, show_header=False, expand=True)
    for name in ("rank", "score"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("doc_id", no_wrap=True, max_width=44)
    made.add_column("text", no_wrap=True, ratio=1)
    for rank, hit in enumerate(hits, start=1):
        text = " ".join((texts.get(hit.doc_id) or "").split())
        score = f"{hit.score:,}" if isinstance(hit.score, int) else f"{hit.score:.4f}"
        made.add_row(str(rank), score, Text(hit.doc_id), Text(text[:200], style="dim"))
    out.print(made)


def show_steps(steps: "Sequence[Step]") -> None:
    """What was done and how long it took."""
    made = table("", "", right=(1,))
    made.show_header = False
    for step in steps:
        made.add_row(step.what, f"{step.seconds:.1f} s", Text("was there already" if step.reused else "", style="dim"))
    out.print(made)


def show_measures(evaluation: "Evaluation", comparisons: "Sequence[Comparison]" = ()) -> None:
    """Measures, and with a baseline the difference and its p-value."""
    made = table(
        "measure", "value", *(["difference", "p", "better", "worse"] if comparisons else []), right=range(1, 6)
    )
    differences = {each.measure: each for each in comparisons}
    for name, value in evaluation.measures.items():
        made.add_row(name, f"{value:.4f}", *(_difference(differences[name]) if comparisons else []))
    out.print(made)


def _difference(each: "Comparison") -> list[str]:
    return [f"{each.difference:+.4f}", f"{each.p_value:.4f}", str(each.better_queries), str(each.worse_queries)]


def show_measured(measured: "Measured") -> None:
    """The demo's measures: ours beside BM25's."""
    out.print(Text(f"\n{measured.questions} questions, {measured.judgments:,} judgments", style="bold"))
    made = table("measure", "BM25", "default model", "difference", "p", "better", "worse", right=range(1, 7))
    for each in measured.comparisons:
        bm25, ours = (of.measures[each.measure] for of in (measured.bm25, measured.ours))
        made.add_row(each.measure, f"{bm25:.4f}", f"{ours:.4f}", *_difference(each))
    out.print(made)


def show_findings(findings: "Sequence[Finding]") -> None:
    """What the doctor found."""
    made = table("", "", "")
    made.show_header = False
    for each in findings:
        mark = (
            Text("ok", style="green")
            if not each.mend
            else Text("!!" if each.needed else "--", style="red" if each.needed else "dim")
        )
        made.add_row(mark, each.what, Text(each.found))
        if each.mend:
            made.add_row("", "", Text(f"→ {each.mend}", style="bold" if each.needed else "dim"))
    out.print(made)
