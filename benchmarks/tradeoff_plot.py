"""The picture of `benchmarks.tradeoff`: for each collection, what each approximation keeps against what it takes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.report import Row

# Okabe and Ito's colours, told apart by those who do not see all of them, and three more; a marker of its own says
# the same again.
STYLES = [
    ("#0072B2", "o"),
    ("#56B4E9", "v"),
    ("#000000", "X"),
    ("#E69F00", "s"),
    ("#D55E00", "P"),
    ("#8B6B00", "D"),
    ("#009E73", "^"),
    ("#CC79A7", "h"),
    ("#5D3A9B", "p"),
    ("#994F00", "<"),
    ("#4B6B00", ">"),
]
STARS = ["white", "#F0E442", "#8a8a8a"]  # what the stars of exact searches are filled with
GREY = "#8a8a8a"
CROWDED = 0.95  # of what exact search has: above it, all lines meet, and settings would cover one another


class Panels(NamedTuple):
    """A row of panels: two columns of the table, and what the axes say of them."""

    above: str
    kept: str
    right: str
    taken: str


PANELS = [
    Panels("exact top 10", "of the exact top 10, found", "postings, 10 hits", "postings read a query, 10 hits"),
    Panels("exact top 10", "of the exact top 10, found", "ms 10 p50", "median ms a query, 10 hits"),
    Panels("exact top 1,000", "of the exact top 1,000, found", "ms 1,000 p50", "median ms a query, 1,000 hits"),
    Panels("nDCG@10", "nDCG@10", "ms 10 p50", "median ms a query, 10 hits"),
]


class Point(NamedTuple):
    """A row's values on one panel, and the setting that it is of."""

    right: float
    above: float
    setting: str


def draw(rows: Sequence[Row], families: Mapping[str, Mapping[str, str]], file: Path) -> None:
    """Write a PNG.

    Args:
        rows: the table's.
        families: family → label of a row → setting. The first one is of exact searches: each is a star, the others are
            lines through their settings.
        file: the PNG.
    """
    collections = list(dict.fromkeys(str(row["collection"]) for row in rows))
    figure = Figure(figsize=(4.6 * len(collections) + 0.4, 3.6 * len(PANELS) + 1.2), layout="constrained", dpi=150)
    axes = figure.subplots(len(PANELS), len(collections), squeeze=False)
    for column, collection in enumerate(collections):
        of_label = {str(row["way"]): row for row in rows if row["collection"] == collection}
        for place, panels in enumerate(PANELS):
            _panel(axes[place, column], of_label, families, panels)
            axes[place, column].set_ylabel(panels.kept if column == 0 else "")
        axes[0, column].set_title(collection, fontweight="bold", pad=10)
    figure.suptitle("Up is better, and left; at the ends of a line stand its settings", color="#444444", fontsize=9)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9
    )
    figure.savefig(file)


def _panel(axes: Axes, rows: Mapping[str, Row], families: Mapping[str, Mapping[str, str]], panels: Panels) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    points = {family: _points(rows, settings, panels) for family, settings in families.items()}
    exact = next(iter(points))
    if not points[exact]:
        axes.text(0.5, 0.5, "no judgments", transform=axes.transAxes, ha="center", color=GREY)
        axes.set(xticks=[], yticks=[])
        return
    lines = [(family, line) for family, line in points.items() if family != exact]
    for (colour, marker), (family, line) in zip(STYLES, lines, strict=True):
        axes.plot(
            [point.right for point in line],
            [point.above for point in line],
            marker=marker,
            color=colour,
            label=family,
            linewidth=1.2,
            markersize=5,
            alpha=0.9,
        )
        for point in (line[0], line[-1]):
            if point.above > CROWDED * points[exact][0].above:
                continue
            axes.annotate(point.setting, point[:2], (4, -8), textcoords="offset points", fontsize=7, color=colour)
    for colour, point in zip(STARS, points[exact], strict=True):
        axes.axhline(point.above, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
        axes.plot(
            point.right,
            point.above,
            marker="*",
            color="black",
            markersize=14,
            markerfacecolor=colour,
            linestyle="none",
            label=f"{exact}, {point.setting}",
            zorder=5,
        )
    axes.set_xlabel(panels.taken, color="#444444")
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _points(rows: Mapping[str, Row], settings: Mapping[str, str], panels: Panels) -> list[Point]:
    """Those that have both values, in the order of their settings."""
    found = []
    for label, setting in settings.items():
        right, above = rows[label][panels.right], rows[label][panels.above]
        if isinstance(right, float) and isinstance(above, float):
            found.append(Point(right, above, setting))
    return found
