"""Search equals brute force, ids and scores, however the index was built."""

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from splade_lucene.lucene import jvm
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import MAX_IMPACT, Quantizer
from splade_lucene.vectors import ImpactVectors, TermVectors, Vocabulary
from tests.helpers import brute_force, impacts, weights
from tests.laws.strategies import Documents, any_impacts, collections, repeatable_terms

pytestmark = pytest.mark.jvm

AS_THEY_ARE = Quantizer(1)
ks = st.integers(1, 50)


@contextmanager
def built(documents: Documents, *, batch: int = 5_000, segments: int = 1, **options: object) -> Iterator[ImpactIndex]:
    """An index of these documents, handed over `batch` at a time, in a folder of its own."""
    chosen = IndexOptions(quantizer=AS_THEY_ARE, **({"threads": 1} | options))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        if segments == 1:
            index = ImpactIndex.build(Path(folder, "index"), batches(documents, batch), chosen)
        else:
            index = in_segments(Path(folder), documents, segments, chosen)
        with index:
            yield index


def batches(documents: Documents, size: int) -> Iterator[TermVectors]:
    remaining = iter(documents.items())
    while batch := dict(islice(remaining, size)):
        yield weights(batch)


def in_segments(folder: Path, documents: Documents, segments: int, options: IndexOptions) -> ImpactIndex:
    """Documents dealt out over so many indexes, which are then put into one without merging them."""
    writer = jvm.java_class("splade_lucene.ImpactWriter")(str(folder / "index"), 1, False)
    for number in range(segments):
        part = dict(islice(documents.items(), number, None, segments))
        with ImpactIndex.build(folder / f"part{number}", batches(part, 5_000), options) as index:
            jvm.wait(writer.addIndex(str(index.path)), folder)
            assert index.manifest is not None
            manifest = index.manifest.to_json()
    jvm.wait(writer.finish(False, False), folder)
    writer.commit(manifest)
    return ImpactIndex(folder / "index")


def delete(index: ImpactIndex, doc_ids: Sequence[str]) -> ImpactIndex:
    """Delete documents with Lucene's own writer, and open what is left."""
    named = {name.rsplit(".")[-1]: jvm.java_class(f"org.apache.lucene.{name}") for name in LUCENE}
    with jvm.calling(index.path):
        directory = named["FSDirectory"].open(jvm.java_class("java.io.File")(str(index.path)).toPath())
        config = named["IndexWriterConfig"]()
        config.setMergePolicy(named["NoMergePolicy"].INSTANCE)  # deleted documents stay where they are
        writer = named["IndexWriter"](directory, config)
        for doc_id in doc_ids:
            writer.deleteDocuments(named["TermQuery"](named["Term"]("id", doc_id)))
        writer.commit()
        writer.close()
        directory.close()
    return ImpactIndex(index.path)


LUCENE = (
    "index.IndexWriter",
    "index.IndexWriterConfig",
    "index.NoMergePolicy",
    "index.Term",
    "search.TermQuery",
    "store.FSDirectory",
)


def found(index: ImpactIndex, queries: Documents, k: int, threads: int = 1) -> dict[str, list[tuple[str, int]]]:
    run = Searcher(index).search_vectors(impacts(queries), k, threads=threads)
    return {query_id: [tuple(hit) for hit in hits] for query_id, hits in run.items()}


def expected(documents: Documents, queries: Documents, k: int) -> dict[str, list[tuple[str, int]]]:
    return {query_id: brute_force(documents, query, k) for query_id, query in queries.items()}


def postings(index: ImpactIndex) -> dict[str, dict[str, int]]:
    return {term: index.postings(term) for term in index.terms()}


def inverted(documents: Documents) -> dict[str, dict[str, int]]:
    lists: dict[str, dict[str, int]] = {}
    for doc_id, row in documents.items():
        for term, impact in row.items():
            lists.setdefault(term, {})[doc_id] = impact
    return lists


@settings(max_examples=100)
@given(collections(), ks, st.integers(1, 3))
@example(({"10": {"a": 1}, "2": {"a": 1}, "9": {"a": 1}}, {"q0": {"a": 1}}), 2, 1)
@example(({"\uffff": {"a": 1}, "😀": {"a": 1}}, {"q0": {"a": 1}}), 1, 1)
@example(({}, {"q0": {"a": 1}}), 10, 1)
@example(({"empty": {}}, {"q0": {"a": 1}, "q1": {}}), 10, 3)
def test_search_equals_brute_force(given: tuple[Documents, Documents], k: int, threads: int) -> None:
    documents, queries = given
    with built(documents) as index:
        assert found(index, queries, k, threads) == expected(documents, queries, k)
        assert len(index) == len(documents)


@settings(max_examples=30)
@given(collections(max_documents=12, impacts=any_impacts), ks)
def test_big_impacts_too(given: tuple[Documents, Documents], k: int) -> None:
    documents, queries = given
    with built(documents) as index:
        assert found(index, queries, k) == expected(documents, queries, k)


def test_scores_beyond_two_to_the_53_are_exact() -> None:
    terms = [f"t{number}" for number in range(60)]
    documents = {f"d{less}": dict.fromkeys(terms, MAX_IMPACT - less) for less in range(5)}
    documents["d0b"] = dict.fromkeys(terms[:-1], MAX_IMPACT) | {terms[-1]: MAX_IMPACT - 1}
    query = {"q": dict.fromkeys(terms, MAX_IMPACT)}
    assert 60 * MAX_IMPACT**2 > 2**53
    with built(documents) as index:
        assert found(index, query, 10) == expected(documents, query, 10)


@settings(max_examples=30)
@given(
    collections(max_documents=30),
    ks,
    st.integers(1, 3),
    st.integers(1, 12),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_the_answer_does_not_depend_on_how_the_index_was_built(
    given: tuple[Documents, Documents], k: int, threads: int, batch: int, merge: bool, shuffler: random.Random
) -> None:
    """Threads, batches, their order, merging: all one."""
    documents, queries = given
    order = list(documents)
    shuffler.shuffle(order)
    shuffled = {doc_id: documents[doc_id] for doc_id in order}
    with built(shuffled, batch=batch, threads=threads, merge=merge) as index:
        assert found(index, queries, k, threads) == expected(documents, queries, k)
        assert postings(index) == inverted(documents)


@settings(max_examples=12)
@given(collections(max_documents=20).filter(lambda given: len(given[0]) >= 4), ks, st.integers(2, 4))
def test_nor_on_the_number_of_segments(given: tuple[Documents, Documents], k: int, segments: int) -> None:
    documents, queries = given
    with built(documents, segments=segments) as index:
        assert index.segments == segments
        assert found(index, queries, k) == expected(documents, queries, k)


@settings(max_examples=30)
@given(collections(max_documents=20), ks, st.integers(1, 2), st.data())
def test_deleted_documents_never_appear(
    given: tuple[Documents, Documents], k: int, segments: int, data: st.DataObject
) -> None:
    documents, queries = given
    gone = data.draw(st.lists(st.sampled_from(sorted(documents)), unique=True)) if documents else []
    left = {doc_id: row for doc_id, row in documents.items() if doc_id not in gone}
    with built(documents, segments=segments if len(documents) > 1 else 1) as whole, delete(whole, gone) as index:
        assert len(index) == len(left)
        assert found(index, queries, k) == expected(left, queries, k)
        assert {term: each for term, each in postings(index).items() if each} == inverted(left)
        assert all(index.impacts(doc_id, ["a"]) is None for doc_id in gone)


@settings(max_examples=12)
@given(collections(max_documents=12, terms=repeatable_terms), st.integers(1, 2))
@example(({"a": {}, "b": {}}, {}), 1)
def test_both_forms_have_the_same_postings(given: tuple[Documents, Documents], threads: int) -> None:
    documents, queries = given
    with built(documents, batch=5, form="repeat", threads=threads) as repeated, built(documents) as direct:
        assert postings(repeated) == postings(direct) == inverted(documents)
        assert len(repeated) == len(direct) == len(documents)
        assert found(repeated, queries, 50) == found(direct, queries, 50)


@settings(max_examples=30)
@given(collections(max_documents=10, impacts=any_impacts))
def test_contributions_sum_to_the_score(given: tuple[Documents, Documents]) -> None:
    documents, queries = given
    with built(documents) as index:
        searcher = Searcher(index, quantizer=AS_THEY_ARE)
        for query in queries.values():
            scores = {hit.doc_id: hit.score for hit in searcher.search(query, 50)}
            for doc_id, row in documents.items():
                explained = searcher.explain(query, doc_id)
                assert explained.score == scores.get(doc_id, 0)
                assert {part.term for part in explained.contributions} == query.keys() & row.keys()
                assert set(explained.missed) == query.keys() - row.keys()
                parts = [part.score for part in explained.contributions]
                assert parts == sorted(parts, reverse=True)


@settings(max_examples=30)
@given(collections(max_documents=15), ks)
def test_the_best_k_are_the_first_of_all(given: tuple[Documents, Documents], k: int) -> None:
    documents, queries = given
    with built(documents) as index:
        everything = found(index, queries, 2**31)
        assert found(index, queries, k) == {query_id: hits[:k] for query_id, hits in everything.items()}


def test_a_collection_of_several_windows() -> None:
    """Documents are scored 32,768 at a time: hits on both sides of each border, and none is lost or moved."""
    generator = np.random.default_rng(5)
    documents, terms = 70_001, 40
    dense = generator.integers(1, 4, (documents, terms)) * (generator.random((documents, terms)) < 0.04)
    dense[:, 0] = 0
    borders = [0, 32_767, 32_768, 65_535, 65_536, 70_000]
    dense[borders, 0] = 7  # a term that stands at the borders alone
    dense[:, 1] = 1  # and one that stands everywhere
    rows, columns = np.nonzero(dense)
    doc_ids = [f"d{number}" for number in generator.permutation(documents)]
    indptr = np.concatenate([[0], np.bincount(rows, minlength=documents).cumsum()])
    vocabulary = Vocabulary(f"t{number}" for number in range(terms))
    values = dense[rows, columns].astype(np.float32)
    vectors = TermVectors(doc_ids, indptr, columns.astype(np.int32), vocabulary, values)
    asked = [{0: 1}, {1: 2}, {0: 3, 5: 1}, dict.fromkeys(range(2, 12), 2), {38: MAX_IMPACT, 39: 1}]
    queries = ImpactVectors(
        [f"q{number}" for number in range(len(asked))],
        np.cumsum([0, *map(len, asked)]),
        np.array([term for query in asked for term in query], dtype=np.int32),
        vocabulary,
        np.array([impact for query in asked for impact in query.values()], dtype=np.int32),
    )
    by_id = np.argsort(np.array(doc_ids))  # ASCII: code points are bytes
    options = IndexOptions(quantizer=AS_THEY_ARE, threads=2)
    with tempfile.TemporaryDirectory() as folder, ImpactIndex.build(folder, [vectors], options) as index:
        assert index.segments == 1
        for k in (10, 100_000):
            run = Searcher(index).search_vectors(queries, k, threads=2)
            for number, query_id in enumerate(run):  # alone, a query has its documents parted among the threads
                alone = queries.rows(number, number + 1)
                for threads in (1, 2, 5):
                    assert Searcher(index).search_vectors(alone, k, threads=threads)[query_id] == run[query_id]
            for query, hits in zip(asked, run.values(), strict=True):
                scores = sum(dense[:, term].astype(np.int64) * impact for term, impact in query.items())
                order = by_id[np.argsort(-scores[by_id], kind="stable")]
                best = order[scores[order] > 0][:k]
                assert hits.doc_ids == [doc_ids[number] for number in best]
                assert hits.scores.tolist() == scores[best].tolist()
