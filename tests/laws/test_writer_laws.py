"""An index that was changed equals one that was built of what is left, whatever was done to it and in what order."""

import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from splade_lucene.datasets import Passages, document_of, passage_id
from splade_lucene.errors import IndexExistsError
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import TermVectors
from tests.helpers import brute_force, impacts, weights
from tests.laws.strategies import Documents, ids, small_impacts

pytestmark = pytest.mark.jvm

AS_THEY_ARE = IndexOptions(quantizer=Quantizer(1), threads=1)
QUERIES: Documents = {"q1": {"a": 1, "b": 2}, "q2": {"c": 3}, "q3": {"a": 1, "b": 1, "c": 1, "d": 1}}

rows = st.dictionaries(st.sampled_from("abcd"), small_impacts, max_size=4)
few_ids = st.sampled_from(["1", "10", "2", "é", "😀", "x", "y", "z"])  # few, so that they meet again
some = st.dictionaries(st.one_of(few_ids, ids), rows, max_size=6)
steps = st.one_of(
    st.tuples(st.just("append"), some),
    st.tuples(st.just("update"), some),
    st.tuples(st.just("delete"), st.lists(st.one_of(few_ids, ids), max_size=5)),
    st.tuples(st.just("merge"), st.integers(1, 3)),
    st.tuples(st.just("commit"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
    st.tuples(st.just("forget"), st.none()),
)


def batches(documents: Documents, size: int) -> list[TermVectors]:
    remaining = iter(documents.items())
    return [weights(batch) for batch in iter(lambda: dict(islice(remaining, size)), {})]


def expect(index: ImpactIndex, documents: Documents) -> None:
    """It answers, counts and explains as an index of just these documents."""
    inverted: dict[str, dict[str, int]] = {}
    for doc_id, row in documents.items():
        for term, impact in row.items():
            inverted.setdefault(term, {})[doc_id] = impact
    assert {term: found for term in index.terms() if (found := index.postings(term))} == inverted
    assert len(index) == len(documents)
    assert index.manifest is not None
    assert index.manifest.documents == len(documents)
    assert index.manifest.empty_documents == sum(not row for row in documents.values())
    assert index.manifest.postings == sum(map(len, documents.values()))
    searcher = Searcher(index, quantizer=Quantizer(1))
    for k in (1, 3, 100):
        run = searcher.search_vectors(impacts(QUERIES), k)
        for query_id, query in QUERIES.items():
            assert [tuple(hit) for hit in run[query_id]] == brute_force(documents, query, k)
    for doc_id in documents:
        scores = {hit.doc_id: hit.score for hit in run["q3"]}
        assert searcher.explain(QUERIES["q3"], doc_id).score == scores.get(doc_id, 0)


class Changing:
    """An index that is being changed, and beside it what it should hold: after the last commit, and after the next."""

    def __init__(self, path: Path, documents: Documents, batch: int) -> None:
        self.path = path
        self.batch = batch
        self.committed = self.pending = dict(documents)
        ImpactIndex.build(path, batches(documents, batch), AS_THEY_ARE).close()
        self.writer = ImpactIndex.writer(path, threads=2)

    def append(self, more: Documents) -> None:
        known = sorted(more.keys() & self.pending.keys())
        if known:
            with pytest.raises(IndexExistsError) as refused:
                self.writer.append(batches(more, self.batch))
            assert any(repr(doc_id) in str(refused.value) for doc_id in known)
            self.forget(None)
        else:
            self.writer.append(batches(more, self.batch))
            self.pending = self.pending | dict(more)

    def update(self, more: Documents) -> None:
        self.writer.update(batches(more, self.batch))
        self.pending = self.pending | dict(more)

    def delete(self, doc_ids: list[str]) -> None:
        assert self.writer.delete(doc_ids) == len(self.pending.keys() & set(doc_ids))
        self.pending = {doc_id: row for doc_id, row in self.pending.items() if doc_id not in doc_ids}

    def merge(self, segments: int) -> None:
        self.writer.merge(segments)

    def commit(self, _: None) -> None:
        self.writer.commit()
        self.committed = self.pending

    def reopen(self, _: None) -> None:
        with self.writer:  # leaving it commits
            pass
        self.committed = self.pending
        self.writer = ImpactIndex.writer(self.path, threads=2)

    def forget(self, _: None) -> None:
        self.writer.close()
        self.pending = self.committed
        self.writer = ImpactIndex.writer(self.path, threads=2)


@settings(max_examples=60)
@given(some, st.lists(steps, max_size=8), st.integers(1, 4))
@example({"x": {"a": 1}}, [("delete", ["x"]), ("append", {"x": {"b": 2}})], 1)
@example({"x": {"a": 1}}, [("append", {"y": {}, "z": {"b": 1}}), ("update", {"y": {"a": 2}}), ("delete", ["z"])], 1)
@example({"x": {"a": 1}, "y": {}}, [("delete", ["x", "y"]), ("commit", None), ("update", {"x": {}})], 4)
@example({}, [("update", {"x": {"a": 1}}), ("commit", None), ("delete", ["x"]), ("merge", 1)], 2)
def test_a_changed_index_equals_a_built_one(given: Documents, steps: list[tuple[str, object]], batch: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        changing = Changing(Path(folder, "index"), given, batch)
        try:
            index = ImpactIndex(changing.path)
            for name, argument in steps:
                committed = changing.committed
                getattr(changing, name)(argument)
                expect(index, committed)  # a reader keeps the commit that it opened
                newer = index.refreshed()
                if newer is not index:
                    expect(index, committed)  # also beside a newer view
                    index.close()
                index = newer
                expect(index, changing.committed)  # and sees no uncommitted change
            index.close()
            changing.commit(None)
            changing.writer.close()  # CheckIndex wants the lock
            with ImpactIndex(changing.path) as index:
                index.check()
                expect(index, changing.pending)
        finally:
            changing.writer.close()


def cut(documents: Mapping[str, list[dict[str, int]]]) -> Documents:
    return {passage_id(doc_id, n): row for doc_id, passages in documents.items() for n, row in enumerate(passages)}


several = st.dictionaries(
    st.sampled_from(["a", "a#b", "a#", "#", "b", "😀"]), st.lists(rows, min_size=1, max_size=4), max_size=4
)


@settings(max_examples=25)
@given(several, several, st.lists(st.sampled_from(["a", "a#b", "a#0", "b", "", "#"])), st.integers(1, 3))
@example({"a": [{"a": 1}] * 3}, {"a": [{"b": 1}] * 2}, [], 1)
@example({"a": [{"a": 1}], "a#b": [{"b": 1}]}, {"a#b": [{"b": 1}]}, ["a"], 1)
def test_passages_of_a_document_come_and_go_together(
    given: Mapping[str, list[dict[str, int]]],
    newer: Mapping[str, list[dict[str, int]]],
    gone: list[str],
    batch: int,
) -> None:
    """Also where the passages of a document stand in several batches, and where it has fewer than before."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index")
        ImpactIndex.build(path, batches(cut(given), batch), AS_THEY_ARE, passages=Passages(5, 5)).close()
        left = {**given, **newer}
        with ImpactIndex.writer(path) as writer:
            writer.update(batches(cut(newer), batch))
            assert writer.delete(gone) == len(left.keys() & set(gone))
        left = {doc_id: passages for doc_id, passages in left.items() if doc_id not in gone}
        with ImpactIndex(path) as index:
            passages = cut(left)
            assert {document_of(doc_id) for term in index.terms() for doc_id in index.postings(term)} == {
                doc_id for doc_id, rows in left.items() if any(rows)
            }
            assert index.manifest is not None and index.manifest.documents == len(index) == len(passages)
            assert {term: found for term in index.terms() if (found := index.postings(term))} == {
                term: {doc_id: row[term] for doc_id, row in passages.items() if term in row}
                for term in set().union(*passages.values())
            }
