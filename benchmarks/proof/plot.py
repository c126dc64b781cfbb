"""The picture of `benchmarks.proof`: what each run finds against what its queries cost."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from benchmarks.proof.plan import Plan
from benchmarks.proof.table import MEASURE, measured, names
from benchmarks.tradeoff_plot import GREY, STYLES

# Where a point's name may stand: points to the right of it and above it, and which of its ends is there.
SPOTS = [
    (5, 2, "left"),
    (-5, 2, "right"),
    (5, -9, "left"),
    (-5, -9, "right"),
    (0, 6, "center"),
    (0, -13, "center"),
    (9, 11, "left"),
    (-9, 11, "right"),
    (9, -18, "left"),
    (-9, -18, "right"),
]


def draw(plan: Plan, folder: Path) -> Figure:
    """The plan's curves as lines, its other runs as points, seeds as bars of a standard deviation.

    Postings are drawn by their logarithm: a run whose weights have all become 0 is not in it.
    """
    collections = names(plan.collections)
    runs = {name: run for name, run in measured(plan, folder).items() if run.cost("expected_postings", collections)}
    figure = Figure(figsize=(7.6, 5.2), layout="constrained", dpi=150)
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    places = {
        name: (run.cost("expected_postings", collections), fmean(run.by_seed(collections)))
        for name, run in runs.items()
    }
    colours = dict.fromkeys(runs, GREY)
    for (name, curve), (colour, marker) in zip(plan.curves.items(), STYLES, strict=False):
        there = [run for run in curve if run in runs]
        if there:
            right, above = zip(*(places[run] for run in there), strict=True)
            seeds = (runs[run].by_seed(collections) for run in there)
            axes.errorbar(
                right,
                above,
                [stdev(values) if len(values) > 1 else 0.0 for values in seeds],
                color=colour,
                marker=marker,
                label=name,
                linewidth=1.2,
                markersize=5,
                capsize=2,
            )
            colours.update(dict.fromkeys(there, colour))
    for name in (name for name, colour in colours.items() if colour == GREY):
        axes.plot(*places[name], marker=".", color=GREY, linestyle="none")
    axes.set_xscale("log")
    axes.margins(x=0.1)  # for names
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("postings that a query costs", color="#444444")
    axes.set_ylabel(f"{MEASURE}, mean of {', '.join(collections)}", color="#444444")
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title("Up is better, and left", color="#444444", fontsize=9)
    axes.legend(frameon=False, fontsize=9)
    figure.draw_without_rendering()  # until then nothing has its place,
    figure.set_layout_engine("none")  # and names do not move what they were put beside
    _name(axes, places, colours)
    return figure


def _name(axes: Axes, places: Mapping[str, tuple[float, float]], colours: Mapping[str, str]) -> None:
    """Write each point's name beside it, in the first spot without another; where there is none, not at all."""
    taken = [
        Bbox.from_bounds(right - 3, above - 3, 6, 6) for right, above in axes.transData.transform([*places.values()])
    ]
    for name, place in places.items():
        for right, above, side in SPOTS:
            text = axes.annotate(
                name, place, (right, above), textcoords="offset points", ha=side, fontsize=7, color=colours[name]
            )
            box = text.get_window_extent()
            if box.count_overlaps(taken) == 0 and axes.bbox.x0 < box.x0 and box.x1 < axes.bbox.x1:
                taken.append(box)
                break
            text.remove()
