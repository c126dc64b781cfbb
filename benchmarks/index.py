"""How fast impact vectors become a Lucene index: Anserini's IndexCollection and ours, in one process.

    python -m benchmarks.index [--documents N] [--threads N] [--repeats R] [--json]
    python -m benchmarks.index --vectors splade-v3-nfcorpus/docs.jsonl.gz

The same impacts are written once as Anserini's JSONL and once as a folder of ours, and are held in memory.
"""

import shutil
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import collection
from benchmarks.collection import Collection
from benchmarks.report import Report, Row, Times, machine, rounds, timed
from splade_lucene.lucene.anserini import index_collection
from splade_lucene.lucene.block_files import PREFIXES
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import read_vectors, write_jsonl
from splade_lucene.vector_folders import Shard, VectorFolder
from splade_lucene.vectors import EncoderIdentity, ImpactVectors, TermVectors, Vocabulary

SHARD_SIZE = 2_048  # documents a shard, as `splade-lucene encode` writes them
WARM_UP, WARM_UP_ROUNDS = 5_000, 4  # documents that every way indexes, and how often, before anything is timed
SAMPLED_TERMS = 200
_SCALE = 100.0  # of the folder of ours: its weights are impact / 100
_JSON_VECTORS = ("-collection", "JsonVectorCollection", "-impact", "-pretokenized")


@dataclass(frozen=True)
class Sources:
    """The same impacts in the three forms that are indexed."""

    jsonl: Path
    parquet: Path
    memory: list[TermVectors]

    @classmethod
    def write(cls, batches: Iterable[ImpactVectors], folder: Path) -> "Sources":
        """Write them below a folder."""
        weighed = [_weights(batch) for batch in batches]
        sources = cls(folder / "jsonl", folder / "parquet", weighed)
        sources.jsonl.mkdir(parents=True)
        for number, batch in enumerate(batches):  # Anserini gives each file to one thread
            write_jsonl(sources.jsonl / f"{number:05}.jsonl", [batch])
        _write_folder(sources.parquet, weighed)
        return sources


def _weights(batch: ImpactVectors) -> TermVectors:
    weights = (batch.impacts / _SCALE).astype(np.float32)
    return TermVectors(batch.ids, batch.indptr, batch.terms, batch.vocabulary, weights)


def _write_folder(path: Path, batches: list[TermVectors]) -> None:
    vocabulary = batches[0].vocabulary
    if any(batch.vocabulary is not vocabulary for batch in batches):
        vocabulary = Vocabulary(sorted({term for batch in batches for term in batch.vocabulary.terms}))
        batches = [
            TermVectors.from_rows({row_id: batch.row(i) for i, row_id in enumerate(batch.ids)}, vocabulary)
            for batch in batches
        ]
    identity = EncoderIdentity("benchmark", "none", vocabulary.fingerprint, 0, "none")
    folder = VectorFolder(path, identity, "benchmark", SHARD_SIZE)
    folder.write_vocabulary(vocabulary)
    shards: list[Shard] = []
    for batch in batches:
        for start in range(0, len(batch), SHARD_SIZE):
            some = batch.select(range(start, min(start + SHARD_SIZE, len(batch))))
            shards.append(Shard(f"{len(shards):06}.parquet", len(some), "", 0, 0))
            folder.write_shard(shards[-1].file, some)
    VectorFolder(path, identity, "benchmark", SHARD_SIZE, tuple(shards), complete=True).save()


@dataclass(frozen=True)
class Indexer:
    """The ways to index, into folders below `indexes`; each says how many seconds it took."""

    indexes: Path
    threads: int
    merge: bool

    def anserini(self, sources: Sources) -> Times:
        """Anserini's IndexCollection, as `python -m pyserini.index.lucene` runs it."""
        options = (*_JSON_VECTORS, "-optimize") if self.merge else _JSON_VECTORS
        path = self._fresh("anserini")
        return timed(lambda: index_collection(sources.jsonl, path, *options, threads=self.threads))

    def parquet(self, sources: Sources) -> Times:
        """Ours from a folder that `splade-lucene encode` wrote."""
        return self._build("parquet", lambda: read_vectors(sources.parquet), _SCALE)

    def jsonl(self, sources: Sources) -> Times:
        """Ours from Anserini's JSONL."""
        return self._build("jsonl", lambda: read_vectors(sources.jsonl), 1.0)

    def memory(self, sources: Sources) -> Times:
        """Ours from weights in memory."""
        return self._build("memory", lambda: sources.memory, _SCALE)

    def postings(self, sources: Sources) -> Times:
        """From memory, without block files."""
        return self._build("postings", lambda: sources.memory, _SCALE, blocks=False)

    def reordered(self, sources: Sources) -> Times:
        """From memory, documents reordered."""
        return self._build("reordered", lambda: sources.memory, _SCALE, reorder=True)

    def _build(
        self,
        name: str,
        vectors: Callable[[], Iterable[TermVectors]],
        scale: float,
        *,
        blocks: bool = True,
        reorder: bool = False,
    ) -> Times:
        options = IndexOptions(Quantizer(scale), threads=self.threads, merge=self.merge, blocks=blocks, reorder=reorder)
        path = self._fresh(name)
        return timed(lambda: ImpactIndex.build(path, vectors(), options).close())

    def _fresh(self, name: str) -> Path:
        shutil.rmtree(self.indexes / name, ignore_errors=True)
        return self.indexes / name

    def size(self, name: str, *, beside: bool) -> int:
        """Bytes of the index that a way has built last: of Lucene's files, or of those beside them."""
        files = [file for file in (self.indexes / name).iterdir() if file.name.startswith(PREFIXES) == beside]
        return sum(file.stat().st_size for file in files)

    def equal_postings(self, name: str, sampled: np.random.Generator) -> str:
        """Whether its terms are Anserini's, and the posting lists of some of them too."""
        with ImpactIndex(self.indexes / "anserini") as theirs, ImpactIndex(self.indexes / name) as ours:
            terms = theirs.terms()
            if ours.terms() != terms or len(ours) != len(theirs):
                return "no"
            some = sampled.choice(len(terms), min(SAMPLED_TERMS, len(terms)), replace=False)
            equal = sum(ours.postings(terms[i]) == theirs.postings(terms[i]) for i in some.tolist())
            return f"{equal}/{len(some)}"


LABELS = {
    "anserini": "Anserini IndexCollection, from JSONL",
    "jsonl": "ours, from the same JSONL",
    "parquet": "ours, from Parquet",
    "memory": "ours, from memory",
    "postings": "ours, from memory, without block files",
    "reordered": "ours, from memory, reordered",
}


def measure(vectors: Collection, *, threads: int, repeats: int, merge: bool) -> list[Row]:
    """One row for each way."""
    with tempfile.TemporaryDirectory(prefix="benchmark-index-") as folder:
        scratch = Path(folder)
        few = vectors.documents[0].rows(0, WARM_UP)
        warm_up = Sources.write([few], scratch / "few")
        sources = Sources.write(vectors.documents, scratch / "all")
        indexer = Indexer(scratch / "indexes", threads, merge)
        ways = {name: getattr(indexer, name) for name in LABELS}
        rounds({name: partial(way, warm_up) for name, way in ways.items()}, WARM_UP_ROUNDS)
        taken = rounds({name: partial(way, sources) for name, way in ways.items()}, repeats)
        return [_row(indexer, name, taken, sum(map(len, vectors.documents))) for name in LABELS]


def _row(indexer: Indexer, name: str, taken: dict[str, list[Times]], documents: int) -> Row:
    wall = [each.wall for each in taken[name]]
    median, cpu = np.median(taken[name], axis=0).tolist()
    anserini, anserini_cpu = np.median(taken["anserini"], axis=0).tolist()
    return {
        "way": LABELS[name],
        "seconds": median,
        "fastest": min(wall),
        "slowest": max(wall),
        "CPU seconds": cpu,
        "documents/s": documents / median,
        "times Anserini": anserini / median,
        "by CPU": anserini_cpu / cpu,
        "index MB": indexer.size(name, beside=False) / 1e6,
        "beside it MB": indexer.size(name, beside=True) / 1e6,
        "equal posting lists": indexer.equal_postings(name, np.random.default_rng(0)),
    }


def notes(*, merge: bool) -> list[str]:
    """What is in the seconds and what is not."""
    end = "-optimize and forceMerge(1): all end in one segment" if merge else "nobody merges: several segments are left"
    return [
        f"seconds: from the call to a committed index on disk (not synced by us; the page cache is warm); {end}",
        f"all ways run in one JVM, in turn in each round, after each has indexed the first {WARM_UP:,} documents "
        f"{WARM_UP_ROUNDS} times, unmeasured",
        "in the time of Parquet, JSONL and memory: reading, quantizing, writing, the check for repeated doc_ids; "
        "not: starting Python and the JVM, encoding texts",
        "CPU seconds: of all threads; their ratio (by CPU) holds on a machine that others use too",
        "equal posting lists: every doc_id and impact of so many of the sampled terms equals Anserini's; the terms and "
        "the number of documents are equal too",
    ]


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser("benchmarks.index", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=IndexOptions().threads, help="of all ways")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-merge", action="store_true", help="leave several segments, in all ways")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    collection.add_arguments(parser)
    arguments = parser.parse_args()
    vectors = collection.chosen(arguments, with_queries=False)
    merge = not arguments.no_merge
    rows = measure(vectors, threads=arguments.threads, repeats=arguments.repeats, merge=merge)
    settings = {"threads": arguments.threads, "medians of": arguments.repeats}
    report = Report("index", machine(), vectors.facts(), settings, rows, notes(merge=merge))
    report.print(as_json=arguments.json)


if __name__ == "__main__":
    main()
