"""One engine in a process of its own, so that memory and threads are honest: both ends of that.

    python -m benchmarks.peer_process build FOLDER INDEX PATH --threads N     writes an index, says what it took
    python -m benchmarks.peer_process search FOLDER ENGINE PATH     opens it, answers requests on standard input
    python -m benchmarks.peer_process order FOLDER INDEX PATH       keeps the order that documents have in our index

FOLDER holds what `benchmarks.peer_data.prepare` writes. Requests and replies are JSON, one on a line.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np

from benchmarks.peer import Feed, Found, Setting
from benchmarks.peer_data import Asked, Documents
from benchmarks.peers import ENGINES, INDEXES, Engine
from benchmarks.report import timed

ROOT = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


# The end that measures


class EngineError(Exception):
    """An engine could not do what was asked of it; says why, in a line."""


class Process:
    """One engine, open in an interpreter of its own.

    Raises:
        EngineError: it could not be opened, or its process has ended.
    """

    def __init__(self, *arguments: str, threads: int = 1, module: str = "benchmarks.peer_process") -> None:
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=_environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()

    def reply(self) -> Any:
        """The next line that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EngineError(self._reason())
        return json.loads(line)

    def ask(self, do: str, **arguments: object) -> Any:
        """What a method of `Server` returns."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise EngineError(self._reason()) from None
        return self.reply()

    def answers(self, k: int, patience: float) -> list[Found]:
        """What it finds for each query that it answers in so many seconds."""
        found = []
        answer = self.ask("answer", k=k, patience=patience)
        while answer is not None:
            found.append((answer[0], answer[1]))
            answer = self.reply()
        return found

    def _reason(self) -> str:
        """The last line of what it has complained of; all of it goes to standard error."""
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read()
        sys.stderr.write(said)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return lines[-1][:200] if lines and code > 0 else f"its process ended with {code}"


def _environment(threads: int) -> dict[str, str]:
    environment = dict(os.environ) | {variable: str(threads) for variable in THREAD_VARIABLES}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, torch is compiled anew each time
    return environment


# The end that is measured


def build(folder: Path, name: str, path: Path, threads: int, source: str | None) -> dict[str, float]:
    """Write an index and say how many seconds that took and how many bytes it has."""
    documents = Documents(folder)
    feed = Feed(documents, np.load(folder / "order.npy") if INDEXES[name].ordered else None, source)
    start = time.perf_counter()
    INDEXES[name].build(feed, path, threads)
    seconds = time.perf_counter() - start - feed.seconds
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {"seconds": seconds, "bytes": sum(file.stat().st_size for file in files)}


def keep_order(folder: Path, path: Path) -> None:
    """Write the numbers of the documents in the order in which our index holds them."""
    from benchmarks.pyserini_search import index_searcher

    number_of = {doc_id: number for number, doc_id in enumerate(Documents(folder).ids)}
    order = []
    for leaf in index_searcher(path).getIndexReader().leaves():
        doc_ids = leaf.reader().getBinaryDocValues("id")
        for _ in range(leaf.reader().maxDoc()):
            doc_ids.nextDoc()
            order.append(number_of[doc_ids.binaryValue().utf8ToString()])
    np.save(folder / "order.npy", np.array(order, dtype=np.int64))


class Server:
    """Answers what is asked of one engine; every reply is one line, and so is each query's answer."""

    def __init__(self, engine: Engine, folder: Path, path: Path) -> None:
        asked = Asked.open(folder)
        self._queries = len(asked.queries)
        self._before = resident()
        self._peer = engine.open(path, asked)
        self._chosen: dict[int, Setting] = {}

    def tune(self, k: int, bars: list[float], counts: list[int], wanted: float, seconds: float) -> Setting:
        """Search with the fastest setting that finds so much from now on, or with the one that finds the most.

        Args:
            k: how many hits.
            bars: of each query the least score that is among the best k.
            counts: of each query how many hits it should have.
            wanted: recall.
            seconds: that are spent on all settings in turn before, as in `warm_up`.
        """
        end = time.perf_counter() + seconds
        for setting in cycle(self._peer.settings):
            self._peer.use(setting)
            self._search_into([], k)
            if time.perf_counter() > end:
                break
        tried = []
        for setting in self._peer.settings:
            self._peer.use(setting)
            found: list[Any] = []
            took = timed(partial(self._search_into, found, k)).wall
            scores = [np.array(self._peer.read(hits)[1]) for hits in found]
            parts = [(each >= bar).sum() / count for each, bar, count in zip(scores, bars, counts, strict=True)]
            recall = float(np.mean(parts))
            tried.append((recall < wanted, took if recall >= wanted else -recall, setting))
        self._chosen[k] = min(tried, key=lambda each: each[:2])[2] if tried else {}
        return self._chosen[k]

    def _search_into(self, found: list[Any], k: int) -> None:
        found.extend(self._peer.search(query, k) for query in range(self._queries))

    def _use(self, k: int) -> None:
        if chosen := self._chosen.get(k):
            self._peer.use(chosen)

    def answer(self, k: int, patience: float) -> Iterator[Found]:
        """What it finds for each query, as many as it answers in so many seconds, but for one at least."""
        self._use(k)
        spent = 0.0
        for query in range(self._queries):
            start = time.perf_counter()
            hits = self._peer.search(query, k)
            spent += time.perf_counter() - start
            yield self._peer.read(hits)
            if spent > patience:
                return

    def warm_up(self, k: int, count: int, seconds: float) -> None:
        """Search for the first queries over and over, for so long: Java compiles what it has run often."""
        self._use(k)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for query in range(count):
                self._peer.search(query, k)

    def time(self, k: int, start: int, stop: int) -> list[tuple[float, float]]:
        """Seconds by the clock and on the processor for each of these queries."""
        self._use(k)
        return [timed(partial(self._peer.search, query, k)) for query in range(start, stop)]

    def time_all(self, k: int, count: int) -> tuple[float, float]:
        """The same for the first queries in one call."""
        self._use(k)
        return timed(partial(self._peer.search_all, count, k))

    def memory(self) -> list[int]:
        """By how many bytes the process has grown since before the engine was opened, and mapped files' share of that.

        Empty where the system does not say.
        """
        return [now - before for now, before in zip(resident(), self._before, strict=True)]


def resident() -> list[int]:
    """Bytes of this process in memory, and how many of them are of files; empty where the system does not say."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return []
    lines = (line.split() for line in status.open())
    kb = {words[0]: int(words[1]) for words in lines if words[0] in ("VmRSS:", "RssFile:")}
    return [kb["VmRSS:"] * 1024, kb["RssFile:"] * 1024]


def serve(server: Server, requests: Iterable[str], replies: TextIO) -> None:
    """Reply to each request {"do": method, …} until there is none."""

    def reply(value: object) -> None:
        replies.write(json.dumps(value) + "\n")
        replies.flush()

    reply("open")
    for line in requests:
        request = json.loads(line)
        result = getattr(server, request.pop("do"))(**request)
        if isinstance(result, Iterator):
            for each in result:
                reply(each)
            result = None
        reply(result)


def main() -> None:
    """One engine in an interpreter of its own."""
    parser = ArgumentParser("benchmarks.peer_process")
    parser.add_argument("work", choices=("build", "search", "order"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", choices=[*INDEXES, *ENGINES], metavar="NAME")
    parser.add_argument("path", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--texts")
    arguments = parser.parse_args()
    replies = os.fdopen(os.dup(1), "w")  # what engines print goes to standard error
    os.dup2(2, 1)
    if arguments.work == "build":
        built = build(arguments.folder, arguments.name, arguments.path, arguments.threads, arguments.texts)
        print(json.dumps(built), file=replies)
    elif arguments.work == "order":
        keep_order(arguments.folder, arguments.path)
        print(json.dumps("kept"), file=replies)
    else:
        server = Server(ENGINES[arguments.name], arguments.folder, arguments.path)
        serve(server, sys.stdin, replies)


if __name__ == "__main__":
    main()
