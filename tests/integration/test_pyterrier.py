"""Our transformers in PyTerrier's own pipelines: what they find is what a `Searcher` finds."""

import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyterrier as pt
import pytest
from ir_measures import AP, RR, R, nDCG

from splade_lucene.datasets import Passages, Qrel
from splade_lucene.encoding.encoder import TextEncoder, load_encoder
from splade_lucene.errors import FormatError, IndexExistsError, WeightError
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.integrations.pyterrier import (
    SpladeDocumentEncoder,
    SpladeIndexer,
    SpladeQueryEncoder,
    SpladeRetriever,
)
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.scan import scan
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.pruning import Pruning
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import strictly_decreasing
from splade_lucene.vectors import ImpactVectors
from tests.helpers import ROOT, as_rows, weights
from tests.integration.support import shared

pytestmark = pytest.mark.jvm

TOPICS = pd.DataFrame(
    [["q1", "a cat in the sun"], ["q2", "the moon and the water"], ["nothing", "zzz"], ["q3", "cold rain"]],
    columns=["qid", "query"],
)
ASKED = {"q1": {"cat": 1.5, "sun": 1.0}, "none": {"unknown": 2.0}, "empty": {}, "q2": {"moon": 1, "the": 2}}
TOKS = pd.DataFrame({"qid": list(ASKED), "query_toks": list(ASKED.values())})
QRELS = [
    Qrel("q1", "d1", 2),
    Qrel("q1", "d9", 1),
    Qrel("q2", "twin-a", 1),
    Qrel("q2", "fish", 1),
    Qrel("empty", "d1", 1),
]
MEASURES = {str(measure): measure for measure in (nDCG @ 10, AP, RR @ 10, R @ 100)}


def documents(corpus: dict[str, str]) -> list[dict[str, str]]:
    return [{"docno": doc_id, "text": text} for doc_id, text in corpus.items()]


def frame(qrels: list[Qrel]) -> pd.DataFrame:
    return pd.DataFrame(qrels).rename(columns={"query_id": "qid", "doc_id": "docno", "relevance": "label"})


def found(results: pd.DataFrame) -> dict[str, list[tuple[str, float]]]:
    """{qid: [(docno, score)]}, by rank."""
    by_rank = results.sort_values("rank", kind="stable").groupby("qid", sort=False)
    assert all(each["rank"].tolist() == list(range(len(each))) for _, each in by_rank)
    return {qid: list(zip(each["docno"], each["score"], strict=True)) for qid, each in by_rank}


def by_searcher(searcher: Searcher, queries: Mapping[str, Any], k: int) -> dict[str, list[tuple[str, float]]]:
    """The same of texts, or of weights, without queries that find nothing."""
    run = {query_id: searcher.search(query, k) for query_id, query in queries.items()}
    return {
        query_id: list(zip(hits.doc_ids, strictly_decreasing(hits.scores).tolist(), strict=True))
        for query_id, hits in run.items()
        if hits
    }


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_encoder("default")


@pytest.fixture(scope="module")
def index(encoder: TextEncoder, toy_corpus: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> ImpactIndex:
    return SpladeIndexer(tmp_path_factory.mktemp("indexes") / "a", encoder).index(iter(documents(toy_corpus)))


# Retrieval


def test_weights_find_what_a_searcher_finds(toy_index: ImpactIndex) -> None:
    results = SpladeRetriever(toy_index, num_results=5)(TOKS)
    assert list(results.columns) == ["qid", "query_toks", "docno", "score", "rank"]
    assert found(results) == by_searcher(Searcher(toy_index), ASKED, 5)
    assert results["qid"].unique().tolist() == ["q1", "q2"]  # in the order of the queries
    assert list(results["rank"]) == [*range((results["qid"] == "q1").sum()), *range(5)]  # best first
    assert results["query_toks"].tolist()[0] == ASKED["q1"]


def test_texts_find_what_a_searcher_finds(index: ImpactIndex, encoder: TextEncoder) -> None:
    searcher = Searcher(index, encoder)
    expected = by_searcher(searcher, dict(zip(TOPICS["qid"], TOPICS["query"], strict=True)), 1000)
    assert {"q1", "q2", "q3"} <= expected.keys()
    assert found(SpladeRetriever(searcher)(TOPICS)) == expected
    pipeline = SpladeQueryEncoder(encoder) >> SpladeRetriever(index)
    results = pipeline(TOPICS)
    assert found(results) == expected
    assert list(results.columns) == ["qid", "query", "query_toks", "docno", "score", "rank"]
    assert pipeline.search("cold rain")["docno"].tolist() == [docno for docno, _ in expected["q3"]]
    (one,) = pipeline([{"qid": "q3", "query": "cold rain"}])[:1]
    assert (one["docno"], one["score"], one["rank"]) == (*expected["q3"][0], 0)


def test_a_cutoff_is_searched_no_deeper(toy_index: ImpactIndex) -> None:
    pipeline = SpladeRetriever(toy_index) % 2
    assert found(pipeline(TOKS)) == by_searcher(Searcher(toy_index), ASKED, 2)
    fused = pipeline.compile()
    assert isinstance(fused, SpladeRetriever)
    assert fused.num_results == 2
    assert found(fused(TOKS)) == found(pipeline(TOKS))
    assert (SpladeRetriever(toy_index, num_results=2) % 5).compile().num_results == 2


def test_results_are_scored_anew(toy_index: ImpactIndex) -> None:
    retriever = SpladeRetriever(toy_index)
    all_of = by_searcher(Searcher(toy_index), ASKED, 1000)
    given = pd.DataFrame(
        [["q2", "empty"], ["q1", "d9"], ["q2", "twin-b"], ["q1", "no such document"], ["q1", "d1"], ["q2", "fish"]],
        columns=["qid", "docno"],
    )
    given = given.assign(query_toks=given["qid"].map(ASKED), score=-1.0, rank=7)
    results = retriever(given)
    assert results[["qid", "docno"]].equals(given[["qid", "docno"]])
    truth = {(qid, docno): score for qid, hits in all_of.items() for docno, score in hits}
    scores = [truth.get(pair, 0.0) for pair in zip(given["qid"], given["docno"], strict=True)]
    assert np.allclose(results["score"], scores, rtol=1e-6)
    assert scores[0] == scores[3] == results["score"][0] == results["score"][3] == 0
    assert results["rank"].tolist() == [2, 1, 0, 2, 0, 1]


def test_documents_are_found_and_scored_by_their_best_passage(tmp_path: Path) -> None:
    passages = {"a#0": {"x": 1.0}, "a#1": {"x": 3.0}, "b#0": {"x": 2.0}, "c#0": {"y": 1.0}}
    ImpactIndex.build(tmp_path / "index", [weights(passages)], passages=Passages(2, 2)).close()
    retriever = SpladeRetriever(tmp_path / "index")
    results = retriever(pd.DataFrame([["q", {"x": 1.0}]], columns=["qid", "query_toks"]))
    assert found(results) == {"q": [("a", 30_000), ("b", 20_000)]}
    again = retriever(pd.concat([results[1:], results[:1], results[:1].assign(docno="c")]))
    assert found(again) == {"q": [("a", 30_000), ("b", 20_000), ("c", 0)]}


def test_features_and_sums(toy_index: ImpactIndex) -> None:
    retriever = SpladeRetriever(toy_index)
    short = SpladeRetriever(toy_index, num_results=3)
    features = (short >> retriever ** (retriever * 2))(TOKS)
    scores = features["score"].to_numpy()
    assert np.allclose(np.stack(features["features"].tolist()), np.stack([scores, 2 * scores], axis=1))
    total = (0.5 * retriever + 2.0 * short)(TOKS)
    whole, best = (dict(found(each(TOKS))["q2"]) for each in (retriever, short))
    assert dict(found(total)["q2"]) == {
        docno: pytest.approx(0.5 * score + 2 * best.get(docno, 0)) for docno, score in whole.items()
    }


def test_nothing_in_nothing_out(toy_index: ImpactIndex, index: ImpactIndex, encoder: TextEncoder) -> None:
    retriever = SpladeRetriever(toy_index)
    for results in (retriever(TOKS[:0]), retriever(TOKS[TOKS["qid"] == "none"]), retriever(retriever(TOKS)[:0])):
        assert results.empty
        assert set(results.columns) == {"qid", "query_toks", "docno", "score", "rank"}
        assert (results["score"].dtype, results["rank"].dtype) == (np.float64, np.int64)
    pipeline = SpladeQueryEncoder(encoder) >> SpladeRetriever(index)
    assert pipeline(TOPICS[:0]).empty
    assert len((pipeline + pipeline)(TOPICS[2:3])) == len(pipeline(TOPICS[2:3]))


def test_what_is_no_query_is_refused(toy_index: ImpactIndex, encoder: TextEncoder) -> None:
    retriever = SpladeRetriever(toy_index)
    with pytest.raises(pt.validate.InputValidationError, match="query_toks"):
        retriever(TOPICS)  # there is no encoder
    with pytest.raises(FormatError, match="the id 'q1' stands there twice"):
        retriever(pd.concat([TOKS, TOKS]))
    with pytest.raises(FormatError, match=r"query_toks of 'q': weights \{term: weight\} were expected, found 'cat'"):
        retriever(pd.DataFrame([["q", "cat"]], columns=["qid", "query_toks"]))
    with pytest.raises(WeightError, match="q: the weight nan of term 'cat' is refused"):
        retriever(pd.DataFrame([["q", {"cat": float("nan")}]], columns=["qid", "query_toks"]))
    with pytest.raises(FormatError, match="query: a text was expected, found 5"):
        SpladeQueryEncoder(encoder)(pd.DataFrame([["q", 5]], columns=["qid", "query"]))


def test_what_pyterrier_asks_of_them(toy_index: ImpactIndex, index: ImpactIndex, encoder: TextEncoder) -> None:
    """Its inspection, with which it draws pipelines and finds faults in them."""
    pipeline = SpladeQueryEncoder(encoder) >> SpladeRetriever(index)
    assert pt.inspect.transformer_inputs(SpladeRetriever(index)) == [["qid", "query_toks"]]
    inputs = pt.inspect.transformer_inputs(SpladeRetriever(Searcher(index, encoder)))
    assert inputs == [["qid", "query_toks"], ["qid", "query"]]
    columns = ["qid", "query", "query_toks", "docno", "score", "rank"]
    assert pt.inspect.transformer_outputs(pipeline, ["qid", "query"]) == columns
    assert pt.inspect.indexer_inputs(SpladeIndexer("x", encoder, fields=("title", "text"))) == [
        ["docno", "title", "text"]
    ]
    assert pt.inspect.indexer_inputs(SpladeIndexer("x")) == [["docno", "toks"]]


# Indexing


def test_an_index_of_texts_and_one_of_weights(
    index: ImpactIndex, encoder: TextEncoder, toy_corpus: dict[str, str], tmp_path: Path
) -> None:
    assert index.manifest is not None
    assert index.manifest.encoder == encoder.identity
    assert len(index) == len(toy_corpus)
    pipeline = SpladeDocumentEncoder(encoder) >> SpladeIndexer(tmp_path / "b")
    pipeline.index(iter(documents(toy_corpus)))
    (by_text,), (by_weights,) = scan(index.path), scan(tmp_path / "b")
    assert as_rows(by_text) == as_rows(by_weights)


def test_fields_of_documents_and_options_of_an_index(encoder: TextEncoder, tmp_path: Path) -> None:
    given = [{"docno": "d1", "title": "Cats", "text": "sleep a lot", "other": 5}]
    options = IndexOptions(quantizer=Quantizer(10), pruning=Pruning(top_terms=4))
    SpladeIndexer(tmp_path / "a", encoder, fields=("title", "text"), options=options).index(given)
    whole = Quantizer(10)(encoder.encode(["Cats sleep a lot"], ids=["d1"])).row(0)
    ((row,),) = (list(as_rows(batch).values()) for batch in scan(tmp_path / "a"))
    assert len(row) == 4
    assert row.items() <= whole.items()
    toks = SpladeDocumentEncoder(encoder, fields=("title", "text"))(pd.DataFrame(given))["toks"]
    assert toks.tolist() == [encoder.encode(["Cats sleep a lot"]).row(0)]


def test_documents_that_are_refused(encoder: TextEncoder, tmp_path: Path) -> None:
    for given, said in (
        ([{"docno": "d1"}], "the document 'd1' has no 'text'; it has docno"),
        ([{"text": "a"}], "has no 'docno'"),
        ([{"docno": "d1", "text": None}], "the document 'd1': a text was expected, found None"),
        ([{"docno": "d1", "text": "a"}] * 2, "the id 'd1' stands there twice"),
    ):
        with pytest.raises(FormatError, match=said):
            SpladeIndexer(tmp_path / "a", encoder).index(given)
    with pytest.raises(FormatError, match=r"toks of 'd1': weights \{term: weight\} were expected, found 3"):
        SpladeIndexer(tmp_path / "a").index([{"docno": "d1", "toks": 3}])
    with pytest.raises(FormatError, match="twice"):
        SpladeIndexer(tmp_path / "a").index([{"docno": "d1", "toks": {}}] * 2)
    assert not (tmp_path / "a").exists()
    SpladeIndexer(tmp_path / "a").index([{"docno": "d1", "toks": {"a": 1}}])
    with pytest.raises(IndexExistsError):
        SpladeIndexer(tmp_path / "a").index([{"docno": "d1", "toks": {"a": 1}}])


# Evaluation


def test_an_experiment_measures_what_evaluate_measures(toy_index: ImpactIndex) -> None:
    """With ties, with a query that finds nothing, and to the last digit."""
    measured = pt.Experiment(
        [SpladeRetriever(toy_index), SpladeRetriever(toy_index) % 3],
        TOKS[TOKS["qid"] != "none"],
        frame(QRELS),
        list(MEASURES.values()),
    )
    for row, k in enumerate((1000, 3)):
        run = {query_id: Searcher(toy_index).search(query, k) for query_id, query in ASKED.items()}
        expected = evaluate(run, QRELS, list(MEASURES)).measures
        assert measured.loc[row, list(MEASURES)].to_dict() == pytest.approx(expected, abs=1e-12)


def test_published_vectors_in_an_experiment(nfcorpus_index: ImpactIndex, nfcorpus_queries: ImpactVectors) -> None:
    with zipfile.ZipFile(shared("ir_datasets", "beir", "nfcorpus", "source.zip")) as archive:
        lines = archive.read("nfcorpus/qrels/test.tsv").decode().splitlines()[1:]
    qrels = [Qrel(query_id, doc_id, int(grade)) for query_id, doc_id, grade in (line.split("\t") for line in lines)]
    rows = as_rows(nfcorpus_queries)
    topics = pd.DataFrame({"qid": list(rows), "query_toks": list(rows.values())})
    searcher = Searcher(nfcorpus_index, quantizer=Quantizer(1))
    measured = pt.Experiment([SpladeRetriever(searcher)], topics, frame(qrels), [nDCG @ 10])
    expected = evaluate(searcher.search_vectors(nfcorpus_queries), qrels, ["nDCG@10"]).measures["nDCG@10"]
    assert measured.loc[0, "nDCG@10"] == pytest.approx(expected, abs=1e-12)
    assert round(expected, 4) == 0.3632


# Java


def test_encoders_start_no_java_and_none_of_these_starts_pyterriers() -> None:
    program = """
import sys
import pyterrier as pt
from splade_lucene.integrations.pyterrier import SpladeQueryEncoder
SpladeQueryEncoder("default").search("cat")
assert not {"jnius", "pyserini", "torch"} & set(sys.modules)
assert not pt.java.started()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not pt.java.started()  # of this process, where every test above has searched


def test_where_there_is_no_pyterrier_the_import_says_what_to_install() -> None:
    program = "import sys; sys.modules['pyterrier'] = None; import splade_lucene.integrations.pyterrier"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith("pip install 'splade-lucene[pyterrier]'")
