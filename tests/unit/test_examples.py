"""Training examples on disk, and what a run sees of them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_lucene.datasets import Doc, Query
from splade_lucene.errors import ConfigError, FormatError
from splade_lucene.training.examples import Draws, Example, TextStore, TrainingExamples

SCORES = {"dense": np.array([0.5, 0.25, 0.125], dtype=np.float32)}


def some(count: int, negatives: int = 5) -> TrainingExamples:
    return TrainingExamples.of(
        Example(f"q{number}", (f"p{number}", f"r{number}"), tuple(f"n{number}-{each}" for each in range(negatives)))
        for number in range(count)
    )


def test_there_and_back(tmp_path: Path) -> None:
    examples = TrainingExamples.of(
        [
            Example("q 1", ("a",), ("b", "ü"), SCORES),
            Example("q2", ("c", "d"), ("e",), SCORES),
            Example("q3", ("f", "g", "h"), (), SCORES),
        ]
    )
    examples.write(tmp_path / "examples.parquet")
    again = TrainingExamples.read(tmp_path / "examples.parquet")
    assert again == examples
    assert again.teachers == ["dense"]
    assert again[1].negatives == ("e",)
    assert again[2].scores["dense"].tolist() == [0.5, 0.25, 0.125]
    assert [each.query_id for each in again[1:]] == ["q2", "q3"]


@pytest.mark.parametrize(
    ("example", "complaint"),
    [
        (Example("q", (), ("n",)), "'q' has no positive"),
        (Example("q", ("d",), ("n", "d")), "'d' is a positive and a negative"),
        (Example("q", ("d",), (), SCORES), "dense has scored 3 documents, and there are 1"),
        (Example("q", ("d",), (), {"t": np.array([np.nan], dtype=np.float32)}), "a score of t is not finite"),
    ],
)
def test_what_cannot_be_learned_from(example: Example, complaint: str) -> None:
    with pytest.raises(FormatError, match=complaint):
        TrainingExamples.of([example])


IDS = st.lists(st.sampled_from("abcd"), max_size=3)
SCORED = st.lists(st.sampled_from([0.5, -2.0, float("nan"), float("inf")]), max_size=6)


@given(st.lists(st.tuples(IDS, IDS, SCORED | st.none()), max_size=5))
def test_the_first_row_that_is_no_example_is_found_as_a_loop_over_rows_finds_it(
    given_rows: list[tuple[list[str], list[str], list[float] | None]],
) -> None:
    # None: one good score for each document, which chance alone seldom makes.
    rows = [(pos, neg, [1.0] * len(pos + neg) if scores is None else scores) for pos, neg, scores in given_rows]
    made = [
        Example(str(number), tuple(pos), tuple(neg), {"t": np.array(scores, dtype=np.float32)})
        for number, (pos, neg, scores) in enumerate(rows)
    ]
    wrong = [
        number
        for number, (pos, neg, scores) in enumerate(rows)
        if not pos or set(pos) & set(neg) or len(scores) != len(pos + neg) or not np.isfinite(scores).all()
    ]
    if wrong:
        with pytest.raises(FormatError, match=f"query '{wrong[0]}'"):
            TrainingExamples.of(made)
    else:
        assert len(TrainingExamples.of(made)) == len(rows)


def test_teachers_that_scored_some_only() -> None:
    with pytest.raises(FormatError, match=r"'q2' lacks scores\.dense, which other examples have"):
        TrainingExamples.of([Example("q1", ("a",), ("b", "c"), SCORES), Example("q2", ("a",), ("b", "c"))])


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        TrainingExamples.read(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("query")
    with pytest.raises(FormatError, match="is not a Parquet file"):
        TrainingExamples.read(tmp_path / "text.parquet")
    pq.write_table(pa.table({"query_id": ["q"]}), tmp_path / "other.parquet")
    with pytest.raises(FormatError, match="no column negatives, positives"):
        TrainingExamples.read(tmp_path / "other.parquet")


def test_texts() -> None:
    store = TextStore([Doc("d1", "Title", "text"), Doc("d2", "", "no title")], "document")
    assert (store["d1"], store["d2"], len(store), "d3" in store) == ("Title text", "no title", 2, False)
    with pytest.raises(ConfigError, match="the examples name the document 'd3', which the collection does not have"):
        store["d3"]
    assert TextStore([Query("q", "what?")], "query")["q"] == "what?"


def test_only_texts_that_are_wanted() -> None:
    records = [Doc("d1", "", "one"), Doc("d2", "", "two"), Doc("d1", "", "one"), Doc("d3", "", "three")]
    store = TextStore(records, "document", {"d1", "d4"})
    assert (len(store), store["d1"]) == (1, "one")
    store.check(["d1"])
    with pytest.raises(ConfigError, match="'d4', which the collection does not have"):
        store.check(["d1", "d5", "d4"])
    with pytest.raises(FormatError, match="the document 'd1' stands there twice, with different texts"):
        TextStore([*records, Doc("d1", "", "another")], "document")


def test_examples_of_several_files() -> None:
    first, second = some(2), TrainingExamples.of([Example("q9", ("a",), ("b", "p1"))])
    joined = TrainingExamples.joined([first, second])
    assert [each.query_id for each in joined] == ["q0", "q1", "q9"]
    assert second.documents() == {"a", "b", "p1"}
    assert joined.documents() == first.documents() | second.documents()
    scored = TrainingExamples.of([Example("q8", ("a",), ("b", "c"), SCORES)])
    with pytest.raises(FormatError, match="some files of examples have scores of dense, and others have not"):
        TrainingExamples.joined([first, scored])


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    some(3).write(tmp_path / "examples.parquet")
    assert TrainingExamples.read(tmp_path / "examples.parquet").fingerprint == some(3).fingerprint
    assert some(4).fingerprint != some(3).fingerprint != some(3, 4).fingerprint


@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 99))
def test_what_is_drawn(batch: int, negatives: int, seed: int) -> None:
    examples = some(11)
    draws = Draws(examples, 3 * batch * (11 // batch), batch, negatives, seed=seed)
    for start in range(0, len(draws), batch):
        seen = draws[start : start + batch]
        assert len({draw.query_id for draw in seen}) == batch  # no query twice in a batch
    for draw in draws:
        number = draw.query_id[1:]
        assert draw.candidates[0] in draw.positives == {f"p{number}", f"r{number}"}
        assert len(set(draw.candidates)) == 1 + negatives
        assert all(each.startswith(f"n{number}-") for each in draw.candidates[1:])
    epoch = batch * (11 // batch)
    assert max(Counter(draw.query_id for draw in draws[:epoch]).values()) == 1
    longer = Draws(examples, 99 * batch, batch, negatives, seed=seed)
    assert [draw.candidates for draw in longer[: len(draws)]] == [draw.candidates for draw in draws]


def test_scores_are_those_of_the_candidates() -> None:
    examples = TrainingExamples.of(
        Example(f"q{number}", ("a", "b"), ("c", "d", "e"), {"one": np.arange(5), "two": np.arange(5) * 10.0})
        for number in range(4)
    )
    for draw in Draws(examples, 40, 4, 2, ("two", "one")):
        places = ["abcde".index(each) for each in draw.candidates]
        assert draw.scores.tolist() == [[10.0 * each for each in places], [float(each) for each in places]]


def test_all_alike_likely() -> None:
    drawn = Counter(doc for draw in Draws(some(4), 4_000, 4, 2) if draw.query_id == "q0" for doc in draw.candidates)
    assert drawn["p0"] == pytest.approx(500, abs=80)
    assert [drawn[f"n0-{each}"] for each in range(5)] == pytest.approx([400] * 5, abs=80)


def test_too_few(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 examples do not fill a batch of 4"):
        Draws(some(3), 8, 4, 2)
    with pytest.raises(ConfigError, match="'q0' has 5 negatives, and 7 are to be drawn: mine more"):
        Draws(some(3), 8, 2, 7)
    with pytest.raises(ConfigError, match="no scores of a teacher; they have none"):
        Draws(some(3), 8, 2, 1, ("a teacher",))


def test_files_of_examples_are_joined_by_the_columns_they_share() -> None:
    mined = TrainingExamples.of([Example("q1", ("a",), ("b", "c"), SCORES)])
    found_by = pa.array([["bm25", "default"]])
    more = TrainingExamples(mined.table.append_column("found_by", found_by))
    other = TrainingExamples.of([Example("q2", ("d",), ("e", "f"), SCORES)])
    for parts in ([more, other], [other, more]):
        joined = TrainingExamples.joined(parts)
        assert sorted(each.query_id for each in joined) == ["q1", "q2"]
        assert joined.teachers == ["dense"]
