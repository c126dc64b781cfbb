"""The order of hits, and run files, with the numbers of METHODS section 11."""

from pathlib import Path

import numpy as np
import pytest

from splade_lucene.errors import FormatError, SearchError
from splade_lucene.runs import Hit, Hits, ranked, read_run, strictly_decreasing, write_run
from tests.helpers import hits


def test_ties_go_by_the_bytes_of_the_doc_id() -> None:
    assert [hit.doc_id for hit in ranked({"10": 1, "2": 1, "9": 1})] == ["10", "2", "9"]
    assert [hit.doc_id for hit in ranked({"\uffff": 1, "😀": 1, "é": 1, "z": 1, "b": 2})] == [
        "b",
        "z",
        "é",
        "\uffff",
        "😀",
    ]
    assert ranked({"a": 1, "b": 2, "c": 1}, 2) == [Hit("b", 2), Hit("a", 1)]


def test_hits_are_a_sequence() -> None:
    three = Hits(["a", "b", "c"], np.array([3, 2, 1]))
    assert list(three) == [Hit("a", 3), Hit("b", 2), Hit("c", 1)]
    assert three[0] == Hit("a", 3)
    assert three[-1].score == 1
    assert three[1:] == Hits(["b", "c"], np.array([2, 1]))
    assert len(three) == 3
    assert three != Hits(["a", "b", "c"], np.array([3, 2, 0]))
    assert repr(three) == "Hits([Hit(doc_id='a', score=3), Hit(doc_id='b', score=2), Hit(doc_id='c', score=1)])"
    assert repr(hits("a", "b", "c", "d")).endswith(", …)")


@pytest.mark.parametrize(
    "scores",
    [[9, 9, 9, 8], [10_000] * 3 + [9_999], [2**24 + 1, 2**24, 2**24], [0, 0, 0], [1e-45, 1e-45], [-1, -1], [1, 2, 3]],
    ids=str,
)
def test_scores_decrease_strictly_as_float32(scores: list[float]) -> None:
    lowered = strictly_decreasing(np.array(scores))
    assert lowered.dtype == np.float32
    assert (np.diff(lowered) < 0).all()
    assert lowered[0] == np.float32(scores[0])


def test_scores_that_decrease_already_stay() -> None:
    assert strictly_decreasing(np.array([3, 2, 1])).tolist() == [3, 2, 1]
    assert strictly_decreasing(np.array([9, 9, 8])).tolist() == [9, np.nextafter(np.float32(9), np.float32(0)), 8]
    assert strictly_decreasing(np.array([])).tolist() == []


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused(score: float) -> None:
    with pytest.raises(SearchError, match="not a finite float32"):
        strictly_decreasing(np.array([score]))


def test_a_run_file_as_trec_has_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.run"
    write_run(path, {"q": Hits(["b", "a"], np.array([7, 7])), "none": hits(), "p": hits("b")}, tag="mine")
    assert path.read_text() == "q Q0 b 1 7 mine\nq Q0 a 2 6.9999995 mine\np Q0 b 1 1 mine\n"


@pytest.mark.parametrize("score", [1e-30, 1e30, 2**24 - 1, 0.1])
def test_scores_are_written_without_exponent_and_read_back_exactly(tmp_path: Path, score: float) -> None:
    write_run(tmp_path / "a.run", {"q": hits("d", scores=[score])})
    assert "e" not in (tmp_path / "a.run").read_text().split()[4]
    assert np.float32(read_run(tmp_path / "a.run")["q"][0].score) == np.float32(score)


def test_a_foreign_run_is_read_as_trec_eval_sorts_it(tmp_path: Path) -> None:
    """By score, ties by doc_id descending; the rank column says nothing."""
    path = tmp_path / "a.run"
    path.write_text("q Q0 10 1 5 t\nq Q0 2 2 5 t\nq\tQ0\t9 3 5.0 t\nq Q0 x 4 6e0 t\np Q0 x 1 -1 t\n")
    run = read_run(path)
    assert list(run) == ["q", "p"]
    assert run["q"].doc_ids == ["x", "9", "2", "10"]
    assert run["q"].scores.tolist() == [6, 5, 5, 5]


def test_a_run_file_of_any_hand(tmp_path: Path) -> None:
    """Lines in any order, ends of Windows, a byte order mark, tabs and spaces mixed, blank lines, no end at the end."""
    path = tmp_path / "a.run"
    path.write_bytes(
        b"\xef\xbb\xbfq Q0 b\t2 1.5 t\r\np\tQ0  a 1\t7 t\r\n\r\n  q Q0 a 1 +2.5e0 t  \r\n \t\r\nq Q0 c 9 -1 t"
    )
    run = read_run(path)
    assert {query_id: hits.doc_ids for query_id, hits in run.items()} == {"q": ["a", "b", "c"], "p": ["a"]}
    assert run["q"].scores.tolist() == [2.5, 1.5, -1]


def test_scores_that_differ_beyond_float32_are_ties_as_in_trec_eval(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    path.write_text("q Q0 a 1 16777217 t\nq Q0 b 2 16777216 t\n")
    assert read_run(path)["q"].doc_ids == ["b", "a"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q Q0 d 1 5", "6 columns (query_id Q0 doc_id rank score tag) wanted, found 5"),
        ("q Q0 d 1 5 t more", "found more"),
        ("q Q0 d 1 5 t " * 1_000, "found more: q Q0 d 1 5 t q Q0"),
        ("q Q0 d 1 1e39 t", "the score '1e39' is not a finite float32"),
        ("q Q0 " + "d" * 40_000 + " 1 5 t", "is 40,000 bytes long"),
        ("q Q0 d 1 high t", "the score 'high' is not a number"),
        ("q Q0 d 1 nan t", "the score 'nan' is not a finite float32"),
        ("q Q0 d 1 inf t", "the score 'inf' is not a finite float32"),
        ("q Q0 first 2 4 t", "query q finds document first twice"),
        ("q Q0 \x07 2 4 t", "control character"),
    ],
    ids=lambda given: given[:30],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "a.run"
    path.write_text(f"q Q0 first 1 5 t\n{line}\n")
    with pytest.raises(FormatError) as refused:
        read_run(path)
    assert str(refused.value).startswith(f"{path}:2: ")
    assert said in str(refused.value)
    assert len(str(refused.value)) < 400
