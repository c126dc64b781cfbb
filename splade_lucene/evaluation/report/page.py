"""The page of a report, and the function that writes a report in all its forms.

The page is one file: style, script and plots stand in it, and its own content policy lets nothing else be loaded or
run. Law: whatever a result says, its names, queries and documents, is text on the page and never markup.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from splade_lucene import __version__
from splade_lucene.evaluation.report import charts, forms, grids
from splade_lucene.evaluation.report.tables import (
    COSTS,
    PRICES,
    Cell,
    Column,
    Quality,
    Quantity,
    Tables,
    shown_setting,
    tabulate,
)
from splade_lucene.evaluation.results import Result, ShownQuery
from splade_lucene.evaluation.significance import Comparison, wins_and_losses
from splade_lucene.files import writing_text
from splade_lucene.inspection import InspectedText, InspectedVectors

NAMES = ("report.html", "report.md", "report.tex", "report.csv")
MOST_CHANGED = 5  # queries won, and lost
MOST_TERMS = 40  # of a text that a model was inspected with
LETTERS = 240  # of a document's text

Inspection = InspectedText | InspectedVectors


def write_report(
    results: Sequence[Result],
    folder: Path,
    *,
    baseline: str | None = None,
    inspections: Sequence[Inspection] = (),
    title: str = "Evaluation",
    now: datetime | None = None,
) -> Path:
    """Write report.html, report.md, report.tex and report.csv; what was there under these names is replaced.

    Args:
        results: of any systems on any collections; what failed or was not run is simply not among them.
        folder: made if it is not there.
        baseline: the system that the others are compared with; without one, nothing is tested.
        inspections: of models, shown on the page.
        title: the heading.
        now: when it was written, the present by default.

    Returns:
        The page.

    Raises:
        ConfigError: no result is of the baseline, or two are of the same system, settings and collection.
    """
    tables = tabulate(results, baseline)
    when = f"{now or datetime.now():%Y-%m-%d %H:%M}"
    told = f"{_counted(tables)}, {when}, splade_lucene {__version__}"
    texts = (
        page(tables, inspections, title=title, told=told),
        forms.markdown(tables, title, told),
        forms.latex(tables, told),
        forms.comma_separated(tables),
    )
    for name, text in zip(NAMES, texts, strict=True):
        with writing_text(folder / name) as file:
            file.write(text)
    return folder / NAMES[0]


def _counted(tables: Tables) -> str:
    systems, collections = len(tables.columns), len(tables.whole)
    return (
        f"{systems} {'system' if systems == 1 else 'systems'} on "
        f"{collections} {'collection' if collections == 1 else 'collections'}"
    )


def page(tables: Tables, inspections: Sequence[Inspection], *, title: str, told: str) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("splade_lucene.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"charts": charts, "grids": grids, "MISSING": grids.MISSING}
    environment.filters |= {
        "value": grids.shown_value,
        "difference": grids.shown_difference,
        "quantity": grids.shown_quantity,
        "setting": shown_setting,
        "score": _score,
        "beginning": _beginning,
    }
    style, script = (_source(environment, name) for name in ("style.css", "script.js"))
    known_costs = [(name, column, result) for name, column, result in tables.results() if result.cost]
    html = environment.get_template("report.html").render(
        title=title,
        told=told,
        tables=tables,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        summaries=[_summaries(tables, quality) for quality in tables.qualities],
        changes=_changes(tables),
        costs=known_costs,
        quantities=_quantities([result for *_, result in known_costs]),
        prices=PRICES,
        settings=_settings(tables),
        machines=_machines(tables),
        most_terms=MOST_TERMS,
        looked_at=[(name, column, *_halves(result.shown)) for name, column, result in tables.results() if result.shown],
        texts=[each for each in inspections if isinstance(each, InspectedText)],
        vectors=[each for each in inspections if isinstance(each, InspectedVectors)],
    )
    return _packed(html)


def _source(environment: Environment, name: str) -> Markup:
    assert environment.loader is not None
    return Markup(_packed(environment.loader.get_source(environment, name)[0]))


def _packed(text: str) -> str:
    """Without indentation and blank lines: a third of the page. No element of it minds."""
    return "".join(f"{stripped}\n" for line in text.splitlines() if (stripped := line.strip()))


class Summary(NamedTuple):
    """A system in one number: its value, over how many collections, and how it stands to the baseline's there."""

    column: Column
    cell: Cell
    of: str
    difference: float | None
    better: int
    worse: int
    compared: int


def _summaries(tables: Tables, quality: Quality) -> list[Summary]:
    row = quality.mean or (quality.rows[0] if len(quality.rows) == 1 else None)
    if row is None:
        return []
    base = row.cells[tables.baseline.number] if tables.baseline else None
    summaries = []
    for column, cell in zip(tables.columns, row.cells, strict=True):
        if cell is None:
            continue
        compared = [each for of in quality.rows if (each := of.cells[column.number]) and each.comparison]
        differ = [each.comparison.difference for each in compared if each.mark and each.comparison]
        summaries.append(
            Summary(
                column,
                cell,
                row.collection,
                cell.value - base.value if base and not column.baseline else None,
                sum(each > 0 for each in differ),
                sum(each < 0 for each in differ),
                len(compared),
            )
        )
    return summaries


class Change(NamedTuple):
    """The queries that a system wins and loses most against the baseline: (text, its value, the baseline's)."""

    collection: str
    column: Column
    comparison: Comparison
    wins: list[tuple[str, float, float]]
    losses: list[tuple[str, float, float]]


def _changes(tables: Tables) -> list[Change]:
    """Of the first measure."""
    changes = []
    for row in tables.qualities[0].rows if tables.qualities else ():
        for column, cell in zip(tables.columns, row.cells, strict=True):
            if cell is None or cell.comparison is None or tables.baseline is None:
                continue
            ours = tables.by_place[row.collection, column.number]
            theirs = tables.by_place[row.collection, tables.baseline.number]
            measure = tables.qualities[0].measure
            wins, losses = (
                [
                    (
                        ours.queries.get(query_id, query_id),
                        ours.per_query[measure][query_id],
                        theirs.per_query[measure][query_id],
                    )
                    for query_id, _ in side
                ]
                for side in wins_and_losses(cell.comparison, MOST_CHANGED)
            )
            changes.append(Change(row.collection, column, cell.comparison, wins, losses))
    return changes


def _quantities(results: Sequence[Result]) -> list[tuple[str, list[Quantity]]]:
    """Headings and the quantities under each, without those that no result has."""
    groups: dict[str, list[Quantity]] = {}
    for quantity in COSTS:
        if any(result.cost and quantity.of(result.cost) is not None for result in results):
            groups.setdefault(quantity.group, []).append(quantity)
    return list(groups.items())


def _settings(tables: Tables) -> list[tuple[str, list[str]]]:
    """(setting, its value for each column); where a value differs by collection, each of them with its collections."""
    names = dict.fromkeys(name for *_, result in tables.results() for name in result.settings)
    return [(name, [_setting(tables, column, name) for column in tables.columns]) for name in names]


def _setting(tables: Tables, column: Column, name: str) -> str:
    values: dict[str, list[str]] = {}
    for collection, of, result in tables.results():
        if of == column and name in result.settings:
            values.setdefault(shown_setting(result.settings[name]), []).append(collection)
    if len(values) < 2:
        return next(iter(values), grids.MISSING)
    return "; ".join(f"{value} ({', '.join(collections)})" for value, collections in values.items())


def _machines(tables: Tables) -> list[tuple[Mapping[str, str], list[str]]]:
    """Each machine once, with what was run on it; the one that most was run on first."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for collection, column, result in tables.results():
        if result.machine:
            found.setdefault(tuple(result.machine.items()), []).append(f"{column.label} on {collection}")
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [(dict(machine), ran) for machine, ran in ordered]


def _halves(shown: Sequence[ShownQuery]) -> tuple[list[ShownQuery], list[ShownQuery]]:
    """The worst, worst first, and the best, best first."""
    ordered = sorted(shown, key=lambda query: query.value)
    middle = (len(ordered) + 1) // 2
    return ordered[:middle], ordered[middle:][::-1]


def _score(score: float) -> str:
    return f"{score:,.0f}" if float(score).is_integer() else f"{score:,.4f}"


def _beginning(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= LETTERS else f"{words[: LETTERS - 1]}…"
