"""Plots as SVG that stands in the page itself.

Written by hand because no plotting library gives what the page needs: colours that are the page's variables, so that
one plot serves light, dark and paper; widths in percent and heights in pixels, so that a phone shows the same letters
on less ground; and a few hundred bytes instead of a library. Every plot has a title that says its numbers to a screen
reader, every mark its name beside it. `Markup.format` escapes what it is given.

Coordinates: x in percent of the width, y in pixels from the top.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from splade_lucene.evaluation.report.grids import shown_difference, shown_quantity, shown_value
from splade_lucene.evaluation.report.tables import Cell, Column, Point, Row
from splade_lucene.evaluation.significance import Comparison

COLOURS = 8  # in style.css
SHAPES = (  # of marks, around their middle; two systems of one colour still differ
    "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0-11 0z",
    "M-5 -5h10v10h-10z",
    "M0 -6.5L6.3 5H-6.3z",
    "M0 -7L7 0L0 7L-7 0z",
    "M0 6.5L6.3 -5H-6.3z",
    "M-2 -6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    "M0 -6.5L6.2 -2L3.8 5.3H-3.8L-6.2 -2z",
)
LETTER = 7.0  # pixels of width, about


def colour(column: Column) -> str:
    """The class in style.css that gives a column its colour."""
    return "base" if column.baseline else f"s{column.number % COLOURS}"


def short(column: Column, most: int = 26) -> str:
    """A column's name where there is little room: without its owner, and cut."""
    name = column.label.rpartition("/")[2] if "/" in column.system else column.label
    return name if len(name) <= most else f"{name[: most - 1]}…"


# Bars

_BAR, _STEP = 15, 23  # pixels: a bar's height, and from one to the next


def bars(measure: str, row: Row, columns: Sequence[Column], top: float) -> Markup:
    """A collection's values, a bar for each system; a stroke across a bar is the published number.

    Args:
        measure: the values are of.
        row: the collection.
        columns: of the row's cells.
        top: the value of the longest bar there may be, so that collections can be compared.
    """
    drawn, told = [], []
    for place, (column, cell) in enumerate(zip(columns, row.cells, strict=True)):
        y = place * _STEP + 4
        told.append(f"{column.label} {shown_value(cell.value if cell else None)}")
        width = _percent(cell.value / top * 52) if cell and top else "0%"
        published = [
            Markup('<line class="published" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
                _percent(verdict.published / top * 52), y - 2, y + _BAR + 2
            )
            for verdict in (cell.verdicts[:1] if cell and top else ())
        ]
        drawn.append(
            Markup(
                '<g class="{}"><rect y="{}" width="{}" height="{}" rx="2"/>{}<text x="{}" dx="7" y="{}">'
                '<tspan class="value">{}</tspan> <tspan class="name">{}</tspan></text></g>'
            ).format(
                colour(column),
                y,
                width,
                _BAR,
                Markup().join(published),
                width,
                y + 12,
                f"{shown_value(cell.value)}{cell.mark}" if cell else "no result",
                short(column),
            )
        )
    title = f"{measure} on {row.collection}: {', '.join(told)}"
    return _svg("bars", title, len(columns) * _STEP + 4, drawn)


# Differences


def reach(compared: Sequence[tuple[Row, Column, Cell]]) -> float:
    """The farthest that an interval goes from 0: the end of the axis that intervals share."""
    return max(abs(end) for *_, cell in compared if (each := cell.comparison) for end in (each.low, each.high))


def interval(comparison: Comparison, column: Column, farthest: float) -> Markup:
    """A difference and its confidence interval, on an axis from -farthest to farthest with a line at 0."""
    low, middle, high = (
        _percent(50 + 48 * value / farthest) if farthest else "50%"
        for value in (comparison.low, comparison.difference, comparison.high)
    )
    drawn = Markup(
        '<line class="zero" x1="50%" x2="50%" y1="0" y2="18"/><g class="{}"><line class="whisker" x1="{}" x2="{}" '
        'y1="9" y2="9"/><circle cx="{}" cy="9" r="4"/></g>'
    ).format(colour(column), low, high, middle)
    title = (
        f"{shown_difference(comparison.difference)}, from {shown_difference(comparison.low)} "
        f"to {shown_difference(comparison.high)}"
    )
    return _svg("interval", title, 18, [drawn])


_PROFILE_POINTS, _PROFILE_HEIGHT = 160, 44


def profile(differences: Sequence[float], title: str) -> Markup:
    """The differences of all queries, the largest gain first: gains stand above the line, losses hang below it."""
    ordered = np.sort(np.array(differences))[::-1]
    if len(ordered) > _PROFILE_POINTS:
        ordered = np.quantile(ordered, np.linspace(1, 0, _PROFILE_POINTS))
    largest = float(np.abs(ordered).max(initial=0.0)) or 1.0
    middle = _PROFILE_HEIGHT / 2
    wide = 100 / max(len(ordered), 1)
    drawn = [Markup('<line class="zero" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(_number(middle))]
    for place, value in enumerate(ordered.tolist()):
        if height := round(abs(value) / largest * (middle - 1), 1):
            drawn.append(
                Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                    "gain" if value > 0 else "loss",
                    _percent(place * wide),
                    _number(middle - height if value > 0 else middle),
                    _percent(wide * 0.85),
                    _number(height),
                )
            )
    return _svg("profile", title, _PROFILE_HEIGHT, drawn)


# What quality costs

_HEIGHT, _NARROW = 240, 300  # pixels: of a plot, and the least width that labels are laid out for


class Axis(NamedTuple):
    """An axis: where on it a number is, from 0 to 1, and the numbers that are written at it."""

    place: Callable[[float], float]
    ticks: tuple[float, ...]


def axis(values: Sequence[float], *, logarithmic: bool) -> Axis:
    """An axis that holds all values, a little away from its ends, with about four ticks at round numbers."""
    low, high = min(values), max(values)
    if logarithmic and low > 0:
        start, end = math.log10(low), math.log10(high)
        room = max((end - start) * 0.12, 0.08)
        start, end = start - room, end + room
        decades = range(math.floor(start), math.ceil(end) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
            ticks = tuple(
                step * 10.0**decade for decade in decades for step in steps if start <= math.log10(step) + decade <= end
            )
            if len(ticks) >= 3:
                break
        return Axis(lambda value: (math.log10(value) - start) / (end - start), _apart(ticks, (end - start) * 0.16))
    room = (high - low) * 0.15 or abs(high) * 0.1 or 0.5
    low, high = max(low - room, 0.0) if low >= 0 else low - room, high + room
    step = 10 ** math.floor(math.log10((high - low) / 3))
    step *= next(times for times in (5, 2, 1) if (high - low) / (step * times) >= 3 or times == 1)
    ticks = tuple(step * count for count in range(math.ceil(low / step), math.floor(high / step) + 1))
    return Axis(lambda value: (value - low) / (high - low), ticks)


def _apart(ticks: Sequence[float], decades: float) -> tuple[float, ...]:
    """Those that leave room for the number written at the one before."""
    kept = list(ticks[:1])
    for tick in ticks[1:]:
        if math.log10(tick / kept[-1]) >= decades:
            kept.append(tick)
    return tuple(kept)


def tradeoff(points: Sequence[Point], measure: str, price: str) -> Markup:
    """Quality over a price: up is better, and left. Settings of one system are joined by a line."""
    across = axis([point.price for point in points], logarithmic=True)
    up = axis([point.value for point in points], logarithmic=False)
    where = {point: (100 * across.place(point.price), _HEIGHT * (1 - up.place(point.value))) for point in points}
    drawn = [
        Markup(
            '<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/><text class="tick" y="{0}" dx="-6" dy="4" '
            'text-anchor="end">{1}</text>'
        ).format(_number(_HEIGHT * (1 - up.place(tick))), f"{tick:.3f}".rstrip("0").rstrip("."))
        for tick in up.ticks
    ]
    drawn += [
        Markup(
            '<line class="grid" x1="{0}" x2="{0}" y1="0" y2="{1}"/><text class="tick" x="{0}" y="{1}" dy="16" '
            'text-anchor="middle">{2}</text>'
        ).format(_percent(100 * across.place(tick)), _HEIGHT, f"{tick:,.6g}" if tick < 1e6 else f"{tick / 1e6:,.6g} M")
        for tick in across.ticks
    ]
    for system in dict.fromkeys(point.column.system for point in points):
        line = sorted((point for point in points if point.column.system == system), key=lambda point: point.price)
        for first, second in itertools.pairwise(line):
            (x1, y1), (x2, y2) = where[first], where[second]
            drawn.append(
                Markup('<line class="joint" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
                    _percent(x1), _number(y1), _percent(x2), _number(y2)
                )
            )
    for point, (dx, dy, anchor) in zip(
        points, _labels([(*where[each], short(each.column)) for each in points]), strict=True
    ):
        x, y = where[point]
        drawn.append(
            Markup(
                '<svg class="mark {}" x="{}" y="{}" overflow="visible"><path d="{}"/><text dx="{}" dy="{}" '
                'text-anchor="{}">{}</text></svg>'
            ).format(
                colour(point.column),
                _percent(x),
                _number(y),
                SHAPES[point.column.number % len(SHAPES)],
                dx,
                dy,
                anchor,
                short(point.column),
            )
        )
    told = (f"{each.column.label} {shown_value(each.value)} at {shown_quantity(each.price)}" for each in points)
    return _svg("tradeoff", f"{measure} against {price}: {'; '.join(told)}", _HEIGHT, drawn)


def _labels(points: Sequence[tuple[float, float, str]]) -> list[tuple[int, int, str]]:
    """For each (x, y, name) a place for the name beside its mark: the first that covers no mark and no other name.

    The plot is taken to be as narrow as on a phone; where it is wider, names are only further apart.
    """
    marks = [(x * _NARROW / 100, y) for x, y, _ in points]
    taken = [(x - 7, x + 7, y - 7, y + 7) for x, y in marks]
    places = []
    for (x, y), (*_, name) in zip(marks, points, strict=True):
        wide = LETTER * len(name)
        options: list[tuple[float, int, tuple[int, int, str], tuple[float, float, float, float]]] = []
        for dx, dy, anchor in (
            (11, 4, "start"),
            (-11, 4, "end"),
            (0, -12, "middle"),
            (0, 20, "middle"),
            (11, 18, "start"),
            (-11, 18, "end"),
            (11, -10, "start"),
            (-11, -10, "end"),
        ):
            left = x + dx - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
            box = (left, left + wide, y + dy - 11, y + dy + 3)
            overlaps = sum(
                box[0] < other[1] and other[0] < box[1] and box[2] < other[3] and other[2] < box[3] for other in taken
            )
            outside = max(0.0, -left) + max(0.0, left + wide - _NARROW)
            options.append((overlaps + outside / 20, len(options), (dx, dy, anchor), box))
        _, _, place, box = min(options)
        taken.append(box)
        places.append(place)
    return places


def _svg(kind: str, title: str, height: int, drawn: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="{}" role="img" width="100%" height="{}" overflow="visible"><title>{}</title>{}</svg>'
    ).format(kind, height, title, Markup().join(drawn))


def _percent(value: float) -> str:
    return f"{_number(value)}%"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
