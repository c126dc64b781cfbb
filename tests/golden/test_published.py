"""Published numbers, from published vectors: SPLADE-v3 on BEIR's NFCorpus, castorini's impacts."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from splade_lucene.cli.experimenting import run_experiment
from splade_lucene.config import RetrievalExperiment, load
from splade_lucene.datasets import Qrel, read_qrels
from splade_lucene.evaluation import published
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.evaluation.published import compare_with_published, find
from splade_lucene.evaluation.results import Result
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits, Run
from tests.helpers import ROOT
from tests.integration.support import nfcorpus_queries, shared

CONFIG = ROOT / "conf" / "retrieval" / "nfcorpus-splade-v3-vectors.yaml"
LAST_DIGIT = 0.00005


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the vectors, and with NFCorpus out of BEIR's own archive."""
    root = tmp_path_factory.mktemp("data")
    (root / "splade-v3-nfcorpus").symlink_to(shared("splade-v3-nfcorpus"))
    with zipfile.ZipFile(shared("ir_datasets", "beir", "nfcorpus", "source.zip")) as archive:
        archive.extractall(root)
    return root


@pytest.fixture(scope="module")
def output(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the experiment worked, which raises where a number is missed."""
    folder = tmp_path_factory.mktemp("output")
    run_experiment(CONFIG, [], data=data, output=folder, as_json=True)
    return folder / "naver--splade-v3" / "nfcorpus"


@pytest.fixture(scope="module")
def run(output: Path) -> Run:
    """The run with its own scores: in the file that was written they have no ties."""
    (index,) = (path for path in output.glob("index-*") if path.is_dir())
    return Searcher(index, quantizer=Quantizer(1)).search_vectors(nfcorpus_queries(), 1000)


@pytest.fixture(scope="module")
def qrels(data: Path) -> list[Qrel]:
    return list(read_qrels(str(data / "nfcorpus")))


@pytest.mark.jvm
def test_the_measures_of_splade_v3_on_nfcorpus(output: Path) -> None:
    measures = Result.read(output / "result.json").measures
    expected = load(CONFIG, RetrievalExperiment).expected
    assert expected == {"nfcorpus": {"nDCG@10": 0.3632, "R@100": 0.2964, "R@1000": 0.6172}}
    assert measures == pytest.approx(expected["nfcorpus"], abs=LAST_DIGIT)


@pytest.mark.jvm
def test_what_is_published_of_it_is_explained_by_ties_and_the_encoder(output: Path) -> None:
    verdicts = compare_with_published(Result.read(output / "result.json"))
    assert [(each.measure, each.published, each.status) for each in verdicts] == [
        ("nDCG@10", 0.3624, "explained"),
        ("nDCG@10", 0.3629, "explained"),
        ("R@100", 0.2976, "explained"),
        ("R@1000", 0.6179, "explained"),
    ]
    assert all("ties: descending doc_id there" in each.note for each in verdicts)
    assert ["encoder" in each.note for each in verdicts] == [False, True, True, True]


@pytest.mark.jvm
def test_the_published_numbers_lie_between_the_worst_and_the_best_order_of_ties(run: Run, qrels: list[Qrel]) -> None:
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
    assert best - worst <= _file()["differences"]["ties"]["nDCG@10"] + LAST_DIGIT
    scores = {each.source: each.value for each in find("nfcorpus", "splade-v3") if each.measure == "nDCG@10"}
    assert all(worst - LAST_DIGIT <= score <= best + LAST_DIGIT for score in scores.values())
    assert as_trec_eval_sorts == pytest.approx(scores["Pyserini's onboarding guides"], abs=LAST_DIGIT)


def _reordered(query_id: str, hits: Hits, tie: Callable[[str, str], tuple[object, ...]]) -> Hits:
    """The same hits, those of equal score in another order."""
    order = sorted(hits, key=lambda hit: (-hit.score, tie(query_id, hit.doc_id)))
    return Hits([hit.doc_id for hit in order], np.arange(len(order), 0, -1))


def _file() -> dict[str, dict[str, dict[str, float]]]:
    content = Path(published.__file__).with_name("published.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(content)  # type: ignore[no-any-return]


COLLECTIONS = {"dl19-passage": "trec-dl-2019", "dl20-passage": "trec-dl-2020", "dl21-passage": "trec-dl-2021",
    "dl22-passage": "trec-dl-2022", "msmarco-v1-passage": "msmarco-passage-dev"}  # fmt: skip
MEASURES = {"AP@1000": "AP", "MAP@100": "AP@100", "MRR@100": "RR@100"}  # their runs have a thousand hits


def test_the_data_file_has_every_score_of_anserinis_regressions() -> None:
    """Of the collections that are known here, and without feedback."""
    regressions = json.loads(shared("..", "reference", "anserini_splade_scores.json").read_text(encoding="utf-8"))
    compared = 0
    for name, regression in regressions.items():
        corpus, _, system = name.removesuffix(".onnx").rpartition(".splade-")
        collection = COLLECTIONS.get(corpus, corpus.removeprefix("beir-v1.0.0-"))
        scores = {each.measure: each.value for each in find(collection, f"splade-{system}") if "ONNX" in each.source}
        if corpus.startswith(("beir-", "bright-")) or corpus in COLLECTIONS:
            theirs = regression["rows"][0][2]
            assert scores == {MEASURES.get(measure, measure): value for measure, value in theirs.items()}, name
            compared += len(theirs)
        else:
            assert not scores
    assert compared == 29 * 2 * 3 + 12 * 3 + 3 * 4 + 2 * 3 * 4 + 2 * 2 * 5
