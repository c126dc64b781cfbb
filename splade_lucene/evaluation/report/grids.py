"""The tables as rows of entries, for every form to write; the only place where a number becomes text.

Law: an entry has the same text in every form, but for the form's own escapes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from splade_lucene.evaluation.published import Verdict
from splade_lucene.evaluation.report.tables import COSTS, Cell, Column, Quality, Row, Tables

MISSING = "–"
STATUS_SIGNS: Mapping[str, str] = {"equal": "=", "explained": "≈", "different": "≠"}


def shown_value(value: float | None) -> str:
    """A measure, to four decimals."""
    return MISSING if value is None else f"{value:.4f}"


def shown_difference(value: float) -> str:
    """A difference of two values, with its sign."""
    return f"{value:+.4f}".replace("-", "−")


def shown_p(value: float) -> str:
    """A p-value."""
    return "< .0001" if value < 0.0001 else f"{value:.4f}"


def shown_quantity(value: float | None) -> str:
    """A cost: whole numbers as they are, others to three significant digits."""
    if value is None:
        return MISSING
    if isinstance(value, int) or value == 0:
        return f"{value:,.0f}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


class Entry(NamedTuple):
    """What stands at one place of a grid: the number, whether it is the best, its mark, and what stands beside it."""

    text: str
    best: bool = False
    mark: str = ""
    beside: str = ""


class Grid(NamedTuple):
    """A table to be written: the first `words` columns are words, the others numbers; notes stand below it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    words: int
    notes: tuple[str, ...]


def quality_grid(tables: Tables, quality: Quality) -> Grid:
    """One measure: collections down, systems across; the mean last."""
    rows = [
        (Entry(f"· {row.collection}" if row.part else row.collection), *(_entry(cell) for cell in row.cells))
        for row in (*quality.rows, *([quality.mean] if quality.mean else []))
    ]
    cells = [cell for row in quality.rows for cell in row.cells if cell]
    notes = [quality.mean_note]
    if tables.baseline:
        notes.append(marks_note(tables.baseline))
    if any(cell.verdicts for cell in cells):
        notes.append("Beside it what is published: = equal, ≈ an explained difference, ≠ different.")
    return Grid(
        quality.measure,
        ("collection", *(column.label for column in tables.columns)),
        tuple(rows),
        1,
        tuple(filter(None, notes)),
    )


def marks_note(baseline: Column) -> str:
    """What the marks behind values mean."""
    return (
        f"† and ‡: differs from {baseline.label} with p < .05 and p < .01, by a paired randomization test over the "
        "queries, adjusted by Holm over the collections."
    )


def _entry(cell: Cell | None) -> Entry:
    if cell is None:
        return Entry(MISSING)
    return Entry(shown_value(cell.value), cell.best, cell.mark, shown_verdict(cell.verdicts))


def shown_verdict(verdicts: Sequence[Verdict]) -> str:
    """The published number that stands in a cell, and how ours stands to it: the first, which is the nearest."""
    return f"{verdicts[0].published} {STATUS_SIGNS[verdicts[0].status]}" if verdicts else ""


def compared(tables: Tables, quality: Quality) -> list[tuple[Row, Column, Cell]]:
    """Every cell that was compared with the baseline, in the order of the rows of `differences_grid`."""
    return [
        (row, column, cell)
        for row in quality.rows
        for column, cell in zip(tables.columns, row.cells, strict=True)
        if cell and cell.comparison
    ]


def differences_grid(tables: Tables, quality: Quality) -> Grid | None:
    """One measure against the baseline: difference, its interval, p-values, effect, queries won and lost."""
    if tables.baseline is None:
        return None
    rows = [
        (
            Entry(row.collection),
            Entry(column.label),
            Entry(shown_difference(each.difference), mark=cell.mark),
            Entry(f"[{shown_difference(each.low)}, {shown_difference(each.high)}]"),
            Entry(shown_p(each.randomization_p)),
            Entry(shown_p(cell.p_value)),
            Entry(f"{each.effect_size:+.2f}".replace("-", "−")),
            Entry(f"{each.better_queries:,}"),
            Entry(f"{each.worse_queries:,}"),
            Entry(f"{each.equal_queries:,}"),
        )
        for row, column, cell in compared(tables, quality)
        if (each := cell.comparison) and cell.p_value is not None
    ]
    header = (
        "collection",
        "system",
        "difference",
        "95 % interval",
        "p",
        "p (Holm)",
        "effect",
        "better",
        "worse",
        "equal",
    )
    return Grid(f"{quality.measure}, difference from {tables.baseline.label}", header, tuple(rows), 2, (INTERVAL_NOTE,))


INTERVAL_NOTE = (
    "Interval: bootstrap over the queries. p: paired randomization test; Holm: adjusted over the collections. "
    "effect: mean difference over the standard deviation of the differences. better, worse, equal: queries."
)


def published_grid(tables: Tables) -> Grid | None:
    """Every published number beside ours, or None where nothing is published."""
    rows = [
        (
            Entry(row.collection),
            Entry(column.label),
            Entry(quality.measure),
            Entry(shown_value(cell.value)),
            Entry(str(verdict.published)),
            Entry(f"{STATUS_SIGNS[verdict.status]} {verdict.status}"),
            Entry(verdict.note),
            Entry(verdict.source),
        )
        for quality in tables.qualities
        for row in quality.rows
        for column, cell in zip(tables.columns, row.cells, strict=True)
        if cell
        for verdict in cell.verdicts
    ]
    header = ("collection", "system", "measure", "ours", "published", "", "why", "source")
    return Grid("Against published numbers", header, tuple(rows), 3, ()) if rows else None


def costs_grid(tables: Tables) -> Grid | None:
    """What each system cost, beside its first measure, or None where no cost is known."""
    known = [(name, column, result, result.cost) for name, column, result in tables.results() if result.cost]
    if not known:
        return None
    quantities = [quantity for quantity in COSTS if any(quantity.of(cost) is not None for *_, cost in known)]
    measure = tables.qualities[0].measure
    rows = [
        (
            Entry(name),
            Entry(column.label),
            Entry(shown_value(result.measures.get(measure))),
            *(Entry(shown_quantity(quantity.of(cost))) for quantity in quantities),
        )
        for name, column, result, cost in known
    ]
    header = ("collection", "system", measure, *(f"{each.group}: {each.heading}" for each in quantities))
    return Grid("Costs", header, tuple(rows), 2, ())
