"""The questions and judgments of the demo: well-formed, and about documents that the running interpreter has."""

from collections import defaultdict
from pathlib import Path

import pytest

import splade_lucene.demo.stdlib as stdlib
from splade_lucene.datasets import Qrel, Query, read_qrels, read_queries

FOLDER = Path(stdlib.__file__).parent
QUESTIONS = list(read_queries(str(FOLDER / "questions.tsv")))
JUDGMENTS = list(read_qrels(str(FOLDER / "judgments.qrels")))


@pytest.fixture(scope="module")
def doc_ids() -> set[str]:
    return {doc.doc_id for doc in stdlib.stdlib_documents()}


def grades_by_question() -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for qrel in JUDGMENTS:
        grades[qrel.query_id][qrel.doc_id] = qrel.relevance
    return grades


def test_counts_and_records() -> None:
    assert len(QUESTIONS) == 150
    assert QUESTIONS[0] == Query("q001", "run a shell command and get its output as a string")
    assert QUESTIONS[-1] == Query("q150", "value of an environment variable or a default")
    assert len(JUDGMENTS) == 1023
    assert JUDGMENTS[0] == Qrel("q001", "subprocess.check_output", 2)
    assert JUDGMENTS[-1] == Qrel("q150", "os.path.expandvars", 1)


def test_questions_are_distinct_and_in_order() -> None:
    assert [question.query_id for question in QUESTIONS] == [f"q{n:03d}" for n in range(1, len(QUESTIONS) + 1)]
    assert len({question.text.lower() for question in QUESTIONS}) == len(QUESTIONS)
    assert all(question.text == question.text.strip() for question in QUESTIONS)


def test_every_question_is_judged_and_nothing_else_is() -> None:
    assert list(grades_by_question()) == [question.query_id for question in QUESTIONS]


def test_every_question_has_several_right_answers_and_a_direct_one() -> None:
    for query_id, grades in grades_by_question().items():
        assert len(grades) >= 2, query_id
        assert set(grades.values()) <= {1, 2}, query_id
        assert 2 in grades.values(), query_id


def test_judgments_of_a_question_are_sorted_by_grade_and_name() -> None:
    for query_id, grades in grades_by_question().items():
        assert list(grades) == sorted(grades, key=lambda doc_id: (-grades[doc_id], doc_id)), query_id


def test_questions_are_spread_over_many_modules() -> None:
    direct = {qrel.doc_id.partition(".")[0] for qrel in JUDGMENTS if qrel.relevance == 2}
    assert len(direct) >= 90


def test_every_judged_document_is_in_the_collection(doc_ids: set[str]) -> None:
    assert sorted({qrel.doc_id for qrel in JUDGMENTS} - doc_ids) == []


def test_the_note_beside_them_gives_the_right_counts() -> None:
    note = (FOLDER / "JUDGMENTS.md").read_text(encoding="utf-8")
    by_grade = [sum(qrel.relevance == grade for qrel in JUDGMENTS) for grade in (2, 1)]
    documents = {qrel.doc_id for qrel in JUDGMENTS}
    modules = {doc_id.partition(".")[0] for doc_id in documents}
    for count in (len(QUESTIONS), len(JUDGMENTS), len(documents), len(modules), *by_grade):
        assert f" {count} " in note.replace("\n", " "), count
