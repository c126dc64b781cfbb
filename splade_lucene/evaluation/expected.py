"""What results must reach: numbers that an experiment names, or those that are published.

May import `errors`, `results` and `published`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from splade_lucene.errors import ConfigError
from splade_lucene.evaluation.published import compare_with_published, find
from splade_lucene.evaluation.results import Result


@dataclass(frozen=True)
class Expectation:
    """One number that was to be reached. value: ours; None where there is no result. note: why, in words."""

    collection: str
    measure: str
    expected: float
    value: float | None
    met: bool
    note: str = ""


def check(
    results: Sequence[Result],
    expected: Literal["published"] | Mapping[str, Mapping[str, float]],
    tolerance: float = 0.0005,
) -> list[Expectation]:
    """Hold results against what was expected of them.

    Args:
        results: of one system.
        expected: {collection: {measure: value}}, of which every one counts, or `published`: every published score of
            the results' measures, of several the one that was made most like ours; it is met unless ours is different.
        tolerance: how far a value that is named may be missed.

    Raises:
        ConfigError: published scores are expected of a result that has none.
    """
    if expected == "published":
        return [each for result in results for each in _published(result)]
    by_collection = {result.collection: result.measures for result in results}
    checked = []
    for collection, measures in expected.items():
        for measure, wanted in measures.items():
            value = by_collection.get(collection, {}).get(measure)
            met = value is not None and abs(value - wanted) <= tolerance + 1e-9  # a float's last digits
            note = "no result" if value is None else "" if met else f"more than {tolerance:g} away"
            checked.append(Expectation(collection, measure, wanted, value, met, note))
    return checked


def _published(result: Result) -> Iterator[Expectation]:
    if not {score.measure for score in find(result.collection, result.system)} & result.measures.keys():
        raise ConfigError(
            f"no score of {result.system} on {result.collection} is published that is known here "
            f"({', '.join(result.measures)}): name the numbers that are expected"
        )
    seen = set()
    for verdict in compare_with_published(result):
        if verdict.measure not in seen:
            seen.add(verdict.measure)
            yield Expectation(
                result.collection,
                verdict.measure,
                verdict.published,
                verdict.value,
                verdict.status != "different",
                f"{verdict.status}: {verdict.note}" if verdict.note else verdict.status,
            )
