"""Hard negatives out of runs."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_lucene.errors import ConfigError
from splade_lucene.runs import Run
from splade_lucene.training.examples import Example, TrainingExamples
from splade_lucene.training.mining import FOUND_BY, Mining, mine, share, with_margin, words_of
from tests.helpers import hits

TOP = Mining(ranks=(1, 100))


def negatives(examples: TrainingExamples) -> list[set[str]]:
    return [set(each.negatives) for each in examples]


def test_ranks_are_counted_from_1_and_positives_are_no_negatives() -> None:
    run = {"q": hits("d1", "p", "d3", "d4", "d5")}
    examples, counts = mine({"q": ["p", "p"]}, {"bm25": run}, Mining(ranks=(2, 4)))
    assert (examples[0].positives, negatives(examples), counts) == (
        ("p",),
        [{"d3", "d4"}],
        {"hits that are positives": 1},
    )
    assert examples.table[FOUND_BY].to_pylist() == [[["bm25"], ["bm25"]]]


def test_miners_take_turns() -> None:
    many = {"q": hits(*(f"a{number}" for number in range(50)))}
    few = {"q": hits("b0", "b1", "a7")}
    examples, _ = mine({"q": ["p"]}, {"many": many, "few": few}, Mining(negatives=10, ranks=(1, 50)))
    assert len(examples[0].negatives) == 10
    assert {"b0", "b1"} < set(examples[0].negatives)
    found_by = dict(zip(examples[0].negatives, examples.table[FOUND_BY][0].as_py(), strict=True))
    assert found_by["b0"] == ["few"]
    assert found_by.get("a7", ["many", "few"]) == ["many", "few"]
    alone, _ = mine({"q": ["p"]}, {"few": few}, Mining(negatives=10, ranks=(1, 50)))
    assert negatives(alone) == [{"b0", "b1", "a7"}]


def test_chance_is_the_seed_s() -> None:
    run = {query_id: hits(*(f"d{number}" for number in range(90))) for query_id in ("q1", "q2")}
    positives = {"q1": ["p"], "q2": ["p"]}

    def mined(seed: int, asked: dict[str, list[str]]) -> TrainingExamples:
        return mine(asked, {"bm25": run}, Mining(negatives=5, ranks=(1, 90), seed=seed))[0]

    assert mined(0, positives) == mined(0, positives)
    assert mined(0, positives)[0].negatives != mined(1, positives)[0].negatives
    assert mined(0, positives)[0].negatives != mined(0, positives)[1].negatives
    assert mined(0, positives)[1].negatives == mined(0, {"q2": ["p"]})[0].negatives


def test_consistent_positives_are_found_by_a_miner() -> None:
    positives = {"q1": ["p", "r", "s"], "q2": ["x"]}
    first = {"q1": hits("p", "d1", "r"), "q2": hits("d1", "d2", "x")}
    second = {"q1": hits("d2", "r", "p"), "q2": hits("d3", "d2", "x")}
    examples, counts = mine(positives, {"a": first, "b": second}, Mining(ranks=(1, 3), consistent=2))
    assert [(each.query_id, each.positives) for each in examples] == [("q1", ("p", "r"))]
    assert negatives(examples) == [{"d1", "d2"}]
    assert counts == {
        "hits that are positives": 2,
        "positives that are among no miner's first 2": 2,
        "queries without a positive": 1,
    }
    examples, _ = mine({"q1": ["p", "d2"]}, {"a": first}, Mining(ranks=(1, 3), consistent=2))
    assert (examples[0].positives, negatives(examples)) == (("p",), [{"d1", "r"}])
    unfound, _ = mine({"q1": ["p", "r"]}, {"a": first}, Mining(ranks=(1, 3), consistent=1))
    assert (unfound[0].positives, negatives(unfound)) == (("p",), [{"d1"}])


TEXTS = {
    "p": "The cat sat on the mat.",
    "same": "the CAT sat,  on the mat",
    "like": "The cat sat on the red mat.",
    "order": "the mat sat on the cat",
    "other": "Rain is expected.",
}


def test_hits_with_the_words_of_a_positive() -> None:
    run: dict[str, Run] = {"bm25": {"q": hits("same", "like", "order", "other")}}
    every, counts = mine({"q": ["p"]}, run, TOP)
    assert (negatives(every), counts) == ([{"same", "like", "order", "other"}], {})
    examples, counts = mine({"q": ["p"]}, run, TOP, texts=TEXTS)
    assert (negatives(examples), counts) == (
        [{"like", "order", "other"}],
        {"hits with the same words as a positive": 1},
    )
    options = Mining(ranks=(1, 100), jaccard=5 / 6)  # the, cat, sat, on, mat of these and red
    examples, counts = mine({"q": ["p"]}, run, options, texts=TEXTS)
    assert negatives(examples) == [{"other"}]
    assert counts["hits that share 83% of their words with a positive"] == 2
    options = Mining(ranks=(1, 100), jaccard=0.84)
    assert negatives(mine({"q": ["p"]}, run, options, texts=TEXTS)[0]) == [{"like", "other"}]
    assert words_of("Ｃafé—Nº 5\n") == ["café", "no", "5"]


WORDS = st.frozensets(st.sampled_from("abcdefgh"), max_size=8)


@given(WORDS, WORDS, st.sampled_from([0.25, 0.5, 0.8, 1.0]))
def test_a_share_of_words_is_jaccard_s(some: frozenset[str], others: frozenset[str], part: float) -> None:
    union = some | others
    assert share(some, others, part) == (not union or len(some & others) / len(union) >= part)


def test_what_is_left_out_is_counted() -> None:
    run: Run = {"q1": hits("a", "b"), "q2": hits("a"), "q3": hits()}
    positives = {"q1": ["p"], "q2": ["p"], "q3": ["p"], "q4": ["p"]}
    examples, counts = mine(positives, {"bm25": run}, Mining(ranks=(1, 9), at_least=2))
    assert [each.query_id for each in examples] == ["q1"]
    assert counts == {"queries for which bm25 found nothing": 2, "queries with fewer than 2 negatives": 3}
    kept, _ = mine(positives, {"bm25": run}, Mining(ranks=(1, 9), at_least=0))
    assert [len(each.negatives) for each in kept] == [2, 1, 0, 0]
    with pytest.raises(ConfigError, match="no query is left to learn from: 2 queries for which bm25 found nothing; 4"):
        mine(positives, {"bm25": run}, Mining())


def test_the_table_is_read_again_with_who_found_what(tmp_path: Path) -> None:
    examples, _ = mine({"q": ["p"]}, {"bm25": {"q": hits("a", "b")}}, TOP)
    file = tmp_path / "examples.parquet"
    examples.write(file)
    assert TrainingExamples.read(file) == examples


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"ranks": (0, 5)}, "ranks must be 1 <= first <= last, not 0 and 5"),
        ({"ranks": (6, 5)}, "not 6 and 5"),
        ({"negatives": 0, "at_least": 0}, "0 negatives"),
        ({"negatives": 2, "at_least": 3}, "2 negatives, 3 at least"),
        ({"consistent": 0}, "consistent must be at least 1"),
        ({"jaccard": 1.5}, "jaccard must be above 0"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_options_out_of_range(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Mining(**settings)  # type: ignore[arg-type]


IDS = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=8)


@given(
    st.dictionaries(st.sampled_from(["x", "y", "z"]), st.lists(IDS, min_size=2, max_size=2), min_size=1),
    st.dictionaries(st.sampled_from(["x", "y"]), st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=3)),
    st.integers(1, 4),
    st.integers(0, 5),
    st.integers(1, 6),
)
def test_negatives_come_from_the_window_and_from_own_hits_alone(
    found: dict[str, list[list[str]]], positives: dict[str, list[str]], first: int, width: int, count: int
) -> None:
    options = Mining(count, (first, first + width), at_least=0)
    runs: dict[str, Run] = {
        name: {query_id: hits(*lists[number]) for query_id, lists in found.items()} for number, name in enumerate("AB")
    }
    if not positives:
        return
    examples, _ = mine(positives, runs, options)
    assert [each.query_id for each in examples] == list(positives)
    for example, found_by in zip(examples, examples.table[FOUND_BY].to_pylist(), strict=True):
        windows = {
            name: run[example.query_id].doc_ids[first - 1 : first + width] if example.query_id in run else []
            for name, run in runs.items()
        }
        candidates = set().union(*windows.values()) - set(positives[example.query_id])
        assert len(example.negatives) == len(set(example.negatives)) == min(count, len(candidates))
        assert set(example.negatives) <= candidates
        assert found_by == [[name for name in runs if doc_id in windows[name]] for doc_id in example.negatives]
        assert mine({example.query_id: example.positives}, runs, options)[0][0].negatives == example.negatives


def scored() -> TrainingExamples:
    def scores(*values: float) -> dict[str, np.ndarray]:
        return {"ce": np.array(values, dtype=np.float32), "other": np.arange(len(values), dtype=np.float32)}

    return TrainingExamples.of(
        [
            Example("q1", ("p", "r"), ("a", "b", "c"), scores(9, 5, 3, 2, -1)),
            Example("q2", ("p",), ("a",), scores(1, 0)),
            Example("q3", ("p",), (), scores(4)),
            Example("q4", ("p",), ("a", "b"), scores(8, 8, 4)),
        ]
    )


def test_negatives_within_a_teacher_s_margin() -> None:
    examples, counts = with_margin(scored(), "ce", 3)
    assert [(each.query_id, each.positives, each.negatives) for each in examples] == [
        ("q1", ("p", "r"), ("b", "c")),
        ("q3", ("p",), ()),
        ("q4", ("p",), ("b",)),
    ]
    assert [each.scores["other"].tolist() for each in examples] == [[0, 1, 3, 4], [0], [0, 2]]
    assert counts == Counter(
        {"negatives that ce scores less than 3 below a positive": 3, "queries without a negative then": 1}
    )
    assert with_margin(scored(), "ce", -9) == (scored(), Counter())


def test_the_margin_takes_all_columns_along() -> None:
    mined, _ = mine({"q": ["p"]}, {"a": {"q": hits("x", "y")}, "b": {"q": hits("y")}}, TOP)
    values = [[1.0] + [0.9 if doc_id == "x" else 0.1 for doc_id in mined[0].negatives]]
    both = TrainingExamples(mined.table.append_column("scores.ce", pa.array(values, pa.list_(pa.float32()))))
    left, _ = with_margin(both, "ce", 0.5)
    assert (left[0].negatives, left.table[FOUND_BY].to_pylist()) == (("y",), [[["a", "b"]]])


def test_a_margin_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="the examples have no scores of bert; they have ce, other"):
        with_margin(scored(), "bert", 1)
    with pytest.raises(ConfigError, match="no query is left to learn from: 1 negatives that ce scores"):
        with_margin(scored()[1:2], "ce", 5)
