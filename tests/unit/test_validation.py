"""Validation by retrieval: the sample, and what is measured in it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_lucene.datasets import Doc, Qrel, Query
from splade_lucene.encoding.options import Side
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.errors import ConfigError
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits, Run
from splade_lucene.training.validation import DEPTH, Sample, Validation
from splade_lucene.vectors import TermVectors
from tests.helpers import brute_force, tiny_tokenizer

DOCUMENTS = [Doc(f"d{number}", "", "cat" if number % 2 else "dog") for number in range(30)]
QUERIES = [Query(f"q{number}", "cat") for number in range(6)]
QRELS = [
    *(Qrel(f"q{number}", f"d{number}", 1) for number in range(4)),
    Qrel("q0", "d20", 0),
    Qrel("q4", "d5", 0),  # nothing is relevant to it
    Qrel("q9", "d6", 1),  # nobody asks it
]


def test_all_of_a_collection() -> None:
    sample = Sample.draw(iter(DOCUMENTS), iter(QUERIES), iter(QRELS))
    assert sample.documents == DOCUMENTS
    assert [query.query_id for query in sample.queries] == ["q0", "q1", "q2", "q3"]
    assert sample.qrels == QRELS[:5]


@given(st.integers(1, 4), st.integers(0, 29), st.integers(0, 99))
def test_a_sample(most_queries: int, most_others: int, seed: int) -> None:
    settings = {"most_queries": most_queries, "most_others": most_others, "seed": seed}
    sample = Sample.draw(DOCUMENTS, QUERIES, QRELS, **settings)
    names = {query.query_id for query in sample.queries}
    judged = {qrel.doc_id for qrel in QRELS if qrel.query_id in names}
    drawn = {doc.doc_id for doc in sample.documents}
    assert len(names) == most_queries
    assert judged <= drawn
    assert len(sample.documents) == len(drawn) == min(len(judged) + most_others, 30)
    assert sample.documents == [doc for doc in DOCUMENTS if doc.doc_id in drawn]  # in the collection's order
    assert {qrel.doc_id for qrel in sample.qrels} == judged
    assert sample == Sample.draw(DOCUMENTS, QUERIES, QRELS, **settings)


def test_documents_are_drawn_alike_often() -> None:
    drawn = np.zeros(30)
    for seed in range(600):
        for doc in Sample.draw(DOCUMENTS, QUERIES, [Qrel("q0", "d0", 1)], most_others=5, seed=seed).documents:
            drawn[int(doc.doc_id[1:])] += 1
    assert drawn[0] == 600
    assert drawn[1:] == pytest.approx(600 * 5 / 29, abs=45)


@pytest.mark.parametrize("qrels", [[], [Qrel("q0", "d0", 0)], [Qrel("q0", "elsewhere", 1)], [Qrel("nobody", "d0", 1)]])
def test_nothing_can_be_validated(qrels: list[Qrel]) -> None:
    with pytest.raises(ConfigError, match="nothing can be validated"):
        Sample.draw(DOCUMENTS, QUERIES, qrels)


def encoder(side: Side) -> IdfEncoder:
    return IdfEncoder(tiny_tokenizer(), {"cat": 2.0, "dog": 1.0, "fish": 0.5 if side == "documents" else 0.004})


def search(documents: TermVectors, queries: TermVectors, k: int) -> Run:
    assert k == DEPTH
    impacts = [Quantizer()(vectors) for vectors in (documents, queries)]
    rows, asked = ({name: each.row(at) for at, name in enumerate(each.ids)} for each in impacts)
    found = {query_id: brute_force(rows, query, k) for query_id, query in asked.items()}
    return {
        name: Hits([doc_id for doc_id, _ in each], np.array([score for _, score in each]))
        for name, each in found.items()
    }


def test_what_is_measured() -> None:
    documents = [Doc("d1", "A cat", "and a dog"), Doc("d2", "", "dog fish"), Doc("d3", "", "fish")]
    queries = [Query("q1", "cat"), Query("q2", "fish")]
    sample = Sample.draw(documents, queries, [Qrel("q1", "d1", 1), Qrel("q2", "d2", 1)])
    measured = Validation(sample, search, ("RR@10", "nDCG@10"), Quantizer())(encoder)
    # An impact of .004 · 100 is 0: q2 finds nothing. A document's words without a weight in the table weigh 1.
    assert measured == {
        "RR@10": 0.5,
        "nDCG@10": 0.5,
        "document_terms": pytest.approx((4 + 2 + 1) / 3),
        "query_terms": 1.0,
        "expected_postings": 0.5,
    }
