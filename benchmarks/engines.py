"""Every engine that a user would pick instead, beside ours: same vectors, same queries, equal answers checked.

    python -m benchmarks.engines [--documents N] [--queries N] [--k 10,1000] [--repeats R] [--engines NAMES] [--json]
    python -m benchmarks.engines --like DOCS.jsonl.gz --documents N --query-vectors QUERIES.tsv.gz
    python -m benchmarks.engines --vectors DOCS.jsonl.gz --query-vectors QUERIES.tsv.gz
    python -m benchmarks.engines --vectors FOLDER --scale 100 --texts INPUT --query-texts INPUT

The last form has rows of BM25 over the texts that the vectors are of, and asks all others what an inference-free model
makes of the query texts. An engine that is not installed, or that fails, says so in its row.
"""

import os
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import collection
from benchmarks.peer import Found, Setting
from benchmarks.peer_data import Asked, Documents, Truth, prepare
from benchmarks.peer_native import BMP_LEVELS
from benchmarks.peer_process import EngineError, Process
from benchmarks.peers import ENGINES, INDEXES
from benchmarks.report import Figure, Report, Row, machine
from splade_lucene.vectors import ImpactVectors

TURN = 20  # queries
WARM_UP = 2.0  # seconds
WANTED = 0.99  # recall of an approximate engine, for which its fastest setting is chosen
REFERENCE = "pyserini"  # what the ratios are to
ORDERED_BY = "ours-reordered"  # the index whose order others are given


class Judge:
    """Compares what engines find with brute force.

    Args:
        documents: all of them.
        queries: all of them.
        most: hits that are ever asked for.
    """

    def __init__(self, documents: Documents, queries: ImpactVectors, most: int) -> None:
        self._documents, self._queries, self._most = documents, queries, most
        self._number_of = {doc_id: number for number, doc_id in enumerate(documents.ids)}
        self._truth = Truth(documents, queries, most)
        self._rounded: dict[object, Truth] = {}

    def best(self, k: int) -> list[NDArray[np.int64]]:
        """Of each query the scores of the hits that it should have."""
        return [scores[:k] for scores in self._truth.best]

    def judge(self, name: str, k: int, answers: Sequence[Found]) -> dict[str, Figure]:
        """Recall, and how many queries have exactly the hits of brute force.

        A hit is right if its true score is no less than the least of brute force's best k. The hits of a query are
        exact if their scores are brute force's best, in that order, and each is that of its document; where an engine
        rounds queries, over the query as it rounds it.
        """
        engine = ENGINES[name]
        if engine.answers == "others":
            return {"recall": None, "equal hits": None}
        own = self._truth
        if engine.rounds is not None:
            if engine.rounds not in self._rounded:
                self._rounded[engine.rounds] = Truth(self._documents, engine.rounds(self._queries), self._most)
            own = self._rounded[engine.rounds]
        recall, equal = 0.0, 0
        for query, (found, given) in enumerate(answers):
            wanted = self._truth.best[query][:k]
            scores = np.rint(np.array(given)).astype(np.int64)
            if found is None:
                true = own_true = scores
            else:
                known = self._number_of
                numbers = np.array([known.get(each, -1) if isinstance(each, str) else each for each in found], np.int64)
                if len(np.unique(numbers)) < len(numbers) or not ((numbers >= 0) & (numbers < len(known))).all():
                    continue  # a document that is found twice, or that was not given, is wrong altogether
                true = self._truth.scores(query, numbers)
                own_true = true if own is self._truth else own.scores(query, numbers)
            recall += int((true >= wanted[-1]).sum()) / len(wanted)
            equal += np.array_equal(scores, own.best[query][:k]) and np.array_equal(scores, own_true)
        return {"recall": recall / len(answers), "equal hits": f"{equal}/{len(answers)}"}


class Folder:
    """Where documents, queries and indexes are.

    Args:
        path: what `prepare` has filled.
        threads: that build an index at a time, if it takes so many.
        texts: the INPUT of the documents' texts.
        anserini: the name of the index that Pyserini and Lucene search; Anserini's, if not ours.
    """

    def __init__(self, path: Path, *, threads: int, texts: str | None = None, anserini: str = "anserini") -> None:
        self.path = path
        self._built: dict[str, dict[str, float] | EngineError] = {}
        self._threads = threads
        self._texts = [] if texts is None else ["--texts", texts]
        self._anserini = anserini
        (path / "indexes").mkdir()

    def built_for(self, engine: str) -> dict[str, float] | EngineError:
        """The seconds and bytes of the index that an engine searches, or why there is none; it is built once."""
        if find_spec(ENGINES[engine].module) is None:
            return EngineError("not installed")
        return self._built_once(self.index_of(engine))

    def index_of(self, engine: str) -> str:
        """The name of the index that an engine searches."""
        index = ENGINES[engine].index
        return self._anserini if index == "anserini" else index

    def _built_once(self, name: str) -> dict[str, float] | EngineError:
        if name not in self._built:
            print(f"building the index {name}", file=sys.stderr)
            try:
                self._built[name] = self._build(name)
            except EngineError as error:
                self._built[name] = error
        return self._built[name]

    def _build(self, name: str) -> dict[str, float]:
        if INDEXES[name].ordered and not (self.path / "order.npy").exists():
            self._built_once(ORDERED_BY)
            with Process("order", str(self.path), ORDERED_BY, self._path(ORDERED_BY)) as process:
                process.reply()
        arguments = ["build", str(self.path), name, self._path(name), "--threads", str(self._threads), *self._texts]
        with Process(*arguments, threads=self._threads) as process:
            built: dict[str, float] = process.reply()
        return built

    def _path(self, index: str) -> str:
        return str(self.path / "indexes" / index)

    def open(self, engine: str) -> Process:
        """Start an engine.

        Raises:
            EngineError: it is not installed, or its index cannot be built.
        """
        if isinstance(built := self.built_for(engine), EngineError):
            raise built
        return Process("search", str(self.path), engine, self._path(self.index_of(engine)))


class Running:
    """Engines that are open, until they fail.

    Attributes:
        failed: why those that have failed did.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.failed: dict[str, EngineError] = {}
        self._stack = stack
        self._processes: dict[str, Process] = {}

    def open(self, folder: Folder, name: str) -> None:
        """Add one."""
        try:
            process = self._stack.enter_context(folder.open(name))
            process.reply()
        except EngineError as error:
            self.failed[name] = error
        else:
            self._processes[name] = process

    def each[T](self, work: Callable[..., T], **arguments: Any) -> dict[str, T]:
        """`work(name, process, **arguments)` of each, in turn."""
        results = {}
        for name, process in list(self._processes.items()):
            try:
                results[name] = work(name, process, **arguments)
            except EngineError as error:
                self.failed[name] = error
                del self._processes[name]
        return results


@dataclass(frozen=True)
class Plan:
    """How engines are measured.

    ks: how many hits. repeats: rounds. patience: seconds that an engine has to answer all queries once. together: all
    of them are open at a time, and take turns.
    """

    ks: Sequence[int]
    repeats: int
    patience: float
    together: bool


@dataclass(frozen=True)
class Measured:
    """What an engine was measured to take, and what it found, for each number of hits k.

    taken: (queries, 2) seconds by the clock and on the processor, the median over rounds. at_once: the same for a query
    of all in one call. answers: what `Judge.judge` says. settings: those chosen. grown: what
    `benchmarks.peer_process.Server.memory` says at the end.
    """

    taken: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    at_once: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    answers: dict[int, dict[str, Figure]] = field(default_factory=dict)
    settings: dict[int, Setting] = field(default_factory=dict)
    grown: list[int] = field(default_factory=list)


def measure(names: Sequence[str], folder: Folder, judge: Judge, plan: Plan) -> dict[str, Measured | EngineError]:
    """Each engine's figures, or why it has none."""
    groups = [names] if plan.together else [[name] for name in names]
    for name in names:  # before any engine is open, which may hold much memory
        folder.built_for(name)
    return {name: each for group in groups for name, each in _measured(group, folder, judge, plan).items()}


def _measured(names: Sequence[str], folder: Folder, judge: Judge, plan: Plan) -> dict[str, Measured | EngineError]:
    """Of engines that are open together and take turns after every few queries.

    That is often enough that what slows the machine for a while slows all of them, and seldom enough that each finds
    the processor's caches as it left them. What one finds, it is asked before anything is timed, and then warmed up.
    """
    measured = {name: Measured() for name in names}
    with ExitStack() as stack:
        print(f"measuring {', '.join(names)}", file=sys.stderr)
        running = Running(stack)
        for name in names:
            running.open(folder, name)
        for k in plan.ks:
            for name, setting in running.each(_tune, k=k, best=judge.best(k)).items():
                measured[name].settings[k] = setting
            counts = {}
            for name, found in running.each(_answers, k=k, patience=plan.patience).items():
                measured[name].answers[k] = judge.judge(name, k, found)
                counts[name] = len(found)
            running.each(_warm_up, k=k, counts=counts)
            for name, times in _one_by_one(running, k, counts, plan.repeats).items():
                measured[name].taken[k] = times
            for name, times in _all_at_once(running, k, counts, plan).items():
                measured[name].at_once[k] = times
        for name, grown in running.each(_memory).items():
            measured[name].grown.extend(grown)
    return {name: running.failed.get(name, figures) for name, figures in measured.items()}


def _tune(name: str, process: Process, *, k: int, best: Sequence[NDArray[np.int64]]) -> Setting:
    if ENGINES[name].answers != "approximate":
        return {}
    bars, counts = [int(scores[-1]) for scores in best], [len(scores) for scores in best]
    setting: Setting = process.ask("tune", k=k, bars=bars, counts=counts, wanted=WANTED, seconds=WARM_UP)
    return setting


def _answers(_: str, process: Process, *, k: int, patience: float) -> list[Found]:
    return process.answers(k, patience)


def _warm_up(name: str, process: Process, *, k: int, counts: Mapping[str, int]) -> None:
    process.ask("warm_up", k=k, count=counts[name], seconds=WARM_UP)


def _memory(_: str, process: Process) -> list[int]:
    grown: list[int] = process.ask("memory")
    return grown


def _one_by_one(running: Running, k: int, counts: Mapping[str, int], repeats: int) -> dict[str, NDArray[np.float64]]:
    taken = {name: np.zeros((repeats, count, 2)) for name, count in counts.items()}

    def turn(name: str, process: Process, *, round_: int, start: int) -> None:
        stop = min(start + TURN, counts[name])
        if start < stop:
            taken[name][round_, start:stop] = process.ask("time", k=k, start=start, stop=stop)

    for round_, start in product(range(repeats), range(0, max(counts.values(), default=0), TURN)):
        running.each(turn, round_=round_, start=start)
    return {name: np.median(times, axis=0) for name, times in taken.items()}


def _all_at_once(running: Running, k: int, counts: Mapping[str, int], plan: Plan) -> dict[str, NDArray[np.float64]]:
    taken: dict[str, list[NDArray[np.float64]]] = {name: [] for name in counts}

    def turn(name: str, process: Process) -> None:
        if not taken[name] or taken[name][0][0] * counts[name] < plan.patience:
            taken[name].append(np.array(process.ask("time_all", k=k, count=counts[name])) / counts[name])

    for _ in range(plan.repeats):
        running.each(turn)
    return {name: np.median(times, axis=0) for name, times in taken.items() if times}


# The table

COLUMNS = (
    "build s",
    "index MB",
    "RAM MB",
    "mapped MB",
    "ms a query",
    "p50",
    "p95",
    "p99",
    "queries/s",
    "times Pyserini",
    "by CPU",
    "recall",
    "equal hits",
)


def rows(
    names: Sequence[str], ks: Sequence[int], folder: Folder, measured: Mapping[str, Measured | EngineError]
) -> list[Row]:
    """One for each engine and number of hits."""
    reference = measured.get(REFERENCE)
    base = reference.taken if isinstance(reference, Measured) else {}
    table: list[Row] = []
    for k, name in product(ks, names):
        row: dict[str, Figure] = {"engine": ENGINES[name].label, "k": k, **dict.fromkeys(COLUMNS)}
        figures, built = measured[name], folder.built_for(name)
        if isinstance(figures, EngineError) or isinstance(built, EngineError):
            row["equal hits"] = str(figures)
        else:
            row |= _figures(figures, k, base.get(k))
            if folder.index_of(name) == ENGINES[name].index:  # not one that another would have built
                row |= {"build s": built["seconds"], "index MB": built["bytes"] / 1e6}
        table.append(row)
    return table


def _figures(measured: Measured, k: int, base: NDArray[np.float64] | None) -> dict[str, Figure]:
    taken = measured.taken[k]
    wall, cpu = taken.mean(axis=0).tolist()
    figures: dict[str, Figure] = {
        "ms a query": 1000 * wall,
        **{f"p{each}": 1000 * float(np.percentile(taken[:, 0], each)) for each in (50, 95, 99)},
        "queries/s": 1 / float(measured.at_once[k][0]),
        **measured.answers[k],
    }
    if measured.grown:
        figures |= {"RAM MB": measured.grown[0] / 1e6, "mapped MB": measured.grown[1] / 1e6}
    if base is not None:
        base_wall, base_cpu = base[: len(taken)].mean(axis=0).tolist()
        figures |= {"times Pyserini": base_wall / wall, "by CPU": base_cpu / cpu}
    return figures


NOTES = [
    "each engine runs in a process of its own and searches with one thread; what is timed is the call of its Python "
    "package (PISA: of the extension below its DataFrames), queries being in the form that it takes; Seismic's and the "
    "other wheels are compiled for any processor",
    f"each answers all queries once, unmeasured, and then searches for {WARM_UP:g} seconds; engines take turns after "
    f"every {TURN} queries, unless they are measured one at a time",
    "ms a query: mean over queries, p50, p95, p99: percentiles over queries, in ms, of each query's median over the "
    "rounds, one query a call; queries/s: of the engine's own call for many queries where it has one (Pyserini, PISA, "
    "Seismic, sentence-transformers, ours), otherwise of one call after another",
    "a call returns doc_ids as strings and scores (Pyserini, PISA, bmp, ours), numbers of documents and scores "
    "(impact-index, Seismic, numba, sentence-transformers), or a reference to what Java has found (Lucene)",
    "build s: from vectors in memory to an index on disk, once; not in it: starting a JVM, and what makes the engine's "
    "input of vectors (JSONL, dictionaries, arrays, a binary file); PISA's indexer is written in Python for the most "
    "part; PISA, bmp, numba and sentence-transformers build with one thread",
    "index MB: what a search needs; RAM MB: by how much the process has grown when all is answered, libraries and JVM "
    "included (Pyserini imports torch); mapped MB: of that, files, which the system takes back at need; a JVM grows up "
    "to its maximal heap before it tidies up: SPLADE_LUCENE_JAVA_OPTIONS=-Xmx1g",
    "times Pyserini, by CPU: ratios of the means, by the clock and by processor time of all threads of the process; "
    "the second holds on a machine that others use too",
    "recall: a hit is right if its true score is no less than the k-th of brute force; equal hits: queries whose "
    "scores are those of brute force, all of them, in order, each the score of its document (Lucene: scores alone, as "
    "it has ties in another order); of fewer queries where an engine was not through with all in its time",
    f"bmp rounds the weights of a query to {BMP_LEVELS} levels: its equal hits are over queries so rounded, its recall "
    "over those that were asked; it keeps no impact above 255, so no document has one here",
    "our order: documents are given to an engine in the order that our reordering has found; the time that took is in "
    "the row of ours, reordered",
    f"of an approximate engine's settings the fastest is chosen that reaches a recall of {WANTED} at this k",
]


def notes(measured: Mapping[str, Measured | EngineError]) -> list[str]:
    """What is in the figures, and which settings were chosen."""
    chosen = [
        f"{ENGINES[name].label}, k {k:,}: " + ", ".join(f"{option} {value:g}" for option, value in setting.items())
        for name, figures in measured.items()
        if isinstance(figures, Measured)
        for k, setting in figures.settings.items()
        if setting
    ]
    return [*NOTES, *chosen]


def packages(names: Sequence[str]) -> dict[str, Figure]:
    """The versions of the packages that these engines are in."""
    known = packages_distributions()
    found = sorted({known[ENGINES[name].module][0] for name in names if ENGINES[name].module in known})
    return {package: version(package) for package in found}


def wrong(measured: Mapping[str, Measured | EngineError]) -> list[str]:
    """What should equal brute force, is not a peer's to mend, and does not."""
    return [
        f"{ENGINES[name].label}, k {k:,}: {answers['equal hits']}"
        for name, figures in measured.items()
        if isinstance(figures, Measured) and ENGINES[name].module == "splade_lucene"
        if ENGINES[name].answers == "exact"
        for k, answers in figures.answers.items()
        if len(set(str(answers["equal hits"]).split("/"))) > 1
    ]


def _parser() -> ArgumentParser:
    parser = ArgumentParser("benchmarks.engines", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--k", default="10,1000", help="how many hits, a list")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engines", help=f"some of {', '.join(ENGINES)}")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="that build an index at a time")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to answer all queries once")
    parser.add_argument("--one-at-a-time", action="store_true", help="where memory does not suffice for all of them")
    parser.add_argument("--index-by", choices=("anserini", "ours"), default="anserini", help="what Pyserini searches")
    parser.add_argument("--texts", help="an INPUT: what --vectors was encoded of")
    parser.add_argument("--query-texts", help="an INPUT: the queries that go with --texts")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    collection.add_arguments(parser)
    return parser


def main() -> None:
    """Run from the command line."""
    parser = _parser()
    arguments = parser.parse_args()
    with_texts = arguments.texts is not None
    if with_texts != (arguments.query_texts is not None) or (with_texts and arguments.vectors is None):
        parser.error("--texts goes with --query-texts, and with the --vectors of these texts")
    names = arguments.engines.split(",") if arguments.engines else [*ENGINES]
    if unknown := [name for name in names if name not in ENGINES]:
        parser.error(f"no engine is called {unknown[0]!r}; there are {', '.join(ENGINES)}")
    names = [name for name in names if with_texts or not ENGINES[name].texts]
    vectors = collection.chosen(arguments, with_queries=not with_texts)
    plan = Plan([*map(int, arguments.k.split(","))], arguments.repeats, arguments.patience, not arguments.one_at_a_time)
    with tempfile.TemporaryDirectory(prefix="benchmark-engines-") as scratch:
        divisor = prepare(vectors, Path(scratch), arguments.texts, arguments.query_texts, arguments.queries)
        documents, queries = Documents(Path(scratch)), Asked.open(Path(scratch)).queries
        judge = Judge(documents, queries, max(plan.ks))
        folder = Folder(Path(scratch), threads=arguments.threads, texts=arguments.texts, anserini=arguments.index_by)
        measured = measure(names, folder, judge, plan)
        table = rows(names, plan.ks, folder, measured)
    facts = replace(vectors, queries=queries).facts()
    settings = {
        "medians of": plan.repeats,
        "building threads": arguments.threads,
        "impacts divided by": divisor,
        "Pyserini and Lucene search an index by": arguments.index_by,
    }
    report = Report("engines", machine() | packages(names), facts, settings, table, notes(measured))
    report.print(as_json=arguments.json)
    if unequal := wrong(measured):
        raise SystemExit("not what brute force finds: " + "; ".join(unequal))


if __name__ == "__main__":
    main()
