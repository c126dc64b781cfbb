"""Block files change no hit: not with any collection, order of documents, filter, number of threads or deletions."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.options import SearchOptions
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits
from splade_lucene.vectors import ImpactVectors, TermVectors, Vocabulary

pytestmark = pytest.mark.jvm

DOCUMENTS, TERMS = 20_000, 60  # three groups of documents
PLAIN, SKIPPING = SearchOptions(skip=False), SearchOptions()


def drawn(seed: int, highest: int) -> tuple[TermVectors, ImpactVectors]:
    """A collection of topics, its terms from one in every document to one in a thousand, and queries."""
    random = np.random.default_rng(seed)
    chances = np.geomspace(1, 0.001, TERMS)[random.permutation(TERMS)]
    topics = random.integers(0, 12, DOCUMENTS)
    lifts = random.lognormal(0, 1.5, (12, TERMS))
    dense = random.random((DOCUMENTS, TERMS)) < chances * lifts[topics]
    rows, columns = np.nonzero(dense)
    impacts = np.minimum(random.exponential(highest / 6, len(rows)).astype(np.int64) + 1, highest)
    vocabulary = Vocabulary(f"t{number}" for number in range(TERMS))
    doc_ids = [f"d{number}" for number in random.permutation(DOCUMENTS)]
    indptr = np.concatenate([[0], np.bincount(rows, minlength=DOCUMENTS).cumsum()])
    documents = TermVectors(doc_ids, indptr, columns.astype(np.int32), vocabulary, impacts.astype(np.float32))
    asked = [np.sort(random.choice(TERMS, random.integers(1, 20), replace=False)) for _ in range(12)]
    queries = ImpactVectors(
        [f"q{number}" for number in range(len(asked))],
        np.cumsum([0, *map(len, asked)]),
        np.concatenate(asked).astype(np.int32),
        vocabulary,
        random.integers(1, 200, sum(map(len, asked))).astype(np.int32),
    )
    return documents, queries


@contextmanager
def built(documents: TermVectors, **options: object) -> Iterator[ImpactIndex]:
    with tempfile.TemporaryDirectory() as folder:
        chosen = IndexOptions(Quantizer(1), **options)  # type: ignore[arg-type]
        with ImpactIndex.build(Path(folder, "index"), [documents], chosen) as index:
            yield index


def run(index: ImpactIndex, queries: ImpactVectors, k: int, options: SearchOptions, **more: object) -> dict[str, Hits]:
    return Searcher(index, options=options).search_vectors(queries, k, **more)  # type: ignore[arg-type]


def brute_force(documents: TermVectors, queries: ImpactVectors, accepted: Sequence[str] | None = None) -> list[Hits]:
    """All hits of each query."""
    matrix = np.zeros((len(documents), TERMS), dtype=np.int64)
    rows = np.repeat(np.arange(len(documents)), np.diff(documents.indptr))
    matrix[rows, documents.terms] = documents.weights
    by_id = np.argsort(np.array(documents.ids))
    if accepted is not None:
        by_id = by_id[np.isin(np.array(documents.ids)[by_id], accepted)]
    found = []
    for number in range(len(queries)):
        span = slice(queries.indptr[number], queries.indptr[number + 1])
        scores = matrix[:, queries.terms[span]] @ queries.impacts[span].astype(np.int64)
        order = by_id[np.argsort(-scores[by_id], kind="stable")]
        order = order[scores[order] > 0]
        found.append(Hits([documents.ids[each] for each in order], scores[order]))
    return found


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.sampled_from([7, 255, 256, 5_000, 2**24 - 1]), st.booleans())
def test_hits_are_those_of_brute_force(seed: int, highest: int, reorder: bool) -> None:
    """Impacts of one byte, of two, and such as floats could not add up."""
    documents, queries = drawn(seed, highest)
    wanted = brute_force(documents, queries)
    with built(documents, reorder=reorder) as index:
        for k in (1, 10, 1_000, DOCUMENTS):
            for options in (PLAIN, SKIPPING):
                assert list(run(index, queries, k, options).values()) == [hits[:k] for hits in wanted]
            for number in range(3):  # alone, a query has its documents parted among the threads
                alone = run(index, queries.rows(number, number + 1), k, SKIPPING, threads=3)
                assert list(alone.values()) == [wanted[number][:k]]


@settings(max_examples=4)
@given(st.integers(0, 2**32), st.integers(0, 400))
def test_filters_and_deleted_documents_too(seed: int, size: int) -> None:
    documents, queries = drawn(seed, 100)
    random = np.random.default_rng(seed)
    chosen = random.choice(documents.ids, size, replace=False).tolist()
    gone = set(random.choice(documents.ids, 300, replace=False).tolist())
    with built(documents) as index:
        found = run(index, queries, 10, SKIPPING, filter=index.filter(doc_ids=chosen))
        assert list(found.values()) == [hits[:10] for hits in brute_force(documents, queries, chosen)]
        with ImpactIndex.writer(index.path) as writer:
            writer.delete(sorted(gone))
        with ImpactIndex(index.path) as changed:
            left = [doc_id for doc_id in documents.ids if doc_id not in gone]
            assert list(run(changed, queries, 10, SKIPPING).values()) == [
                hits[:10] for hits in brute_force(documents, queries, left)
            ]


@settings(max_examples=4)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 50))
def test_what_two_steps_find_has_its_full_score(seed: int, terms: int, rescore: int) -> None:
    documents, queries = drawn(seed, 300)
    wanted = brute_force(documents, queries)
    for blocks in (True, False):
        with built(documents, blocks=blocks) as index:
            found = run(index, queries, 10, SearchOptions(first_pass_terms=terms, rescore=rescore))
            for hits, everything in zip(found.values(), wanted, strict=True):
                scores = dict(zip(everything.doc_ids, everything.scores.tolist(), strict=True))
                assert [scores[doc_id] for doc_id in hits.doc_ids] == hits.scores.tolist()
                assert hits.scores.tolist() == sorted(hits.scores.tolist(), reverse=True)
            with_all = SearchOptions(first_pass_terms=TERMS, rescore=rescore)
            assert list(run(index, queries, 10, with_all).values()) == [hits[:10] for hits in wanted]


@settings(max_examples=4)
@given(st.integers(0, 2**32), st.integers(1, 200_000), st.booleans())
def test_a_search_that_is_cut_says_so(seed: int, most: int, blocks: bool) -> None:
    documents, queries = drawn(seed, 300)
    wanted = brute_force(documents, queries)
    with built(documents, blocks=blocks) as index:
        found = run(index, queries, 10, SearchOptions(max_postings=most))
        for hits, everything in zip(found.values(), wanted, strict=True):
            scores = dict(zip(everything.doc_ids, everything.scores.tolist(), strict=True))
            assert all(scores[hit.doc_id] == hit.score for hit in hits)
            assert hits.cut or hits == everything[:10]


def test_block_files_do_not_depend_on_threads() -> None:
    documents, _ = drawn(1, 1_000)
    written = []
    for threads in (1, 3):
        with built(documents, threads=threads) as index:
            (file,) = index.path.glob("blocks-*")
            written.append(file.stat().st_size)
    assert written[0] == written[1]


def test_a_new_order_makes_posting_lists_shorter() -> None:
    documents, _ = drawn(1, 100)
    sizes = []
    for reorder in (False, True):
        with built(documents, reorder=reorder) as index:
            sizes.append(sum(file.stat().st_size for file in index.path.glob("_*.doc")))
    assert sizes[1] < sizes[0]


def test_empty_documents_have_empty_vectors() -> None:
    nothing = TermVectors.from_rows({"a": {}, "b": {}})
    for documents in (nothing, TermVectors.from_rows({"a": {}, "b": {}, "c": {"t": 1.0}})):
        with built(documents) as index:
            assert [index.vectors(["b", "a"]).row(number) for number in range(2)] == [{}, {}]


def test_vectors_come_back_with_and_without_block_files() -> None:
    documents, _ = drawn(2, 1_000)
    some = [documents.ids[number] for number in (0, 8_191, 8_192, DOCUMENTS - 1)]
    for blocks in (True, False):
        with built(documents, blocks=blocks, reorder=True) as index:
            found = index.vectors(some)
            for number, doc_id in enumerate(some):
                row = documents.ids.index(doc_id)
                span = slice(documents.indptr[row], documents.indptr[row + 1])
                names = [f"t{term}" for term in documents.terms[span].tolist()]
                assert found.row(number) == dict(zip(names, documents.weights[span].astype(int).tolist(), strict=True))
