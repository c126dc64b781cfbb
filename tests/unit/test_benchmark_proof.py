"""Proofs: plans and what may be wrong in them, steps that are done once, means, claims, values at equal postings."""

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.proof.data import write_collection
from benchmarks.proof.plan import Claim, Make, Plan, Train, read_plan
from benchmarks.proof.plot import draw
from benchmarks.proof.table import MEASURE, Measured, at_equal_postings, report, verdicts
from benchmarks.proof.workshop import StepError, Workshop
from splade_lucene.config import load
from splade_lucene.datasets import Doc, Qrel, Query, read_documents, read_qrels, read_queries
from splade_lucene.errors import ConfigError
from splade_lucene.evaluation.results import Cost, Latency, Result
from tests.helpers import ROOT

PLANS = sorted((ROOT / "conf" / "training" / "proof").glob("*.yaml"))
SMALL = """\
collections: [here]
elsewhere: [folder/there]
training:
  student: {documents: some/model}
  texts: {documents: [corpus.jsonl], queries: [queries.jsonl]}
  examples: [{source: examples.parquet}]
  objective: {losses: [{name: info_nce}]}
  optimization: {steps: 100, batch: 8, negatives: 2}
steps:
  - {make: something, by: "python -c pass"}
  - {train: plain, seeds: [0, 1], elsewhere: true}
  - {train: longer, settings: {optimization.steps: 200}}
claims: [{says: longer is better, better: [longer], than: [plain]}]
curves: {all: [plain, longer]}
"""


def written(folder: Path, text: str = SMALL) -> Path:
    file = folder / "plan.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("file", PLANS, ids=lambda file: file.stem)
def test_every_plan_and_each_of_its_runs_can_be_read(file: Path, tmp_path: Path) -> None:
    plan, shared = read_plan(file, tmp_path)
    assert shared == tmp_path / file.name
    assert plan.claims
    assert plan.curves
    lines = file.read_text(encoding="utf-8").splitlines()
    assert any(line.startswith(f"#   python -m benchmarks.proof conf/training/proof/{file.name} ") for line in lines)


def test_a_plan_says_what_each_seed_is_tested_on(tmp_path: Path) -> None:
    plan, _ = read_plan(written(tmp_path), tmp_path / "made")
    make, plain, longer = plan.steps
    assert isinstance(make, Make)
    assert isinstance(plain, Train)
    assert isinstance(longer, Train)
    assert [plain.run(seed) for seed in plain.seeds] == ["plain-0", "plain-1"]
    assert [plan.tested_on(plain, seed) for seed in plain.seeds] == [("here", "folder/there"), ("here",)]
    assert longer.overrides(3) == ["optimization.steps=200", "optimization.seed=3"]


def test_some_runs_alone(tmp_path: Path) -> None:
    plan, _ = read_plan(written(tmp_path), tmp_path / "made", ["longer"])
    assert [step.train for step in plan.trainings] == ["longer"]
    with pytest.raises(ConfigError, match="has no run shorter; it has plain, longer"):
        read_plan(written(tmp_path), tmp_path / "made", ["shorter"])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("than: [plain]", "than: [planes]", "there is no run planes"),
        ("[longer], than: [plain]", "[longer, plain], than: [plain, longer]", "two curves have no postings"),
        ("all: [plain, longer]", "all: [plain, other]", "there is no run other"),
        ("train: longer", "train: plain", "two runs are called plain"),
        ("optimization.steps: 200", "optimization.step: 200", "did you mean 'steps'"),
        ("elsewhere: true", "elswhere: true", "did you mean 'elsewhere'"),
        ("negatives: 2", "negatives: 0, accumulation: none", "accumulation"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(before: str, after: str, message: str, tmp_path: Path) -> None:
    assert before in SMALL
    with pytest.raises(ConfigError, match=message):
        read_plan(written(tmp_path, SMALL.replace(before, after)), tmp_path / "made")


def carried_out(folder: Path, command: str) -> None:
    plan, shared = read_plan(written(folder), folder / "made")
    plan = plan.model_copy(update={"steps": (Make(make="something", by=command),)})
    Workshop(folder / "made", shared, None, None).carry_out(plan)


def test_a_step_is_done_once_until_its_command_changes(tmp_path: Path) -> None:
    count = "python -c \"open('{made}/count', 'a').write('.')\""
    for _ in range(2):
        carried_out(tmp_path, count)
    assert (tmp_path / "made" / "count").read_text() == "."
    carried_out(tmp_path, f"{count} again")
    assert (tmp_path / "made" / "count").read_text() == ".."


def test_a_step_that_fails_says_why_and_is_done_again(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"(?s)failed: python -c .*no luck.*all that it said: .*something\.log"):
        carried_out(tmp_path, "python -c \"raise SystemExit('no luck')\"")
    assert not (tmp_path / "made" / "something.done").exists()


def test_each_seed_is_trained_and_tested_once_until_what_runs_share_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        done.append(" ".join(command[3:4] + [word for word in command if word.startswith("here")]))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)

    def carried_out(text: str) -> list[str]:
        done.clear()
        plan, shared = read_plan(written(tmp_path, text), tmp_path / "made")
        Workshop(tmp_path / "made", shared, None, None).carry_out(plan)
        return [each for each in done if each]

    both = ["train", "beir here,folder/there", "train", "beir here", "train", "beir here"]
    assert carried_out(SMALL) == both
    assert carried_out(SMALL) == []
    assert carried_out(SMALL.replace("batch: 8", "batch: 9")) == both


def test_pairs_are_asked_for_where_they_are_needed(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="name them with --pairs"):
        carried_out(tmp_path, "python -c pass {pairs}")


def result(collection: str, values: Mapping[str, float], postings: float) -> Result:
    still = Latency(1.0, 1.0, 1.0)
    cost = Cost(10, len(values), 1.0, 0, 1.0, 1, 50.0, 5.0, postings, still, still, 1.0, 1)
    mean = math.fsum(values.values()) / len(values)
    queries = dict.fromkeys(values, "a question")
    return Result(collection, "run", {}, {MEASURE: mean}, {MEASURE: dict(values)}, queries, 0, 0, cost, {})


def run(postings: float, *seeds: Sequence[float]) -> Measured:
    """One collection; of each seed the queries' values."""
    return Measured([[result("here", {f"q{n}": value for n, value in enumerate(each)}, postings)] for each in seeds])


def test_means_over_seeds_and_collections() -> None:
    first = [result("here", {"a": 0.2, "b": 0.4}, 10.0), result("there", {"a": 1.0}, 90.0)]
    both = Measured([first, [result("here", {"a": 0.4, "b": 0.4}, 30.0)]])
    assert both.by_seed(["here"]) == pytest.approx([0.3, 0.4])
    assert both.by_seed(["here", "there"]) == pytest.approx([0.65])
    assert both.cost("expected_postings", ["here"]) == 20
    assert both.per_query(["here", "there"]) == pytest.approx({"here a": 0.3, "here b": 0.4, "there a": 1.0})


def test_at_equal_postings_a_curve_meets_its_points_and_is_straight_in_the_logarithm() -> None:
    curve = [run(1000, [0.8, 0.2]), run(10, [0.4, 0.0]), run(100, [0.6, 0.4])]
    for postings, expected in {10: [0.4, 0.0], 100: [0.6, 0.4], 1000: [0.8, 0.2], 10**1.5: [0.5, 0.2]}.items():
        found = at_equal_postings(curve, postings, ["here"])
        assert list(found.values()) == pytest.approx(expected)


def test_whether_a_claim_held() -> None:
    good, bad = [0.9] * 30, [0.1] * 30
    runs = {"good": run(100, good, good), "bad": run(50, bad), "worse": run(200, [0.0] * 30), "other": run(100, good)}
    claims = [
        Claim(says="good is better", better=("good",), than=("bad",)),
        Claim(says="bad is better", better=("bad",), than=("good",)),
        Claim(says="equal is better", better=("other",), than=("good",)),
        Claim(says="good beats a curve", better=("good",), than=("bad", "worse")),
        Claim(says="a curve beats good", better=("worse", "bad"), than=("good",)),
        Claim(says="bad beats a curve", better=("bad",), than=("good", "worse")),
    ]
    better, worse, equal, curve, turned, outside = verdicts(claims, runs, ["here"])
    assert better.startswith("held: good is better (good, bad): 0.9000 and 0.1000, +0.8000 [")
    assert worse.startswith("the opposite held: bad is better")
    assert equal.startswith("not told apart: equal is better")
    assert "good beats a curve (good, bad … worse) at 100 postings: 0.9000 and 0.0500" in curve
    assert "a curve beats good (worse … bad, good) at 100 postings: 0.0500 and 0.9000" in turned
    assert outside.startswith("not to be said: bad beats a curve")
    assert "50 postings are outside of the curve's 100 to 200" in outside
    assert verdicts(claims, runs, ["there"]) == []


def test_the_table_of_what_is_done(tmp_path: Path) -> None:
    plan = load(written(tmp_path), Plan)
    assert report("small", plan, tmp_path).rows == [{"run": "none is done"}]
    for seed, names in {0: ("here", "there"), 1: ("here",)}.items():
        for name in names:
            folder = tmp_path / "beir" / f"plain-{seed}" / f"plain-{seed}" / name
            result(name, {"a": 0.5 + seed / 10, "b": 0.5}, 12.0).write(folder / "result.json")
    [row] = report("small", plan, tmp_path).rows
    assert row == {
        "run": "plain",
        "seeds": 2.0,
        "mean": "0.5250 ± 0.0354",
        "here": "0.5250",
        "elsewhere": "0.5000",
        "there": "0.5000",
        "terms d": 50.0,
        "terms q": 5.0,
        "postings": 12.0,
    }


def test_in_the_picture_no_name_covers_another(tmp_path: Path) -> None:
    trained = [f"  - {{train: other-{number}}}" for number in range(4)]  # all in one spot
    trained += ["  - {train: dead}"]
    plan = load(written(tmp_path, SMALL.replace("claims:", "\n".join([*trained, "claims:"]))), Plan)
    for step in plan.trainings:
        for seed in step.seeds:
            for name in ("here", "there"):
                folder = tmp_path / "beir" / step.run(seed) / step.run(seed) / name
                postings = 0.0 if step.train == "dead" else 12.0
                result(name, {"a": 0.5, "b": 0.5}, postings).write(folder / "result.json")
    [axes] = draw(plan, tmp_path).axes
    assert {text.get_text() for text in axes.texts} == {"plain", "longer", *(f"other-{number}" for number in range(4))}
    boxes = [text.get_window_extent() for text in axes.texts]
    assert all(box.count_overlaps(boxes) == 1 for box in boxes)  # each with itself
    [line] = axes.get_legend().get_texts()
    assert line.get_text() == "all"


def test_the_collection_to_learn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = tmp_path / "judged"
    judged.mkdir()
    (judged / "corpus.jsonl").write_text(json.dumps({"_id": "7", "title": "A cat", "text": "It sleeps."}) + "\n")
    queries = [{"_id": "1", "text": "who sleeps"}, {"_id": "2", "text": "asked by nobody"}]
    (judged / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in queries))
    (judged / "qrels").mkdir()
    (judged / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n1\t7\t1\n")
    source = sys.modules[write_collection.__module__]
    monkeypatch.setattr(source, "read_qrels", lambda name: read_qrels(judged / "qrels" / "train.tsv"))
    monkeypatch.setattr(source, "read_queries", lambda name: read_queries(str(judged / "queries.jsonl")))
    monkeypatch.setattr(
        source,
        "read_documents",
        lambda name: read_documents(name if name.endswith("l") else str(judged / "corpus.jsonl")),
    )
    monkeypatch.setattr(source, "JUDGED", {"cats": "cats/train"})
    titled = [("p1", "one two three four", "Long enough."), ("p2", "too short", "Not asked.")]
    pairs = tmp_path / "pairs.jsonl"
    lines = (json.dumps({"_id": doc_id, "title": title, "text": text}) for doc_id, title, text in titled)
    pairs.write_text("\n".join(lines))
    made = tmp_path / "made"
    assert write_collection(str(pairs), made) == f"{made}: 2 documents, 2 queries, 2 judgments"
    assert list(read_documents(str(made))) == [
        Doc("cats-7", "A cat", "It sleeps."),
        Doc("pairs-p1", "", "Long enough."),
    ]
    asked = list(read_queries(str(made / "queries.jsonl")))
    assert asked == [Query("cats-1", "who sleeps"), Query("pairs-p1", "one two three four")]
    assert list(read_qrels(made / "qrels" / "train.tsv")) == [
        Qrel("cats-1", "cats-7", 1),
        Qrel("pairs-p1", "pairs-p1", 1),
    ]
