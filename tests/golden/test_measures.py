"""Measures against what trec_eval itself says (`trec_eval -c -q`, 9.0.8, as Anserini carries it).

The run is what a foreign one may be: lines in no order, ranks of 0, ties, scores that float32 cannot tell apart. One
query finds nothing, one is not judged, one has no relevant document; judgments are graded, negative, and of documents
that no query finds.
"""

import re
from collections.abc import Callable

import pytest

from splade_lucene.datasets import read_qrels
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.lucene import jvm
from splade_lucene.runs import read_run
from tests.helpers import ROOT

GOLDEN = ROOT / "tests" / "golden"
NAMES = {
    "AP": "map",
    "AP@5": "map_cut_5",
    "Bpref": "bpref",
    "IPrec@0.5": "iprec_at_recall_0.50",
    "NumQ": "num_q",
    "NumRel": "num_rel",
    "NumRelRet": "num_rel_ret",
    "NumRet": "num_ret",
    "P@5": "P_5",
    "R@10": "recall_10",
    "RR": "recip_rank",
    "Rprec": "Rprec",
    "SetF": "set_F",
    "SetP": "set_P",
    "SetR": "set_recall",
    "SetRelP": "set_relative_P",
    "Success@5": "success_5",
    "infAP": "infAP",
    "nDCG": "ndcg",
    "nDCG@10": "ndcg_cut_10",
}


@pytest.mark.parametrize("name", NAMES)
def test_measures_are_trec_evals(name: str) -> None:
    lines = (line.split() for line in (GOLDEN / "trec_eval.txt").read_text(encoding="utf-8").splitlines())
    expected = {query_id: float(value) for measure, query_id, value in lines if measure == NAMES[name]}
    run, qrels = read_run(GOLDEN / "trec_eval.run"), list(read_qrels(str(GOLDEN / "trec_eval.qrels")))
    found = evaluate(run, qrels, [name])
    assert (found.missing_queries, found.unjudged_queries) == (1, 1)
    assert found.measures[name] == pytest.approx(expected.pop("all"), abs=5.1e-5)  # four decimals
    for query_id, value in expected.items():
        assert found.per_query[name][query_id] == pytest.approx(value, abs=5.1e-5)
    assert name in ("NumQ", "NumRel") or found.per_query[name]["q5"] == 0


@pytest.mark.jvm
def test_the_golden_file_is_what_trec_eval_says(golden: Callable[[str, str], None]) -> None:
    options = [word for name in NAMES.values() for word in ("-m", re.sub(r"_(?=\d)", ".", name))]
    files = [str(GOLDEN / "trec_eval.qrels"), str(GOLDEN / "trec_eval.run")]
    lines = jvm.java_class("io.anserini.eval.TrecEval")().runAndGetOutput(["-c", "-q", *options, *files])
    golden("trec_eval.txt", "".join(" ".join(map(str, line)) + "\n" for line in map(list, lines)))
