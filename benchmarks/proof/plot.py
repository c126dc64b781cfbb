"""The picture of `benchmarks.proof`: what each run finds against what its queries cost."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.proof.plan import Plan
from benchmarks.proof.table import MEASURE, Measured, measured, names
from benchmarks.tradeoff_plot import GREY, STYLES


def draw(plan: Plan, folder: Path, file: Path) -> None:
    """Write a PNG: the plan's curves as lines, its other runs as points, seeds as bars of a standard deviation."""
    runs = measured(plan, folder)
    collections = names(plan.collections)
    figure = Figure(figsize=(7.6, 5.2), layout="constrained", dpi=150)
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for (name, curve), (colour, marker) in zip(plan.curves.items(), STYLES, strict=False):
        there = [runs[run] for run in curve if run in runs]
        if there:
            _line(axes, there, collections, colour, marker, name)
    drawn = {run for curve in plan.curves.values() for run in curve}
    for name, run in runs.items():
        if name not in drawn:
            (right,), (above,) = _places([run], collections)
            axes.plot(right, above, marker=".", color=GREY, linestyle="none")
            axes.annotate(name, (right, above), (4, 3), textcoords="offset points", fontsize=7, color="#555555")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("postings that a query costs", color="#444444")
    axes.set_ylabel(f"{MEASURE}, mean of {', '.join(collections)}", color="#444444")
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title("Up is better, and left", color="#444444", fontsize=9)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(file)


def _line(axes: Axes, runs: Sequence[Measured], collections: Sequence[str], *style: str) -> None:
    right, above = _places(runs, collections)
    colour, marker, label = style
    spread = [stdev(values) if len(values := run.by_seed(collections)) > 1 else 0.0 for run in runs]
    axes.errorbar(
        right, above, spread, color=colour, marker=marker, label=label, linewidth=1.2, markersize=5, capsize=2
    )


def _places(runs: Sequence[Measured], collections: Sequence[str]) -> tuple[list[float], list[float]]:
    """Postings and quality."""
    right = [run.cost("expected_postings", collections) for run in runs]
    return right, [fmean(run.by_seed(collections)) for run in runs]
