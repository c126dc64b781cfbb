"""Laws of counting: quantiles are numpy's, and batches do not matter."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_lucene.inspection import Spread, inspect_vectors
from splade_lucene.vectors import Vocabulary
from tests.helpers import weights

TERMS = "abcdef"
ROWS = st.lists(st.dictionaries(st.sampled_from(TERMS), st.floats(0, 30, width=32)), max_size=8)


@given(st.lists(st.integers(0, 2**40), min_size=1))
def test_a_spread_is_what_numpy_finds(numbers: list[int]) -> None:
    found = Spread.of(Counter(numbers))
    expected = np.quantile(numbers, [0, 0.25, 0.5, 0.75, 0.95, 1], method="inverted_cdf").tolist()
    assert [found.least, found.p25, found.p50, found.p75, found.p95, found.most] == expected
    assert found.mean == pytest.approx(np.mean(numbers))


@given(ROWS, st.integers(1, 8))
def test_counts_do_not_depend_on_batches(rows: list[dict[str, float]], size: int) -> None:
    vocabulary = Vocabulary(TERMS)
    named = {f"d{number}": row for number, row in enumerate(rows)}
    whole = inspect_vectors([weights(named, vocabulary)], postings_of=lambda terms: [ord(term) for term in terms])
    names = list(named)
    parts = [
        weights({name: named[name] for name in names[start : start + size]}, vocabulary)
        for start in range(0, len(names), size)
    ]
    found = inspect_vectors(parts, postings_of=lambda terms: [ord(term) for term in terms])
    assert found.mean_weight == pytest.approx(whole.mean_weight)
    assert found.mean_error == pytest.approx(whole.mean_error)
    counts = ("vectors", "empty", "terms", "impacts", "rounded_away", "largest_error", "expected_postings")
    assert [getattr(found, each) for each in counts] == [getattr(whole, each) for each in counts]
    assert [(use.term, use.vectors) for use in found.most_used] == [(use.term, use.vectors) for use in whole.most_used]


@given(ROWS)
def test_counts_add_up(rows: list[dict[str, float]]) -> None:
    found = inspect_vectors([weights({f"d{number}": row for number, row in enumerate(rows)}, Vocabulary(TERMS))])
    nonzero = [sum(weight > 0 for weight in row.values()) for row in rows]
    assert sum(use.vectors for use in found.most_used) == sum(nonzero)
    assert len(found.most_used) + len(found.dead_terms) == len(TERMS)
    assert found.empty == nonzero.count(0)
    assert found.largest_error <= 0.5 / found.scale + 1e-9
