"""Bad runs, qrels and measures, through `evaluate`: exit 1, one line that says what and where; odd ones are read."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support import fails

Cli = Callable[..., Any]


def test_a_run_or_qrels_with_a_wrong_number_of_columns(cli: Cli, tmp_path: Path) -> None:
    run, qrels = tmp_path / "x.run", tmp_path / "x.qrels"
    run.write_text("q1 Q0 d1 1 3.5 tag\nq1 Q0 d2 2 1.5\n")
    qrels.write_text("q1 0 d1 1\n")
    fails(cli("evaluate", "--run", run, "--qrels", qrels), "x.run:2", "6 columns", "found 5", "q1 Q0 d2 2 1.5")
    run.write_text("q1 Q0 d1 1 3.5 tag\n")
    qrels.write_text("q1 0 d1 1\nq1 d2\n")
    fails(cli("evaluate", "--run", run, "--qrels", qrels), "x.qrels:2", "4 columns", "found 2", "q1 d2")


RUN, QRELS = "q1 Q0 d1 1 3.5 t\nq1 Q0 d2 2 1.5 t\n", "q1 0 d2 1\nq1 0 d9 2\n"
UNUSABLE_RUNS = {
    "a score that is no number": (RUN + "q1 Q0 d3 3 high t\n", ["x.run:3", "'high'", "not a number"]),
    "NaN": (RUN + "q2 Q0 d3 3 NaN t\n", ["x.run:3", "'NaN'", "finite"]),
    "infinity": (RUN + "q2 Q0 d3 3 -inf t\n", ["x.run:3", "'-inf'", "finite"]),
    "beyond float32": (RUN + "q2 Q0 d3 3 1e39 t\n", ["x.run:3", "'1e39'", "float32"]),
    "a document twice": (RUN + "q1 Q0 d1 3 0.5 t\n", ["x.run:3", "query q1 finds document d1 twice"]),
    "other queries": ("q7 Q0 d1 1 3.5 t\n", ["x.run and the qrels share no query", "'q7'", "'q1'"]),
    "50 MB on one line": (RUN.replace("\n", " ") * 1_600_000, ["x.run:1", "6 columns", "found more: q1 Q0 d1"]),
    "50 MB that are one word": ("x" * 50_000_000, ["x.run:1", "6 columns", "found 1: xxx"]),
    "a doc_id of 50 MB": (f"q1 Q0 {'x' * 50_000_000} 1 3.5 t", ["x.run:1", "50,000,000 bytes long"]),
    "UTF-16": (RUN.encode("utf-16"), ["x.run:1", "not UTF-8"]),
    "nothing": ("", ["x.run is empty"]),
}
UNUSABLE_QRELS = {
    "two that contradict": (QRELS + "q1 0 d2 0\n", ["x.qrels:3", "judges document d2 as 0, and as 1 further up"]),
    "a relevance of one half": (QRELS + "q1 0 d3 0.5\n", ["x.qrels:3", "'0.5' is not a whole number"]),
    "a relevance beyond counting": (QRELS + "q1 0 d3 99999999\n", ["d3 as 99999999", "at most 10,000"]),
    "BEIR's columns after TREC's": (QRELS + "q1\td3\t1\n", ["x.qrels:3", "4 columns (TREC)", "found 3"]),
    "a header in between": (QRELS + "query-id\tcorpus-id\tscore\n", ["x.qrels:3", "found 3"]),
    "a doc_id with a space": ("query-id\tcorpus-id\tscore\nq1\td 2\t1\n", ["x.qrels:2", "3 columns (BEIR)", "found 4"]),
    "50 MB on one line": ("q1 0 d2 1 " * 5_000_000, ["x.qrels:1", "found more: q1 0 d2 1"]),
    "a header alone": ("query-id\tcorpus-id\tscore\n", ["the qrels hold no judgment"]),
    "nothing": ("\n \n", ["x.qrels is empty"]),
}


def files(folder: Path, run: str | bytes = RUN, qrels: str | bytes = QRELS) -> list[object]:
    """The options that name a run and qrels of these contents."""
    options: list[object] = []
    for name, content in (("run", run), ("qrels", qrels)):
        (folder / f"x.{name}").write_bytes(content if isinstance(content, bytes) else content.encode())
        options += [f"--{name}", folder / f"x.{name}"]
    return options


@pytest.mark.parametrize("what", UNUSABLE_RUNS)
def test_runs_that_cannot_be_evaluated(what: str, cli: Cli, tmp_path: Path) -> None:
    run, said = UNUSABLE_RUNS[what]
    finished = cli("evaluate", *files(tmp_path, run=run))
    fails(finished, *said)
    assert len(finished.err) < 1_000
    (tmp_path / "x.run").rename(tmp_path / "y.run")
    finished = cli("evaluate", *files(tmp_path), "--baseline", tmp_path / "y.run")
    fails(finished, "y.run", "share no query" if "share" in said[0] else said[0].replace("x.run", "y.run"))


@pytest.mark.parametrize("what", UNUSABLE_QRELS)
def test_qrels_that_cannot_be_evaluated_against(what: str, cli: Cli, tmp_path: Path) -> None:
    qrels, said = UNUSABLE_QRELS[what]
    finished = cli("evaluate", *files(tmp_path, qrels=qrels))
    fails(finished, *said)
    assert len(finished.err) < 1_000


@pytest.mark.parametrize(
    ("run", "qrels"),
    [
        ("".join(reversed(RUN.splitlines(keepends=True))), QRELS),
        (RUN.replace("\n", "\r\n"), QRELS.replace("\n", "\r\n")),
        ("\ufeff" + RUN, "\ufeff" + QRELS),
        (RUN.replace(" ", "\t", 2), QRELS.replace(" ", "  \t ", 3)),
        (RUN.replace("\n", "\n\n") + " \n", QRELS.rstrip("\n")),
        (RUN, QRELS + QRELS),
        (RUN, "query-id\tcorpus-id\tscore\r\nq1\td2\t1\r\nq1\td9\t2\r\n"),
    ],
    ids=["unsorted", "Windows", "BOM", "tabs and spaces", "blank lines", "judged twice alike", "BEIR by Windows"],
)
def test_the_same_run_and_qrels_in_another_hand(run: str, qrels: str, cli: Cli, tmp_path: Path) -> None:
    """d2 is second, d9 is judged but in no run: 1/2 of the relevant documents are found."""
    finished = cli("evaluate", *files(tmp_path, run, qrels), "--measures", "AP,R@10,RR,NumRel", "--json")
    assert (finished.code, finished.err) == (0, "")
    assert json.loads(finished.out)["measures"] == {"AP": 0.25, "R@10": 0.5, "RR": 0.5, "NumRel": 2}


def test_graded_and_negative_relevance(cli: Cli, tmp_path: Path) -> None:
    """0 and below are not relevant; what is above counts by its grade where a measure has grades."""
    options = files(tmp_path, qrels="q1 0 d1 -2\nq1 0 d2 3\nq1 0 d3 0\nq1 0 d4 1\n")
    finished = cli("evaluate", *options, "--measures", "RR,R@10,R(rel=2)@10,nDCG@10", "--json")
    dcg, ideal = 3 / math.log2(3), 3 + 1 / math.log2(3)
    assert json.loads(finished.out)["measures"] == pytest.approx(
        {"RR": 0.5, "R@10": 0.5, "R(rel=2)@10": 1, "nDCG@10": dcg / ideal}
    )


def test_doc_ids_of_another_hand_are_pointed_out(cli: Cli, tmp_path: Path) -> None:
    finished = cli("evaluate", *files(tmp_path, qrels="q1 0 MED-1 1\n"))
    assert finished.code == 0
    assert "x.run: not one hit is judged; do run and qrels write their doc_ids alike?" in finished.err


def test_a_baseline_over_other_queries(cli: Cli, tmp_path: Path) -> None:
    """None in common is an error; where it has some, those it lacks count as 0, and that is said."""
    options = files(tmp_path, qrels=QRELS + "q2 0 d1 1\nq3 0 d1 1\n")
    (tmp_path / "y.run").write_text("q2 Q0 d1 1 1 t\n")
    baseline = ("--baseline", tmp_path / "y.run")
    fails(cli("evaluate", *options, *baseline), "x.run", "y.run", "share no query")
    (tmp_path / "y.run").write_text("q2 Q0 d1 1 1 t\nq1 Q0 d2 1 1 t\nq9 Q0 d2 1 1 t\n")
    finished = cli("evaluate", *options, *baseline, "--measures", "RR", "--json")
    assert finished.code == 0
    assert "x.run: 2 judged queries found nothing and count as 0; 0 queries of the run are not" in finished.err
    assert "y.run: 1 judged queries found nothing and count as 0; 1 queries of the run are not" in finished.err
    (compared,) = json.loads(finished.out)["comparisons"]
    assert (compared["queries"], compared["difference"]) == (3, pytest.approx((0.5 - 1 + 0 - 1 + 0 - 0) / 3))
    (tmp_path / "y.run").write_text("q7 Q0 d1 1 1 t\n")
    fails(cli("evaluate", *options, *baseline), "y.run", "share no query")


def test_options_of_evaluate_that_do_not_go_together(cli: Cli, tmp_path: Path) -> None:
    given = files(tmp_path)
    config = ["--config", tmp_path / "x.yaml"]
    for more, options in (
        (["--changed", 3], given),
        (["--queries", tmp_path / "q.tsv"], given),
        (["--changed", -1], given),
        (["--set", "scale=1"], given),
        (["--run"], given[2:]),
        (["--config"], [*given, *config]),
        (["--config"], [*config, "--measures", "AP"]),
    ):
        finished = cli("evaluate", *options, *(more if len(more) > 1 else []))
        assert (finished.code, finished.out) == (2, "")
        assert more[0] in finished.err


def test_measures_that_are_computed_elsewhere(cli: Cli, tmp_path: Path) -> None:
    options = files(tmp_path)
    for name, said in (
        ("ERR@10", "Perl"),
        ("RBP(rel=1)", "cwl-eval"),
        ("alpha_nDCG@10", "subtopic"),
        ("R", "a cutoff"),
    ):
        fails(cli("evaluate", *options, "--measures", f"AP,{name}", "--per-query", tmp_path / "v.tsv"), name, said)
    assert not (tmp_path / "v.tsv").exists()


def test_measures_and_data_sets_that_do_not_exist(cli: Cli, tmp_path: Path) -> None:
    run, qrels = tmp_path / "x.run", tmp_path / "x.qrels"
    run.write_text("q1 Q0 d1 1 3.5 tag\n")
    qrels.write_text("q1 0 d1 1\n")
    fails(
        cli("evaluate", "--run", run, "--qrels", qrels, "--measures", "nDGC@10"),
        "'nDGC@10' is not a measure",
        "did you mean nDCG?",
    )
    fails(cli("evaluate", "--run", run, "--qrels", "beir/scifact/tset"), "beir/scifact/tset", "did you mean")
