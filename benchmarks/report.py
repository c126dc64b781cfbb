"""What all benchmarks share: timing that survives a noisy machine, and one report as a table or as JSON.

Law: ways that are compared are timed in turn, round by round, so that what slows the machine for a while slows all of
them; a figure is the median of the rounds.
"""

import gc
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

Figure = float | str | None
Row = Mapping[str, Figure]


class Times(NamedTuple):
    """What a piece of work took, in seconds: by the clock, and on the processors."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Times:
    """Run it once; the CPU time is that of all threads of the process."""
    busy, start = time.process_time(), time.perf_counter()
    work()
    return Times(time.perf_counter() - start, time.process_time() - busy)


def rounds(ways: Mapping[str, Callable[[], Times]], repeats: int) -> dict[str, list[Times]]:
    """Run each way once a round and keep what it took."""
    taken: dict[str, list[Times]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            gc.collect()  # Java's is left alone: after System.gc() ours took longer, for a reason not found
            taken[name].append(way())
    return taken


def machine() -> dict[str, Figure]:
    """What a figure depends on, of those that Java takes part in."""
    from splade_lucene.lucene import jvm  # starts it, which the other benchmarks do without

    java = jvm.find_java()
    return {
        "cores": os.cpu_count(),
        "java": f"{java.version}, {'with' if java.has_vector_module else 'without'} its vector module",
        "heap GB": round(jvm.max_heap_gb(), 1),
        **{name: version for name, version in jvm.versions().items() if name != "java"},
    }


@dataclass(frozen=True)
class Report:
    """One benchmark: what it ran on, one row for each way, and what is in the figures and what is not."""

    benchmark: str
    machine: Mapping[str, Figure]
    collection: Mapping[str, Figure]
    settings: Mapping[str, Figure]
    rows: Sequence[Row]
    notes: Sequence[str]

    def print(self, *, as_json: bool) -> None:
        """To standard output: a Markdown table with its circumstances, or one JSON object."""
        print(json.dumps(asdict(self)) if as_json else self._text())

    def _text(self) -> str:
        facts = "\n".join(
            f"{title}: " + " · ".join(f"{name} {_shown(value)}" for name, value in values.items()) + "  "
            for title, values in (
                ("machine", self.machine),
                ("collection", self.collection),
                ("settings", self.settings),
            )
        )
        notes = "\n".join(f"* {note}" for note in self.notes)
        return f"{facts}\n\n{_table(self.rows)}\n\n{notes}"


def _table(rows: Sequence[Row]) -> str:
    """A Markdown table whose columns also stand aligned in a terminal; the first column holds text."""
    names = list(rows[0])
    cells = [names, *([_shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [cells[0], rule, *cells[1:]]
    return "\n".join(
        "| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |" for line in lines
    )


def _shown(value: Figure) -> str:
    """Three digits where a number has a fraction, thousands apart."""
    if value is None:
        return "–"
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:.3g}"
    return value if isinstance(value, str) else f"{value:,.0f}"
