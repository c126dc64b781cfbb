"""Measures against trec_eval itself, against a hand-written reference, and what is refused."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from splade_lucene.datasets import Qrel
from splade_lucene.errors import ConfigError, FormatError, SearchError
from splade_lucene.evaluation.measures import Evaluation, compare, evaluate
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


def test_queries_with_negative_judgments_alone_stay_out_of_pytrec_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads past its arrays for them, and sometimes never comes back (found by a law, with ir_measures 0.4.3)."""
    import ir_measures

    handed: list[Mapping[str, Mapping[str, int]]] = []
    calculate = ir_measures.iter_calc

    def watched(measures: object, qrels: Mapping[str, Mapping[str, int]], run: object) -> object:
        handed.append(qrels)
        return calculate(measures, {query_id: each for query_id, each in qrels.items() if query_id != "p"}, run)

    monkeypatch.setattr(ir_measures, "iter_calc", watched)
    judged = [Qrel("p", "a", -1), Qrel("q", "a", -1), Qrel("q", "b", 1)]
    found = evaluate({"p": hits("a"), "q": hits("b", "a")}, judged, ["nDCG"])
    assert found.per_query == {"nDCG": {"p": 0, "q": 1}}
    assert all(max(each.values()) >= 0 for qrels in handed for each in qrels.values())


def test_negative_judgments_alone_are_worth_nothing() -> None:
    assert evaluate({"q": hits("a")}, [Qrel("q", "a", -1)], ["nDCG@10", "R@100"]).measures == {"nDCG@10": 0, "R@100": 0}


def test_judgments_may_come_as_a_stream() -> None:
    assert evaluate({"q1": hits("a")}, iter(QRELS), ["R@100"]).per_query["R@100"]["q1"] == 0.5


@pytest.mark.parametrize(
    "name",
    [
        *("ndgc@10", "nDCG@x", "nDCG@'a'", "nDCG@1.5", "nDCG@-1", "", "1+1", "nDCG@10 R@100", "R", "\0"),
        *("nDCG(foo=3)@10", "nDCG(dcg='blah')@10", "alpha_nDCG@20", "RBP"),
    ],
)
def test_what_is_no_measure_here_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        evaluate({"q1": hits("a")}, QRELS, [name])


@pytest.mark.parametrize("name", ["R@0", "nDCG@0"])
def test_a_cut_off_of_nothing_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytrec_eval would end the whole process."""
    import ir_measures

    monkeypatch.setattr(ir_measures, "iter_calc", lambda *_: pytest.fail("this would have been the end"))
    with pytest.raises(ConfigError):
        evaluate({"q1": hits("a")}, QRELS, [name])


def test_a_run_of_other_queries_is_refused() -> None:
    with pytest.raises(FormatError, match="share no query: the run has 'p', the qrels 'q1'"):
        evaluate({"p": hits("a")}, QRELS)


def test_no_judgment_is_refused() -> None:
    with pytest.raises(FormatError, match="no judgment"):
        evaluate({"q1": hits("a")}, [])


def test_a_score_that_is_not_finite_is_refused() -> None:
    with pytest.raises(SearchError):
        evaluate({"q1": hits("a", scores=[math.nan])}, QRELS)


# The paired test


def evaluation(*values: float) -> Evaluation:
    return Evaluation({"AP": {f"q{number}": value for number, value in enumerate(values)}}, 0, 0)


def test_the_paired_test_by_hand() -> None:
    """Differences .1, .2, .3, 0: mean .15, standard error .0645, t = 2.324 with 3 degrees of freedom."""
    (found,) = compare(evaluation(0.5, 0.7, 0.9, 0.4), evaluation(0.4, 0.5, 0.6, 0.4))
    assert found.measure == "AP"
    assert found.difference == pytest.approx(0.15)
    assert found.p_value == pytest.approx(0.1027, abs=1e-4)
    assert (found.better_queries, found.worse_queries) == (3, 0)


def test_swapping_the_runs_turns_the_difference_around() -> None:
    (one,), (other,) = (
        compare(evaluation(*a), evaluation(*b)) for a, b in (((0.1, 0.9), (0.4, 0.3)), ((0.4, 0.3), (0.1, 0.9)))
    )
    assert one.difference == -other.difference
    assert one.p_value == other.p_value
    assert (one.better_queries, one.worse_queries) == (other.worse_queries, other.better_queries) == (1, 1)


@pytest.mark.parametrize(
    ("ours", "theirs", "p_value"), [((0.5, 0.5), (0.5, 0.5), 1), ((1, 1), (0, 0), 0), ((1,), (0,), 1)]
)
def test_differences_without_spread(ours: tuple[float, ...], theirs: tuple[float, ...], p_value: float) -> None:
    assert compare(evaluation(*ours), evaluation(*theirs))[0].p_value == p_value
