"""Feedback: by hand, by law, and against Anserini's own."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_lucene.lucene import anserini, jvm
from splade_lucene.lucene.feedback import Feedback, rm3, rocchio
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from tests.helpers import brute_force, impacts

DOCUMENTS = {"d1": {"cat": 6, "dog": 3, "sun": 1}, "d2": {"cat": 1, "fish": 3}, "none": {}}

rows = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 1000), max_size=8)
documents = st.lists(rows, max_size=5).map(
    lambda given: impacts({f"d{number}": row for number, row in enumerate(given)})
)
queries = st.dictionaries(st.sampled_from("abcxyz"), st.integers(1, 1000), min_size=1, max_size=5)


def test_rm3_by_hand() -> None:
    """Of d1 the two largest, 6/9 and 3/9 of its length, times 30; of d2 1/4 and 3/4 times 20; of the sums the two."""
    found = rm3({"sea": 3, "cat": 1}, impacts(DOCUMENTS), [30, 20, 10], terms=2, original_weight=0.6)
    cat, fish = 30 * 6 / 9 + 20 / 4, 20 * 3 / 4
    assert found == {
        "sea": pytest.approx(0.6 * 0.75),
        "cat": pytest.approx(0.6 * 0.25 + 0.4 * cat / (cat + fish)),
        "fish": pytest.approx(0.4 * fish / (cat + fish)),
    }


def test_rocchio_by_hand() -> None:
    found = rocchio({"sea": 3, "cat": 4}, impacts(DOCUMENTS), terms=2, alpha=0.9, beta=0.2)
    cat = (6 / np.sqrt(46) + 1 / np.sqrt(10)) / 3
    fish = (3 / np.sqrt(10)) / 3
    assert found == {
        "sea": pytest.approx(0.9 * 3 / 5),
        "cat": pytest.approx(0.9 * 4 / 5 + 0.2 * cat / np.hypot(cat, fish)),
        "fish": pytest.approx(0.2 * fish / np.hypot(cat, fish)),
    }


def test_a_setting_chooses(path: Path = Path()) -> None:
    vectors, scores = impacts(DOCUMENTS), [30, 20, 10]
    query = {"sea": 3.0, "cat": 1.0}
    for feedback, plain in (
        (Feedback(terms=2, original_weight=0.7), rm3(query, vectors, scores, terms=2, original_weight=0.7)),
        (Feedback("rocchio", terms=3, alpha=2, beta=1), rocchio(query, vectors, terms=3, alpha=2, beta=1)),
    ):
        enriched = feedback(query, vectors, scores)
        assert max(enriched.values()) == 1
        assert enriched == pytest.approx({term: weight / max(plain.values()) for term, weight in plain.items()})


@given(queries, documents, st.integers(1, 9), st.sampled_from(["rm3", "rocchio"]), st.data())
def test_laws(query: dict[str, int], vectors, terms: int, method, data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.integers(1, 10**6), min_size=len(vectors), max_size=len(vectors)))
    feedback = Feedback(method, terms=terms)
    enriched = feedback(query, vectors, scores)
    assert all(0 < weight <= 1 for weight in enriched.values())
    known = set().union(*(vectors.row(number) for number in range(len(vectors)))) if len(vectors) else set()
    assert query.keys() <= enriched.keys() <= query.keys() | known
    assert len(enriched) <= len(query) + terms
    if not known:  # nothing to learn from
        largest = max(query.values())
        assert enriched == {term: weight / largest for term, weight in query.items()}
    tenfold = feedback({term: 10 * weight for term, weight in query.items()}, vectors, [7 * each for each in scores])
    assert tenfold == pytest.approx(enriched)


@given(queries, documents)
def test_the_query_alone_stays_itself(query: dict[str, int], vectors) -> None:
    scores = [1] * len(vectors)
    largest = max(query.values())
    itself = pytest.approx({term: weight / largest for term, weight in query.items()})
    assert Feedback(original_weight=1)(query, vectors, scores) == itself
    assert Feedback("rocchio", beta=0)(query, vectors, scores) == itself


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "bo1"},
        {"documents": 0},
        {"terms": 0},
        {"original_weight": 1.1},
        {"original_weight": float("nan")},
        {"alpha": -1.0},
        {"beta": float("inf")},
        {"alpha": 0.0, "beta": 0.0},
    ],
    ids=str,
)
def test_settings_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="|".join(wrong)):
        Feedback(**wrong)  # type: ignore[arg-type]


# Searching


@pytest.mark.jvm
@pytest.mark.parametrize("feedback", [Feedback(), Feedback("rocchio", documents=2, terms=3)], ids=str)
def test_a_search_learns_and_searches_again(
    toy_index: ImpactIndex, toy_rows: Mapping[str, Mapping[str, int]], feedback: Feedback
) -> None:
    queries = {"q1": {"fish": 2, "cat": 1}, "q2": {"moon": 1}, "none": {"unheard": 3}}
    searcher = Searcher(toy_index)
    run = searcher.search_feedback(impacts(queries), 5, feedback=feedback, threads=1)
    for query_id, query in queries.items():
        first = brute_force(toy_rows, query, feedback.documents)
        vectors = toy_index.vectors([doc_id for doc_id, _ in first])
        learned = feedback(query, vectors, [score for _, score in first])
        asked = {term: round(10_000 * weight) for term, weight in learned.items()}
        assert [tuple(hit) for hit in run[query_id]] == brute_force(toy_rows, asked, 5)
    assert len(run["q1"]) == 5 and len(run["none"]) == 0
    within = searcher.search_feedback(impacts(queries), feedback=feedback, filter=toy_index.filter(doc_ids=["d9"]))
    assert {query_id: hits.doc_ids for query_id, hits in within.items()} == {"q1": ["d9"], "q2": [], "none": []}


# Against Anserini


@pytest.fixture(scope="module")
def collection() -> dict[str, dict[str, int]]:
    """Words that Anserini's filters of feedback terms let pass: letters, each in few documents."""
    chance = random.Random(11)
    words = [first + second + third for first in "abcdefg" for second in "aeiou" for third in "lmnrst"]
    return {f"d{number}": {word: chance.randint(1, 99) for word in chance.sample(words, 9)} for number in range(300)}


@pytest.fixture(scope="module")
def anserinis(collection: Mapping[str, Mapping[str, int]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its own index of them, with document vectors."""
    folder = tmp_path_factory.mktemp("anserini")
    (folder / "collection").mkdir()
    with (folder / "collection" / "documents.jsonl").open("w") as file:
        for doc_id, row in collection.items():
            file.write(json.dumps({"id": doc_id, "contents": "", "vector": row}) + "\n")
    options = ("-collection", "JsonVectorCollection", "-impact", "-pretokenized", "-storeDocvectors")
    anserini.index_collection(folder / "collection", folder / "index", *options, threads=1)
    return folder / "index"


def asked(collection: Mapping[str, Mapping[str, int]], count: int) -> Sequence[dict[str, int]]:
    """Queries near to documents."""
    chance = random.Random(12)
    return [
        {word: chance.randint(1, 50) for word in [*chance.sample(sorted(row), 3), "unheard"]}
        for row in chance.sample(list(collection.values()), count)
    ]


@pytest.mark.jvm
@pytest.mark.parametrize(
    "feedback",
    [
        Feedback(),
        Feedback(documents=3, terms=5, original_weight=0.8),
        Feedback(documents=2, terms=100, original_weight=0.1),
        Feedback("rocchio"),
        Feedback("rocchio", documents=3, terms=5, alpha=0.4, beta=2.0),
    ],
    ids=str,
)
def test_feedback_is_anserinis(
    feedback: Feedback, collection: Mapping[str, Mapping[str, int]], anserinis: Path
) -> None:
    searcher = jvm.java_class("io.anserini.search.SimpleImpactSearcher")(str(anserinis))
    hash_map, integer = (jvm.java_class(f"java.{name}") for name in ("util.HashMap", "lang.Integer"))
    if feedback.method == "rm3":
        searcher.set_rm3(None, feedback.terms, feedback.documents, feedback.original_weight, False, True)
    else:
        terms, documents = feedback.terms, feedback.documents
        searcher.set_rocchio(None, terms, documents, terms, documents, feedback.alpha, feedback.beta, 0.0, False, False)
    with ImpactIndex(anserinis) as index:
        for query in asked(collection, 20):
            java_query = hash_map()
            for term, impact in query.items():
                java_query.put(term, integer(impact))
            theirs = [(hit.docid, hit.score) for hit in searcher.search(java_query, 300)]
            first = brute_force(collection, query, feedback.documents)
            vectors = index.vectors([doc_id for doc_id, _ in first])
            scores = [score for _, score in first]
            if feedback.method == "rm3":
                enriched = rm3(query, vectors, scores, terms=feedback.terms, original_weight=feedback.original_weight)
            else:
                enriched = rocchio(query, vectors, terms=feedback.terms, alpha=feedback.alpha, beta=feedback.beta)
            ours = {
                doc_id: sum(weight * row.get(term, 0) for term, weight in enriched.items())
                for doc_id, row in collection.items()
            }
            assert {doc_id for doc_id, score in ours.items() if score > 0} == {doc_id for doc_id, _ in theirs}
            assert [score for _, score in theirs] == pytest.approx(
                [ours[doc_id] for doc_id, _ in theirs], rel=1e-4, abs=2e-4
            )
