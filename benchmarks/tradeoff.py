"""What it costs to read less: every approximation beside exact search, on real vectors.

    python -m benchmarks.tradeoff --collection NAME DOCS QUERIES [QRELS] [--collection …] [--plot FILE.png]
        [--queries N] [--repeats R] [--json]

DOCS and QUERIES are vectors: a folder that `splade-lucene encode` wrote, Anserini's JSONL or its TSV (each also .gz).
QRELS are judgments; without them a collection has no nDCG@10, only what an approximation misses of the exact search.
"""

import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.report import Report, Row, machine
from benchmarks.search import one_by_one
from splade_lucene.datasets import Qrel, read_qrels
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.lucene import block_files
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.options import SearchOptions
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.pruning import Pruning
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits, Run
from splade_lucene.vector_files import read_vectors
from splade_lucene.vector_folders import open_vectors
from splade_lucene.vectors import ImpactVectors, TermVectors

KS = (10, 1000)
SCALE = 100.0  # of our vectors where their folder names none


FIRST_PASS = IndexOptions().first_pass_doc_terms
EVERY_POSTING = SearchOptions(skip=False)
PLAIN = Pruning()
SKIPPING = SearchOptions()


@dataclass(frozen=True)
class Way:
    """One way to search: a family, its setting, the index that it needs, and how that is searched."""

    family: str
    setting: str = ""
    pruning: Pruning = PLAIN
    search: SearchOptions = SKIPPING
    reorder: bool = False
    first_pass_doc_terms: int = 0

    @property
    def label(self) -> str:
        """The row's name."""
        return f"{self.family} {self.setting}".strip()


EXACT = "exact"
# Published thresholds of weights are .5, .75, 1 and 1.25, which at scale 100 keep impacts from 51, 76, 101 and 126.
WAYS = [
    Way(EXACT, "every posting", search=EVERY_POSTING),
    Way(EXACT, "skipping"),
    Way(EXACT, "skipping, reordered", reorder=True),
    *[
        Way(f"two steps, {n:,} candidates, terms", f"{terms}", search=SearchOptions(first_pass_terms=terms, rescore=n))
        for n in (100, 1000)
        for terms in (3, 5, 10, 15, 20)
    ],
    *[
        Way(
            f"two steps, pruned, {n:,} candidates, terms",
            f"{terms}",
            search=SearchOptions(first_pass_terms=terms, rescore=n),
            first_pass_doc_terms=FIRST_PASS,
        )
        for n in (100, 300, 1000)
        for terms in (3, 5, 10, 15, 20)
    ],
    *[Way("postings at most", f"{n:,}", search=SearchOptions(max_postings=n)) for n in (3000, 10_000, 30_000, 100_000)],
    *[Way("documents' top terms", f"{n}", Pruning(top_terms=n)) for n in (4, 8, 16, 32, 64, 128)],
    *[Way("terms' quantile", f"{q:g}", Pruning(term_quantile=q)) for q in (0.85, 0.75, 0.5, 0.25)],
    *[Way("documents' impacts from", f"{n}", Pruning(min_impact=n)) for n in (126, 101, 76, 51, 26, 11)],
    *[Way("queries' top terms", f"{n}", search=SearchOptions(query_terms=n)) for n in (3, 5, 10, 15, 20, 30)],
    *[
        Way("queries' impacts from", f"{n}", search=SearchOptions(min_query_impact=n))
        for n in (126, 101, 76, 51, 26, 11)
    ],
]


@dataclass(frozen=True)
class Judged:
    """A collection: documents in batches, queries, judgments where there are some."""

    name: str
    documents: Sequence[ImpactVectors]
    queries: ImpactVectors
    qrels: Sequence[Qrel]

    @classmethod
    def read(cls, name: str, documents: Path, queries: Path, qrels: str | None, *, most: int) -> "Judged":
        """Read its files; of the queries the first `most`."""
        asked = TermVectors.concatenate(list(read_vectors(queries, batch_size=10**9)))
        return cls(
            name,
            [_quantizer(documents)(batch) for batch in read_vectors(documents)],
            _quantizer(queries)(asked).rows(0, min(most, len(asked))),
            list(read_qrels(qrels)) if qrels is not None else [],
        )

    def facts(self) -> str:
        """Its sizes."""
        documents = sum(map(len, self.documents))
        postings = sum(len(batch.impacts) for batch in self.documents)
        return (
            f"{documents:,} documents of {postings / documents:.0f} terms, {len(self.queries):,} queries of "
            f"{len(self.queries.impacts) / len(self.queries):.0f}, {len(self.qrels):,} judgments"
        )


def _quantizer(vectors: Path) -> Quantizer:
    """The scale of a folder of ours; other programs' files hold impacts."""
    encoded = open_vectors(vectors)
    return Quantizer((encoded.scale or SCALE) if encoded else 1)


class Searched:
    """One way over its index: what it finds and what that takes."""

    def __init__(self, way: Way, index: ImpactIndex, queries: ImpactVectors) -> None:
        self.way = way
        self._index = index
        self._searcher = Searcher(index, quantizer=Quantizer(1), options=way.search)
        self._queries = {query_id: queries.rows(number, number + 1) for number, query_id in enumerate(queries.ids)}

    def search(self, query_id: str, k: int) -> Hits:
        """The hits of one query, searched by one thread."""
        return self._searcher.search_vectors(self._queries[query_id], k, threads=1)[query_id]

    def run(self, k: int) -> Run:
        """The hits of all queries."""
        return {query_id: self.search(query_id, k) for query_id in self._queries}

    def megabytes(self) -> Mapping[str, float]:
        """Of its index: Lucene's files, and the block files."""
        sizes = {file.name: file.stat().st_size / 1e6 for file in self._index.path.iterdir()}
        beside = sum(size for name, size in sizes.items() if name.startswith(block_files.PREFIXES))
        return {"index MB": sum(sizes.values()) - beside, "blocks MB": beside}


def measure(collection: Judged, ways: Sequence[Way], *, repeats: int) -> list[Row]:
    """One row for each way; the first one is exact, and says what the others may miss."""
    with ExitStack() as opened:
        scratch = opened.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-tradeoff-"))
        indexes = {
            options: opened.enter_context(_build(Path(scratch, str(number)), collection.documents, options))
            for number, options in enumerate(dict.fromkeys(map(_options, ways)))
        }
        searched = [Searched(way, indexes[_options(way)], collection.queries) for way in ways]
        runs = {k: [each.run(k) for each in searched] for k in KS}  # warms up, too
        taken = {
            k: one_by_one([partial(each.search, k=k) for each in searched], collection.queries.ids, repeats) for k in KS
        }
        return [
            {
                "way": each.way.label,
                "collection": collection.name,
                "nDCG@10": _ndcg(runs[10][number], collection.qrels),
                **{f"exact top {k:,}": recall(runs[k][number], runs[k][0]) for k in KS},
                **{f"postings, {k:,} hits": _postings(runs[k][number]) for k in KS},
                **{
                    f"ms {k:,} p{percent}": 1000 * float(np.percentile(taken[k][number][:, 0], percent))
                    for k in KS
                    for percent in (50, 95)
                },
                **each.megabytes(),
            }
            for number, each in enumerate(searched)
        ]


def _options(way: Way) -> IndexOptions:
    return IndexOptions(
        Quantizer(1), pruning=way.pruning, reorder=way.reorder, first_pass_doc_terms=way.first_pass_doc_terms
    )


def _build(path: Path, documents: Iterable[ImpactVectors], options: IndexOptions) -> ImpactIndex:
    weights = [
        TermVectors(each.ids, each.indptr, each.terms, each.vocabulary, each.impacts.astype(np.float32))
        for each in documents
    ]
    return ImpactIndex.build(path, weights, options)


def recall(run: Run, exact: Run) -> float:
    """The share of the exact search's hits that a run has, mean over the queries that have any."""
    shares = [len(set(hits.doc_ids) & set(run[each].doc_ids)) / len(hits) for each, hits in exact.items() if hits]
    return float(np.mean(shares))


def _postings(run: Run) -> float:
    return float(np.mean([hits.postings_read or 0 for hits in run.values()]))


def _ndcg(run: Run, qrels: Sequence[Qrel]) -> float | None:
    asked = [qrel for qrel in qrels if qrel.query_id in run]
    return evaluate(run, asked, ["nDCG@10"]).measures["nDCG@10"] if asked else None


NOTES = [
    "exact top k: the share of the k documents that exact search finds which are among the k that this way finds, mean "
    "over the queries; nDCG@10: over the judged ones of these queries",
    "postings: read a query, mean; where a search skips, and where it rescores, what it looks up in block files counts",
    "ms: percentiles over the queries of each one's median over the rounds, on one thread; the ways take turns after "
    "every 20 queries",
    "two steps: so many of a query's terms find so many candidates (k, where that is more), which all of its terms "
    f"then score; pruned: these find them among the {FIRST_PASS} largest impacts of each document, saturated; postings "
    "at most: what a query may read, the best places first",
    "documents' top terms, terms' quantile, documents' impacts: of the index, left out when it is built (2304.12702); "
    "queries' top terms and impacts: of the query, left out when it is asked",
    "index MB: of Lucene's files, doc_ids included; blocks MB: of the files beside them, with which searches skip and "
    "rescore; a pruned index has its own of both",
]


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser("benchmarks.tradeoff", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "--collection",
        nargs="+",
        action="append",
        required=True,
        metavar="NAME DOCS QUERIES [QRELS]",
        help="one or more",
    )
    parser.add_argument("--queries", type=int, default=300, help="of each collection, the first ones")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="draw it, too, into this PNG")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    collections = []
    for given in arguments.collection:
        if len(given) not in (3, 4):
            parser.error(f"--collection takes NAME DOCS QUERIES [QRELS], not {' '.join(given)}")
        name, documents, queries, qrels = (*given, None)[:4]
        collections.append(Judged.read(name, Path(documents), Path(queries), qrels, most=arguments.queries))
    rows = [row for each in collections for row in measure(each, WAYS, repeats=arguments.repeats)]
    if arguments.plot is not None:
        from benchmarks.tradeoff_plot import draw  # and with it matplotlib

        families: dict[str, dict[str, str]] = {}
        for way in WAYS:
            families.setdefault(way.family, {})[way.label] = way.setting
        draw(rows, families, arguments.plot)
    facts = {each.name: each.facts() for each in collections}
    Report("tradeoff", machine(), facts, {"medians of": arguments.repeats}, rows, NOTES).print(as_json=arguments.json)


if __name__ == "__main__":
    main()
