"""Searcher and explain on the toy corpus."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.datasets import Passages, document_of
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.errors import FormatError, IndexMismatchError, IndexNotFoundError, SearchError, WeightError
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.explain import Contribution
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.manifest import Form
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import Vocabulary
from tests.helpers import brute_force, impacts, tiny_tokenizer, weights

pytestmark = pytest.mark.jvm

FISH = {"fish": 2.0, "cat": 3.0, "unheard": 9.0}


@pytest.fixture(scope="module")
def searcher(toy_index: ImpactIndex) -> Searcher:
    """Texts are searched with weight 1 for each word."""
    return Searcher(toy_index, IdfEncoder(tiny_tokenizer(), {}), quantizer=Quantizer(1))


def test_weights_are_searched_as_they_are(searcher: Searcher, toy_rows: dict[str, Counter[str]]) -> None:
    assert list(searcher.search(FISH)) == [("fish", 6), ("d9", 5), ("d1", 3)]
    assert list(searcher.search(FISH)) == brute_force(toy_rows, {"fish": 2, "cat": 3}, 10)


def test_a_text_is_encoded_first(searcher: Searcher) -> None:
    assert searcher.search("The moon on water!").doc_ids[:2] == ["twin-a", "twin-b"]
    assert list(searcher.search("the moon", 1)) == [("twin-a", 3)]


def test_the_scale_of_queries_multiplies_all_scores_alike(toy_index: ImpactIndex, searcher: Searcher) -> None:
    tenfold = Searcher(toy_index, quantizer=Quantizer(10)).search(FISH)
    assert tenfold.doc_ids == searcher.search(FISH).doc_ids
    assert tenfold.scores.tolist() == (10 * searcher.search(FISH).scores).tolist()


@pytest.mark.parametrize("query", [{}, {"unheard": 1.0}, {"fish": 0.0}, "", "unheard"], ids=repr)
def test_a_query_that_shares_no_term_finds_nothing(searcher: Searcher, query: Any) -> None:
    assert list(searcher.search(query)) == []


def test_k_may_be_larger_than_the_collection(searcher: Searcher) -> None:
    assert len(searcher.search({"the": 1.0}, 2**40)) == 10


@pytest.mark.parametrize("k", [0, -1])
def test_k_is_at_least_one(searcher: Searcher, k: int) -> None:
    with pytest.raises(SearchError, match=f"k must be at least 1, not {k}"):
        searcher.search(FISH, k)


@pytest.mark.parametrize("threads", [None, 1, 2, 5])
def test_many_queries_are_a_run(searcher: Searcher, toy_rows: dict[str, Counter[str]], threads: int | None) -> None:
    queries: dict[str, dict[str, int]] = {f"q{n}": {"the": 1, "fish": n % 3, "sky": n % 5} for n in range(600)}
    run = searcher.search_vectors(weights(queries), 3, threads=threads)
    assert list(run) == list(queries)
    assert all(list(run[query_id]) == brute_force(toy_rows, query, 3) for query_id, query in queries.items())


def test_impacts_go_around_the_quantizer(toy_index: ImpactIndex) -> None:
    run = Searcher(toy_index, quantizer=Quantizer(1000)).search_vectors(impacts({"q": {"fish": 2}, "none": {}}))
    assert {query_id: list(hits) for query_id, hits in run.items()} == {"q": [("fish", 6), ("d9", 2)], "none": []}


def test_many_texts_are_a_run_too(searcher: Searcher) -> None:
    run = searcher.search_texts({"x": "fish", "y": "moon"}, 1)
    assert {query_id: hits.doc_ids for query_id, hits in run.items()} == {"x": ["fish"], "y": ["twin-a"]}


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), 2.0**24, 0.5])
def test_an_unusable_query_weight_is_refused(searcher: Searcher, weight: float) -> None:
    with pytest.raises(WeightError, match="'fish'"):
        searcher.search({"fish": weight})


def test_a_text_needs_an_encoder(toy_index: ImpactIndex) -> None:
    with pytest.raises(SearchError, match=r"Searcher\(index, encoder\)"):
        Searcher(toy_index).search("fish")


def test_a_folder_is_opened(toy_index: ImpactIndex) -> None:
    assert Searcher(str(toy_index.path)).search(FISH).doc_ids == ["fish", "d9", "d1"]
    with pytest.raises(IndexNotFoundError, match="no such folder"):
        Searcher(toy_index.path / "none")


def test_another_vocabulary_is_refused_and_both_are_named(toy_index: ImpactIndex) -> None:
    encoder = IdfEncoder(tiny_tokenizer(), {})
    with ImpactIndex(toy_index.path) as index:
        assert index.manifest is not None
        wrote = replace(encoder.identity, name="another", vocabulary="0123456789ab")
        index.manifest = replace(index.manifest, encoder=wrote)
        with pytest.raises(IndexMismatchError) as refused:
            Searcher(index, encoder)
    assert str(wrote) in str(refused.value)
    assert str(encoder.identity) in str(refused.value)


@pytest.mark.parametrize("text", ["\ud800", "x" * 40_000, "\0"], ids=["lone surrogate", "40,000 letters", "zero"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda index, text: index.postings(text),
        lambda index, text: index.impacts(text, ["fish"]),
        lambda index, text: index.impacts("fish", [text])[text],
        lambda index, text: index.text(text),
    ],
    ids=["postings", "document", "impact", "text"],
)
def test_what_no_index_can_hold_is_not_in_it(toy_index: ImpactIndex, ask: Callable[..., Any], text: str) -> None:
    """Nothing, or a refusal of ours: never an error of the road to Java."""
    try:
        assert not ask(toy_index, text)
    except WeightError:
        assert text == "\ud800"


# Explain


def test_an_explanation_says_what_was_typed_and_what_was_written(searcher: Searcher) -> None:
    found = searcher.explain("fish in a lake", "fish")
    assert found.contributions == (Contribution("fish", 1, 3, True, True), Contribution("in", 1, 1, True, True))
    assert found.missed == ("a", "lake")
    assert found.score == searcher.search("fish in a lake", 1)[0].score == 4


def test_of_weights_nobody_knows_what_was_typed(searcher: Searcher, toy_index: ImpactIndex) -> None:
    assert [part.typed for part in searcher.explain(FISH, "d9").contributions] == [None, None]
    assert [part.written for part in searcher.explain(FISH, "d9").contributions] == [True, True]
    without_encoder = Searcher(toy_index, quantizer=Quantizer(1)).explain(FISH, "d9")
    assert [part.written for part in without_encoder.contributions] == [None, None]
    assert without_encoder.missed == ("unheard",)


def test_a_document_that_shares_nothing_scores_zero(searcher: Searcher) -> None:
    assert searcher.explain(FISH, "empty").score == 0
    assert searcher.explain(FISH, "empty").missed == ("unheard", "cat", "fish")


def test_a_document_that_is_not_there_is_an_error(searcher: Searcher) -> None:
    with pytest.raises(SearchError, match="holds no document 'none'"):
        searcher.explain(FISH, "none")


# Passages


PASSAGES = {
    "a#0": {"cat": 3},
    "a#1": {"cat": 1, "dog": 9},
    "a#10": {"cat": 3},
    "a!#0": {"cat": 3},  # its passage comes before a#0 in byte order, and the document after a
    "b#0": {"dog": 4},
    "b#1": {"cat": 5},
    "c#0": {},
}


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImpactIndex]:
    """Four documents in passages, by an index that knows it."""
    path = tmp_path_factory.mktemp("indexes") / "passages"
    options = IndexOptions(quantizer=Quantizer(1))
    texts = [(doc_id, f"text of {doc_id}") for doc_id in PASSAGES]
    with ImpactIndex.build(path, [weights(PASSAGES)], options, texts=texts, passages=Passages(5, 3)) as index:
        yield index


def folded(passages: Mapping[str, Mapping[str, int]], query: Mapping[str, int], k: int) -> list[tuple[str, int]]:
    """Not efficient, but simple: a document scores what its best passage scores."""
    best: dict[str, int] = {}
    for passage, score in brute_force(passages, query, 10**9):
        best[document_of(passage)] = max(score, best.get(document_of(passage), 0))
    return sorted(best.items(), key=lambda hit: (-hit[1], hit[0].encode()))[:k]


def test_of_passages_the_best_one_counts(cut: ImpactIndex) -> None:
    searcher = Searcher(cut, quantizer=Quantizer(1))
    assert list(searcher.search({"cat": 1.0})) == [("b", 5), ("a", 3), ("a!", 3)]
    assert list(searcher.search({"cat": 1.0}, 2)) == [("b", 5), ("a", 3)]
    assert list(searcher.search({"unheard": 1.0})) == []
    assert list(searcher.search_vectors(weights({"q": {"dog": 1}}), 1)["q"]) == [("a", 9)]


def test_passages_are_shown_where_they_are_asked_for(cut: ImpactIndex) -> None:
    passages = Searcher(cut, quantizer=Quantizer(1), fold=False).search({"cat": 1.0})
    assert list(passages) == brute_force(PASSAGES, {"cat": 1}, 10)


def test_an_index_that_does_not_know_of_passages_is_not_folded(tmp_path: Path) -> None:
    with ImpactIndex.build(tmp_path / "i", [weights(PASSAGES)], IndexOptions(quantizer=Quantizer(1))) as index:
        assert Searcher(index).search({"dog": 1.0}).doc_ids == ["a#1", "b#0"]


@pytest.mark.parametrize("k", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("passages_a_document", [1, 5, 60])
def test_folding_is_exact_however_many_passages_crowd_the_top(tmp_path: Path, k: int, passages_a_document: int) -> None:
    """Few documents own most of the best passages, and ties abound, also at the cut."""
    rows = {
        f"d{doc}#{number}": {"cat": 1 + doc * 7 % 5 * (number % 3 == 0), "dog": 1 + number % 2}
        for doc in range(12)
        for number in range(passages_a_document)
    }
    queries: dict[str, dict[str, int]] = {
        "q1": {"cat": 1},
        "q2": {"dog": 2},
        "q3": {"cat": 1, "dog": 3},
        "q4": {"sun": 1},
    }
    options = IndexOptions(quantizer=Quantizer(1))
    with ImpactIndex.build(tmp_path / "i", [weights(rows)], options, passages=Passages(9, 9)) as index:
        run = Searcher(index).search_vectors(impacts(queries), k)
    assert {query_id: list(hits) for query_id, hits in run.items()} == {
        query_id: folded(rows, query, k) for query_id, query in queries.items()
    }


def test_texts_are_searched_and_folded_too(cut: ImpactIndex) -> None:
    searcher = Searcher(cut, IdfEncoder(tiny_tokenizer(), {}), quantizer=Quantizer(1))
    assert searcher.search("cat").doc_ids == ["b", "a", "a!"]
    assert searcher.search_texts({"q": "dog"}, 1)["q"].doc_ids == ["a"]


def test_a_document_of_passages_is_explained_by_its_best_one(cut: ImpactIndex) -> None:
    searcher = Searcher(cut, quantizer=Quantizer(1))
    explained = searcher.explain({"cat": 1.0}, "b")
    assert (explained.doc_id, explained.score) == ("b#1", searcher.search({"cat": 1.0})[0].score)
    assert searcher.explain({"cat": 1.0}, "a#1").score == 1
    assert searcher.explain({"cat": 1.0}, "c").doc_id == "c#0"
    with pytest.raises(SearchError, match="holds no document 'none'"):
        searcher.explain({"cat": 1.0}, "none")


def test_a_document_of_passages_shows_its_first(cut: ImpactIndex) -> None:
    assert Searcher(cut).text("a") == "text of a#0"
    assert Searcher(cut, fold=False).text("a#1") == "text of a#1"
    assert Searcher(cut).text("none") is None


# Scales


@pytest.mark.parametrize(("of_index", "of_queries"), [(100, 100), (51.2, 51.2), (1, 100)])
def test_queries_have_the_scale_of_the_index_unless_it_was_given_impacts(
    tmp_path: Path, of_index: float, of_queries: float
) -> None:
    options = IndexOptions(quantizer=Quantizer(of_index))
    with ImpactIndex.build(tmp_path / "i", [weights({"d": {"cat": 1}})], options) as index:
        assert Searcher(index).quantizer == Quantizer(of_queries)
        assert Searcher(index, quantizer=Quantizer(7)).quantizer == Quantizer(7)


# Terms that Pyserini cannot ask for


def test_terms_are_stored_exactly_and_those_that_pyserini_cannot_search_are_counted(tmp_path: Path) -> None:
    terms = ["cat", "\u2581cat", "\u0120cat", "two words", "tab\t", "", "\u3000", "x" * 256, "\U0001d4d0" * 128]
    rows = {f"d{number}": {term: number + 1, "cat": 1} for number, term in enumerate(terms)}
    options = IndexOptions(quantizer=Quantizer(1))
    with ImpactIndex.build(tmp_path / "i", [weights({each: row}) for each, row in rows.items()], options) as index:
        assert index.manifest is not None and index.manifest.unaskable_terms == 6
        assert set(index.terms()) == set(terms)
        for number, term in enumerate(terms[1:], start=1):
            assert list(Searcher(index, quantizer=Quantizer(1)).search({term: 2.0})) == [(f"d{number}", 2 * number + 2)]


def test_terms_without_a_posting_are_not_counted(tmp_path: Path) -> None:
    vectors = weights({"d": {"cat": 0.001}}, Vocabulary(["cat", "two words"]))
    with ImpactIndex.build(tmp_path / "i", [vectors]) as index:
        assert index.manifest is not None and index.manifest.unaskable_terms == 0


# Documents that Anserini takes for empty


@pytest.mark.parametrize("form", ["impacts", "repeat"])
def test_a_document_of_control_characters_alone_is_in_both_forms(tmp_path: Path, form: Form) -> None:
    rows = {"blank": {"\x1b": 3, "\0": 1}, "empty": {}, "half": {"\x1b": 2, "cat": 1}}
    options = IndexOptions(quantizer=Quantizer(1), form=form)
    with ImpactIndex.build(tmp_path / "i", [weights({each: row}) for each, row in rows.items()], options) as index:
        assert len(index) == 3
        assert index.postings("\x1b") == {"blank": 3, "half": 2}
        assert index.postings("\0") == {"blank": 1}
        assert index.manifest is not None and index.manifest.empty_documents == 1
    twice = [weights({"same": {}}), weights({"same": {}})]
    with pytest.raises(FormatError, match="the doc_id 'same' stands in the vectors twice"):
        ImpactIndex.build(tmp_path / "twice", twice, options)
