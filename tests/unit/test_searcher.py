"""Searcher and explain on the toy corpus."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from splade_lucene.encoding.encoder import IdfEncoder
from splade_lucene.errors import IndexMismatchError, IndexNotFoundError, SearchError, WeightError
from splade_lucene.lucene.explain import Contribution
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
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
