"""Pruning equals its definition, written slowly; no score rises, and nothing else changes."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from splade_lucene.pruning import Pruning, prune, term_bars
from tests.helpers import as_rows, impacts
from tests.laws.strategies import Documents, any_impacts, collections

quantiles = st.one_of(st.sampled_from([0.5, 0.75, 0.85]), st.floats(0.01, 0.99))
prunings = st.builds(
    Pruning,
    top_terms=st.none() | st.integers(1, 8),
    term_quantile=st.none() | quantiles,
    min_impact=st.none() | st.integers(1, 5),
)
some = st.one_of(collections(), collections(impacts=any_impacts)).map(lambda given: given[0])


def pruned(documents: Documents, pruning: Pruning) -> Documents:
    vectors = impacts(documents)
    bars = term_bars([vectors], pruning.term_quantile) if pruning.term_quantile is not None else None
    return as_rows(prune(vectors, pruning, bars))  # type: ignore[return-value]


def by_definition(documents: Documents, pruning: Pruning) -> Documents:
    """Not efficient, but simple."""
    lists = defaultdict(list)
    for row in documents.values():
        for term, impact in row.items():
            lists[term].append(impact)

    def stays(row: Mapping[str, int], term: str) -> bool:
        ranked = sorted(row, key=lambda each: (-row[each], each.encode()))
        return (
            (pruning.top_terms is None or term in ranked[: pruning.top_terms])
            and (pruning.min_impact is None or row[term] >= pruning.min_impact)
            and (pruning.term_quantile is None or row[term] > np.quantile(lists[term], pruning.term_quantile))
        )

    return {doc_id: {term: row[term] for term in row if stays(row, term)} for doc_id, row in documents.items()}


@given(some, prunings)
def test_pruning_is_what_it_says(documents: Documents, pruning: Pruning) -> None:
    assert pruned(documents, pruning) == by_definition(documents, pruning)


@given(collections(), prunings)
def test_no_score_rises_and_no_row_goes(given: tuple[Documents, Documents], pruning: Pruning) -> None:
    documents, queries = given
    left = pruned(documents, pruning)
    assert list(left) == list(documents)
    for doc_id, row in documents.items():
        assert left[doc_id].items() <= row.items()
        for query in queries.values():
            before, after = (sum(query.get(term, 0) * each[term] for term in each) for each in (row, left[doc_id]))
            assert after <= before


@given(some, st.integers(1, 8))
def test_the_largest_k_are_among_the_largest_of_more(documents: Documents, k: int) -> None:
    fewer, more = (pruned(documents, Pruning(top_terms=each)) for each in (k, k + 1))
    for doc_id, row in documents.items():
        assert fewer[doc_id].items() <= more[doc_id].items()
        assert len(fewer[doc_id]) == min(k, len(row))


@given(some, quantiles, quantiles, st.integers(1, 5))
def test_a_stricter_rule_keeps_a_part_of_what_a_laxer_one_keeps(
    documents: Documents, one: float, other: float, impact: int
) -> None:
    lax, strict = sorted((one, other))
    for laxer, stricter in (
        (Pruning(term_quantile=lax), Pruning(term_quantile=strict)),
        (Pruning(min_impact=impact), Pruning(min_impact=impact + 1)),
    ):
        left, less = pruned(documents, laxer), pruned(documents, stricter)
        assert all(less[doc_id].items() <= left[doc_id].items() for doc_id in documents)


@given(some, st.integers(1, 8), st.integers(1, 5))
def test_rules_together_keep_what_each_alone_keeps(documents: Documents, terms: int, impact: int) -> None:
    rules = {"top_terms": terms, "term_quantile": 0.5, "min_impact": impact}
    alone = [pruned(documents, Pruning(**{name: value})) for name, value in rules.items()]  # type: ignore[arg-type]
    together = pruned(documents, Pruning(terms, 0.5, impact))
    for doc_id, row in together.items():
        assert row.items() == set.intersection(*(set(each[doc_id].items()) for each in alone))


@given(some, st.integers(1, 6), st.integers(1, 8), quantiles)
def test_batches_do_not_matter(documents: Documents, size: int, terms: int, quantile: float) -> None:
    """Nor that each has a vocabulary of its own."""
    ids = list(documents)
    parts = [impacts({each: documents[each] for each in ids[at : at + size]}) for at in range(0, len(ids), size)]
    bars = term_bars(parts, quantile)
    pruning = Pruning(top_terms=terms, term_quantile=quantile)
    apart = [row for part in parts for row in as_rows(prune(part, pruning, bars)).items()]
    assert dict(apart) == pruned(documents, pruning)
