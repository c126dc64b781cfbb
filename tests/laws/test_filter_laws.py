"""A search within a filter equals a search of an index of just these documents, by ids and by fields, folded or not."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from splade_lucene.datasets import Passages, document_of, passage_id
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.options import SearchOptions
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from tests.helpers import brute_force, impacts, weights
from tests.laws.strategies import Documents, collections, ids, small_impacts

pytestmark = pytest.mark.jvm

AS_THEY_ARE = IndexOptions(quantizer=Quantizer(1), threads=1)
KINDS = ["a", "b", "é", "", "\ufffd", "long" * 64, "longer" * 64]


@contextmanager
def changed(
    documents: Documents, deleted: set[str], kinds: Mapping[str, str], passages: Passages | None = None
) -> Iterator[ImpactIndex]:
    """An index of these documents that has had others, in a segment with the first of them."""
    names = list(dict.fromkeys(map(document_of, documents) if passages else documents))
    earlier = set(names[: len(names) // 2])
    first = {
        doc_id: row for doc_id, row in documents.items() if (document_of(doc_id) if passages else doc_id) in earlier
    }
    second = {doc_id: row for doc_id, row in documents.items() if doc_id not in first}
    first |= {doc_id: {"a": 9} for doc_id in deleted}
    options = replace(AS_THEY_ARE, store=("kind", "raw"))  # raw: that the field kind is missing in all is no error

    def texts(rows: Documents) -> list[tuple[str, dict[str, str]]]:
        return [(doc_id, {"kind": kinds[doc_id]} if doc_id in kinds else {}) for doc_id in rows]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index")
        with_kind = [(doc_id, {"kind": "b", **fields}) for doc_id, fields in texts(first)]
        ImpactIndex.build(path, [weights(first)], options, texts=with_kind, passages=passages).close()
        with ImpactIndex.writer(path) as writer:
            writer.update([weights(second)], texts(second))
            assert writer.delete({document_of(doc_id) for doc_id in deleted} if passages else deleted) == len(deleted)
        with ImpactIndex(path) as index:
            yield index


@settings(max_examples=40)
@given(
    collections(max_documents=30).filter(lambda given: "deleted" not in given[0]),
    st.data(),
    st.integers(1, 40),
    st.integers(1, 3),
    st.booleans(),
)
@example(({"x": {"a": 1}, "y": {"a": 2}}, {"q": {"a": 1}}), None, 1, 1, True)
def test_within_ids(
    given: tuple[Documents, Documents], data: st.DataObject | None, k: int, threads: int, skip: bool
) -> None:
    documents, queries = given
    known = st.sampled_from(sorted(documents)) if documents else st.nothing()
    some = data.draw(st.lists(st.one_of(known, ids, st.just("deleted")))) if data else ["x", "deleted"]
    within = {doc_id: row for doc_id, row in documents.items() if doc_id in some}
    with changed(documents, {"deleted"}, {}) as index:
        chosen = index.filter(doc_ids=some)
        assert chosen.size == len(within)
        searcher = Searcher(index, quantizer=Quantizer(1), options=SearchOptions(skip=skip))
        run = searcher.search_vectors(impacts(queries), k, filter=chosen, threads=threads)
        for query_id, query in queries.items():
            assert [tuple(hit) for hit in run[query_id]] == brute_force(within, query, k)
            if query:
                assert searcher.search(query, k, filter=chosen, threads=threads) == run[query_id]
            for hit in run[query_id]:
                assert searcher.explain(query, hit.doc_id).score == hit.score


@settings(max_examples=20)
@given(collections(max_documents=20).filter(lambda given: "deleted" not in given[0]), st.data(), st.integers(1, 20))
def test_within_a_field(given: tuple[Documents, Documents], data: st.DataObject, k: int) -> None:
    documents, queries = given
    kinds = data.draw(st.fixed_dictionaries({}, optional={doc_id: st.sampled_from(KINDS) for doc_id in documents}))
    first = set(list(documents)[: len(documents) // 2])
    kinds_held = {doc_id: kinds.get(doc_id, "b") for doc_id in first} | {
        doc_id: kind for doc_id, kind in kinds.items() if doc_id not in first
    }
    with changed(documents, {"deleted"}, kinds) as index:
        for kind in KINDS:
            if len(kind.encode()) > 256:
                continue
            within = {doc_id: row for doc_id, row in documents.items() if kinds_held.get(doc_id) == kind}
            chosen = index.filter(field="kind", value=kind)
            assert chosen.size == len(within)
            run = Searcher(index).search_vectors(impacts(queries), k, filter=chosen)
            for query_id, query in queries.items():
                assert [tuple(hit) for hit in run[query_id]] == brute_force(within, query, k)
        assert {doc_id: (index.fields(doc_id) or {}).get("kind") for doc_id in kinds_held} == kinds_held


rows = st.dictionaries(st.sampled_from("abc"), small_impacts, max_size=3)
names = st.sampled_from(["a", "a#", "a#b", "b", "#", "😀"])


@settings(max_examples=25)
@given(
    st.dictionaries(names, st.lists(rows, min_size=1, max_size=9), max_size=5),
    st.lists(st.one_of(names, st.just("gone"), st.just("a#0"))),
    st.integers(1, 6),
)
def test_of_passages_a_filter_names_documents(
    given: Mapping[str, list[dict[str, int]]], some: list[str], k: int
) -> None:
    passages = {passage_id(doc_id, n): row for doc_id, rows in given.items() for n, row in enumerate(rows)}
    queries = {"q1": {"a": 1}, "q2": {"a": 1, "b": 2, "c": 3}}
    with changed(passages, {"gone#0"}, {}, Passages(5, 5)) as index:
        chosen = index.filter(doc_ids=some)
        within = {each: row for each, row in passages.items() if document_of(each) in some}
        assert chosen.size == len(within)
        folded = Searcher(index).search_vectors(impacts(queries), k, filter=chosen)
        unfolded = Searcher(index, fold=False).search_vectors(impacts(queries), k, filter=chosen)
        for query_id, query in queries.items():
            assert [tuple(hit) for hit in unfolded[query_id]] == brute_force(within, query, k)
            best: dict[str, int] = {}
            for passage, score in brute_force(within, query, 10**9):
                best.setdefault(document_of(passage), score)
            expected = sorted(best.items(), key=lambda hit: (-hit[1], hit[0].encode()))[:k]
            assert [tuple(hit) for hit in folded[query_id]] == expected
            for hit in folded[query_id]:
                assert Searcher(index, quantizer=Quantizer(1)).explain(query, hit.doc_id).score == hit.score
