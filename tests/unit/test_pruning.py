"""Static pruning and pruning of queries, with numbers worked by hand."""

import numpy as np
import pytest

from splade_lucene.pruning import Pruning, prune, term_bars
from splade_lucene.vectors import Vocabulary
from tests.helpers import as_rows, impacts

ROWS = {"x": {"a": 50, "b": 7, "c": 51, "d": 7}, "y": {"b": 7}, "z": {}}


def pruned(rows: dict[str, dict[str, int]], **rules: float) -> dict[str, dict[str, float]]:
    given, pruning = impacts(rows), Pruning(**rules)  # type: ignore[arg-type]
    bars = term_bars([given], pruning.term_quantile) if pruning.term_quantile is not None else None
    return as_rows(prune(given, pruning, bars))


def test_the_largest_stay_and_of_equal_ones_the_first_in_bytes() -> None:
    assert pruned(ROWS, top_terms=1) == {"x": {"c": 51}, "y": {"b": 7}, "z": {}}
    assert pruned(ROWS, top_terms=3) == {"x": {"a": 50, "b": 7, "c": 51}, "y": {"b": 7}, "z": {}}
    assert pruned(ROWS, top_terms=4) == ROWS


def test_the_order_of_the_vocabulary_decides_no_tie() -> None:
    rows = {"x": {"\uffff": 3, "😀": 3, "é": 3, "z": 3}}
    for terms in (sorted(rows["x"]), sorted(rows["x"], reverse=True)):
        found = prune(impacts(rows, Vocabulary(terms)), Pruning(top_terms=2))
        assert as_rows(found) == {"x": {"z": 3, "é": 3}}
    assert sorted(rows["x"]) == sorted(rows["x"], key=str.encode)


def test_a_published_threshold_is_strict() -> None:
    """v = .5 at scale 100 drops an impact of 50."""
    assert pruned(ROWS, min_impact=int(0.5 * 100) + 1) == {"x": {"c": 51}, "y": {}, "z": {}}
    assert pruned(ROWS, min_impact=50)["x"] == {"a": 50, "c": 51}


def test_a_posting_list_keeps_what_is_above_its_quantile() -> None:
    rows = {f"d{impact}": {"t": impact, "once": 9} if impact == 4 else {"t": impact} for impact in range(1, 6)}
    assert np.quantile([1, 2, 3, 4, 5], 0.5) == 3
    assert pruned(rows, term_quantile=0.5) == {"d1": {}, "d2": {}, "d3": {}, "d4": {"t": 4}, "d5": {"t": 5}}
    assert np.quantile([1, 2, 3, 4, 5], 0.6) == pytest.approx(3.4)
    assert pruned(rows, term_quantile=0.6)["d4"] == {"t": 4}
    assert np.quantile([1, 2, 3, 4, 5], 0.75) == 4
    assert pruned(rows, term_quantile=0.75) == {"d1": {}, "d2": {}, "d3": {}, "d4": {}, "d5": {"t": 5}}


def test_bars_are_those_of_all_batches_whatever_their_vocabularies() -> None:
    parts = [{"x": {"a": 1, "b": 5}}, {"y": {"b": 3}}, {"z": {"b": 9, "c": 2}, "empty": {}}]
    assert term_bars((impacts(part) for part in parts), 0.5) == {"a": 1, "b": 5, "c": 2}
    assert term_bars([], 0.5) == {}
    assert term_bars([impacts({"x": {}})], 0.5) == {}


def test_a_term_without_a_bar_stays() -> None:
    assert as_rows(prune(impacts({"x": {"new": 1}}), Pruning(term_quantile=0.9), {"old": 7})) == {"x": {"new": 1}}


def test_each_rule_judges_the_vectors_as_they_were() -> None:
    """b is above its quantile but not among the two largest; the rules in turn would keep it."""
    rows = {"x": {"a": 8, "b": 6, "c": 9}, "y": {"a": 9, "b": 5, "c": 1}}
    assert pruned(rows, term_quantile=0.5) == {"x": {"b": 6, "c": 9}, "y": {"a": 9}}
    assert pruned(rows, top_terms=2, term_quantile=0.5) == {"x": {"c": 9}, "y": {"a": 9}}


def test_a_quantile_wants_its_bars() -> None:
    with pytest.raises(ValueError, match="by the bars that term_bars finds"):
        prune(impacts(ROWS), Pruning(term_quantile=0.5))


@pytest.mark.parametrize("term_quantile", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_quantile_is_between_0_and_1(term_quantile: float) -> None:
    with pytest.raises(ValueError, match="term_quantile must be between 0 and 1, both excluded"):
        Pruning(term_quantile=term_quantile)


@pytest.mark.parametrize("name", ["top_terms", "min_impact"])
def test_the_other_rules_begin_at_1(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        Pruning(**{name: 0})


def test_no_rule_is_no_pruning() -> None:
    given = impacts(ROWS)
    assert not Pruning()
    assert prune(given, Pruning()) is given
    assert str(Pruning()) == "everything"


def test_what_stays_in_words() -> None:
    assert str(Pruning(top_terms=64)) == "the top 64 terms of a vector"
    everything = Pruning(top_terms=64, term_quantile=0.75, min_impact=51)
    assert str(everything).count(" and ") == 2
    assert "impacts above quantile 0.75 of a term" in str(everything)


def test_the_caller_keeps_his_arrays() -> None:
    given = impacts(ROWS)
    before = given.impacts.copy()
    prune(given, Pruning(top_terms=1, min_impact=51))
    assert np.array_equal(given.impacts, before)
