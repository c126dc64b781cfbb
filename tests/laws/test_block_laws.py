"""Block files change no hit: not with any collection, order of documents, filter, number of threads or deletions."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from splade_lucene.lucene.block_files import HALF_SATURATION
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.options import SearchOptions
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hit, Hits
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


def dense(documents: TermVectors) -> NDArray[np.int64]:
    matrix = np.zeros((len(documents), TERMS), dtype=np.int64)
    rows = np.repeat(np.arange(len(documents)), np.diff(documents.indptr))
    matrix[rows, documents.terms] = documents.weights
    return matrix


def brute_force(documents: TermVectors, queries: ImpactVectors, accepted: Sequence[str] | None = None) -> list[Hits]:
    """All hits of each query."""
    return ranked(documents.ids, dense(documents), queries, accepted)


def ranked(
    doc_ids: Sequence[str], matrix: NDArray[np.int64], queries: ImpactVectors, accepted: Sequence[str] | None
) -> list[Hits]:
    by_id = np.argsort(np.array(doc_ids))
    if accepted is not None:
        by_id = by_id[np.isin(np.array(doc_ids)[by_id], accepted)]
    found = []
    for number in range(len(queries)):
        span = slice(queries.indptr[number], queries.indptr[number + 1])
        scores = matrix[:, queries.terms[span]] @ queries.impacts[span].astype(np.int64)
        order = by_id[np.argsort(-scores[by_id], kind="stable")]
        order = order[scores[order] > 0]
        found.append(Hits([doc_ids[each] for each in order], scores[order]))
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
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 50), st.booleans())
def test_what_two_steps_find_has_its_full_score(seed: int, terms: int, rescore: int, blocks: bool) -> None:
    """Without pruned postings, all terms in the first pass make the search exact."""
    documents, queries = drawn(seed, 300)
    wanted = brute_force(documents, queries)
    with built(documents, blocks=blocks, first_pass_doc_terms=0) as index:
        found = run(index, queries, 10, SearchOptions(first_pass_terms=terms, rescore=rescore))
        for hits, everything in zip(found.values(), wanted, strict=True):
            scores = dict(zip(everything.doc_ids, everything.scores.tolist(), strict=True))
            assert [scores[doc_id] for doc_id in hits.doc_ids] == hits.scores.tolist()
            assert hits.scores.tolist() == sorted(hits.scores.tolist(), reverse=True)
        with_all = SearchOptions(first_pass_terms=TERMS, rescore=rescore)
        assert list(run(index, queries, 10, with_all).values()) == [hits[:10] for hits in wanted]


def first_pass_of(impacts: NDArray[np.int64], doc_terms: int) -> NDArray[np.int64]:
    """Of each document the impacts that are no less than the one of this rank, saturated."""
    kept = np.where(impacts >= np.sort(impacts)[:, -doc_terms, None], impacts, 0)
    saturated: NDArray[np.int64] = -(-255 * kept // (kept + int(HALF_SATURATION * 100)))
    return saturated


def best_terms(queries: ImpactVectors, most: int) -> ImpactVectors:
    """Of each query those of largest impact, of equals the first in byte order."""
    rows = (queries.row(number) for number in range(len(queries)))
    best = (dict(sorted(row.items(), key=lambda item: (-item[1], item[0]))[:most]) for row in rows)
    return Quantizer(1)(TermVectors.from_rows(dict(zip(queries.ids, best, strict=True)), queries.vocabulary))


def lists(found: dict[str, Hits]) -> list[list[Hit]]:
    return [list(hits) for hits in found.values()]


def in_two_steps(
    documents: TermVectors,
    queries: ImpactVectors,
    options: SearchOptions,
    doc_terms: int,
    accepted: Sequence[str] | None = None,
) -> list[list[Hit]]:
    """The 10 best of the candidates, by their full scores."""
    assert options.first_pass_terms is not None and options.rescore is not None
    asked = best_terms(queries, options.first_pass_terms)
    found = []
    by_first_pass = ranked(documents.ids, first_pass_of(dense(documents), doc_terms), asked, accepted)
    for candidates, everything in zip(by_first_pass, brute_force(documents, queries), strict=True):
        chosen = set(candidates.doc_ids[: max(10, options.rescore)])
        found.append([hit for hit in everything if hit.doc_id in chosen][:10])
    return found


def halves(documents: TermVectors) -> Iterator[TermVectors]:
    for start in (0, DOCUMENTS // 2):
        indptr = documents.indptr[start : start + DOCUMENTS // 2 + 1]
        span = slice(indptr[0], indptr[-1])
        ids = documents.ids[start : start + DOCUMENTS // 2]
        yield TermVectors(ids, indptr - indptr[0], documents.terms[span], documents.vocabulary, documents.weights[span])


@settings(max_examples=4)
@given(
    st.integers(0, 2**32),
    st.sampled_from([7, 255, 2**24 - 1]),
    st.integers(1, 12),
    st.integers(1, 300),
    st.sampled_from([1, 4, TERMS]),
)
def test_a_first_pass_over_pruned_postings(seed: int, highest: int, terms: int, rescore: int, doc_terms: int) -> None:
    """Candidates are the best by pruned, saturated postings; neither threads nor segments nor an order change them."""
    documents, queries = drawn(seed, highest)
    options = SearchOptions(first_pass_terms=terms, rescore=rescore)
    wanted = in_two_steps(documents, queries, options, doc_terms)
    first, second = halves(documents)
    with built(first, first_pass_doc_terms=doc_terms) as index:
        with ImpactIndex.writer(index.path) as writer:
            writer.append([second])
        with ImpactIndex(index.path) as both:
            assert both.segments == 2
            assert lists(run(both, queries, 10, options)) == wanted
    with built(documents, first_pass_doc_terms=doc_terms, reorder=True) as index:
        assert lists(run(index, queries, 10, options)) == wanted
        for number in range(3):
            alone = run(index, queries.rows(number, number + 1), 10, options, threads=3)
            assert lists(alone) == [wanted[number]]


@settings(max_examples=2)
@given(st.integers(0, 2**32), st.integers(1, 400))
def test_a_first_pass_over_all_that_is_left(seed: int, size: int) -> None:
    """Filters and deletions hold for candidates; where these are all that match, the search is exact."""
    documents, queries = drawn(seed, 300)
    random = np.random.default_rng(seed)
    chosen = random.choice(documents.ids, size, replace=False).tolist()
    gone = set(random.choice(documents.ids, 300, replace=False).tolist())
    left = [doc_id for doc_id in documents.ids if doc_id not in gone]
    some = SearchOptions(first_pass_terms=5, rescore=20)
    all_of_them = SearchOptions(first_pass_terms=TERMS, rescore=DOCUMENTS)
    with built(documents, first_pass_doc_terms=8) as index:
        within = index.filter(doc_ids=chosen)
        wanted = in_two_steps(documents, queries, some, 8, chosen)
        assert lists(run(index, queries, 10, some, filter=within)) == wanted
    with built(documents, first_pass_doc_terms=TERMS) as index:
        with ImpactIndex.writer(index.path) as writer:
            writer.delete(sorted(gone))
        with ImpactIndex(index.path) as changed:
            exact = [hits[:10] for hits in brute_force(documents, queries, left)]
            assert list(run(changed, queries, 10, all_of_them).values()) == exact
            wanted = in_two_steps(documents, queries, some, TERMS, left)
            assert lists(run(changed, queries, 10, some)) == wanted


def test_a_first_pass_stops_at_its_limit_and_heavy_queries_are_left_to_all_postings() -> None:
    documents, queries = drawn(3, 300)
    heavy = replace(queries, impacts=queries.impacts * 100_000)  # sums of 32 bits do not hold their scores
    two_steps = SearchOptions(first_pass_terms=TERMS, rescore=10)
    with built(documents, first_pass_doc_terms=8) as index:
        limited = run(index, queries, 10, replace(two_steps, max_postings=1))
        assert all(hits.cut and 0 < len(hits) <= 10 for hits in limited.values())
        pruned, full = (run(index, asked, 10, two_steps) for asked in (queries, heavy))
        read = [sum(hits.postings_read or 0 for hits in each.values()) for each in (pruned, full)]
        assert read[0] < read[1]
        assert list(full.values()) == [hits[:10] for hits in brute_force(documents, heavy)]


def test_first_pass_postings_are_as_many_as_were_asked_for_and_restored() -> None:
    documents, queries = drawn(4, 100)
    options = SearchOptions(first_pass_terms=4, rescore=30)
    sizes = []
    for doc_terms in (0, 3, 6):
        with built(documents, first_pass_doc_terms=doc_terms) as index:
            (file,) = index.path.glob("blocks-*")
            written, found = file.read_bytes(), lists(run(index, queries, 10, options))
            sizes.append(len(written))
            file.unlink()
            with ImpactIndex(index.path) as restored:
                assert file.read_bytes() == written
                assert lists(run(restored, queries, 10, options)) == found
    assert sizes[1] - sizes[0] >= 3 * DOCUMENTS
    assert sizes[2] - sizes[1] >= 3 * DOCUMENTS


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
