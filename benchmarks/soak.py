"""Reads and writes on one index at once, for a while: no wrong answer, and nothing that grows.

    python -m benchmarks.soak [--seconds 600] [--seed 0] [--documents 20000] [--readers 2] [--json]
    python -m benchmarks.soak --like DOCS.jsonl.gz --query-vectors QUERIES.tsv.gz

One thread appends, updates, deletes, merges, commits, and sometimes gives up what it has not committed; what it does
follows from the seed alone. Others search, each in a view of the last commit that it has seen, and compare answers with
brute force over the documents of that commit. Meanwhile memory and open files are looked at. Ends with 1 where an
answer was wrong or one of them has grown.
"""

import os
import re
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from benchmarks import collection
from benchmarks.collection import Collection
from benchmarks.report import Report, Row, machine
from splade_lucene.lucene import jvm
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.options import SearchOptions
from splade_lucene.lucene.writer import ImpactWriter
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits
from splade_lucene.vectors import ImpactVectors, TermVectors

HEAP = "-Xms512m -Xmx512m -XX:+AlwaysPreTouch"  # all of it from the start, so that what grows beside it is seen
SAMPLES = 20
KS = (1, 10, 100, 1_000)
CHECKED = 5  # of so many searches one is compared with brute force
COMMITS_A_WRITER = 20
WARM_UP, GROWTH = 0.25, 1.2  # the part of the samples that says nothing; from which factor on something has grown
SLACK = {
    "heap MB": 20.0,
    "open files": 20.0,
    "mapped files": 40.0,
    "RSS MB": 60.0,
}  # and how much more, since sizes come and go


class WrongAnswerError(Exception):
    """The index has not answered what it should have."""


@dataclass(frozen=True)
class View:
    """What a commit should hold: the ids, in byte order, and which of the drawn vectors each of them has."""

    ids: Sequence[str]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, held: dict[str, int]) -> "View":
        """Of {doc_id: row of the drawn vectors}."""
        ids = sorted(held)
        return cls(ids, np.array([held[doc_id] for doc_id in ids], dtype=np.int64))

    def best(self, scores: NDArray[np.int64], k: int) -> tuple[list[str], list[int]]:
        """The hits of a query, given what each drawn vector scores."""
        mine = scores[self.rows]
        found = np.flatnonzero(mine)
        best = found[np.argsort(-mine[found], kind="stable")][:k]
        return [self.ids[place] for place in best.tolist()], mine[best].tolist()


class Soak:
    """An index that is changed and searched, and the model that it is compared with.

    Args:
        path: where it is built.
        drawn: documents, whose vectors come and go under other ids, and queries.
        seed: of what is done.
    """

    def __init__(self, path: Path, drawn: Collection, seed: int) -> None:
        assert drawn.queries is not None
        self._path = path
        self._seed = seed
        self._queries = drawn.queries
        self._vectors = TermVectors.concatenate([_weights(batch) for batch in drawn.documents])
        shape = (len(self._vectors), len(self._vectors.vocabulary))
        impacts = self._vectors.weights.astype(np.int64)
        self._matrix = csr_array((impacts, self._vectors.terms, self._vectors.indptr), shape=shape)
        self._random = np.random.default_rng([seed, 0])
        self._next = 0
        self._held: dict[str, int] = {}
        self._publishing = threading.Lock()
        self._stopped = threading.Event()
        self.counts = dict.fromkeys(("commits", "searches", "checked"), 0)
        first = self._new(len(self._vectors) // 2)
        options = IndexOptions(Quantizer(1), threads=1)
        ImpactIndex.build(path, [self._of(first)], options).close()
        self._held |= first
        self._view = View.of(self._held)

    def run(self, seconds: float, readers: int) -> list[Row]:
        """Change and search for so long; a row for each look at what it takes.

        Raises:
            WrongAnswerError: naming the seed, the query and what was expected.
        """
        rows: list[Row] = []
        start = time.monotonic()
        with ThreadPoolExecutor(1 + readers) as pool:
            work = [pool.submit(self._write), *(pool.submit(self._read, number) for number in range(readers))]
            try:
                for sample in range(1, SAMPLES + 1):
                    wait(work, max(0, start + seconds * sample / SAMPLES - time.monotonic()), FIRST_EXCEPTION)
                    if any(each.done() for each in work):
                        break
                    rows.append(self._sample(time.monotonic() - start))
            finally:
                self._stopped.set()
        for each in work:
            each.result()
        with ImpactIndex(self._path) as index:
            index.check()
            _expect(len(index), len(self._view.ids), "documents at the end")
        return rows

    def _sample(self, seconds: float) -> Row:
        jvm.java_class("java.lang.System").gc()
        runtime = jvm.java_class("java.lang.Runtime").getRuntime()
        with ImpactIndex(self._path) as index:
            segments = index.segments
        return {
            "seconds": f"{seconds:.0f}",
            "documents": len(self._view.ids),
            "segments": segments,
            **self.counts,
            "index MB": sum(file.stat().st_size for file in self._path.glob("*") if file.exists()) / 1e6,
            "heap MB": (runtime.totalMemory() - runtime.freeMemory()) / 1e6,
            "open files": _open_files(),
            "mapped files": _mapped_files(self._path),
            "RSS MB": _own_memory(),
        }

    # One thread writes

    def _write(self) -> None:
        while not self._stopped.is_set():
            held = dict(self._held)
            with ImpactIndex.writer(self._path, threads=1) as writer:
                for _ in range(COMMITS_A_WRITER):
                    if self._stopped.is_set():
                        break
                    for _ in range(self._random.integers(1, 5)):
                        self._change(writer)
                    if self._random.random() < 0.05:
                        writer.close()  # gives up what it has not committed
                        self._held = held
                        break
                    with self._publishing:
                        writer.commit()
                        self._view = View.of(self._held)
                    held = dict(self._held)
                    self.counts["commits"] += 1

    def _change(self, writer: ImpactWriter) -> None:
        many = int(self._random.integers(1, len(self._vectors) // 40 + 2))
        shrinks = self._random.random() < len(self._held) / len(self._vectors)  # about half of the vectors are in use
        chance = self._random.random()
        if chance < 0.05:
            writer.merge(int(self._random.integers(1, 4)))
        elif chance < 0.07:
            writer.merge(1, reorder=True)
        elif chance < 0.4:
            changed = {doc_id: self._any_vector() for doc_id in self._some(many)} | self._new(many // 10)
            writer.update([self._of(changed)])
            self._held |= changed
        elif shrinks:
            gone = self._some(many)
            _expect(writer.delete([*gone, "never there"]), len(gone), "documents deleted")
            for doc_id in gone:
                del self._held[doc_id]
        else:
            new = self._new(many)
            writer.append([self._of(new)])
            self._held |= new

    def _any_vector(self) -> int:
        return int(self._random.integers(len(self._vectors)))

    def _some(self, many: int) -> list[str]:
        ids = list(self._held)
        return [ids[place] for place in self._random.choice(len(ids), min(many, len(ids)), replace=False).tolist()]

    def _new(self, many: int) -> dict[str, int]:
        """Documents of ids that were not there before."""
        numbers = range(self._next, self._next + many)
        self._next += many
        return {f"d{number:07}": self._any_vector() for number in numbers}

    def _of(self, rows: dict[str, int]) -> TermVectors:
        """Documents of these ids with these of the drawn vectors."""
        numbers = np.array(list(rows.values()), dtype=np.int64)
        unique, places = np.unique(numbers, return_inverse=True)
        some = self._matrix[unique][places]
        return TermVectors(
            list(rows),
            some.indptr.astype(np.int64),
            some.indices.astype(np.int32),
            self._vectors.vocabulary,
            some.data.astype(np.float32),
        )

    # Others read

    def _read(self, number: int) -> None:
        random = np.random.default_rng([self._seed, 1, number])
        with self._publishing:
            index, view = ImpactIndex(self._path), self._view
        try:
            while not self._stopped.is_set():
                if random.random() < 0.2:
                    with self._publishing:
                        newer, view = index.refreshed(), self._view
                    if newer is not index:
                        index.close()
                        index = newer
                    _expect(len(index), len(view.ids), "documents")
                self._search(index, view, random)
        finally:
            index.close()

    def _search(self, index: ImpactIndex, view: View, random: np.random.Generator) -> None:
        row = int(random.integers(len(self._queries)))
        query, k = self._queries.rows(row, row + 1), int(random.choice(KS))
        within = None
        if view.ids and random.random() < 0.1:
            chosen = sorted(random.choice(len(view.ids), min(len(view.ids), 500), replace=False).tolist())
            view = View([view.ids[place] for place in chosen], view.rows[chosen])
            within = index.filter(doc_ids=view.ids)
        options = SearchOptions(skip=bool(random.random() < 0.8))
        threads = int(random.integers(1, 3))
        (hits,) = index.search(query, k, options=options, filter=within, threads=threads)
        self.counts["searches"] += 1
        if random.random() < 1 / CHECKED:
            self._compare(query, k, hits, view)
            self.counts["checked"] += 1
            if hits.doc_ids:
                self._compare_vector(index, view, hits.doc_ids[0])

    def _compare(self, query: ImpactVectors, k: int, hits: Hits, view: View) -> None:
        asked = np.zeros(self._matrix.shape[1], dtype=np.int64)
        id_of = self._vectors.vocabulary.id_of
        for term, impact in query.row(0).items():
            if term in id_of:
                asked[id_of[term]] = impact
        ids, scores = view.best(self._matrix @ asked, k)
        _expect((hits.doc_ids, hits.scores.tolist()), (ids, scores), f"seed {self._seed}, query {query.ids[0]}, k {k}")

    def _compare_vector(self, index: ImpactIndex, view: View, doc_id: str) -> None:
        """A document's vector, out of its forward list."""
        drawn = int(view.rows[np.searchsorted(view.ids, doc_id)])
        _expect(index.vectors([doc_id]).row(0), self._vectors.row(drawn), f"seed {self._seed}, vector of {doc_id}")


def _weights(batch: ImpactVectors) -> TermVectors:
    return TermVectors(batch.ids, batch.indptr, batch.terms, batch.vocabulary, batch.impacts.astype(np.float32))


def _expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise WrongAnswerError(f"{what}: expected {str(wanted)[:500]}, found {str(found)[:500]}")


def _open_files() -> int | None:
    """Of this process; None where the system does not say."""
    files = Path("/proc/self/fd")
    return len(list(files.iterdir())) if files.exists() else None


def _mapped_files(folder: Path) -> int | None:
    """Of this folder, removed ones too, in this process's memory: Lucene closes a file once it is mapped."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    names = (line.partition("/")[2] for line in maps.read_text(encoding="utf-8", errors="replace").splitlines())
    return len({name for name in names if f"/{name}".startswith(f"{folder}/")})


def _own_memory() -> float | None:
    """Resident memory that is no file's, in MB; None where the system does not say."""
    status = Path("/proc/self/status")
    found = re.search(r"^RssAnon:\s+(\d+) kB", status.read_text(encoding="utf-8"), re.M) if status.exists() else None
    return int(found[1]) * 1024 / 1e6 if found else None


def grown(rows: Sequence[Row]) -> list[str]:
    """What has grown: the median of the last third of its samples beside that of the first, the warm-up left out."""
    counted = rows[round(WARM_UP * len(rows)) :]
    third = len(counted) // 3
    found = []
    for name, slack in SLACK.items():
        values = [value for row in counted if isinstance(value := row[name], int | float)]
        if third and len(values) == len(counted):
            first, last = float(np.median(values[:third])), float(np.median(values[-third:]))
            if last > GROWTH * first + slack:
                found.append(f"{name} from {first:,.0f} to {last:,.0f}")
    return found


NOTES = [
    "heap MB: in use after a garbage collection; RSS MB: resident memory that is no file's, all of Java's heap with "
    "it, which is there from the start, so that what grows is native memory or Python's",
    f"one of {CHECKED} searches is compared with brute force, and the vector of its best hit with what was written; at "
    "the end Lucene's CheckIndex read every file",
    f"something has grown where the median of the last third of the samples is more than {GROWTH} times that of the "
    f"first, and {', '.join(f'{slack:g} ({name})' for name, slack in SLACK.items())} more; the first "
    f"{WARM_UP:.0%} of the samples are left out",
]


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser("benchmarks.soak", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--readers", type=int, default=2, help="threads that search")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    collection.add_arguments(parser)
    parser.set_defaults(documents=20_000)
    arguments = parser.parse_args()
    if jvm.OPTIONS_VARIABLE not in os.environ:  # the JVM of this process runs already
        again = [sys.executable, "-m", "benchmarks.soak", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, jvm.OPTIONS_VARIABLE: HEAP})
    drawn = collection.chosen(arguments, with_queries=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-soak-") as scratch:
        soak = Soak(Path(scratch, "index"), drawn, arguments.seed)
        rows = soak.run(arguments.seconds, arguments.readers)
    settings = {"seconds": arguments.seconds, "seed": arguments.seed, "readers": arguments.readers}
    Report("soak", machine(), drawn.facts(), settings, rows, NOTES).print(as_json=arguments.json)
    if found := grown(rows):
        raise SystemExit(f"benchmarks.soak: grown: {'; '.join(found)}")


if __name__ == "__main__":
    main()
