"""The one table of an evaluation, from which every form of its report is written.

Laws: a cell holds its result's number, unrounded, and every form writes the same digits of it; a mean is over the
collections that all systems have, and says which; what is missing is a dash, never a zero.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from splade_lucene.errors import ConfigError
from splade_lucene.evaluation.published import Verdict, compare_with_published
from splade_lucene.evaluation.results import Cost, Result
from splade_lucene.evaluation.significance import Comparison, compare, holm

LEVELS = ((0.01, "‡"), (0.05, "†"))  # p-values below, the mark


@dataclass(frozen=True)
class Column:
    """A system, or one setting of a system that comes with several; `number` is its place, and its colour."""

    label: str
    system: str
    number: int
    baseline: bool


@dataclass(frozen=True)
class Cell:
    """One system's value on one collection.

    best: no system has a higher one there, and another has a lower one. p_value: of the comparison with the baseline,
    adjusted by Holm over the collections.
    """

    value: float
    best: bool
    comparison: Comparison | None = None
    p_value: float | None = None
    verdicts: tuple[Verdict, ...] = ()

    @property
    def mark(self) -> str:
        """What is written behind the value where it differs from the baseline's beyond chance."""
        return next((mark for level, mark in LEVELS if self.p_value is not None and self.p_value < level), "")


@dataclass(frozen=True)
class Row:
    """A collection: a cell for each column, None where there is no result. A part counts in another row, no mean."""

    collection: str
    part: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Quality:
    """One measure: a row for each collection, and the mean over those that all systems have."""

    measure: str
    rows: tuple[Row, ...]
    mean: Row | None
    mean_of: tuple[str, ...]

    @property
    def top(self) -> float:
        """The highest value."""
        return max((cell.value for row in self.rows for cell in row.cells if cell), default=0.0)

    @property
    def mean_note(self) -> str:
        """Which collections the mean leaves out, in words; empty where it leaves out none."""
        left_out = [row.collection for row in self.rows if not row.part and row.collection not in self.mean_of]
        return (
            f"The mean leaves out what not every system has: {', '.join(left_out)}." if self.mean and left_out else ""
        )


class Quantity(NamedTuple):
    """A column of the table of costs: its name in the CSV, its heading under a common one, how it is read off."""

    name: str
    group: str
    heading: str
    of: Callable[[Cost], float | None]


def _encoding(percentile: str) -> Quantity:
    def of(cost: Cost) -> float | None:
        return None if cost.query_encoding is None else float(getattr(cost.query_encoding, percentile))

    return Quantity(f"encode_ms_{percentile}", "encoding a query, ms", percentile, of)


COSTS = (
    *map(_encoding, ("p50", "p95", "p99")),
    Quantity("search_ms_p50", "searching, ms", "p50", lambda cost: cost.search.p50),
    Quantity("search_ms_p95", "searching, ms", "p95", lambda cost: cost.search.p95),
    Quantity("search_ms_p99", "searching, ms", "p99", lambda cost: cost.search.p99),
    Quantity("queries_per_second", "all at once", "queries/s", lambda cost: cost.queries_per_second),
    Quantity("threads", "all at once", "threads", lambda cost: cost.threads),
    Quantity("terms_per_query", "a query", "terms", lambda cost: cost.terms_per_query),
    Quantity("expected_postings", "a query", "expected postings", lambda cost: cost.expected_postings),
    Quantity("postings_per_document", "a document", "postings", lambda cost: cost.postings_per_document),
    Quantity("index_megabytes", "the index", "MB", lambda cost: cost.index_bytes / 1e6),
    Quantity("index_seconds", "the index", "s to build", lambda cost: cost.index_seconds),
    Quantity("documents_per_second", "encoding", "documents/s", lambda cost: _documents_per_second(cost)),
    Quantity("documents", "documents", "in all", lambda cost: cost.documents),
    Quantity("cut_documents", "documents", "cut", lambda cost: cost.cut_documents),
)


def _documents_per_second(cost: Cost) -> float | None:
    return cost.documents / cost.encode_seconds if cost.encode_seconds else None


# What quality is paid with, for the plots: a name for the axis, and how it is read off.
PRICES: Mapping[str, Callable[[Cost], float]] = {
    "ms a query, encoding and search (the sum of their medians)": lambda cost: (
        cost.search.p50 + (cost.query_encoding.p50 if cost.query_encoding else 0)
    ),
    "bytes of index a document": lambda cost: cost.index_bytes / max(cost.documents, 1),
    "expected postings a query": lambda cost: cost.expected_postings,
}


class Point(NamedTuple):
    """A column on a plot of quality against a price, both of them means over the same collections."""

    column: Column
    price: float
    value: float


@dataclass(frozen=True)
class Tables:
    """Everything that a report says in numbers.

    collections: each with its parts behind it. by_place: (collection, number of the column) → result.
    """

    columns: tuple[Column, ...]
    collections: tuple[str, ...]
    qualities: tuple[Quality, ...]
    by_place: Mapping[tuple[str, int], Result]

    @property
    def baseline(self) -> Column | None:
        """The column that the others are compared with."""
        return next((column for column in self.columns if column.baseline), None)

    @property
    def whole(self) -> list[str]:
        """The collections that are no parts of others."""
        parts = {part for result in self.by_place.values() for part in result.parts}
        return [name for name in self.collections if name not in parts]

    def results(self) -> list[tuple[str, Column, Result]]:
        """Collection, column and result, in the order of the tables."""
        return [
            (collection, column, self.by_place[collection, column.number])
            for collection in self.collections
            for column in self.columns
            if (collection, column.number) in self.by_place
        ]

    def tradeoff(self, quality: Quality, price: Callable[[Cost], float]) -> tuple[list[Point], list[str]]:
        """What each system's quality costs, and the collections that this is the mean over.

        These are the collections where all systems of which any cost is known have both numbers.
        """
        known = {
            (collection, column.number): (price(result.cost), result.measures[quality.measure])
            for collection, column, result in self.results()
            if result.cost and quality.measure in result.measures
        }
        columns = [column for column in self.columns if any(number == column.number for _, number in known)]
        of = [name for name in self.whole if all((name, column.number) in known for column in columns)]
        points = [
            Point(column, *(mean(known[name, column.number][axis] for name in of) for axis in (0, 1)))
            for column in columns
            if of
        ]
        return points, of


def tabulate(results: Sequence[Result], baseline: str | None = None) -> Tables:
    """Bring results into one table: rows are collections, columns are systems, the baseline first.

    Args:
        results: in any order; collections, systems and measures keep the order in which they come.
        baseline: the system, or its label where it comes in several settings, that the others are compared with.

    Raises:
        ConfigError: no result is of the baseline, or two results are of the same system, settings and collection.
    """
    labels = _labels(results)
    columns = _columns(results, labels, baseline)
    numbers = {column.label: column.number for column in columns}
    by_place: dict[tuple[str, int], Result] = {}
    for result, label in zip(results, labels, strict=True):
        place = result.collection, numbers[label]
        if place in by_place:
            raise ConfigError(f"two results are of {label} on {result.collection}; give a report one of them")
        by_place[place] = result
    collections = _collections(results)
    parts = {part for result in results for part in result.parts}
    measures = dict.fromkeys(name for result in results for name in result.measures)
    comparisons = _comparisons(by_place, next((column for column in columns if column.baseline), None))
    verdicts = {place: compare_with_published(result) for place, result in by_place.items()}
    qualities = []
    for measure in measures:
        adjusted = _adjusted({place: of[measure] for place, of in comparisons.items() if measure in of}, columns)
        rows = []
        for name in collections:
            values = [_value(by_place.get((name, column.number)), measure) for column in columns]
            cells = (
                None
                if value is None
                else Cell(
                    value,
                    _is_best(value, values),
                    comparisons.get((name, number), {}).get(measure),
                    adjusted.get((name, number)),
                    tuple(each for each in verdicts[name, number] if each.measure == measure),
                )
                for number, value in enumerate(values)
            )
            rows.append(Row(name, name in parts, tuple(cells)))
        qualities.append(_with_mean(measure, rows))
    return Tables(tuple(columns), tuple(collections), tuple(qualities), by_place)


def _labels(results: Sequence[Result]) -> list[str]:
    """A name for the column of each result: its system's, with the settings that differ on the same collection."""
    settings: dict[tuple[str, str], dict[str, set[str]]] = {}
    for result in results:
        of = settings.setdefault((result.system, result.collection), {})
        for key in result.settings:
            of.setdefault(key, set())
    for result in results:
        for key, values in settings[result.system, result.collection].items():
            values.add(json.dumps(result.settings.get(key), sort_keys=True, default=str))
    varying: dict[str, dict[str, None]] = {}
    for (system, _), of in settings.items():
        varying.setdefault(system, {}).update(dict.fromkeys(key for key, values in of.items() if len(values) > 1))
    labels = []
    for result in results:
        told = ", ".join(f"{key} {shown_setting(result.settings.get(key))}" for key in varying[result.system])
        labels.append(f"{result.system} ({told})" if told else result.system)
    return labels


def _columns(results: Sequence[Result], labels: Sequence[str], baseline: str | None) -> list[Column]:
    systems = {label: result.system for label, result in zip(labels, results, strict=True)}
    if baseline is None:
        first = None
    elif baseline in systems:
        first = baseline
    else:
        of = [label for label, system in systems.items() if system == baseline]
        if len(of) != 1:
            found = f"several: {', '.join(of)}" if of else f"none of {', '.join(systems) or 'no results'}"
            raise ConfigError(f"the baseline {baseline!r} is {found}; name one of the systems")
        first = of[0]
    ordered = sorted(systems, key=lambda label: label != first)
    return [Column(label, systems[label], number, label == first) for number, label in enumerate(ordered)]


def _collections(results: Sequence[Result]) -> list[str]:
    """Each once, in the order in which they come, but parts behind what they are parts of."""
    names = dict.fromkeys(result.collection for result in results)
    parts: dict[str, list[str]] = {}
    for result in results:
        parts.setdefault(result.collection, []).extend(part for part in result.parts if part in names)
    inner = {part for of in parts.values() for part in of}
    return list(dict.fromkeys(each for name in names if name not in inner for each in (name, *parts[name])))


def _comparisons(
    by_place: Mapping[tuple[str, int], Result], baseline: Column | None
) -> dict[tuple[str, int], dict[str, Comparison]]:
    """Place → measure → the comparison with the baseline's result on the same collection, where both have queries."""
    if baseline is None:
        return {}
    compared = {}
    for (collection, number), result in by_place.items():
        theirs = by_place.get((collection, baseline.number))
        if theirs is None or number == baseline.number:
            continue
        both = {name: values for name, values in result.per_query.items() if values and theirs.per_query.get(name)}
        compared[collection, number] = {each.measure: each for each in compare(both, theirs.per_query)} if both else {}
    return compared


def _adjusted(
    comparisons: Mapping[tuple[str, int], Comparison], columns: Sequence[Column]
) -> dict[tuple[str, int], float]:
    """The p-values of the randomization test, for each system adjusted over the collections."""
    adjusted: dict[tuple[str, int], float] = {}
    for column in columns:
        places = [place for place in comparisons if place[1] == column.number]
        adjusted.update(zip(places, holm([comparisons[place].randomization_p for place in places]), strict=True))
    return adjusted


def _value(result: Result | None, measure: str) -> float | None:
    return None if result is None else result.measures.get(measure)


def _is_best(value: float, values: Iterable[float | None]) -> bool:
    known = [each for each in values if each is not None]
    return value == max(known) > min(known)


def _with_mean(measure: str, rows: Sequence[Row]) -> Quality:
    of = [row for row in rows if not row.part and all(row.cells)]
    if len(of) < 2:
        return Quality(measure, tuple(rows), None, ())
    means = [mean(cell.value for cell in cells if cell) for cells in zip(*(row.cells for row in of), strict=True)]
    cells = tuple(Cell(value, _is_best(value, means)) for value in means)
    return Quality(measure, tuple(rows), Row(f"mean of {len(of)}", False, cells), tuple(row.collection for row in of))


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean of at least one value."""
    known = list(values)
    return math.fsum(known) / len(known)


def shown_setting(value: object) -> str:
    """A setting as a person writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
