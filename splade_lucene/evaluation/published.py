"""Published scores, and whether a result agrees with them: the data are `published.yaml`.

May import `errors` and `results`. Law: a verdict depends on the result and on the data file alone, and every score that
the file has for a result is looked at.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from splade_lucene.evaluation.results import Result

Status = Literal["equal", "explained", "different"]

_REVISION = re.compile(r"@[\w./-]+\Z")
_CUTOFF = re.compile(r"@(\d+)\Z")
DEPTH = 1000  # hits a query that published runs have

OURS = {"encoder": "this package", "ties": "ascending doc_id"}
"""The conditions that are the same for all results of this package, where their settings do not say otherwise."""


@dataclass(frozen=True)
class Published:
    """One published score.

    system: the canonical name. digits: behind the point. source: where it stands, in words. conditions: what it was
    made with, as far as the source says so.
    """

    system: str
    collection: str
    measure: str
    value: float
    digits: int
    source: str
    url: str
    conditions: Mapping[str, str | float]

    @property
    def rounding(self) -> float:
        """How far the score may be from the one that was rounded to it."""
        return 0.5 * 10.0**-self.digits


@dataclass(frozen=True)
class Verdict:
    """A result beside a published score.

    status: `equal`, where they differ by no more than the published one was rounded by; `explained`, where they differ
    by no more than the conditions that are others here have been seen to move this measure; else `different`. note:
    which conditions these are, and how far they move it.
    """

    measure: str
    value: float
    published: float
    digits: int
    status: Status
    note: str
    source: str
    url: str

    @property
    def difference(self) -> float:
        """Ours - published."""
        return self.value - self.published


def canonical(system: str) -> str | None:
    """The canonical name of a system that is called by it, by its name on the hub or by that and a revision."""
    return _data().names.get(_REVISION.sub("", system).lower())


def find(collection: str, system: str) -> list[Published]:
    """The published scores of a system on a collection, in the data file's order; a system by any of its names."""
    return _data().scores.get((collection, canonical(system) or system), [])


def compare_with_published(result: Result) -> list[Verdict]:
    """A verdict on each published score of each measure of the result.

    In the order of the result's measures; of one measure, first the score whose conditions are most like the result's,
    which is not always the nearest one. A measure that looks deeper than the result's `k` hits has none.
    """
    scores = sorted(
        find(result.collection, result.system), key=lambda each: len(_other_conditions(each, result.settings))
    )
    return [
        _verdict(value, score, result.settings)
        for measure, value in result.measures.items()
        for score in scores
        if score.measure == measure and _depth(measure) <= result.settings.get("k", DEPTH)
    ]


def _verdict(value: float, score: Published, settings: Mapping[str, Any]) -> Verdict:
    difference = abs(value - score.value)
    conditions = _other_conditions(score, settings)
    seen = {name: _moves(name, score.measure) for name in conditions}
    bound = score.rounding + sum(seen.values())
    explains = "; ".join(f"{text} (by up to {seen[name]:.4f})" for name, text in conditions.items())
    status: Status
    if difference <= score.rounding + 1e-9:  # a float's last digits
        status, note = "equal", ""
    elif difference <= bound + 1e-9:
        status, note = "explained", explains
    else:
        status = "different"
        note = f"by {difference:.4f}, where {bound:.4f} can be explained" + (f": {explains}" if explains else "")
    return Verdict(score.measure, value, score.value, score.digits, status, note, score.source, score.url)


def _other_conditions(score: Published, settings: Mapping[str, Any]) -> dict[str, str]:
    """The conditions that are others here than there, or are not known here: name → both, in words."""
    here = {**OURS, **settings}
    return {
        name: f"{name.replace('_', ' ')}: {there} there, {here.get(name, 'not said')} here"
        for name, there in score.conditions.items()
        if here.get(name) != there
    }


def _depth(measure: str) -> int:
    """How many hits a measure looks at."""
    found = _CUTOFF.search(measure)
    return int(found[1]) if found else DEPTH


def _moves(condition: str, measure: str) -> float:
    """How far a condition has been seen to move a measure; one that was not looked at, as far as any."""
    seen = _data().differences[condition]
    return seen.get(measure, max(seen.values()))


@dataclass(frozen=True)
class _Data:
    """names: any name of a system, in small letters → its canonical one. scores: by collection and canonical name."""

    names: dict[str, str]
    differences: dict[str, dict[str, float]]
    scores: dict[tuple[str, str], list[Published]]


@cache
def _data() -> _Data:
    content = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    names = {name.lower(): system for system, hub in content["systems"].items() for name in (system, *hub)}
    scores: dict[tuple[str, str], list[Published]] = {}
    for table in content["tables"]:
        source = content["sources"][table["source"]]
        columns = [(system, measure) for system in table["systems"] for measure in table["measures"]]
        for collection, row in table["scores"].items():
            for (system, measure), value in zip(columns, row, strict=True):
                if value is not None:
                    score = Published(
                        system, collection, measure, value, table["digits"], source["title"], source["url"],
                        source["conditions"],
                    )  # fmt: skip
                    scores.setdefault((collection, system), []).append(score)
    return _Data(names, content["differences"], scores)
