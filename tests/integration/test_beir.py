"""Whole benchmarks: every step once, taken up where it was stopped, and nothing lost unsaid."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.beir import registry, systems, walk
from splade_lucene.beir.registry import Collection
from splade_lucene.beir.source import located
from splade_lucene.beir.systems import Bm25System, GivenRuns, HybridSystem, ModelSystem, Place, System
from splade_lucene.beir.walk import Outcome, Plan
from splade_lucene.datasets import read_queries
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.errors import ConfigError
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.evaluation.results import Result
from splade_lucene.fusion import Fusion
from splade_lucene.lucene import anserini
from splade_lucene.runs import read_run, write_run
from tests.helpers import hits
from tests.integration.support import clean, shared, splade_lucene
from tests.unit.test_beir_source import write_folder

pytestmark = pytest.mark.jvm

QUERIES = {"q1": "a cat in the sun", "q2": "the moon and the water", "q3": "cold rain", "fish": "fish of the sea"}
JUDGED = {
    **{("q1", "d1"): 2, ("q1", "d9"): 1, ("q2", "twin-a"): 1, ("q2", "twin-b"): 1, ("q3", "d11"): 1},
    **{("fish", "d9"): 1, ("fish", "nowhere"): 1},  # a judged document that the collection lacks, as ArguAna has one
}
SIDES: tuple[Side, Side] = ("documents", "queries")
PLAN = Plan(("nDCG@10", "R@100", "AP"), k=5)


@pytest.fixture(scope="module", autouse=True)
def encoders() -> Iterator[None]:
    """Load the model once: every walk here would load it anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systems, "load_encoder", cache(systems.load_encoder))
        yield


@pytest.fixture(scope="module")
def data(toy_corpus: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one collection."""
    root = tmp_path_factory.mktemp("data")
    write_folder(root / "toy", toy_corpus, QUERIES, JUDGED)
    return root


class Desk:
    """A folder to work in, and what was said there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.place = Place(folder, 2, self.said.append, silent)

    def model(self, name: str = "default", *, max_length: int | None = None, scale: float = 100.0) -> ModelSystem:
        options = {side: EncoderOptions(max_length=max_length) for side in SIDES}
        return ModelSystem(name, "default", self.place, options=options, scale=scale)

    def walk(self, data: Path, *systems: System, names: str = "toy", plan: Plan = PLAN) -> Outcome:
        self.said.clear()
        return walk.walk(registry.chosen(names.split(","), data), systems, plan, self.place, data=data)

    def done(self) -> list[str]:
        """What was said, without figures."""
        return [
            re.sub(r"[\d,.]+ (?:s|hits)$|[\d,.]+ |,? $", "", line.partition(": ")[2]).strip(", ") for line in self.said
        ]


def silent(description: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda count: None)


@pytest.fixture(scope="module")
def walked(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Outcome]:
    """BM25, the default model and both fused, on the toy collection."""
    desk = Desk(tmp_path_factory.mktemp("walked"))
    model, lexical = desk.model(), Bm25System(desk.place)
    outcome = desk.walk(data, lexical, model, HybridSystem(model, lexical, desk.place))
    assert outcome.failures == ()
    return desk, outcome


@pytest.fixture
def desk(walked: tuple[Desk, Outcome], tmp_path: Path) -> Desk:
    """A copy of the work, to change."""
    shutil.copytree(walked[0].folder, tmp_path / "work")
    return Desk(tmp_path / "work")


def without_times(result: Result) -> Any:
    """What of a result is the same each time."""
    return result.settings, result.measures, result.per_query, result.queries, result.missing_queries, result.shown


# What comes out


def test_a_result_is_its_run_evaluated(walked: tuple[Desk, Outcome], data: Path) -> None:
    desk, outcome = walked
    (collection,) = registry.chosen(["toy"], data)
    source = located(collection, data)
    assert [result.system for result in outcome.results] == ["bm25", "default", "default+bm25"]
    for result in outcome.results:
        folder = desk.place.home(result.system, "toy")
        run = read_run(folder / "run.trec.gz")
        assert all(len(found) <= 5 for found in run.values())
        evaluation = evaluate(run, source.judgments, PLAN.measures)
        assert (result.measures, result.per_query) == (evaluation.measures, evaluation.per_query)
        assert result.queries == QUERIES
        assert Result.read(folder / "result.json") == result


def test_bm25_is_anserinis(walked: tuple[Desk, Outcome], data: Path, tmp_path: Path) -> None:
    (collection,) = registry.chosen(["toy"], data)
    source = located(collection, data)
    queries = list(read_queries(source.queries))
    theirs = anserini.bm25(source.read_documents(), queries, 5, folder=tmp_path, threads=1)
    ours = read_run(walked[0].place.home("bm25", "toy") / "run.trec.gz")
    assert {query_id: found.doc_ids for query_id, found in ours.items()} == {
        query_id: found.doc_ids for query_id, found in theirs.items() if query_id in QUERIES
    }


def test_the_fusion_is_that_of_both_runs(walked: tuple[Desk, Outcome]) -> None:
    desk, _ = walked
    runs = [read_run(desk.place.home(system, "toy") / "run.trec.gz") for system in ("default", "bm25", "default+bm25")]
    deep = Fusion()([runs[0], runs[1]])
    for query_id, found in runs[2].items():
        assert set(found.doc_ids[:2]) <= set(deep[query_id].doc_ids)


def test_what_it_costs_is_measured(walked: tuple[Desk, Outcome]) -> None:
    bm25, model, hybrid = (result.cost for result in walked[1].results)
    assert bm25 is not None and model is not None and hybrid is not None
    for cost in (bm25, model, hybrid):
        assert (cost.documents, cost.queries, cost.threads) == (12, 4, 2)
        assert min(cost.index_bytes, cost.index_seconds, cost.queries_per_second, cost.expected_postings) > 0
        assert 0 < cost.search.p50 <= cost.search.p95 <= cost.search.p99
    assert bm25.encode_seconds is None and bm25.cut_documents is None and bm25.query_encoding is None
    assert model.encode_seconds is not None and model.cut_documents == 0 and model.query_encoding is not None
    for name in ("index_bytes", "postings_per_document", "terms_per_query", "expected_postings"):
        assert getattr(hybrid, name) == pytest.approx(getattr(bm25, name) + getattr(model, name))
    (machine,) = {tuple(result.machine.items()) for result in walked[1].results}
    assert {"cpu", "cores", "memory", "python", "java", "lucene", "splade_lucene"} <= dict(machine).keys()
    assert os.uname().nodename not in dict(machine).values()


def test_the_cost_of_bm25_is_what_its_stems_ask_for(walked: tuple[Desk, Outcome]) -> None:
    bm25 = walked[1].results[0].cost
    assert bm25 is not None
    # cat sun · moon water · cold rain · fish sea, in 2 1 · 2 2 · 1 1 · 2 1 of the documents
    assert (bm25.terms_per_query, bm25.expected_postings) == (2, 12 / 4)


def test_queries_are_looked_at(walked: tuple[Desk, Outcome], toy_corpus: dict[str, str]) -> None:
    bm25, model, hybrid = walked[1].results
    assert [each.query_id for each in model.shown] == sorted(
        QUERIES, key=lambda each: (model.per_query["nDCG@10"][each], each)
    )
    for shown in model.shown:
        assert [each.rank for each in shown.found] == list(range(1, 1 + len(shown.found)))
        assert [each.impact for each in shown.terms] == sorted((each.impact for each in shown.terms), reverse=True)
        for document in (*shown.found, *shown.missed):
            if document.doc_id == "nowhere":
                assert (document.text, document.score, document.matches, document.relevance) == ("", 0, (), 1)
                continue
            assert document.text == toy_corpus[document.doc_id]
            if len(document.matches) < 10:
                assert sum(match.contribution for match in document.matches) == document.score
            for match in document.matches:
                assert match.in_document == (match.term in document.text.split())
    fish = {
        result.system: next(each for each in result.shown if each.query_id == "fish")
        for result in (bm25, model, hybrid)
    }
    assert [(term.term, term.expansion) for term in fish["bm25"].terms] == [("fish", False), ("sea", False)]
    assert all(any(each.doc_id == "nowhere" for each in shown.missed) for shown in fish.values())
    assert all(not document.matches for document in fish["default+bm25"].found)


# Once


def test_nothing_is_done_twice(
    desk: Desk, walked: tuple[Desk, Outcome], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "search_and_measure", lambda *_: pytest.fail("searched again"))
    monkeypatch.setattr(systems, "encode_collection", lambda *_: pytest.fail("encoded again"))
    model, lexical = desk.model(), Bm25System(desk.place)
    again = desk.walk(data, lexical, model, HybridSystem(model, lexical, desk.place))
    assert again == walked[1]
    assert desk.said == [f"toy · {each}: the result was there already" for each in ("bm25", "default", "default+bm25")]


def test_other_measures_are_evaluated_of_the_same_run(desk: Desk, data: Path) -> None:
    outcome = desk.walk(data, desk.model(), plan=Plan(("RR@10",), k=5))
    assert list(outcome.results[0].measures) == ["RR@10"]
    assert desk.done() == ["the run was there already", "the index was there already"]


def test_other_judgments_are_evaluated_with_the_same_run(desk: Desk, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    file = tmp_path / "data" / "toy" / "qrels" / "test.tsv"
    file.write_text(file.read_text().replace("q1\td1\t2", "q1\td1\t1"))
    desk.walk(tmp_path / "data", desk.model())
    assert desk.done() == ["the run was there already", "the index was there already"]


def test_another_scale_needs_another_index_and_the_same_vectors(desk: Desk, data: Path) -> None:
    desk.walk(data, desk.model(scale=50))
    assert desk.done() == ["the vectors were there already", "documents indexed", "queries asked"]
    desk.walk(data, desk.model())  # and back: all but the run, which is one file, are there still
    assert desk.done() == ["the index was there already", "queries asked"]


def test_another_length_needs_other_vectors(desk: Desk, data: Path) -> None:
    outcome = desk.walk(data, desk.model(max_length=5))
    assert desk.done() == ["documents encoded", "documents indexed", "queries asked"]
    (result,) = outcome.results
    assert result.settings["max_length"] == 5 and result.cost is not None and result.cost.cut_documents == 11


def test_other_documents_are_another_collection(desk: Desk, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    with (tmp_path / "data" / "toy" / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "new", "title": "", "text": "a cat in the sun"}\n')
    (result,) = desk.walk(tmp_path / "data", desk.model()).results
    assert desk.done() == ["documents encoded", "documents indexed", "queries asked"]
    assert result.cost is not None and result.cost.documents == 13


STEPS = {
    "encoding": (systems, "encode_collection"),
    "indexing": (systems.ImpactIndex, "build"),
    "searching": (walk, "search_and_measure"),
    "writing the run": (walk, "write_run"),
    "evaluating": (walk, "shown_queries"),
}


@pytest.mark.parametrize("step", STEPS)
def test_what_was_stopped_goes_on(
    step: str, walked: tuple[Desk, Outcome], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    desk = Desk(tmp_path / "work")
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step], stop)
        with pytest.raises(KeyboardInterrupt):
            desk.walk(data, desk.model())
    outcome = desk.walk(data, desk.model())
    assert without_times(outcome.results[0]) == without_times(walked[1].results[1])
    assert ("documents encoded" in desk.done()) == (step == "encoding")


def test_an_index_that_was_damaged_is_made_again(desk: Desk, walked: tuple[Desk, Outcome], data: Path) -> None:
    (desk.folder / "default" / "toy" / "run.trec.gz").unlink()
    (desk.folder / "default" / "toy" / "result.json").write_text("{")
    for file in desk.folder.glob("default/toy/index-*/segments_*"):
        file.write_bytes(b"")
    outcome = desk.walk(data, desk.model())
    assert desk.done() == ["the vectors were there already", "documents indexed", "queries asked"]
    assert without_times(outcome.results[0]) == without_times(walked[1].results[1])


def test_what_is_not_kept_is_removed_and_the_runs_stay(desk: Desk, data: Path) -> None:
    def left() -> list[str]:
        return sorted(
            file.name.partition("-")[0] for file in (desk.folder / "default" / "toy").iterdir() if file.is_dir()
        )

    assert left() == ["index", "vectors"]
    desk.walk(data, desk.model(), plan=Plan(PLAN.measures, k=5, keep="indexes"))
    assert left() == ["index"]
    (result,) = desk.walk(data, desk.model(scale=10), plan=Plan(PLAN.measures, k=5, keep="runs")).results
    assert desk.done() == ["documents encoded", "documents indexed", "queries asked"]
    assert left() == ["index"]  # that of the other scale
    shutil.rmtree(next((desk.folder / "default" / "toy").glob("index-*/")))
    (again,) = desk.walk(data, desk.model(scale=10), plan=Plan(("AP",), k=5)).results
    assert desk.done() == ["the run was there already"]
    assert again.measures["AP"] == result.measures["AP"] and again.cost == result.cost
    assert all(not shown.terms for shown in again.shown)  # nothing explains it any more


# Rules


def registered(monkeypatch: pytest.MonkeyPatch, **collections: Mapping[str, object]) -> None:
    """Make these the collections that are known."""
    made = {name: Collection.model_validate(rules) for name, rules in collections.items()}
    known = registry._Registry(groups={}, collections=made)
    monkeypatch.setattr(registry, "_registry", lambda: known)


def test_the_query_itself_is_no_hit(monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "work")
    (plain,) = desk.walk(data, Bm25System(desk.place)).results
    found = read_run(desk.folder / "bm25" / "toy" / "run.trec.gz")["fish"]
    assert found.doc_ids[0] == "fish"
    registered(monkeypatch, toy={"removes": "query"})
    (result,) = desk.walk(data, Bm25System(desk.place)).results
    assert read_run(desk.folder / "bm25" / "toy" / "run.trec.gz")["fish"].doc_ids[:4] == found.doc_ids[1:]
    assert result.per_query["nDCG@10"]["fish"] > plain.per_query["nDCG@10"]["fish"]
    assert result.settings["removes"] == "query"


def test_relevance_counts_from_the_grade_of_the_collection(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    desk = Desk(tmp_path / "work")
    registered(monkeypatch, toy={"relevant_from": 2})
    (result,) = desk.walk(data, Bm25System(desk.place), plan=Plan(("nDCG@10", "R@100"), k=5)).results
    assert list(result.measures) == ["nDCG@10", "R@100"]
    assert result.per_query["R@100"] == {"q1": 1, "q2": 0, "q3": 0, "fish": 0}
    assert result.per_query["nDCG@10"]["q3"] == 1  # nDCG takes every grade


def test_a_collection_of_parts_is_their_macro_mean(
    monkeypatch: pytest.MonkeyPatch, data: Path, toy_corpus: dict[str, str], tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(data / "toy", root / "forums" / "cats")
    write_folder(root / "forums" / "rain", toy_corpus, QUERIES, {("q3", "d12"): 1})
    parts: dict[str, Mapping[str, object]] = {name: {"folder": f"forums/{name}"} for name in ("cats", "rain")}
    registered(monkeypatch, forums={"parts": tuple(parts)}, **parts)
    desk = Desk(tmp_path / "work")
    mean, cats, rain = desk.walk(root, Bm25System(desk.place), names="forums").results
    assert [cats, rain] == [Result.read(desk.folder / "bm25" / name / "result.json") for name in parts]
    assert (mean.collection, mean.parts, mean.per_query, mean.cost) == ("forums", ("cats", "rain"), {}, None)
    assert mean.measures == {name: (cats.measures[name] + rain.measures[name]) / 2 for name in PLAN.measures}
    assert Result.read(desk.folder / "bm25" / "forums" / "result.json") == mean
    shutil.rmtree(root / "forums" / "rain")
    outcome = desk.walk(root, Bm25System(desk.place), names="forums")
    assert outcome.results == (cats,)
    assert [each.collection for each in outcome.failures] == ["rain", "forums"]
    assert outcome.failures[1].message == "no mean: 1 of its 2 parts failed"


def test_documents_that_are_shared_are_encoded_once(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    """As those of MS MARCO are, by ir_datasets' ids; here ids are folders."""
    toy = str(data / "toy")
    registered(monkeypatch, a={"input": toy, "corpus": "both"}, b={"input": toy, "corpus": "both"})
    monkeypatch.setattr(systems, "encode_collection", counted := Counted(systems.encode_collection))
    desk = Desk(tmp_path / "work")
    outcome = desk.walk(tmp_path, desk.model(), names="a,b", plan=Plan(PLAN.measures, k=5, keep="runs"))
    assert [result.collection for result in outcome.results] == ["a", "b"]
    assert counted.calls == 1
    assert sorted(file.name for file in (desk.folder / "default").iterdir()) == ["a", "b", "both"]
    assert not any(file.is_dir() for file in (desk.folder / "default" / "both").iterdir())  # dropped at the end


class Counted:
    """A function that counts its calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function, self.calls = function, 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        return self._function(*arguments, **options)


# Runs of others, and what fails


def test_runs_of_others_stand_beside(data: Path, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "work")
    (tmp_path / "dense").mkdir()
    run = {"q1": hits("d9", "d1"), "q3": hits("d11"), "unasked": hits("d1")}
    write_run(tmp_path / "dense" / "toy.trec.gz", run)
    outcome = desk.walk(data, GivenRuns("dense", tmp_path / "dense"))
    (result,) = outcome.results
    assert result.cost is None and result.missing_queries == 2 and result.unjudged_queries == 1
    assert result.per_query["AP"] == {"q1": 1, "q2": 0, "q3": 1, "fish": 0}
    found = next(each for each in result.shown if each.query_id == "q1").found
    assert [(each.doc_id, each.rank, each.relevance) for each in found] == [("d9", 1, 1), ("d1", 2, 2)]
    assert desk.walk(data, GivenRuns("dense", tmp_path / "dense")) == outcome
    assert desk.said == ["toy · dense: the result was there already"]
    write_run(tmp_path / "dense" / "toy.trec.gz", {"q1": hits("d2")})
    assert desk.walk(data, GivenRuns("dense", tmp_path / "dense")).results[0].measures["AP"] == 0


def test_the_work_on_one_system_is_runs_of_others(walked: tuple[Desk, Outcome], data: Path, tmp_path: Path) -> None:
    desk, outcome = walked
    (result,) = Desk(tmp_path / "work").walk(data, GivenRuns("before", desk.folder / "default")).results
    assert result.per_query == outcome.results[1].per_query


def test_what_fails_is_said_and_the_rest_goes_on(data: Path, toy_corpus: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(data, root)
    write_folder(root / "nfcorpus", toy_corpus, QUERIES, JUDGED)  # far too small to be that
    write_folder(root / "broken", {"a": "one"}, {"q": "one"}, {("q", "a"): 1})
    (root / "broken" / "corpus.jsonl").write_text('{"_id": "a", "text": 1')
    desk = Desk(tmp_path / "work")
    lexical, missing = Bm25System(desk.place), GivenRuns("dense", tmp_path)
    plan = Plan(PLAN.measures, k=5, keep="runs")
    outcome = desk.walk(root, lexical, missing, names="nfcorpus,broken,robust04,toy", plan=plan)
    assert [(each.collection, each.system) for each in outcome.results] == [("toy", "bm25")]
    assert [(each.collection, each.system) for each in outcome.failures] == [
        *[("robust04", None), ("nfcorpus", None), ("broken", "bm25"), ("broken", "dense"), ("toy", "dense")]
    ]
    said = [str(each) for each in outcome.failures]
    assert "it was cut off" in said[1] and "corpus.jsonl:1: not a JSON object" in said[2]
    assert said[4] == f"toy · dense: {tmp_path} holds no run of toy: toy.trec was looked for"


def test_a_measure_that_is_none_is_an_error_before_anything_is_done(data: Path, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "work")
    with pytest.raises(ConfigError, match="'nDCG@ten' is not a measure"):
        desk.walk(data, Bm25System(desk.place), plan=Plan(("nDCG@ten",)))
    assert not desk.folder.exists()


# The command line

Cli = Callable[..., Any]


def test_the_command_prints_a_table_and_writes_a_report(cli: Cli, data: Path, tmp_path: Path) -> None:
    command = (
        "beir",
        "--model",
        "default",
        "--bm25",
        "--datasets",
        "toy,robust04",
        "--data",
        data,
        "--output",
        tmp_path,
    )
    found = cli(*command)
    assert found.code == 1  # of the two there is one
    assert "toy" in found.out and "default" in found.out and "bm25" in found.out
    assert "robust04: ir_datasets has no robust04" in found.err and clean(found.err)
    assert {"report.html", "report.md", "report.tex", "report.csv"} <= {file.name for file in tmp_path.iterdir()}
    again = cli(*command[:4], "--datasets", "toy", *command[6:], "--json")
    assert again.code == 0 and "the result was there already" in again.err
    said = json.loads(again.out)
    assert [result["system"] for result in said["results"]] == ["bm25", "default"]
    assert said["results"][1]["cost"]["documents"] == 12 and "per_query" not in said["results"][0]
    assert said["failed"] == [] and said["report"] == str(tmp_path / "report.html")


def test_the_data_root_may_stand_in_the_environment(
    cli: Cli, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLADE_LUCENE_DATA", str(data))
    assert cli("beir", "--bm25", "--datasets", "toy", "--output", tmp_path, "--measures", "AP").code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing to evaluate"),
        (("--bm25", "--hybrid"), "--hybrid is for --model"),
        (("--run", "dense"), "write it as NAME=FOLDER"),
        (("--run", "dense=nowhere"), "write it as NAME=FOLDER"),
        (("--model", "default", "--model", "default"), "two systems are called 'default'"),
        (("--bm25", "--baseline", "bm26"), "--baseline bm26 is none of bm25"),
    ],
)
def test_wrong_usage(cli: Cli, data: Path, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    found = cli("beir", *options, "--datasets", "toy", "--data", data, "--output", tmp_path / "out")
    assert found.code == 2 and said in " ".join(found.err.replace("│", " ").split())


def test_a_data_set_that_is_nothing_is_an_error_at_once(cli: Cli, data: Path, tmp_path: Path) -> None:
    found = cli("beir", "--bm25", "--datasets", "toy,toi", "--data", data, "--output", tmp_path / "out")
    assert found.code == 1 and "'toi' is neither a collection that is known" in found.err
    assert not (tmp_path / "out").exists()


# Collections that people know


BM25 = {  # Anserini's nDCG@10 and AP, title and text as one field
    "nfcorpus": (0.3218, 0.1504),
    "scifact": (0.6789, 0.6401),
    "vaswani": (0.4368, 0.2856),
    "cacm": (0.4793, 0.3387),
    "cranfield": (0.4832, 0.3860),
    "medline": (0.6651, 0.5107),
    "cisi": (0.3635, 0.2039),
}
ARCHIVES = ("nfcorpus", "scifact")  # BEIR's own; the others are folders in BEIR layout


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has these collections and no network."""
    home = tmp_path_factory.mktemp("ir_datasets")
    for name in ARCHIVES:
        (home / "beir" / name).mkdir(parents=True)
        shutil.copy(shared("ir_datasets", "beir", name, "source.zip"), home / "beir" / name)
    return {"IR_DATASETS_HOME": str(home), "SPLADE_LUCENE_DATA": str(shared("collections"))}


@pytest.mark.slow
def test_bm25_scores_what_anserini_scores(offline: dict[str, str], tmp_path: Path) -> None:
    options = ("--datasets", ",".join(BM25), "--measures", "nDCG@10,AP", "--output", tmp_path, "--json")
    done = splade_lucene("beir", "--bm25", *options, **offline)
    assert done.returncode == 0, done.stderr
    found = {each["collection"]: tuple(each["measures"].values()) for each in json.loads(done.stdout)["results"]}
    assert found == {name: pytest.approx(values, abs=0.003) for name, values in BM25.items()}


@pytest.mark.slow
def test_the_default_model_on_a_thousand_abstracts(offline: dict[str, str], tmp_path: Path) -> None:
    options = ("--model", "default", "--hybrid", "--datasets", "medline", "--output", tmp_path, "--json")
    done = splade_lucene("beir", *options, **offline)
    assert done.returncode == 0, done.stderr
    found = {each["system"]: each["measures"]["nDCG@10"] for each in json.loads(done.stdout)["results"]}
    expected = {"bm25": 0.6651, "default": 0.7279, "default+bm25": 0.7324}
    assert found == {name: pytest.approx(value, abs=0.005) for name, value in expected.items()}
