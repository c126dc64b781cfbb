"""Published numbers, from published vectors: SPLADE-v3 on BEIR's NFCorpus, castorini's impacts."""

import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from splade_lucene.datasets import Qrel, read_qrels
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits, Run
from tests.integration.support import nfcorpus_documents, nfcorpus_queries, shared

pytestmark = pytest.mark.jvm

PUBLISHED_NDCG = 0.3629  # Anserini's regression beir-v1.0.0-nfcorpus.splade-v3.onnx
LAST_DIGIT = 0.00005


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("indexes") / "nfcorpus"
    with ImpactIndex.build(path, nfcorpus_documents(), IndexOptions(Quantizer(1))) as index:
        return Searcher(index).search_vectors(nfcorpus_queries(), 1000)


@pytest.fixture(scope="module")
def qrels(tmp_path_factory: pytest.TempPathFactory) -> list[Qrel]:
    """Out of BEIR's own archive."""
    with zipfile.ZipFile(shared("ir_datasets", "beir", "nfcorpus", "source.zip")) as archive:
        archive.extract("nfcorpus/qrels/test.tsv", folder := tmp_path_factory.mktemp("beir"))
    return list(read_qrels(str(folder / "nfcorpus")))


def test_the_measures_of_splade_v3_on_nfcorpus(run: Run, qrels: list[Qrel]) -> None:
    measures = evaluate(run, qrels, ["nDCG@10", "R@100", "R@1000"]).measures
    assert measures == pytest.approx({"nDCG@10": 0.3632, "R@100": 0.2964, "R@1000": 0.6172}, abs=0.0005)


def test_the_published_number_lies_between_the_worst_and_the_best_order_of_ties(run: Run, qrels: list[Qrel]) -> None:
    relevance = {(qrel.query_id, qrel.doc_id): qrel.relevance for qrel in qrels}

    def ndcg(tie: Callable[[str, str], tuple[object, ...]]) -> float:
        reordered = {query_id: _reordered(query_id, hits, tie) for query_id, hits in run.items()}
        return evaluate(reordered, qrels, ["nDCG@10"]).measures["nDCG@10"]

    worst = ndcg(lambda query_id, doc_id: (relevance.get((query_id, doc_id), 0),))
    best = ndcg(lambda query_id, doc_id: (-relevance.get((query_id, doc_id), 0),))
    ours = ndcg(lambda query_id, doc_id: (doc_id.encode(),))
    as_trec_eval_sorts = ndcg(lambda query_id, doc_id: (*(-byte for byte in doc_id.encode()), 1))
    assert ours == evaluate(run, qrels, ["nDCG@10"]).measures["nDCG@10"]
    assert worst <= min(ours, as_trec_eval_sorts) <= max(ours, as_trec_eval_sorts) <= best
    assert worst - LAST_DIGIT <= PUBLISHED_NDCG <= best + LAST_DIGIT


def _reordered(query_id: str, hits: Hits, tie: Callable[[str, str], tuple[object, ...]]) -> Hits:
    """The same hits, those of equal score in another order."""
    order = sorted(hits, key=lambda hit: (-hit.score, tie(query_id, hit.doc_id)))
    return Hits([hit.doc_id for hit in order], np.arange(len(order), 0, -1))
