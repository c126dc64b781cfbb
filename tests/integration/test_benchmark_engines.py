"""The table of engines on a tiny collection: those that are installed agree with brute force, the others say so."""

import json
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from benchmarks import engines
from benchmarks.collection import Collection, synthetic
from benchmarks.engines import COLUMNS, Folder, Judge, Measured, Plan, measure, rows, wrong
from benchmarks.peer import Found, Peer, Setting
from benchmarks.peer_data import Asked, Documents, Truth, answerable, prepare
from benchmarks.peer_native import bmp_queries
from benchmarks.peer_process import EngineError, Process, Server
from benchmarks.peers import ENGINES, Engine
from tests.helpers import WORDS, brute_force, impacts

pytestmark = pytest.mark.jvm

DOCUMENTS, QUERIES, KS = 60, 6, (3, 100)
PLAN = Plan(KS, repeats=1, patience=60.0, together=True)
NAMES = (
    "pyserini",
    "lucene",
    "bmp-8",
    "numba",
    "sentence-transformers",
    "ours",
    "ours-reordered",
    "ours-two-steps-pruned",
    "bm25-anserini",
    "bm25",
    "ours-text",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Texts, vectors of them, and queries."""
    path = tmp_path_factory.mktemp("engines")
    chance = np.random.default_rng(0)
    words = [word for word in WORDS if word.isalpha()]
    texts = {f"d{number}": chance.choice(words, 12).tolist() for number in range(DOCUMENTS)}
    asked = {f"q{number}": chance.choice(words, 4).tolist() for number in range(QUERIES)}
    for name, each in (("texts", texts), ("queries", asked)):
        lines = [json.dumps({"_id": row_id, "text": " ".join(text)}) for row_id, text in each.items()]
        (path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    vectors = impacts({row_id: {word: 1 + 10 * text.count(word) for word in text} for row_id, text in texts.items()})
    batches = [vectors.rows(0, 40), vectors.rows(40, DOCUMENTS)]
    given = path / "given"
    given.mkdir()
    collection = Collection("words", batches, None)
    assert prepare(collection, given, str(path / "texts.jsonl"), str(path / "queries.jsonl"), QUERIES) == 1
    return Folder(given, threads=2, texts=str(path / "texts.jsonl"))


@pytest.fixture(scope="module")
def judge(folder: Folder) -> Judge:
    return Judge(Documents(folder.path), Asked.open(folder.path).queries, max(KS))


@pytest.mark.slow
def test_engines_that_are_installed_find_what_brute_force_finds(
    folder: Folder, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "WARM_UP", 0.1)
    measured = measure(NAMES, folder, judge, PLAN)
    table = rows(NAMES, KS, folder, measured)
    assert [(row["engine"], row["k"]) for row in table] == [(ENGINES[name].label, k) for k in KS for name in NAMES]
    assert wrong(measured) == []
    for name, row in zip(NAMES * len(KS), table, strict=True):
        assert row.keys() == {"engine", "k", *COLUMNS}
        if find_spec(ENGINES[name].module) is None:
            assert row["equal hits"] == "not installed"
            assert isinstance(measured[name], EngineError)
            continue
        if ENGINES[name].answers == "approximate":
            assert float(row["recall"] or 0) >= engines.WANTED
        else:
            judged = (1.0, f"{QUERIES}/{QUERIES}") if ENGINES[name].answers == "exact" else (None, None)
            assert (row["recall"], row["equal hits"]) == judged or name == "bmp-8"
        timed = [row[column] for column in ("build s", "index MB", "ms a query", "p50", "p99", "queries/s", "by CPU")]
        assert all(isinstance(figure, float) and figure > 0 for figure in timed)
    assert table[0]["times Pyserini"] == 1


@pytest.mark.slow
def test_the_command_prints_its_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(engines, "WARM_UP", 0.1)
    options = (
        "--documents 50 --queries 3 --k 5 --repeats 1 --index-by ours --engines lucene,ours --one-at-a-time --json"
    )
    monkeypatch.setattr(sys, "argv", ["benchmarks.engines", *options.split()])
    engines.main()
    report = json.loads(capsys.readouterr().out)
    lucene, ours = report["rows"]
    assert lucene["equal hits"] == ours["equal hits"] == "3/3"
    assert lucene["build s"] is None  # it is the other's index
    assert ours["build s"] > 0
    assert report["collection"]["queries"] == 3


@pytest.mark.parametrize(
    "options", ["--engines lucene,none", "--texts texts.jsonl", "--texts texts.jsonl --query-texts queries.jsonl"]
)
def test_wrong_usage_is_refused(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.engines", *options.split()])
    with pytest.raises(SystemExit) as refused:
        engines.main()
    assert refused.value.code == 2


def test_an_engine_that_fails_says_why(folder: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        Process("search", str(folder.path), "ours", str(folder.path / "nothing")) as process,
        pytest.raises(EngineError, match=r"IndexNotFoundError.*nothing: no such folder"),
    ):
        process.reply()
    assert "Traceback" in capfd.readouterr().err


# What is asked and what must be found


def test_documents_on_disk_are_those_that_were_given(tmp_path: Path) -> None:
    batches = [impacts({"a": {"sun": 3, "moon": 255}, "b": {}}), impacts({"c": {"moon": 7, "ant": 1}})]
    assert Documents.write(batches, tmp_path, ["sea"]) == 1
    documents = Documents(tmp_path)
    assert documents.vocabulary.terms[0] == "sea"
    (found,) = documents.batches()
    assert {found.ids[i]: found.row(i) for i in range(3)} == {
        "a": {"sun": 3, "moon": 255},
        "b": {},
        "c": {"moon": 7, "ant": 1},
    }
    (turned,) = documents.batches(np.array([2, 0, 1]))
    assert turned.ids == ["c", "a", "b"]
    assert turned.row(0) == found.row(2)
    assert documents.matrix().sum() == 3 + 255 + 7 + 1


def test_impacts_above_255_are_scaled_down_and_none_is_lost(tmp_path: Path) -> None:
    assert Documents.write([impacts({"a": {"sun": 510, "moon": 100, "ant": 1}})], tmp_path) == 2
    (found,) = Documents(tmp_path).batches()
    assert found.row(0) == {"sun": 255, "moon": 50, "ant": 1}


def test_documents_without_terms_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no document has a term"):
        Documents.write([impacts({"a": {}})], tmp_path)


def test_terms_and_queries_that_meet_nothing_are_left_out(tmp_path: Path) -> None:
    Documents.write([impacts({"a": {"sun": 3, "moon": 4}})], tmp_path, ["sun", "sea", "ice"])
    documents = Documents(tmp_path)
    asked = impacts({"p": {"sea": 1, "sun": 2}, "q": {"sea": 3}, "r": {"moon": 4}, "s": {}})
    found = answerable(asked, documents)
    assert {found.ids[i]: found.row(i) for i in range(len(found))} == {"p": {"sun": 2}, "r": {"moon": 4}}
    with pytest.raises(SystemExit, match="no query has a term"):
        answerable(impacts({"q": {"sea": 3}}), documents)


def test_texts_of_other_documents_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"_id": "other", "text": "sun"}', encoding="utf-8")
    (tmp_path / "given").mkdir()
    collection = Collection("words", [impacts({"a": {"sun": 3}})], None)
    with pytest.raises(SystemExit, match=r"--vectors has other documents than .*texts\.jsonl"):
        prepare(collection, tmp_path / "given", str(file), str(file), 1)


def test_the_truth_is_that_of_plain_brute_force(folder: Folder) -> None:
    documents, queries = Documents(folder.path), Asked.open(folder.path).queries
    (batch,) = documents.batches()
    plain = {batch.ids[i]: batch.row(i) for i in range(len(batch))}
    truth = Truth(documents, queries, 5)
    for query in range(len(queries)):
        wanted = brute_force(plain, queries.row(query), 5)
        assert truth.best[query].tolist() == [score for _, score in wanted]
        numbers = np.array([documents.ids.index(doc_id) for doc_id, _ in wanted])
        assert truth.scores(query, numbers).tolist() == [score for _, score in wanted]


def found_by_brute_force(folder: Folder, k: int) -> list[Found]:
    documents, queries = Documents(folder.path), Asked.open(folder.path).queries
    (batch,) = documents.batches()
    plain = {batch.ids[i]: batch.row(i) for i in range(len(batch))}
    found = [brute_force(plain, queries.row(query), k) for query in range(len(queries))]
    return [([doc_id for doc_id, _ in hits], [score for _, score in hits]) for hits in found]


def test_the_judge_sees_what_is_wrong(folder: Folder, judge: Judge) -> None:
    answers = found_by_brute_force(folder, 3)

    def judged(doc_ids: Sequence[Any] | None, scores: Sequence[float]) -> tuple[Any, Any]:
        figures = judge.judge("ours", 3, [(doc_ids, scores), *answers[1:]])
        return round(6 * float(figures["recall"] or 0), 4), figures["equal hits"]

    doc_ids, scores = answers[0]
    assert doc_ids is not None
    documents = Documents(folder.path)
    numbers = [documents.ids.index(doc_id) for doc_id in doc_ids]
    truth = Truth(documents, Asked.open(folder.path).queries, 3)
    worst = documents.ids[int(np.argmin(truth.scores(0, np.arange(len(documents)))))]
    assert judged(doc_ids, scores) == (6, "6/6")
    assert judged(numbers, [score + 1e-4 for score in scores]) == (6, "6/6")
    assert judged(None, scores) == (6, "6/6")
    assert judged(doc_ids[:2], scores[:2]) == (pytest.approx(5 + 2 / 3, abs=1e-3), "5/6")
    assert judged([*doc_ids[:2], worst], scores) == (pytest.approx(5 + 2 / 3, abs=1e-3), "5/6")
    assert judged(doc_ids, [scores[0] + 1, *scores[1:]]) == (6, "5/6")
    assert judged([doc_ids[0]] * 3, scores) == (5, "5/6")
    assert judged(["unknown", *doc_ids[1:]], scores) == (5, "5/6")
    assert judge.judge("bm25", 3, answers) == {"recall": None, "equal hits": None}
    figures = Measured(answers={3: judge.judge("ours", 3, [([], []), *answers[1:]])})
    assert wrong({"ours": figures}) == ["ours, exact, k 3: 5/6"]


def test_bmp_rounds_queries_up_to_32_levels() -> None:
    asked = impacts({"q": {"sun": 100, "sea": 50, "ice": 1}, "r": {"sun": 7}})
    found = bmp_queries(asked)
    assert {found.ids[i]: found.row(i) for i in range(2)} == {"q": {"sun": 32, "sea": 16, "ice": 1}, "r": {"sun": 32}}


# How engines are asked


class Slow(Peer):
    """Finds the first so many numbers, and counts how often it was asked."""

    settings: ClassVar[Sequence[Setting]] = [{"hits": 1}, {"hits": 2}, {"hits": 3}]
    asked: ClassVar[list[int]] = []

    def __init__(self, *_: object) -> None:
        self.use(self.settings[0])

    def use(self, setting: Setting) -> None:
        self._hits = int(setting["hits"])

    def search(self, query: int, k: int) -> list[int]:
        self.asked.append(query)
        return list(range(self._hits))

    def read(self, hits: list[int]) -> Found:
        return hits, [10.0 - hit for hit in hits]


@pytest.fixture
def server(folder: Folder) -> Iterator[Server]:
    Slow.asked.clear()
    yield Server(Engine("slow", "ours", Slow), folder.path, folder.path)


def test_an_engine_without_settings_is_left_as_it_is(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slow, "settings", ())
    monkeypatch.setattr(Slow, "__init__", lambda self, *_: setattr(self, "_hits", 1))
    server = Server(Engine("slow", "ours", Slow), folder.path, folder.path)
    server.warm_up(3, QUERIES, seconds=0.0)
    assert [scores for _, scores in server.answer(3, patience=60.0)] == [[10.0]] * QUERIES


def test_an_engine_that_is_slow_is_asked_fewer_queries(server: Server) -> None:
    assert len(list(server.answer(3, patience=60.0))) == QUERIES
    assert len(list(server.answer(3, patience=0.0))) == 1


@pytest.mark.parametrize(("wanted", "hits"), [(0.5, (2, 3)), (1.0, (3,)), (1.1, (3,))])
def test_the_setting_is_chosen_that_finds_enough(server: Server, wanted: float, hits: tuple[int, ...]) -> None:
    chosen = server.tune(3, bars=[8.0] * QUERIES, counts=[3] * QUERIES, wanted=wanted, seconds=0.0)
    assert chosen["hits"] in hits
    assert all(len(scores) == chosen["hits"] for _, scores in server.answer(3, 60.0))


def test_requests_name_what_is_done(server: Server) -> None:
    assert len(server.time(3, 2, 5)) == 3
    assert Slow.asked == [2, 3, 4]
    wall, cpu = server.time_all(3, 2)
    assert wall > 0 and cpu >= 0
    assert Slow.asked[3:] == [0, 1]
    assert len(server.memory()) in (0, 2)


def test_synthetic_documents_are_prepared_with_their_queries(tmp_path: Path) -> None:
    vectors = synthetic(30, 4)
    prepare(vectors, tmp_path)
    assert vectors.queries is not None
    asked = Asked.open(tmp_path)
    assert asked.documents == 30
    assert asked.queries.ids == vectors.queries.ids
    assert asked.queries.row(0).items() <= vectors.queries.row(0).items()
