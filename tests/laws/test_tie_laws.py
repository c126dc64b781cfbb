"""Documents of equal scores come in the byte order of their doc_ids, however these lie in the index."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from tests.helpers import impacts, weights
from tests.laws.strategies import ids

pytestmark = pytest.mark.jvm

ROW = {"t": 1}
MANY = 9_000  # more than are packed at a time


def expect_order(index: ImpactIndex, doc_ids: set[str]) -> None:
    in_order = sorted(doc_ids, key=str.encode)
    for k in {1, 2, max(1, len(doc_ids) // 2), len(doc_ids) + 1}:
        for threads in (1, 2):
            run = Searcher(index).search_vectors(impacts({"q": ROW}), k, threads=threads)
            assert run["q"].doc_ids == in_order[:k]
    assert index.postings("t") == dict.fromkeys(doc_ids, 1)


long_ids = ids.map(lambda part: part * 1_300)  # of one that a search reads more bytes than it makes room for
commits = st.lists(
    st.tuples(st.lists(st.one_of(ids, long_ids), unique=True, max_size=12), st.lists(ids, max_size=3)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=20)
@given(commits, st.booleans())
@example([(["b", "d"], []), (["a", "c", "e"], []), (["aa"], ["c"])], True)
@example([(["b", "d", "f"], []), (["d", "b"], [])], True)  # they replace documents, whose ids are there twice then
@example([(["b"], []), (["a", "b", "c"], ["b"]), (["b"], [])], False)
@example([(["x"], ["x"]), (["x"], [])], True)
def test_ties_are_ordered_by_doc_id(given: list[tuple[list[str], list[str]]], blocks: bool) -> None:
    """In segments of any size, one a commit, with deleted documents between them, with and without a rank file."""
    with tempfile.TemporaryDirectory() as folder:
        options = IndexOptions(Quantizer(1), threads=1, blocks=blocks)
        ImpactIndex.build(folder, [], options).close()
        left: set[str] = set()
        for added, gone in given:
            with ImpactIndex.writer(folder) as writer:
                writer.update([weights({doc_id: ROW for doc_id in added})])
                writer.delete(gone)
            left = (left | set(added)) - set(gone)
            with ImpactIndex(folder) as index:
                expect_order(index, left)
        assert len(list(Path(folder).glob("ranks-*"))) <= blocks
        with ImpactIndex.writer(folder) as writer:
            writer.merge()
        with ImpactIndex(folder) as index:
            expect_order(index, left)


@pytest.mark.parametrize("blocks", [True, False])
def test_many_hits_in_two_segments(blocks: bool) -> None:
    even = {f"{number:x}": ROW for number in range(0, MANY, 2)}
    odd = {f"{number:x}": ROW for number in range(1, MANY, 2)}
    with tempfile.TemporaryDirectory() as folder:
        ImpactIndex.build(folder, [weights(even)], IndexOptions(Quantizer(1), blocks=blocks)).close()
        with ImpactIndex.writer(folder) as writer:
            writer.append([weights(odd)])
        with ImpactIndex(folder) as index:
            assert index.segments == 2
            expect_order(index, set(even | odd))


def test_open_views_keep_their_order() -> None:
    with tempfile.TemporaryDirectory() as folder:
        views = [ImpactIndex.build(folder, [weights({"m": ROW})], IndexOptions(Quantizer(1)))]
        known = [{"m"}]
        for added in (["z", "a"], ["n", "k", "mm"], ["0"]):
            with ImpactIndex.writer(folder) as writer:
                writer.append([weights({doc_id: ROW for doc_id in added})])
            views.append(views[-1].refreshed())
            known.append(known[-1] | set(added))
        for view, doc_ids in zip(views, known, strict=True):
            expect_order(view, doc_ids)
            view.close()
