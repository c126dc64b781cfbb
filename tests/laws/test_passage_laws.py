"""Passages hold every word of their document, and folding them back is exact."""

from collections.abc import Mapping

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from splade_lucene.datasets import Doc, Passages, document_of
from splade_lucene.runs import Hits, fold_passages, ranked
from tests.laws.strategies import ids

cuts = st.integers(1, 9).flatmap(lambda words: st.builds(Passages, st.just(words), st.integers(1, words)))


@given(cuts, st.text(alphabet="ab \n\u3000\xa0", max_size=60), ids)
def test_no_word_is_lost_and_none_moves(passages: Passages, text: str, doc_id: str) -> None:
    words = text.split()
    cut = list(passages.cut([Doc(doc_id, "title", text)]))
    assert [document_of(passage.doc_id) for passage in cut] == [doc_id] * len(cut)
    assert [passage.doc_id for passage in cut] == [f"{doc_id}#{number}" for number in range(len(cut))]
    assert {passage.title for passage in cut} == {"title"}
    covered = 0
    for number, passage in enumerate(cut):
        start = number * passages.stride
        assert passage.text.split() == words[start : start + passages.words]
        assert start <= covered
        covered = start + len(passage.text.split())
        assert number == len(cut) - 1 or len(passage.text.split()) == passages.words
    assert covered == len(words)


@given(cuts, st.text(alphabet="ab ", max_size=60))
def test_no_passage_is_contained_in_the_one_before(passages: Passages, text: str) -> None:
    lengths = [len(passage.text.split()) for passage in passages.cut([Doc("d", "", text)])]
    overlap = passages.words - passages.stride
    assert all(length > overlap for length in lengths[1:])


scores = st.dictionaries(
    st.builds("{}#{}".format, st.sampled_from(["a", "a!", "b", "é", "z#1"]), st.integers(0, 11)), st.integers(1, 4)
)


@given(scores, st.integers(1, 7), st.integers(1, 30))
def test_folding_says_the_best_documents_or_that_it_cannot_know(
    passages: Mapping[str, int], k: int, fetched: int
) -> None:
    """Whatever is decided from some of the passages equals what all of them say; and all of them decide."""
    best: dict[str, int] = {}
    for passage, score in passages.items():
        best[document_of(passage)] = max(score, best.get(document_of(passage), 0))
    expected = ranked(best, k)
    assume(passages)
    everything = ranked(passages)
    some = everything[:fetched]
    hits = Hits([hit.doc_id for hit in some], np.array([hit.score for hit in some], dtype=np.int64))
    all_known = len(everything) <= fetched
    folded = fold_passages(hits, k, all_known=all_known)
    assert folded is None or list(folded) == expected
    assert folded is not None or not all_known
