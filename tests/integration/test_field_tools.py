"""What we write, read by the field's own evaluators: the same numbers, ties and all."""

import gzip
import json
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, R, nDCG

from splade_lucene.datasets import Qrel, write_qrels
from splade_lucene.evaluation.measures import Evaluation, evaluate
from splade_lucene.runs import Hits, Run, ranked, read_run, write_run
from tests.integration.support import python

pytestmark = pytest.mark.jvm

MEASURES = ["nDCG@10", "R@100", "RR", "AP"]


@pytest.fixture(scope="module")
def run() -> Run:
    """Whole scores as searches give them, many of them equal, also around ranks 10 and 100; one query finds nothing."""
    random = np.random.default_rng(11)
    doc_ids = [f"d{number}" for number in range(400)] + ["é", "😀", "10", "9"]
    found: dict[str, Hits] = {"nothing": Hits([], np.array([], dtype=np.int64))}
    for number in range(12):
        scores = dict(zip(doc_ids, random.integers(1, 30, len(doc_ids)).tolist(), strict=True))
        best = ranked(scores, 150)
        found[f"q{number}"] = Hits([hit.doc_id for hit in best], np.array([hit.score for hit in best]))
    return found


@pytest.fixture(scope="module")
def qrels(run: Run) -> list[Qrel]:
    """Graded, some below 0, of hits among equals and of documents that were not found."""
    random = np.random.default_rng(12)
    judged = [
        Qrel(query_id, doc_id, int(random.integers(-1, 4)))
        for query_id, hits in run.items()
        for doc_id in [*hits.doc_ids[:150:7], *hits.doc_ids[8:12], *hits.doc_ids[95:104:2], "not-found"]
    ]
    return [Qrel("nothing", "d1", 1), *reversed(judged)]


@pytest.fixture(scope="module")
def ours(run: Run, qrels: list[Qrel]) -> Evaluation:
    return evaluate(run, qrels, MEASURES)


@pytest.fixture(scope="module")
def files(run: Run, qrels: list[Qrel], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run and the qrels as TREC has them."""
    folder = tmp_path_factory.mktemp("trec")
    write_run(folder / "a.run", run)
    write_qrels(folder / "a.qrels", qrels)
    return folder / "a.run", folder / "a.qrels"


def test_ir_measures_reads_run_and_qrels_to_the_same_numbers(ours: Evaluation, files: tuple[Path, Path]) -> None:
    run, qrels = (str(file) for file in files)
    asked = [nDCG @ 10, R @ 100, RR, AP]
    judgments = list(ir_measures.read_trec_qrels(qrels))
    found, each = ir_measures.calc(asked, judgments, list(ir_measures.read_trec_run(run)))
    assert {str(measure): value for measure, value in found.items()} == pytest.approx(ours.measures)
    assert {(str(one.measure), one.query_id): one.value for one in each} == {
        (name, query_id): pytest.approx(value)
        for name, values in ours.per_query.items()
        for query_id, value in values.items()
    }


def test_ir_measures_reads_a_gzipped_run(ours: Evaluation, run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    write_run(tmp_path / "a.run.gz", run)
    assert gzip.open(tmp_path / "a.run.gz").read() == files[0].read_bytes()
    judgments = list(ir_measures.read_trec_qrels(str(files[1])))
    found = ir_measures.calc_aggregate([nDCG @ 10], judgments, ir_measures.read_trec_run(str(tmp_path / "a.run.gz")))
    assert found[nDCG @ 10] == pytest.approx(ours.measures["nDCG@10"])


def test_a_run_that_was_read_again_has_the_same_numbers(
    ours: Evaluation, qrels: list[Qrel], files: tuple[Path, Path]
) -> None:
    assert evaluate(read_run(files[0]), qrels, MEASURES) == ours


PYSERINI = """
import contextlib, io, json, os, sys, types
from splade_lucene.lucene import jvm  # starts the JVM on a Java that Pyserini can use

os.environ["PATH"] = os.pathsep.join([str(jvm.running_java().program.parent), os.environ["PATH"]])  # it calls `java`

# `import pyserini.search` fetches the list of published indexes; all that is wanted of it is where published qrels are.
sys.modules["pyserini.search"] = types.SimpleNamespace(get_qrels_file=None)

from pyserini.eval.trec_eval import trec_eval

run, qrels, *measures = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()):
    found = {
        name: trec_eval(["", "-c", "-q", "-m", name, qrels, run], return_per_query_results=True) for name in measures
    }
print(json.dumps(found))
"""


def test_pyserinis_evaluation_reads_run_and_qrels_to_the_same_numbers(
    ours: Evaluation, files: tuple[Path, Path]
) -> None:
    theirs = dict(zip(MEASURES, ("ndcg_cut.10", "recall.100", "recip_rank", "map"), strict=True))
    done = python(PYSERINI, *files, *theirs.values(), JAVA_HOME=None)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for name, values in ours.per_query.items():
        expected = said[theirs[name]]
        assert ours.measures[name] == pytest.approx(expected.pop("all"), abs=5.1e-5)  # four decimals
        assert {query_id: values[query_id] for query_id in expected} == pytest.approx(expected, abs=5.1e-5)
        assert values.keys() - expected.keys() == {"nothing"}
