"""The soak in short: it changes, searches and compares; a wrong answer and a growing curve end it."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import soak
from benchmarks.collection import synthetic
from benchmarks.report import Row
from benchmarks.soak import Soak, View, WrongAnswerError, grown

pytestmark = pytest.mark.jvm

SECONDS = 6


def test_reads_and_writes_go_on_and_answers_are_right(tmp_path: Path) -> None:
    run = Soak(tmp_path / "index", synthetic(300, 20), seed=5)
    rows = run.run(SECONDS, readers=2)
    assert len(rows) == soak.SAMPLES
    assert all(run.counts.values())
    assert {"documents", "segments", "heap MB", *run.counts} <= rows[-1].keys()


def test_a_wrong_answer_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Soak(tmp_path / "index", synthetic(300, 20), seed=5)
    monkeypatch.setattr(View, "best", lambda *_: (["another"], [1]))
    with pytest.raises(WrongAnswerError, match=r"seed 5, query q.*, k .*: expected \(\['another'\], \[1\]\), found"):
        run.run(60, readers=1)


def test_hits_are_expected_in_the_order_of_scores_and_then_of_ids() -> None:
    view = View.of({"b": 0, "a": 1, "d": 2, "c": 1})
    assert view.best(np.array([7, 3, 0]), 2) == (["b", "a"], [7, 3])
    assert view.best(np.array([3, 3, 9]), 9) == (["d", "a", "b", "c"], [9, 3, 3, 3])
    assert view.best(np.array([0, 0, 0]), 9) == ([], [])


def curve(name: str, values: list[float]) -> list[Row]:
    return [dict.fromkeys(soak.SLACK, 1) | {name: value} for value in values]


@pytest.mark.parametrize("name", soak.SLACK)
def test_a_curve_that_rises_to_the_end_has_grown(name: str) -> None:
    rises = [100.0 + 20 * sample for sample in range(20)]
    level = [100.0 + 15 * (sample % 2) for sample in range(20)]
    warms_up = [10.0, 50, 200, 390, *[400] * 16]
    assert [each.split(" from")[0] for each in grown(curve(name, rises))] == [name]
    assert grown(curve(name, level)) == grown(curve(name, warms_up)) == []


def test_what_the_system_does_not_tell_has_not_grown() -> None:
    assert grown([dict.fromkeys(soak.SLACK, None)] * 20) == []
