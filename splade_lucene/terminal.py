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
    from splade_lucene.evaluation.expected import Expectation
    from splade_lucene.evaluation.measures import Evaluation
    from splade_lucene.evaluation.results import Result
    from splade_lucene.evaluation.significance import Comparison
    from splade_lucene.inspection import InspectedTerm, InspectedText, InspectedVectors, Spread
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
    """Measures; with a baseline its values, too, how far apart they are, how surely, and on how many queries."""
    if not comparisons:
        made = table("measure", "value", right=(1,))
        for name, value in evaluation.measures.items():
            made.add_row(name, f"{value:.4f}")
        out.print(made)
        return
    values = table("mean of", "run", "baseline", "difference", "95 % interval", right=range(1, 5))
    tests = table("", "t-test p", "randomization p", "effect size", "better", "worse", "equal", right=range(1, 7))
    for each in comparisons:
        both = (f"{each.mean:.4f}", f"{each.baseline_mean:.4f}")
        values.add_row(each.measure, *both, f"{each.difference:+.4f}", f"{each.low:+.4f} … {each.high:+.4f}")
        queries = (f"{count:,}" for count in (each.better_queries, each.worse_queries, each.equal_queries))
        p_values = (_p_value(each.t_test_p), _p_value(each.randomization_p))
        tests.add_row(each.measure, *p_values, f"{each.effect_size:+.2f}", *queries)
    out.print(values)
    out.print()
    out.print(tests)


def _p_value(p_value: float) -> str:
    return f"{p_value:.4f}" if p_value >= 0.0001 else "<0.0001"


def show_changes(comparison: "Comparison", changed: Sequence[tuple[str, float]], texts: Mapping[str, str]) -> None:
    """Queries that differ from the baseline, with their texts where these are known."""
    out.print(Text(f"\n{comparison.measure}: the queries that changed most", style="bold"))
    made = table("difference", "query_id", *(["query"] if texts else []), right=(0,))
    for query_id, difference in changed:
        made.add_row(f"{difference:+.4f}", Text(query_id), *([Text(texts.get(query_id, ""))] if texts else []))
    out.print(made)


def show_measured(measured: "Measured") -> None:
    """The demo's measures: ours beside BM25's."""
    out.print(Text(f"\n{measured.questions} questions, {measured.judgments:,} judgments", style="bold"))
    made = table("measure", "BM25", "default model", "difference", "p", "better", "worse", right=range(1, 7))
    for each in measured.comparisons:
        bm25, ours = (of.measures[each.measure] for of in (measured.bm25, measured.ours))
        difference, p_value = f"{each.difference:+.4f}", _p_value(each.t_test_p)
        counts = (str(each.better_queries), str(each.worse_queries))
        made.add_row(each.measure, f"{bm25:.4f}", f"{ours:.4f}", difference, p_value, *counts)
    out.print(made)


def show_expectations(system: str, expectations: "Sequence[Expectation]") -> None:
    """What an experiment was to reach and what it has reached; what was missed stands out."""
    out.print(Text(f"\n{system}", style="bold"))
    made = table("collection", "measure", "expected", "found", "difference", "", "", right=(2, 3, 4))
    for each in expectations:
        found = ["", ""]
        if each.value is not None:
            found = [f"{each.value:.4f}", f"{round(each.value - each.expected, 4) + 0:+.4f}"]  # + 0: no -0.0000
        mark = Text("met", style="green") if each.met else Text("missed", style="bold red")
        made.add_row(
            Text(each.collection), each.measure, f"{each.expected:.4f}", *found, mark, Text(each.note, style="dim")
        )
    out.print(made)


def show_results(results: "Sequence[Result]", baseline: str | None = None) -> None:
    """The first measure of whole benchmarks: collections down, systems across, published scores in brackets."""
    from splade_lucene.evaluation.report.grids import quality_grid
    from splade_lucene.evaluation.report.tables import tabulate

    tables = tabulate(results, baseline)
    grid = quality_grid(tables, tables.qualities[0])
    out.print(Text(f"\n{grid.title}", style="bold"))
    made = table(*grid.header, right=range(grid.words, len(grid.header)))
    for row in grid.rows:
        made.add_row(
            *(
                Text.assemble(
                    (entry.text, "bold" if entry.best else ""),
                    entry.mark,
                    (f" ({entry.beside})" if entry.beside else "", "dim"),
                )
                for entry in row
            )
        )
    out.print(made)
    for each in grid.notes:
        out.print(Text(each, style="dim"))


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


def show_inspected_texts(texts: "Sequence[InspectedText]", models: Sequence[str], *, most: int) -> None:
    """What models made of one text, side by side."""
    out.print(Text(f"\n{texts[0].text}", style="bold"))
    made = table("", *models, right=range(1, 1 + len(models)))
    for name, values in {
        "terms": [f"{len(each.terms):,}" for each in texts],
        "of these expansions": [f"{each.expansions:,}" for each in texts],
        "tokens read": [f"{len(each.tokens):,}{' (cut)' if each.truncated else ''}" for each in texts],
        "terms rounded to impact 0": [f"{sum(not term.impact for term in each.terms):,}" for each in texts],
        "largest error of rounding": [
            f"{max((abs(term.error) for term in each.terms), default=0):.4f}" for each in texts
        ],
        "postings, if it is asked": [
            f"{each.expected_postings:,}" if each.expected_postings is not None else "" for each in texts
        ],
    }.items():
        if any(values):
            made.add_row(name, *values)
    out.print(made)
    out.print()
    out.print(_weights_of_one(texts[0], most) if len(texts) == 1 else _weights_side_by_side(texts, models, most))
    out.print(Text("+ an expansion: the model added the term, it does not stand in the text", style="dim"))
    out.print(Text("\nShare of all weight that each token gave:", style="bold"))
    for model, each in zip(models, texts, strict=True):
        line = Text(f"{model}: " if len(models) > 1 else "", style="dim")
        for part in each.token_parts:
            line.append(part.token, style="" if part.share >= 0.005 else "dim")
            line.append(f" {part.share:.0%}  " if part.share >= 0.005 else "  ", style="dim")
        out.print(line)


def _weights_of_one(text: "InspectedText", most: int) -> Table:
    asked = text.expected_postings is not None
    made = table("term", "weight", "impact", "error", "given by", *(["postings"] if asked else []), right=(1, 2, 3, 5))
    for each in text.terms[:most]:
        postings = [f"{each.postings:,}"] if asked else []
        weight = f"{each.weight:.4f}{_mark(not each.expansion)}"
        made.add_row(Text(each.term), weight, f"{each.impact:,}", f"{each.error:+.4f}", _givers(each), *postings)
    if rest := text.terms[most:]:
        postings = [f"{sum(each.postings or 0 for each in rest):,}"] if asked else []
        made.add_row(f"{len(rest):,} more", f"{sum(each.weight for each in rest):.4f} ", "", "", "", *postings)
    return made


def _weights_side_by_side(texts: "Sequence[InspectedText]", models: Sequence[str], most: int) -> Table:
    """The terms that are heaviest in any of them."""
    rows = [{each.term: each for each in text.terms} for text in texts]
    heaviest: dict[str, float] = {}
    for row in rows:
        for term, each in row.items():
            heaviest[term] = max(each.weight, heaviest.get(term, 0.0))
    ranked = sorted(heaviest, key=lambda term: (-heaviest[term], term))
    columns = [name for model in models for name in (model, "given by")]
    made = table("term", *columns, right=range(1, len(columns), 2))
    for term in ranked[:most]:
        cells: list[Text | str] = []
        for row in rows:
            given = row.get(term)
            cells += [f"{given.weight:.4f}{_mark(not given.expansion)}", _givers(given)] if given else ["– ", ""]
        made.add_row(Text(term), *cells)
    if len(ranked) > most:
        made.add_row(f"{len(ranked) - most:,} more")
    return made


def _givers(term: "InspectedTerm") -> Text:
    """The tokens that gave a term most; shares where there are several."""
    if len(term.sources) == 1:
        return Text(term.sources[0].token)
    several = ", ".join(f"{each.token} {each.share:.0%}" for each in term.sources[:3])
    return Text(several + (" …" if len(term.sources) > 3 else ""))


def show_inspected_vectors(inspected: "Sequence[InspectedVectors]", names: Sequence[str]) -> None:
    """Counts over many vectors, side by side."""
    for what in dict.fromkeys(each.what for each in inspected):
        out.print(Text(f"\n{what}", style="bold"), soft_wrap=True)
    made = table("", *names, right=range(1, 1 + len(names)))
    rows = [_counts(each) for each in inspected]
    for name in rows[0]:
        if any(row[name] for row in rows):
            made.add_row(name, *(row[name] for row in rows))
    out.print(made)
    out.print(Text("\nUsed most: in so many of the vectors, with this weight in the mean", style="bold"))
    made = table(*[name for each in names for name in (each, "", "")], right=(1, 2, 4, 5))
    for number in range(max(len(each.most_used) for each in inspected)):
        cells: list[Text | str] = []
        for each in inspected:
            if number < len(each.most_used):
                use = each.most_used[number]
                cells += [Text(use.term), f"{use.share:.1%}", f"{use.mean_weight:.3f}"]
            else:
                cells += [""] * 3
        made.add_row(*cells)
    out.print(made)
    for name, each in zip(names, inspected, strict=True):
        if words := [term for term in each.dead_terms if term.isalpha()]:
            shown = ", ".join(words[:: max(1, len(words) // 8)][:8])
            of = f" ({name})" if len(names) > 1 else ""
            out.print(Text(f"terms that no vector has{of}: {shown} …", style="dim"), soft_wrap=True)


def _counts(each: "InspectedVectors") -> dict[str, str]:
    """The rows of `show_inspected_vectors`; what is not known is empty."""

    def spread(of: "Spread | None", digits: int = 0) -> str:
        return "" if of is None else f"{of.mean:,.{digits}f}  ({of.p50:,.0f}, {of.p95:,.0f}, {of.most:,.0f})"

    used = each.vocabulary - len(each.dead_terms)
    return {
        "vectors": f"{each.vectors:,}",
        "texts cut by max_length": "" if each.cut is None else f"{each.cut:,}",
        "without a term": f"{each.empty:,}",
        "terms a vector: mean (median, 95 %, most)": spread(each.terms, 1),
        "of these in the text itself": spread(each.own_terms, 1),
        "terms of the vocabulary in use": f"{used:,} of {each.vocabulary:,}",
        "weight: mean, largest": f"{each.mean_weight:.3f}, {each.largest_weight:.3f}",
        "impact: mean (median, 95 %, most)": spread(each.impacts, 1),
        "weights rounded to 0": f"{each.rounded_away:,}",
        "error of rounding: mean, largest": f"{each.mean_error:.4f}, {each.largest_error:.4f}",
        "postings of one as a query": spread(each.expected_postings),
    }
