"""How the cost of building and searching an index grows with its documents.

    python -m benchmarks.scale --like DOCS.jsonl.gz --query-vectors QUERIES.tsv.gz [--sizes 100000,300000,1000000]
        [--queries 500] [--k 10,100,1000] [--threads 1,2] [--repeats R] [--reorder] [--heap 4g] [--json]

Documents are drawn first and lie on disk as `splade-lucene encode` leaves them. Each build and each search then runs in
a process of its own, so that what it holds in memory is its own, with a JVM of the given heap.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import collection
from benchmarks.collection import Collection
from benchmarks.report import Figure, Report, Row, machine, rounds, timed
from splade_lucene.lucene import jvm
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import read_vectors, write_query_tsv
from splade_lucene.vector_folders import Shard, VectorFolder
from splade_lucene.vectors import EncoderIdentity, ImpactVectors, TermVectors

ROOT = Path(__file__).resolve().parent.parent
SIZES = "100000,300000,1000000"

Figures = dict[str, Figure]


@dataclass(frozen=True)
class Task:
    """What one process does: build an index of vectors, or search it with queries."""

    vectors: str
    queries: str
    index: str
    reorder: bool
    ks: Sequence[int]
    threads: Sequence[int]
    repeats: int

    def build(self) -> Figures:
        """Seconds, bytes and memory of one build."""
        options = IndexOptions(Quantizer(1), threads=max(self.threads), reorder=self.reorder)
        index = Path(self.index)
        jvm.start()
        took = timed(lambda: ImpactIndex.build(index, read_vectors(Path(self.vectors)), options).close())
        sizes = {file.name: file.stat().st_size for file in index.iterdir()}
        lucene = sum(size for name, size in sizes.items() if name.startswith(("_", "segments")))
        with ImpactIndex(index) as built:
            assert built.manifest is not None
            postings = built.manifest.postings
        return {
            "build s": took.wall,
            "build CPU s": took.cpu,
            "bytes a posting": lucene / postings,
            "beside it": (sum(sizes.values()) - lucene) / postings,
            "build heap MB": _peak_heap() / 1e6,
            "build RSS MB": _resident("VmHWM"),
        }

    def search(self) -> dict[str, Figures]:
        """For each k the latencies and queries a second; for "all" the memory."""
        (weights,) = read_vectors(Path(self.queries), batch_size=10**9)
        queries = Quantizer(1)(weights)
        searcher = Searcher(self.index, quantizer=Quantizer(1))
        found: dict[str, Figures] = {str(k): self._speeds(searcher, queries, k) for k in self.ks}
        peak = _peak_heap()
        jvm.java_class("java.lang.System").gc()
        found["all"] = {
            "search heap MB": peak / 1e6,
            "after GC": _heap_bean().getHeapMemoryUsage().getUsed() / 1e6,
            "search RSS MB": _resident("VmHWM"),
            "of files": _resident("RssFile"),
        }
        return found

    def _speeds(self, searcher: Searcher, queries: ImpactVectors, k: int) -> Figures:
        each = [queries.rows(number, number + 1) for number in range(len(queries))]
        passes = [
            [timed(partial(searcher.search_vectors, query, k, threads=1)).wall for query in each]
            for _ in range(1 + self.repeats)
        ]
        latencies = 1000 * np.median(passes[1:], axis=0)  # the first one warms up
        batches = {
            f"queries/s {threads}": partial(timed, partial(searcher.search_vectors, queries, k, threads=threads))
            for threads in self.threads
        }
        taken = rounds(batches, self.repeats)
        return {
            **{f"p{percent}": float(np.percentile(latencies, percent)) for percent in (50, 95, 99)},
            **{name: len(queries) / float(np.median([times.wall for times in all_])) for name, all_ in taken.items()},
        }


def _heap_bean() -> Any:
    return jvm.java_class("java.lang.management.ManagementFactory").getMemoryMXBean()


def _peak_heap() -> float:
    """Bytes: the sum of what each part of the heap held at most, garbage included."""
    pools = jvm.java_class("java.lang.management.ManagementFactory").getMemoryPoolMXBeans()
    every = [pools.get(number) for number in range(pools.size())]
    return float(sum(pool.getPeakUsage().getUsed() for pool in every if pool.getType().toString() == "Heap memory"))


def _resident(kind: str) -> float | None:
    """What Linux says of this process's memory, in MB; None elsewhere."""
    status = Path("/proc/self/status")
    found = re.search(rf"^{kind}:\s+(\d+) kB", status.read_text(encoding="utf-8"), re.M) if status.exists() else None
    return int(found[1]) * 1024 / 1e6 if found else None


def _alone(work: str, task: Task, heap: str) -> Any:
    """What one process says of its work.

    Raises:
        SystemExit: it failed.
    """
    options = f"{os.environ.get(jvm.OPTIONS_VARIABLE, '')} -Xmx{heap}".strip()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", "--work", work],
        input=json.dumps(asdict(task)),
        cwd=ROOT,
        env={**os.environ, jvm.OPTIONS_VARIABLE: options},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"benchmarks.scale: to {work} {task.vectors} failed (exit {done.returncode})")
    return json.loads(done.stdout)


def write_vectors(path: Path, documents: Iterable[ImpactVectors]) -> int:
    """A folder as `splade-lucene encode` leaves it, an impact as its weight; how many documents it holds."""
    folder = None
    shards: list[Shard] = []
    for batch in documents:
        if folder is None:
            identity = EncoderIdentity("benchmark", "none", batch.vocabulary.fingerprint, 0, "none")
            folder = VectorFolder(path, identity, "benchmark", len(batch))
            path.mkdir(parents=True)
            folder.write_vocabulary(batch.vocabulary)
        weights = batch.impacts.astype(np.float32)
        shards.append(Shard(f"{len(shards):06}.parquet", len(batch), "", 0, 0))
        folder.write_shard(
            shards[-1].file, TermVectors(batch.ids, batch.indptr, batch.terms, batch.vocabulary, weights)
        )
    if folder is None:
        raise SystemExit("benchmarks.scale: no documents")
    whole = VectorFolder(path, folder.encoder, "benchmark", folder.shard_size, tuple(shards), complete=True)
    whole.save()
    return whole.documents


def measure(drawn: Collection, arguments: Namespace, scratch: Path) -> list[Row]:
    """The rows of one size: one for each k, in the documents' own order and, where asked for, reordered too."""
    vectors, queries = scratch / "vectors", scratch / "queries.tsv"
    documents = write_vectors(vectors, drawn.documents)
    assert drawn.queries is not None
    write_query_tsv(queries, drawn.queries)
    rows: list[Row] = []
    ks, threads = (_numbers(each) for each in (arguments.k, arguments.threads))
    for reorder in (False, True) if arguments.reorder else (False,):
        index = scratch / ("reordered" if reorder else "index")
        task = Task(str(vectors), str(queries), str(index), reorder, ks, threads, arguments.repeats)
        built = _alone("build", task, arguments.heap)
        searched = _alone("search", task, arguments.heap)
        costs: Figures = {**built, **searched.pop("all")}
        for place, k in enumerate(ks):
            shown = costs if place == 0 else dict.fromkeys(costs)  # those of the index, which has one row for each k
            name = f"{documents:,}{', reordered' if reorder else ''}"
            rows.append({"documents": name, "k": k, **searched[str(k)], **shown})
    return rows


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


NOTES = [
    "build s: from the call to a committed index of one segment, from vectors on disk as `splade-lucene encode` leaves "
    "them (the page cache is warm), in a JVM that has just started; not: drawing the documents",
    "bytes a posting: of Lucene's files, doc_ids and all, over the postings; beside it: of the index's other files",
    "p50, p95, p99: percentiles over queries, in ms, of each query's median over the rounds; search_vectors of one "
    "query on one thread; its hits are Python strings and numbers",
    "queries/s: search_vectors of all queries at once on so many threads, median of the rounds",
    "build heap, search heap: the sum of what each part of Java's heap held at most, garbage included, so that it "
    "grows with what it is given (--heap); after GC: what an open index and its searches hold",
    "RSS: the most of the whole process, Python and JVM; of files: what of it at the end are pages of files, above all "
    "of the index, which the system may take back",
]


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser("benchmarks.scale", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=SIZES, help="documents, a list; in place of --documents")
    parser.add_argument("--k", default="10,100,1000", help="how many hits, a list")
    parser.add_argument(
        "--threads", default="1,2", help="of many queries at once, a list; builds take the most of them"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--reorder", action="store_true", help="measure a reordered index of each size, too")
    parser.add_argument("--heap", default="4g", help="of each JVM, as -Xmx takes it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--work", choices=("build", "search"), help=SUPPRESS)  # in a process that this one started
    collection.add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.work is not None:
        print(json.dumps(getattr(Task(**json.load(sys.stdin)), arguments.work)()))
        return
    if arguments.vectors is not None:
        raise SystemExit("benchmarks.scale: real documents are as many as there are; give --like to have any number")
    rows: list[Row] = []
    for size in _numbers(arguments.sizes):
        drawn = collection.chosen(Namespace(**{**vars(arguments), "documents": size}), with_queries=True)
        with tempfile.TemporaryDirectory(prefix="benchmark-scale-") as scratch:
            rows += measure(drawn, arguments, Path(scratch))
        print(f"{size:,} documents: done", file=sys.stderr)
    settings = {"heap": arguments.heap, "medians of": arguments.repeats, "threads of a build": arguments.threads}
    here = {name: value for name, value in machine().items() if name != "heap GB"}  # of this process's JVM, which idles
    Report("scale", here, drawn.facts(), settings, rows, NOTES).print(as_json=arguments.json)


if __name__ == "__main__":
    main()
