"""The whole road, once: collect, encode, index, search, evaluate; each step is kept in a folder and done once.

Law: what is shown was measured in this run or is said to have been there already. `cli.py` shows what is made here.
"""

import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from splade_lucene.datasets import Doc, Qrel, Query, read_documents, read_qrels, read_queries
from splade_lucene.demo.stdlib import stdlib_documents
from splade_lucene.encoding.encoder import TextEncoder, load_encoder
from splade_lucene.encoding.pipeline import encode_collection
from splade_lucene.errors import ImpactIndexError
from splade_lucene.evaluation.measures import Evaluation, evaluate
from splade_lucene.evaluation.significance import Comparison, compare
from splade_lucene.files import cache_folder, writing_text
from splade_lucene.lucene import anserini
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.runs import Hits
from splade_lucene.vector_folders import VectorFolder

MEASURES = ("nDCG@10", "R@100", "RR@10")
HITS_A_QUERY = 100  # what R@100 needs

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Opens a progress bar of a description and a total; what it gives is called with each number done."""


@dataclass(frozen=True)
class Step:
    """One step of the road and how long it took; `reused` where an earlier demo had done it."""

    what: str
    seconds: float
    reused: bool


@dataclass(frozen=True)
class Measured:
    """Our run and BM25's over the same documents and questions."""

    questions: int
    judgments: int
    ours: Evaluation
    bm25: Evaluation
    comparisons: list[Comparison]


def default_folder() -> Path:
    """Where the demo keeps its work: one folder for each Python, in the user's cache."""
    return cache_folder() / f"demo-python-{platform.python_version()}"


class Tour:
    """Walks the road; the steps it has taken are in `steps`.

    Args:
        folder: where documents, vectors and indexes are kept, so that a second tour starts in seconds.
        progress: shows how far a long step is.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.steps: list[Step] = []
        self._progress = progress
        self.documents = self._collect()
        encoder = self._load()
        vectors = self._encode(encoder)
        self.searcher = Searcher(self._index(vectors), encoder)

    def _step(self, what: str, started: float, *, reused: bool = False) -> None:
        self.steps.append(Step(what, time.perf_counter() - started, reused))

    def _collect(self) -> dict[str, Doc]:
        started = time.perf_counter()
        file = self.folder / "documents.jsonl"
        reused = file.is_file()
        if not reused:
            with self._progress("collecting docstrings", None) as advance, writing_text(file) as output:
                for doc in stdlib_documents():
                    record = {"_id": doc.doc_id, "title": doc.title, "text": doc.text}
                    output.write(json.dumps(record, ensure_ascii=False) + "\n")
                    advance(1)
        documents = {doc.doc_id: doc for doc in read_documents(str(file))}
        self._step(
            f"{len(documents):,} docstrings of Python {platform.python_version()} collected", started, reused=reused
        )
        return documents

    def _load(self) -> TextEncoder:
        started = time.perf_counter()
        encoder = load_encoder("default")
        self._step("default model loaded", started)
        return encoder

    def _encode(self, encoder: TextEncoder) -> VectorFolder:
        started = time.perf_counter()
        output = self.folder / f"vectors-{encoder.identity.fingerprint}"
        reused = VectorFolder.is_one(output) and VectorFolder.open(output).complete
        with self._progress("encoding", len(self.documents)) as advance:
            vectors = encode_collection(
                encoder,
                self.documents.values(),
                output,
                source="Python's standard library",
                shard_size=1024,
                progress=advance,
            )
        self._step(f"{vectors.documents:,} documents encoded", started, reused=reused)
        return vectors

    def _index(self, vectors: VectorFolder) -> ImpactIndex:
        started = time.perf_counter()
        path = self.folder / f"index-{vectors.encoder.fingerprint}"
        try:
            index = ImpactIndex(path)
            reused = len(index) == vectors.documents
        except ImpactIndexError:  # none there, or one that was interrupted or damaged
            reused = False
        if not reused:
            texts = ((doc.doc_id, doc.default_text()) for doc in self.documents.values())
            options = IndexOptions(overwrite=True)
            index = ImpactIndex.build(path, vectors.read(), options, encoder=vectors.encoder, texts=texts)
        postings = index.manifest.postings if index.manifest else 0
        self._step(f"{postings:,} postings indexed by Lucene", started, reused=reused)
        return index

    def measure(self) -> Measured:
        """Search all questions with our model and with BM25, and evaluate both against the judgments."""
        queries, qrels = questions(), judgments()
        started = time.perf_counter()
        ours = self.searcher.search_texts({query.query_id: query.text for query in queries}, HITS_A_QUERY)
        self._step(f"{len(queries)} questions encoded and searched", started)
        started = time.perf_counter()
        bm25 = self._bm25(queries)
        self._step(f"{len(queries)} questions searched by BM25, its index included", started)
        evaluated, baseline = (evaluate(run, qrels, MEASURES) for run in (ours, bm25))
        return Measured(len(queries), len(qrels), evaluated, baseline, compare(evaluated, baseline))

    def _bm25(self, queries: list[Query]) -> dict[str, Hits]:
        folder = self.folder / "bm25"
        folder.mkdir(exist_ok=True)
        return anserini.bm25(map(_opened, self.documents.values()), queries, HITS_A_QUERY, folder=folder, threads=1)


def _opened(doc: Doc) -> Doc:
    """The document with its dotted and underscored names opened into words.

    Lucene's tokenizer keeps `json.dumps` in one piece, where our model's splits it: BM25 shall not lose for that.
    """
    return doc._replace(title=doc.title.replace(".", " ").replace("_", " "), text=doc.text.replace("_", " "))


def questions() -> list[Query]:
    """The demo's questions; `JUDGMENTS.md` says how they were made."""
    return list(read_queries(str(Path(__file__).with_name("questions.tsv"))))


def judgments() -> list[Qrel]:
    """Which documents answer (2) or help with (1) each question."""
    return list(read_qrels(str(Path(__file__).with_name("judgments.qrels"))))


def examples() -> Iterator[Query]:
    """The handful of questions that the demo shows with their hits."""
    shown = ("q001", "q002", "q003", "q112")
    return (query for query in questions() if query.query_id in shown)
