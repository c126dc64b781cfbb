"""BM25 beside the impacts: Anserini's hits and scores, in filters, of passages, after changes; hybrid search."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from splade_lucene.datasets import Doc, Passages, Query
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.errors import SearchError
from splade_lucene.fusion import Fusion, reciprocal_rank_fusion, weighted_sum
from splade_lucene.lucene import anserini
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits
from tests.helpers import WORDS, tiny_tokenizer, weights

pytestmark = pytest.mark.jvm

OPTIONS = IndexOptions(quantizer=Quantizer(1), threads=1, bm25=True)
FORMS = ["sleeping", "foxes", "running", "The", "of", "it's", "e.g.", "naïve", "COLD", "don't", "x" * 300]


def texts(seed: int, count: int) -> dict[str, str]:
    """Random sentences: forms of words that stemming joins, stop words, and some that are alike."""
    chance = random.Random(seed)
    words = [*WORDS, *FORMS]
    return {f"d{number}": " ".join(chance.choices(words, k=chance.choice([0, 1, 3, 9, 40]))) for number in range(count)}


def build(path: Path, documents: Mapping[str, str], passages: Passages | None = None) -> ImpactIndex:
    vectors = [weights({doc_id: dict.fromkeys(set(text.split()), 1.0) for doc_id, text in documents.items()})]
    return ImpactIndex.build(path, vectors, OPTIONS, texts=documents.items(), passages=passages)


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    return texts(1, 300)


@pytest.fixture(scope="module")
def questions() -> dict[str, str]:
    return {f"q{number}": text for number, text in enumerate(texts(2, 40).values())}


@pytest.fixture(scope="module")
def index(documents: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImpactIndex]:
    with build(tmp_path_factory.mktemp("indexes") / "bm25", documents) as index:
        yield index


def close(found: Hits, expected: Hits) -> None:
    """The same documents and scores, but for Anserini's: it rounds to 1e-4 and lowers ties by millionths."""
    assert found.doc_ids == expected.doc_ids
    assert found.scores.tolist() == pytest.approx(expected.scores.tolist(), abs=2e-4)


@pytest.mark.parametrize("k", [1, 10, 1000])
def test_bm25_is_anserinis(
    index: ImpactIndex, documents: dict[str, str], questions: dict[str, str], k: int, tmp_path: Path
) -> None:
    docs = [Doc(doc_id, "", text or "empty") for doc_id, text in documents.items()]  # Anserini drops empty ones,
    with build(tmp_path / "i", {doc.doc_id: doc.text for doc in docs}) as index:  # and counts without them
        found = Searcher(index).search_bm25(questions, k, threads=2)
    asked = [Query(*question) for question in questions.items()]
    expected = anserini.bm25(docs, asked, k, folder=tmp_path, threads=1)
    assert list(found) == list(expected) == list(questions)
    assert sum(map(len, found.values())) >= 30
    for query_id in questions:
        close(found[query_id], expected[query_id])


def test_hits_do_not_depend_on_threads_or_on_the_other_queries(index: ImpactIndex, questions: dict[str, str]) -> None:
    searcher = Searcher(index)
    run = searcher.search_bm25(questions, 20, threads=1)
    assert searcher.search_bm25(questions, 20, threads=3) == run
    for query_id, text in questions.items():
        assert searcher.search_bm25({query_id: text}, 20) == {query_id: run[query_id]}
        assert searcher.search_bm25({query_id: text}, 3)[query_id] == run[query_id][:3]


def test_texts_that_ask_nothing_and_texts_that_ask_much(index: ImpactIndex) -> None:
    searcher = Searcher(index)
    run = searcher.search_bm25({"empty": "", "stop": "the of and", "none": "unheard \ud800", "much": "fish " * 5_000})
    assert [len(hits) for hits in run.values()][:3] == [0, 0, 0]
    long = " ".join(f"word{number}" for number in range(5_000)) + " fish"
    found = searcher.search_bm25({"long": long, "short": "fish"})
    assert found["long"] == found["short"] and len(found["short"]) > 10
    assert run["much"].doc_ids == found["short"].doc_ids
    with pytest.raises(SearchError, match="k must be at least 1"):
        searcher.search_bm25({"q": "fish"}, 0)


def test_an_index_without_bm25_says_so(toy_index: ImpactIndex) -> None:
    with pytest.raises(SearchError, match="holds no texts for BM25; build it with `--texts` and `--bm25`"):
        Searcher(toy_index).search_bm25({"q": "fish"})


def test_bm25_within_a_filter_has_the_scores_of_all(index: ImpactIndex, questions: dict[str, str]) -> None:
    """A filter takes hits out and changes nothing else."""
    some = {f"d{number}" for number in range(0, 300, 7)} | {"never"}
    everything = Searcher(index).search_bm25(questions)
    within = Searcher(index).search_bm25(questions, filter=index.filter(doc_ids=some))
    for query_id, hits in everything.items():
        assert list(within[query_id]) == [hit for hit in hits if hit.doc_id in some]
    assert Searcher(index).search_bm25(questions, 5, filter=index.filter(doc_ids=some)) == {
        query_id: hits[:5] for query_id, hits in within.items()
    }
    nothing = Searcher(index).search_bm25(questions, filter=index.filter(doc_ids=[]))
    assert all(len(hits) == 0 for hits in nothing.values())


def test_of_passages_the_best_one_counts(tmp_path: Path, questions: dict[str, str]) -> None:
    chance = random.Random(3)
    passages = {f"d{number // 9}#{number % 9}": text for number, text in enumerate(texts(4, 90).values())}
    passages |= {f"crowd#{number}": "fish fish" for number in range(60)}
    asked = questions | {"crowded": "fish", "more": "fish sea"}
    with build(tmp_path / "i", passages, Passages(40, 40)) as index:
        unfolded = Searcher(index, fold=False).search_bm25(asked)
        for k in (1, 2, chance.randint(3, 9), 100):
            folded = Searcher(index).search_bm25(asked, k)
            for query_id, hits in unfolded.items():
                best: dict[str, float] = {}
                for hit in hits:
                    best.setdefault(hit.doc_id.rpartition("#")[0], hit.score)
                expected = sorted(best.items(), key=lambda hit: (-hit[1], hit[0].encode()))[:k]
                assert [tuple(hit) for hit in folded[query_id]] == expected


def test_changed_texts_are_found_by_bm25_and_deleted_ones_are_not(tmp_path: Path) -> None:
    build(tmp_path / "i", {"d1": "a red cat", "d2": "a blue fish", "d3": "a cat and a fish"}).close()
    with ImpactIndex.writer(tmp_path / "i") as writer:
        writer.update([weights({"d1": {"fish": 1}, "d4": {}})], [("d1", "only fishes"), ("d4", "cats")])
        writer.delete(["d2"])
        writer.merge()
    with ImpactIndex(tmp_path / "i") as index:
        run = Searcher(index).search_bm25({"fish": "fish", "cat": "cat", "red": "red"})
        assert {query_id: sorted(hits.doc_ids) for query_id, hits in run.items()} == {
            "fish": ["d1", "d3"],
            "cat": ["d3", "d4"],
            "red": [],
        }


# Hybrid


def test_hybrid_search_fuses_both_runs(index: ImpactIndex) -> None:
    searcher = Searcher(index, IdfEncoder(tiny_tokenizer(), {}), quantizer=Quantizer(1))
    asked = {"q1": "a fish in the sea", "q2": "snow", "q3": "running foxes", "none": "unheard"}
    runs = [searcher.search_texts(asked), searcher.search_bm25(asked)]
    assert searcher.search_hybrid(asked) == reciprocal_rank_fusion(runs)
    assert searcher.search_hybrid(asked, 5) == reciprocal_rank_fusion(runs, k=5)
    by_sum = Fusion("sum", (0.7, 0.3))
    assert searcher.search_hybrid(asked, 7, fusion=by_sum, threads=1) == weighted_sum(runs, (0.7, 0.3), k=7)
    shallow = [{query_id: hits[:2] for query_id, hits in run.items()} for run in runs]
    assert searcher.search_hybrid(asked, 2, fusion=Fusion(depth=1)) == reciprocal_rank_fusion(shallow, k=2)
    assert len(searcher.search_hybrid(asked)["none"]) == 0


def test_hybrid_search_wants_both_sides(index: ImpactIndex, toy_index: ImpactIndex) -> None:
    with pytest.raises(SearchError, match=r"Searcher\(index, encoder\)"):
        Searcher(index).search_hybrid({"q": "fish"})
    with pytest.raises(SearchError, match="no texts for BM25"):
        Searcher(toy_index, IdfEncoder(tiny_tokenizer(), {})).search_hybrid({"q": "fish"})


# Filters


def test_a_filter_is_of_ids_or_of_a_field(tmp_path: Path) -> None:
    options = replace(OPTIONS, store=("kind", "title"), bm25=False)
    given = [("d1", {"kind": "a", "title": "t"}), ("d2", {"kind": "b"}), ("d3", {"kind": "a" * 300, "text": "x"})]
    vectors = [weights({doc_id: {"cat": 1} for doc_id, _ in given})]
    with ImpactIndex.build(tmp_path / "i", vectors, options, texts=given) as index:
        assert index.filter(doc_ids=["d1", "d3", "never", "\ud800", ""]).size == 2
        assert [index.filter(field="kind", value=value).size for value in ("a", "b", "c", "", "a" * 256)] == [
            1,
            1,
            0,
            0,
            0,
        ]
        with pytest.raises(SearchError, match="no field 'knid' to filter on; it has kind, title"):
            index.filter(field="knid", value="a")
        with pytest.raises(SearchError, match="300 bytes"):
            index.filter(field="kind", value="a" * 300)
        for wrong in ({}, {"field": "kind"}, {"value": "a"}, {"doc_ids": [], "field": "kind", "value": "a"}):
            with pytest.raises(ValueError, match="of doc_ids, or of a field and its value"):
                index.filter(**wrong)  # type: ignore[arg-type]


def test_an_index_that_stores_no_fields_says_so(toy_index: ImpactIndex) -> None:
    with pytest.raises(SearchError, match="it has none: build it with `--texts` and `--store`"):
        toy_index.filter(field="title", value="x")


def test_a_filter_is_for_the_index_as_it_was_opened(index: ImpactIndex) -> None:
    with ImpactIndex(index.path) as other, pytest.raises(ValueError, match="another index, or of another view"):
        other.search_texts(["fish"], 10, filter=index.filter(doc_ids=["d1"]))
