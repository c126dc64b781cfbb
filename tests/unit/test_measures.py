"""Measures against trec_eval itself, against a hand-written reference, and what is refused."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pytest
import pytrec_eval

from splade_lucene.datasets import Qrel
from splade_lucene.errors import ConfigError, FormatError
from splade_lucene.evaluation.measures import MAX_RELEVANCE, evaluate, measure_names
from splade_lucene.lucene import jvm
from splade_lucene.runs import Hits, read_run, write_run
from tests.helpers import hits

QRELS = [Qrel("q1", "a", 2), Qrel("q1", "b", 1), Qrel("q1", "n", 0), Qrel("q2", "a", 1), Qrel("q3", "z", 1)]


def reference(doc_ids: list[str], judged: Mapping[str, int]) -> dict[str, float]:
    """nDCG@10, R@100 and RR@10 of one query, as their papers write them."""
    gains = [judged.get(doc_id, 0) for doc_id in doc_ids[:10]]
    dcg, ideal = (
        sum(gain / math.log2(rank + 1) for rank, gain in enumerate(each, start=1))
        for each in (gains, sorted(judged.values(), reverse=True)[:10])
    )
    relevant = {doc_id for doc_id, relevance in judged.items() if relevance > 0}
    first = next((rank for rank, gain in enumerate(gains, start=1) if gain > 0), 0)
    return {
        "nDCG@10": dcg / ideal,
        "R@100": len(relevant & set(doc_ids[:100])) / len(relevant),
        "RR@10": 1 / first if first else 0.0,
    }


def random_run(seed: int) -> tuple[dict[str, Hits], list[Qrel]]:
    """Ten queries over 150 documents with few different scores, so that ties abound, and graded judgments."""
    random = np.random.default_rng(seed)
    doc_ids = [f"d{number}" for number in range(150)]
    run, qrels = {}, []
    for number in range(10):
        scores = np.sort(random.integers(1, 8, 150))[::-1]
        found = random.permutation(doc_ids).tolist()[: random.integers(0, 150)]
        run[f"q{number}"] = Hits(found, scores[: len(found)])
        judged = random.choice(doc_ids, 20, replace=False).tolist()
        qrels += [Qrel(f"q{number}", each, int(random.integers(0, 4))) for each in judged[:-1]]
        qrels.append(Qrel(f"q{number}", judged[-1], 1))
    return run, qrels


@pytest.mark.parametrize("seed", range(3))
def test_measures_equal_the_reference_in_the_order_of_the_hits(seed: int) -> None:
    run, qrels = random_run(seed)
    per_query = evaluate(run, qrels).per_query
    for query_id, found in run.items():
        judged = {qrel.doc_id: qrel.relevance for qrel in qrels if qrel.query_id == query_id}
        expected = reference(found.doc_ids, judged)
        assert {name: values[query_id] for name, values in per_query.items()} == pytest.approx(expected)


@pytest.mark.jvm
def test_a_run_file_evaluates_in_anserinis_trec_eval_as_here(tmp_path: Path) -> None:
    run, qrels = random_run(7)
    run.pop("q3")
    write_run(tmp_path / "run", run)
    (tmp_path / "qrels").write_text("".join(f"{q} 0 {d} {relevance}\n" for q, d, relevance in qrels))
    names = {"nDCG@10": "ndcg_cut.10", "R@100": "recall.100", "RR": "recip_rank", "AP": "map", "P@5": "P.5"}
    options = [word for name in names.values() for word in ("-m", name)]
    program = jvm.java_class("io.anserini.eval.TrecEval")()
    lines = program.runAndGetOutput(["-c", *options, str(tmp_path / "qrels"), str(tmp_path / "run")])
    said = {name: float(value) for name, query_id, value in map(list, lines) if query_id == "all"}
    for measures in (evaluate(run, qrels, list(names)), evaluate(read_run(tmp_path / "run"), qrels, list(names))):
        expected = {name: said[trec.replace(".", "_")] for name, trec in names.items()}
        assert measures.measures == pytest.approx(expected, abs=6e-5)  # trec_eval prints four decimals


def test_ties_keep_the_order_of_the_run() -> None:
    for order in (("a", "x", "y"), ("x", "a", "y"), ("y", "x", "a")):
        found = {"q": hits(*order, scores=[20_000.0] * 3)}
        expected = {"RR@10": 1 / (order.index("a") + 1)}
        assert evaluate(found, [Qrel("q", "a", 1)], ["RR@10"]).measures == pytest.approx(expected)


def test_every_judged_query_counts() -> None:
    found = evaluate({"q1": hits("a"), "q2": hits(), "other": hits("a")}, QRELS, ["RR@10"])
    assert found.per_query == {"RR@10": {"q1": 1, "q2": 0, "q3": 0}}
    assert found.measures == {"RR@10": pytest.approx(1 / 3)}
    assert (found.missing_queries, found.unjudged_queries) == (2, 1)


@pytest.mark.parametrize("run", [{}, {"q1": hits()}], ids=["no query", "no hit"])
def test_a_run_that_finds_nothing_is_worth_nothing(run: dict[str, Hits]) -> None:
    assert evaluate(run, QRELS).measures == {"nDCG@10": 0, "R@100": 0, "RR@10": 0}


def test_negative_and_zero_judgments_are_not_relevant() -> None:
    judged = [Qrel("q", "a", -1), Qrel("q", "b", 0), Qrel("q", "c", 1)]
    assert evaluate({"q": hits("a", "b", "c")}, judged, ["RR@10", "R@100"]).measures == pytest.approx(
        {"RR@10": 1 / 3, "R@100": 1}
    )


@pytest.fixture
def trec_eval(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is handed to pytrec_eval: the judgments of each call."""
    provider, handed = ir_measures.providers.registry["pytrec_eval"], []
    calculate = provider.iter_calc

    def watched(measures: object, qrels: Mapping[str, Mapping[str, int]], run: object) -> Iterable[Any]:
        handed.append(qrels)
        yield from calculate(measures, qrels, run)

    monkeypatch.setattr(provider, "iter_calc", watched)
    return handed


def test_queries_with_negative_judgments_alone_are_none_of_pytrec_evals(trec_eval: list[Any]) -> None:
    """It reads past its arrays for them, and sometimes never comes back (found by a law, with ir_measures 0.4.3)."""
    judged = [Qrel("p", "a", -1), Qrel("q", "a", -1), Qrel("q", "b", 1)]
    found = evaluate({"p": hits("a"), "q": hits("b", "a")}, judged, ["nDCG", "NumQ"])
    assert found.per_query == {"nDCG": {"p": 0, "q": 1}, "NumQ": {"p": 1, "q": 1}}
    assert trec_eval and all(max(each.values()) >= 0 for qrels in trec_eval for each in qrels.values())


def test_negative_judgments_alone_are_worth_nothing() -> None:
    assert evaluate({"q": hits("a")}, [Qrel("q", "a", -1)], ["nDCG@10", "R@100"]).measures == {"nDCG@10": 0, "R@100": 0}


def test_judgments_may_come_as_a_stream() -> None:
    assert evaluate({"q1": hits("a")}, iter(QRELS), ["R@100"]).per_query["R@100"]["q1"] == 0.5


def test_all_other_names_that_ir_measures_knows_say_why_not() -> None:
    """No name of ir_measures is unknown here: it is computed, wants parameters, or is computed elsewhere."""
    cutoffs = {"IPrec": "@0.1"} | dict.fromkeys(("P", "Precision", "R", "Recall", "Success"), "@5")
    elsewhere = {}
    for name in ir_measures.measures.registry:
        try:
            assert evaluate({"q1": hits("a")}, QRELS, [name + cutoffs.get(name, "")])
        except ConfigError as error:
            elsewhere[name] = str(error)
    assert {name for name, said in elsewhere.items() if "Perl" in said} == {"ERR"}
    assert {"RBP", "SDCG", "INST"} <= {name for name, said in elsewhere.items() if "cwl-eval" in said}
    assert {"alpha_nDCG", "ERR_IA"} <= {name for name, said in elsewhere.items() if "subtopic" in said}
    assert all("is not computed here" in said for said in elsewhere.values())
    assert len(ir_measures.measures.registry) - len(elsewhere) >= 27


HAND = [Qrel("q", "a", 3), Qrel("q", "b", 1), Qrel("q", "c", 0), Qrel("q", "d", 2), Qrel("p", "a", 1)]
# Found: b (1), x (not judged), a (3), c (0), y (not judged); d (2) is not found. Query p finds nothing.
BY_HAND = {
    "nDCG@3": (1 + 3 / 2) / (3 + 2 / math.log2(3) + 1 / 2),
    "nDCG": (1 + 3 / 2) / (3 + 2 / math.log2(3) + 1 / 2),
    "nDCG(dcg='exp-log2')@5": (1 + 7 / 2) / (7 + 3 / math.log2(3) + 1 / 2),
    "nDCG(gains={1: 0, 2: 1, 3: 1})@5": (1 / 2) / (1 + 1 / math.log2(3)),
    "AP": (1 + 2 / 3) / 3,
    "AP@2": 1 / 3,
    "AP(rel=2)": (1 / 3) / 2,
    "P@5": 2 / 5,
    "P(rel=2,judged_only=True)@2": 1 / 2,
    "R@3": 2 / 3,
    "R(rel=3)@2": 0,
    "RR": 1,
    "RR(rel=3)@10": 1 / 3,
    "RR(rel=3)@2": 0,
    "MRR": 1,
    "Rprec": 2 / 3,
    "Success(rel=2)@3": 1,
    "Success(rel=2)@2": 0,
    "Judged@5": 3 / 5,
    "Judged": 3 / 5,
    "SetP": 2 / 5,
    "SetR": 2 / 3,
    "SetF": 2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3),
    "SetAP": (2 / 5) * (2 / 3),
    "IPrec@0.5": 2 / 3,
    "Bpref": (1 + 1) / 3,
    "Compat(p=0.5,normalize=False)": (0 / 1 + 0 / 4 + (2 / 3) / 4 + (2 / 4) / 8 + (2 / 5) / 16) / (31 / 16),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_measures_by_hand(name: str) -> None:
    found = evaluate({"q": hits("b", "x", "a", "c", "y"), "p": hits()}, HAND, [name])
    assert found.per_query == {name: {"p": 0, "q": pytest.approx(BY_HAND[name])}}
    assert found.measures == {name: pytest.approx(BY_HAND[name] / 2)}


def test_counts_are_sums_and_those_of_the_qrels_do_not_depend_on_the_run() -> None:
    names = ["NumQ", "NumRel", "NumRet", "NumRelRet", "NumRet(rel=3)"]
    found = evaluate({"q": hits("b", "x", "a", "c", "y")}, HAND, names)
    assert list(found.measures.values()) == [2, 4, 5, 2, 1]
    assert found.per_query["NumRel"] == {"p": 1, "q": 3}


@pytest.mark.parametrize("seed", range(3))
def test_measures_are_trec_evals_own_for_every_query(seed: int) -> None:
    """pytrec_eval is trec_eval's C code: with scores that leave no ties it needs nothing of ours."""
    run, qrels = random_run(seed)
    names = {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "R@1000": "recall_1000", "RR": "recip_rank", "AP": "map"}
    names |= {"P@5": "P_5", "Bpref": "bpref", "infAP": "infAP", "Rprec": "Rprec", "IPrec@0.1": "iprec_at_recall_0.10"}
    judged: dict[str, dict[str, int]] = {}
    for query_id, doc_id, relevance in qrels:
        judged.setdefault(query_id, {})[doc_id] = relevance
    falling = {
        query_id: {doc_id: -float(place) for place, doc_id in enumerate(found.doc_ids)}
        for query_id, found in run.items()
    }
    expected = pytrec_eval.RelevanceEvaluator(judged, set(names.values())).evaluate(falling)
    found = evaluate(run, qrels, list(names)).per_query
    for name, theirs in names.items():
        assert found[name] == {query_id: expected[query_id][theirs] for query_id in sorted(judged)}


def test_measures_do_not_disturb_each_other() -> None:
    """In one call pytrec_eval's provider takes the gains of one measure for another (ir_measures 0.4.3)."""
    run, qrels = random_run(1)
    names = [
        *("nDCG(gains={1:0,2:5,3:9})@10", "nDCG@10", "nDCG(dcg='exp-log2')@10", "nDCG(judged_only=True)@10"),
        *("SetF", "SetF(beta=0.5)", "SetF(beta=2)", "P(judged_only=True)@5", "NumRet", "NumRet(rel=2)", "P@5"),
        *("AP(rel=2)", "AP", "MAP", "IPrec@0.1", "IPrec@0.15", "RR@10", "MRR@10", "Judged@10", "Compat"),
    ]
    alone = {name: evaluate(run, qrels, [name]).per_query[name] for name in names}
    assert evaluate(run, qrels, names).per_query == evaluate(run, qrels, names[::-1]).per_query == alone
    assert alone["MAP"] == alone["AP"] != alone["AP(rel=2)"]
    assert len({tuple(values.values()) for values in alone.values()}) == len(names) - 2


def test_names_in_a_list() -> None:
    assert measure_names("nDCG@10") == ["nDCG@10"]
    assert measure_names("P(rel=2,judged_only=True)@5, AP,nDCG(gains={1:1,2:3})@3") == [
        "P(rel=2,judged_only=True)@5",
        "AP",
        "nDCG(gains={1:1,2:3})@3",
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *((each, "write it as nDCG@10") for each in ("nDCG@x", "nDCG@10 R@100", "", "1+1", "\0", "(" * 190, "x" * 300)),
        *((each, "write it as nDCG@10") for each in ("P(5)", "P(rel=two)@5", "nDCG(gains={[]: 1})", "P@", "a.b@5")),
        *((each, "did you mean nDCG?") for each in ("ndgc@10", "nDGC@10", "ndcg_cut_10", "ndcg@10")),
        *(("nDCG@" + each, "is no int") for each in ("'a'", "1.5", "True", "None")),
        *((each, "is not from 1 to 1,000,000") for each in ("nDCG@-1", "R@0", "nDCG@0", "P@1000001")),
        *((each, "needs a cutoff") for each in ("R", "P(rel=2)", "Success")),
        *((each, "it has no 'foo'; it has cutoff, ") for each in ("nDCG(foo=3)@10", "P(foo=3)@10")),
        ("P(**{'a': 1})@5", "it has no '**'"),
        ("P(cutoff=5)@10", "cutoff stands there twice"),
        ("nDCG(dcg='blah')@10", "dcg"),
        ("nDCG(dcg='exp-log2',gains={1:2})@10", "either gains or a dcg"),
        ("nDCG(gains={1:0.5})@10", "whole numbers"),
        ("nDCG(gains={1:10**9})@10", "write it as"),
        ("nDCG(gains={1:1000000000})@10", "up to 10,000"),
        ("P(rel=0)@5", "rel=0 is not from 1 to 10,000"),
        ("IPrec@0.125", "two decimals"),
        ("IPrec@2", "is not from 0 to 1"),
        ("SetF(beta=0)", "is not from 0.001"),
        ("Compat(p=1e999)", "is not from 0 to 1"),
        ("RR(judged_only=True)@10", "nothing computes RR with these"),
        ("NumRel(rel=2)", "nothing computes NumRel with these"),
        ("RBP(rel=1)", "is not computed here"),
    ],
    ids=lambda given: given[:40],
)
def test_what_is_no_measure_here_is_refused(name: str, said: str, trec_eval: list[Any]) -> None:
    """Before pytrec_eval sees it, which would end the whole process for some."""
    with pytest.raises(ConfigError) as refused:
        evaluate({"q1": hits("a")}, QRELS, [name])
    assert said in str(refused.value)
    assert not trec_eval


def test_no_measure_is_refused() -> None:
    with pytest.raises(ConfigError, match="no measure"):
        evaluate({"q1": hits("a")}, QRELS, [])


@pytest.mark.parametrize("relevance", [MAX_RELEVANCE + 1, -MAX_RELEVANCE - 1, 10**20])
def test_a_relevance_beyond_trec_evals_arrays_is_refused(relevance: int, trec_eval: list[Any]) -> None:
    """It would end the whole process."""
    with pytest.raises(FormatError, match=f"query q judges document d as {relevance}; a relevance is at most 10,000"):
        evaluate({"q": hits("d")}, [Qrel("q", "d", relevance)], ["AP"])
    assert not trec_eval


def test_the_highest_relevance_can_be_counted() -> None:
    judged = [Qrel("q", "d", MAX_RELEVANCE), Qrel("q", "e", -MAX_RELEVANCE)]
    assert evaluate({"q": hits("d", "e")}, judged, ["nDCG@10", "AP"]).measures == {"nDCG@10": 1, "AP": 1}
    with pytest.raises(FormatError, match=r"10000: nDCG\(dcg='exp-log2'\)@10 counts 2\^relevance - 1, up to .* 13"):
        evaluate({"q": hits("d", "e")}, judged, ["nDCG(dcg='exp-log2')@10"])


def test_a_relevance_of_numpy_is_a_number_like_others_and_a_float_is_none() -> None:
    assert evaluate({"q": hits("d")}, [Qrel("q", "d", np.int64(2))], ["AP"]).measures == {"AP": 1}  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        evaluate({"q": hits("d")}, [Qrel("q", "d", 1.0)], ["AP"])  # type: ignore[arg-type]


def test_a_judgment_said_twice_counts_once_and_two_that_contradict_are_refused() -> None:
    judged = [Qrel("q", "a", 1), Qrel("q", "b", 1), Qrel("q", "a", 1)]
    assert evaluate({"q": hits("a")}, judged, ["R@10"]).measures == {"R@10": 0.5}
    with pytest.raises(FormatError, match="query q judges document a twice, as 1 and as 0"):
        evaluate({"q": hits("a")}, [*judged, Qrel("q", "a", 0)], ["R@10"])


def test_a_judged_document_that_nobody_has_was_not_found() -> None:
    judged = [Qrel("q", "a", 1), Qrel("q", "not in the collection", 1)]
    assert evaluate({"q": hits("a", "b")}, judged, ["R@10", "AP"]).measures == {"R@10": 0.5, "AP": 0.5}


def test_hits_of_judged_queries_are_counted_where_they_are_judged() -> None:
    run = {"q1": hits("a", "x", "n"), "q2": hits("b"), "other": hits("a")}
    assert evaluate(run, QRELS, ["AP"]).judged_hits == 2
    assert evaluate({"q1": hits("x")}, QRELS, ["AP"]).judged_hits == 0


def test_a_run_of_other_queries_is_refused() -> None:
    with pytest.raises(FormatError, match="the run and the qrels share no query: it has 'p', the qrels have 'q1'"):
        evaluate({"p": hits("a")}, QRELS)
    with pytest.raises(FormatError, match=r"my\.run and the qrels share no query"):
        evaluate({"p": hits("a")}, QRELS, name="my.run")


def test_no_judgment_is_refused() -> None:
    with pytest.raises(FormatError, match="no judgment"):
        evaluate({"q1": hits("a")}, [])


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused(score: float) -> None:
    with pytest.raises(FormatError, match="query q1 of the run: a score is not finite"):
        evaluate({"q1": hits("a", "b", scores=[1, score])}, QRELS)


def test_a_document_that_is_found_twice_is_refused() -> None:
    with pytest.raises(FormatError, match="query q1 of the run finds document b twice"):
        evaluate({"q1": hits("a", "b", "c", "b")}, QRELS)


def test_scores_that_rise_change_nothing() -> None:
    """The order of the hits counts."""
    assert evaluate({"q1": hits("x", "a", scores=[1, 2])}, QRELS, ["RR"]).per_query["RR"]["q1"] == 0.5
