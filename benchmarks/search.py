"""How fast an impact index answers: Pyserini's searcher, plain Lucene, and ours, in one process over one index.

    python -m benchmarks.search [--documents N] [--queries N] [--k 10,1000] [--repeats R] [--json]
    python -m benchmarks.search --vectors docs.jsonl.gz --query-vectors queries.tsv.gz

Every way is given the same impacts and must find the same hits.
"""

import os
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import collection
from benchmarks.pyserini_search import Found, LuceneSearcher, PyseriniSearcher
from benchmarks.report import Report, Row, machine, rounds, timed
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits
from splade_lucene.vectors import ImpactVectors, TermVectors

TURN = 20  # queries

Answers = Mapping[str, Found]


@dataclass(frozen=True)
class Way:
    """One way to search all queries.

    search: the hits of one query, or of all of them at once where `batch`, as they come.
    answers: the hits of all queries, read.
    """

    label: str
    search: Callable[[str], object]
    answers: Callable[[], Answers]
    batch: bool = False


class Ways:
    """All ways to search an index for the same queries."""

    def __init__(self, index: Path, queries: ImpactVectors, threads: Iterable[int]) -> None:
        self._queries = queries
        self._threads = list(threads)
        self._dicts = {query_id: queries.row(i) for i, query_id in enumerate(queries.ids)}
        self._vectors = {query_id: queries.rows(i, i + 1) for i, query_id in enumerate(queries.ids)}
        self._pyserini = PyseriniSearcher(index, queries)
        self._lucene = LuceneSearcher(index, queries)
        self._ours = Searcher(index, quantizer=Quantizer(1))

    def at(self, k: int) -> list[Way]:
        """All of them; the first is what the others are compared with."""
        pyserini, lucene = self._pyserini, self._lucene

        def read(query_id: str) -> Found:
            return pyserini.search(query_id, k)

        def ours_from_dict(query_id: str) -> Found:
            return _read(self._ours.search(self._dicts[query_id], k, threads=1))

        def ours(threads: int, query_id: str) -> Found:
            return _read(self._ours.search_vectors(self._vectors[query_id], k, threads=threads)[query_id])

        return [
            self._each("Pyserini search", read, read),
            self._each("Pyserini search, hits not read", lambda query_id: pyserini.unread(query_id, k), read),
            self._each(
                "Lucene IndexSearcher, query made before, hits not read",
                lambda query_id: lucene.unread(query_id, k),
                lambda query_id: lucene.scores(query_id, k),
            ),
            self._each("ours, search (a dict), threads 1", ours_from_dict, ours_from_dict),
            *[
                self._each(f"ours, search_vectors (one query), threads {threads}", one, one)
                for threads in self._threads
                for one in [partial(ours, threads)]
            ],
            *[self._pyserini_batch(k, threads) for threads in self._threads],
            *[self._our_batch(k, threads) for threads in self._threads],
        ]

    def _each(self, label: str, search: Callable[[str], object], compared: Callable[[str], Found]) -> Way:
        """A way that takes queries one by one; `compared` finds what `search` does, and reads it."""
        ids = self._queries.ids
        return Way(label, search, lambda: {query_id: compared(query_id) for query_id in ids})

    def _pyserini_batch(self, k: int, threads: int) -> Way:
        def search() -> Answers:
            return self._pyserini.batch_search(list(self._queries.ids), k, threads)

        return Way(f"Pyserini batch_search, threads {threads}", lambda _: search(), search, batch=True)

    def _our_batch(self, k: int, threads: int) -> Way:
        def search() -> Answers:
            found = self._ours.search_vectors(self._queries, k, threads=threads)
            return {query_id: _read(hits) for query_id, hits in found.items()}

        return Way(f"ours, search_vectors, threads {threads}", lambda _: search(), search, batch=True)


def _read(hits: Hits) -> Found:
    return hits.doc_ids, hits.scores.tolist()


def measure(ways: Ways, k: int, query_ids: Sequence[str], *, repeats: int) -> list[Row]:
    """One row for each way."""
    compared = ways.at(k)
    answers = [way.answers() for way in compared]  # warms up, too
    taken = one_by_one([way.search for way in compared if not way.batch], query_ids, repeats)
    batches = {way.label: partial(timed, partial(way.search, "")) for way in compared if way.batch}
    taken += [np.median(times, axis=0, keepdims=True) / len(query_ids) for times in rounds(batches, repeats).values()]
    return [
        _row(way, k, times, taken[0], _equal(found, answers[0]))
        for way, times, found in zip(compared, taken, answers, strict=True)
    ]


def one_by_one(
    searches: Sequence[Callable[[str], object]], query_ids: Sequence[str], repeats: int
) -> list[NDArray[np.float64]]:
    """(queries, 2) seconds by the clock and on the processor, for each way the median over the rounds.

    The ways take turns after every few queries: often enough that what slows the machine for a while slows all of them,
    seldom enough that each finds the processor's caches as it left them.
    """
    taken = np.zeros((len(searches), repeats, len(query_ids), 2))
    for round_ in range(repeats):
        for start in range(0, len(query_ids), TURN):
            for way, search in enumerate(searches):
                for query in range(start, min(start + TURN, len(query_ids))):
                    taken[way, round_, query] = timed(partial(search, query_ids[query]))
    return list(np.median(taken, axis=1))


def _row(way: Way, k: int, taken: NDArray[np.float64], base: NDArray[np.float64], equal: str) -> Row:
    wall, cpu = taken.mean(axis=0).tolist()
    base_wall, base_cpu = base.mean(axis=0).tolist()
    return {
        "way": way.label,
        "k": k,
        "ms a query": 1000 * wall,
        **{f"p{each}": None if way.batch else 1000 * float(np.percentile(taken[:, 0], each)) for each in (50, 95, 99)},
        "CPU ms": 1000 * cpu,
        "queries/s": 1 / wall,
        "times Pyserini": base_wall / wall,
        "by CPU": base_cpu / cpu,
        "equal hits": equal,
    }


def _equal(found: Answers, wanted: Answers) -> str:
    """How many queries have the same doc_ids and scores in the same order, Anserini's tie adjustment rounded away."""
    equal = 0
    for query_id, (doc_ids, scores) in wanted.items():
        found_ids, found_scores = found[query_id]
        equal += found_ids in (None, doc_ids) and np.array_equal(np.rint(found_scores), np.rint(scores))
    compared = "" if all(doc_ids is not None for doc_ids, _ in found.values()) else " (scores)"
    return f"{equal}/{len(wanted)}{compared}"


NOTES = [
    "ms a query, CPU ms: means over queries, p50, p95, p99: percentiles over queries, in ms, of each query's median "
    "over the rounds; of a batch, the median over the rounds divided by the number of queries",
    "CPU ms: of all threads of the process; the ratio (by CPU) holds on a machine that others use too, but a thread "
    "that waits for its share of a query costs too",
    "in the time: a query's terms and impacts go from Python to Java, doc_ids and scores of all hits come back as "
    "Python strings and numbers, except where hits are not read; not: encoding texts, opening the index",
    "Pyserini: LuceneImpactSearcher with min_idf -1, so that it keeps all query terms; its query encoder looks the "
    "dict up",
    "all ways run in one JVM over one index that ours built (one segment), in turn, 20 queries each, batches in "
    "turn in each round, after each has answered every query once, unmeasured",
    "equal hits: queries whose doc_ids and scores equal those of Pyserini search, all k of them, in order; plain "
    "Lucene has ties in another order, so only its scores are compared",
]


def _build(documents: Iterable[ImpactVectors], path: Path) -> None:
    weights = (
        TermVectors(each.ids, each.indptr, each.terms, each.vocabulary, each.impacts.astype(np.float32))
        for each in documents
    )
    ImpactIndex.build(path, weights, IndexOptions(Quantizer(1))).close()


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser("benchmarks.search", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--k", default="10,1000", help="how many hits, a list")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    collection.add_arguments(parser)
    arguments = parser.parse_args()
    vectors = collection.chosen(arguments, with_queries=True)
    assert vectors.queries is not None
    with tempfile.TemporaryDirectory(prefix="benchmark-search-") as scratch:
        _build(vectors.documents, Path(scratch, "index"))
        ways = Ways(Path(scratch, "index"), vectors.queries, sorted({1, os.cpu_count() or 1}))
        rows = [
            row
            for k in map(int, arguments.k.split(","))
            for row in measure(ways, k, vectors.queries.ids, repeats=arguments.repeats)
        ]
        settings = {"medians of": arguments.repeats}
        Report("search", machine(), vectors.facts(), settings, rows, NOTES).print(as_json=arguments.json)


if __name__ == "__main__":
    main()
