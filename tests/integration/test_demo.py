"""The demo, on a collection of sixty docstrings: the whole road once, and a short one the second time."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.datasets import Doc
from splade_lucene.demo import stdlib, tour
from splade_lucene.demo.tour import MEASURES, Tour
from tests.integration.support import clean

pytestmark = pytest.mark.jvm

DOCUMENTS = 60


def silent(description: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda count: None)


@pytest.fixture(scope="module")
def few_documents() -> Iterator[list[Doc]]:
    """What the demo collects, cut to the first sixty, some of them judged."""
    judged = {qrel.doc_id for qrel in tour.judgments() if qrel.relevance}
    documents = list(islice((doc for doc in stdlib.stdlib_documents() if doc.doc_id in judged), DOCUMENTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tour, "stdlib_documents", lambda: iter(documents))
        yield documents


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def walked(folder: Path, few_documents: list[Doc]) -> Tour:
    return Tour(folder, silent)


def test_the_road_has_its_steps(walked: Tour, few_documents: list[Doc]) -> None:
    said = [step.what for step in walked.steps[:4]]
    assert said[0].startswith(f"{DOCUMENTS} docstrings of Python ")
    assert said[1] == "default model loaded"
    assert said[2] == f"{DOCUMENTS} documents encoded"
    assert said[3].endswith("postings indexed by Lucene")
    assert not any(step.reused for step in walked.steps[:4])
    assert list(walked.documents) == [doc.doc_id for doc in few_documents]


def test_a_second_walk_takes_what_is_there(walked: Tour, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tour, "stdlib_documents", lambda: pytest.fail("collected again"))
    again = Tour(folder, silent)
    assert [step.reused for step in again.steps] == [True, False, True, True]
    assert again.searcher.search("parse a date") == walked.searcher.search("parse a date")


def test_an_index_that_is_damaged_is_made_again(
    folder: Path, walked: Tour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "demo"
    shutil.copytree(folder, copy)
    for file in copy.glob("index-*/segments_*"):
        file.write_bytes(b"")
    again = Tour(copy, silent)
    assert [step.reused for step in again.steps] == [True, False, True, False]
    assert again.searcher.search("parse a date") == walked.searcher.search("parse a date")


def test_hits_are_documents_and_can_be_explained(walked: Tour) -> None:
    hits = walked.searcher.search("how do I read a file", 3)
    assert len(hits) == 3
    for hit in hits:
        explanation = walked.searcher.explain("how do I read a file", hit.doc_id)
        assert explanation.score == hit.score
        assert None not in {part.written for part in explanation.contributions}  # the text is stored
        assert walked.searcher.index.text(hit.doc_id) == walked.documents[hit.doc_id].default_text()


def test_both_runs_are_measured_over_all_questions(walked: Tour) -> None:
    started = time.perf_counter()
    measured = walked.measure()
    assert (measured.questions, measured.judgments) == (len(tour.questions()), len(tour.judgments()))
    for evaluation in (measured.ours, measured.bm25):
        assert list(evaluation.measures) == list(MEASURES)
        assert all(0 < value < 1 for value in evaluation.measures.values())
    assert [each.measure for each in measured.comparisons] == list(MEASURES)
    first, second = walked.steps[-2:]
    assert "encoded and searched" in first.what and "BM25" in second.what
    assert first.seconds + second.seconds <= time.perf_counter() - started


def test_the_demo_answers_a_question_from_the_command_line(
    walked: Tour, folder: Path, few_documents: list[Doc], cli: Callable[..., Any]
) -> None:
    finished = cli("demo", "--folder", folder, "--query", "how do I read a file", "--k", 2)
    assert finished.code == 0
    assert clean(finished.err)
    for hit in walked.searcher.search("how do I read a file", 2):
        assert hit.doc_id[:40] in finished.out
    assert "Why " in finished.out and "was there already" in finished.out


def test_the_demo_shows_its_measures(
    walked: Tour, folder: Path, few_documents: list[Doc], cli: Callable[..., Any]
) -> None:
    finished = cli("demo", "--folder", folder)
    assert finished.code == 0
    for said in (*MEASURES, "BM25", "default model", next(tour.examples()).text, "--query"):
        assert said in finished.out
