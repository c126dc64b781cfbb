"""Systems that are compared: models, BM25, their fusion, and runs that somebody else made.

A system makes of a collection's documents whatever it searches, once: vectors and indexes stay in folders whose names
end in a hash of what they were made of, so that other settings find others, and the same settings find the same ones.
"""

import shutil
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import batched
from pathlib import Path
from typing import Any, Literal

import numpy as np

from splade_lucene.beir.engines import Bm25Engine, Built, Engine, FusedEngine, ImpactEngine
from splade_lucene.beir.records import read_record, record_of, write_record
from splade_lucene.beir.source import Source, digest, either, file_digest
from splade_lucene.encoding.encoder import load_encoder
from splade_lucene.encoding.inspection import inspect_collection, inspect_text
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.encoding.pipeline import encode_collection
from splade_lucene.encoding.workers import EncodingJob, devices_of, encode_on_devices
from splade_lucene.errors import FormatError, ImpactIndexError
from splade_lucene.evaluation.results import Result
from splade_lucene.fusion import Fusion
from splade_lucene.inspection import InspectedText, InspectedVectors
from splade_lucene.lucene.bm25 import text_postings
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Run, read_run
from splade_lucene.vector_files import BATCH_SIZE
from splade_lucene.vector_folders import VectorFolder, VectorParts, open_vectors, part_folders
from splade_lucene.vectors import EncoderIdentity, TermVectors, Vocabulary

Keep = Literal["all", "indexes", "runs"]
Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Opens a progress bar of a description and a total; what it gives is called with each number done."""


@dataclass(frozen=True)
class Place:
    """Where work is kept, and who hears of it.

    output: the folder. threads: of searches and indexing. say: takes a line for a person. progress: shows how far a
    long step is.
    """

    output: Path
    threads: int
    say: Callable[[str], None]
    progress: Progress

    def home(self, system: str, collection: str) -> Path:
        """The folder of a system's work on a collection."""
        return self.output / system.replace("/", "--") / collection


class System(ABC):
    """One system.

    Attributes:
        name: what it is called in tables.
    """

    name: str

    @abstractmethod
    def run_key(self, source: Source, k: int) -> str:
        """What decides its run."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What else decides its numbers, for a reader."""


class SearchingSystem(System):
    """A system that searches an index of its own.

    Args:
        name: what it is called.
        place: where its indexes are kept.
    """

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        self._place = place
        self._said: set[Path] = set()

    def run_key(self, source: Source, k: int) -> str:
        """What decides its run."""
        return digest(("run", self.index_key(source), source.asked_digest, self.asking(), source.depth(k), k))

    @abstractmethod
    def index_key(self, source: Source) -> str:
        """What decides its index."""

    @abstractmethod
    def asking(self) -> object:
        """What decides how it is asked."""

    @abstractmethod
    def open(self, source: Source) -> AbstractContextManager[Engine]:
        """Make what is not there, and be ready."""

    def built(self, source: Source) -> bool:
        """Whether its index is there."""
        path = self._path(source, "index", self.index_key(source))
        return path.is_dir() and record_of(path).is_file()

    def drop(self, source: Source, keep: Keep) -> None:
        """Remove what is not to be kept."""

    def _path(self, source: Source, what: str, key: str) -> Path:
        return self._place.home(self.name, source.corpus) / f"{what}-{key}"

    def _say(self, source: Source, what: str) -> None:
        self._place.say(f"{source.name} · {self.name}: {what}")

    def _say_once(self, source: Source, path: Path, what: str) -> None:
        """Several systems may use an index."""
        if path not in self._said:
            self._say(source, what)
        self._said.add(path)

    def _drop(self, source: Source, what: str, key: str) -> None:
        path = self._path(source, what, key)
        record_of(path).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)

    def _index(self, source: Source, build: Callable[[Path], ImpactIndex]) -> tuple[ImpactIndex, float]:
        """The index and the seconds that it took; built if it is not there or cannot be read."""
        return self._there(source) or self._build(source, build)

    def _there(self, source: Source) -> tuple[ImpactIndex, float] | None:
        """The index and the seconds that it took, where it is there."""
        path = self._path(source, "index", self.index_key(source))
        facts = read_record(record_of(path))
        if facts is None:
            return None
        try:
            index = ImpactIndex(path)
        except ImpactIndexError:  # damaged, or removed by hand
            return None
        self._say_once(source, path, "the index was there already")
        return index, float(facts["seconds"])

    def _build(self, source: Source, build: Callable[[Path], ImpactIndex]) -> tuple[ImpactIndex, float]:
        path = self._path(source, "index", self.index_key(source))
        record_of(path).unlink(missing_ok=True)
        started = time.perf_counter()
        index = build(path)
        seconds = time.perf_counter() - started
        write_record(record_of(path), {"seconds": seconds})
        self._said.add(path)
        self._say(source, f"{len(index):,} documents indexed, {seconds:.1f} s")
        return index, seconds


class ModelSystem(SearchingSystem):
    """A learned sparse model.

    Args:
        name: what it is called.
        model: hub name, folder or `default`.
        place: where its vectors and indexes are kept.
        options: of its encoders, one for each side.
        scale: impact = round(scale * weight), on both sides.
    """

    def __init__(
        self, name: str, model: str, place: Place, *, options: Mapping[Side, EncoderOptions], scale: float = 100.0
    ) -> None:
        super().__init__(name, place)
        self.model = model
        self.quantizer = Quantizer(scale)
        self._options = options["documents"]
        self._devices = devices_of(model, self._options.device, "documents")
        first = replace(self._options, device=self._devices[0])
        self._documents = load_encoder(model, side="documents", options=first)
        self._queries = load_encoder(
            model, side="queries", options=replace(options["queries"], device=self._devices[0])
        )

    def settings(self) -> dict[str, Any]:
        """What decides its numbers: the model's identity, and the scale; of the query's side what differs."""
        documents, queries = (_shown(encoder.identity) for encoder in (self._documents, self._queries))
        own = {f"query_{name}": value for name, value in queries.items() if documents.get(name) != value}
        called = Path(self.model).name if Path(self.model).exists() else self.model  # no paths of a machine
        return {"model": called, **documents, **own, "scale": self.quantizer.scale}

    def _vectors_key(self, source: Source) -> str:
        return digest(("vectors", _identity(self._documents.identity), source.documents_digest))

    def index_key(self, source: Source) -> str:
        """What decides its index."""
        return digest(("index", self._vectors_key(source), self.quantizer.scale))

    def asking(self) -> object:
        """What decides how it is asked."""
        return _identity(self._queries.identity)

    @contextmanager
    def open(self, source: Source) -> Iterator[ImpactEngine]:
        """Make what is not there, and be ready."""
        index, seconds = self._there(source) or self._build_of(source, self._vectors(source))
        with index:
            facts = read_record(record_of(self._path(source, "vectors", self._vectors_key(source)))) or {}
            built = Built(
                documents=len(index),
                postings=index.manifest.postings if index.manifest else 0,
                index_bytes=bytes_in(index.path),
                index_seconds=seconds,
                encode_seconds=facts.get("seconds"),
                cut_documents=facts.get("cut"),
            )
            searcher = Searcher(index, self._queries, quantizer=self.quantizer)
            yield ImpactEngine(built, searcher, self._documents.terms_in)

    def _build_of(self, source: Source, vectors: VectorFolder | VectorParts) -> tuple[ImpactIndex, float]:
        options = IndexOptions(quantizer=self.quantizer, threads=self._place.threads, overwrite=True)
        with self._place.progress(f"{source.name} · {self.name}: indexing", vectors.documents) as advance:

            def batches() -> Iterator[TermVectors]:
                for batch in vectors.read():
                    yield batch
                    advance(len(batch))

            encoder = self._documents.identity
            return self._build(source, lambda path: ImpactIndex.build(path, batches(), options, encoder=encoder))

    def _vectors(self, source: Source) -> VectorFolder | VectorParts:
        """The documents' vectors, encoded as far as they are not yet."""
        path = self._path(source, "vectors", self._vectors_key(source))
        if read_record(record_of(path)) is not None and (there := _finished(path)) is not None:
            self._say(source, "the vectors were there already")
            return there
        total, before = source.count_documents(), _encoded_so_far(path)
        started = time.perf_counter()
        with self._place.progress(f"{source.name} · {self.name}: encoding", total) as advance:
            if len(self._devices) > 1:
                job = EncodingJob(self.model, "documents", self._options, source.documents, path)
                encode_on_devices(job, self._devices, advance)
            else:
                encode_collection(
                    self._documents, source.read_documents(), path, source=source.documents, progress=advance
                )
        spent = time.perf_counter() - started
        vectors = open_vectors(path)
        assert vectors is not None
        done = vectors.documents - before
        # What was encoded before an interruption took as long, each: the whole is reckoned from what is known.
        seconds = spent * vectors.documents / done if done else None
        write_record(record_of(path), {"seconds": seconds, "cut": sum(shard.truncated for shard in vectors.shards)})
        went_on = f" (after {before:,} that were there)" if before else ""
        self._say(source, f"{done:,} documents encoded{went_on}, {spent:.1f} s")
        return vectors

    def inspect(self, result: Result) -> tuple[InspectedText, InspectedVectors]:
        """What became of a result's queries: of the worst one, token by token, and of all of them."""
        text = result.shown[0].text if result.shown else next(iter(result.queries.values()))
        return (
            inspect_text(self._queries, text, quantizer=self.quantizer),
            inspect_collection(
                self._queries, result.queries.values(), f"queries of {result.collection}", quantizer=self.quantizer
            ),
        )

    def drop(self, source: Source, keep: Keep) -> None:
        """Remove vectors, and unless they are kept, indexes."""
        if keep == "runs":
            self._drop(source, "index", self.index_key(source))
        if keep != "all":
            path = self._path(source, "vectors", self._vectors_key(source))
            shutil.rmtree(path, ignore_errors=True)  # its record stays: the index was made of what it tells of


class Bm25System(SearchingSystem):
    """BM25 over title and text as one field, as Anserini has it: k1 .9, b .4, Porter stemming."""

    def __init__(self, place: Place) -> None:
        super().__init__("bm25", place)

    def settings(self) -> dict[str, Any]:
        """What decides its numbers."""
        return {"k1": 0.9, "b": 0.4, "analysis": "Anserini's English: Porter stems, without stopwords"}

    def index_key(self, source: Source) -> str:
        """What decides its index."""
        return digest(("bm25", source.documents_digest))

    def asking(self) -> object:
        """What decides how it is asked."""
        return "bm25"

    @contextmanager
    def open(self, source: Source) -> Iterator[Bm25Engine]:
        """Make what is not there, and be ready."""
        index, seconds = self._there(source) or self._build_of(source, source.count_documents())
        with index:
            postings = text_postings(index)
            yield Bm25Engine(Built(len(index), postings, bytes_in(index.path), seconds), Searcher(index))

    def _build_of(self, source: Source, total: int | None) -> tuple[ImpactIndex, float]:
        options = IndexOptions(threads=self._place.threads, overwrite=True, store=(), bm25=True, blocks=False)
        waiting: deque[tuple[str, str]] = deque()  # the texts of the batches that were handed over
        with self._place.progress(f"{source.name} · {self.name}: indexing", total) as advance:

            def batches() -> Iterator[TermVectors]:
                for batch in batched(source.read_documents(), BATCH_SIZE):
                    waiting.extend((doc.doc_id, doc.default_text()) for doc in batch)
                    yield _empty([doc.doc_id for doc in batch])
                    advance(len(batch))

            return self._build(source, lambda path: ImpactIndex.build(path, batches(), options, texts=_taken(waiting)))

    def drop(self, source: Source, keep: Keep) -> None:
        """Remove the index, unless it is kept."""
        if keep == "runs":
            self._drop(source, "index", self.index_key(source))


class HybridSystem(SearchingSystem):
    """A model and BM25, fused."""

    def __init__(self, model: ModelSystem, bm25: Bm25System, place: Place, fusion: Fusion | None = None) -> None:
        super().__init__(f"{model.name}+bm25", place)
        self._model, self._bm25 = model, bm25
        self._fusion = fusion or Fusion()

    def settings(self) -> dict[str, Any]:
        """What decides its numbers."""
        return {**self._model.settings(), "fused with": "bm25", "fusion": self._fusion.method}

    def index_key(self, source: Source) -> str:
        """What decides its index."""
        return digest(("hybrid", self._model.index_key(source), self._bm25.index_key(source)))

    def asking(self) -> object:
        """What decides how it is asked."""
        return self._model.asking(), asdict(self._fusion)

    def built(self, source: Source) -> bool:
        """Whether both indexes are there."""
        return self._model.built(source) and self._bm25.built(source)

    @contextmanager
    def open(self, source: Source) -> Iterator[FusedEngine]:
        """Make what is not there, and be ready."""
        with ExitStack() as opened:
            model = opened.enter_context(self._model.open(source))
            bm25 = opened.enter_context(self._bm25.open(source))
            yield FusedEngine(model, bm25, self._fusion)


class GivenRuns(System):
    """Runs that are there: a folder with one for each collection, `NAME.trec`, `.run` or `.txt`, each also gzipped.

    A folder of a system's work, with `NAME/run.trec.gz`, is one, too.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder

    def settings(self) -> dict[str, Any]:
        """What is known of it."""
        return {"run": "given"}

    def run_key(self, source: Source, k: int) -> str:
        """What decides its run: the file."""
        return digest(("given", file_digest(self._file(source)), k))

    def read(self, source: Source) -> Run:
        """Its run of a collection."""
        return read_run(self._file(source))

    def _file(self, source: Source) -> Path:
        names = [f"{source.name}{suffix}" for suffix in (".trec", ".run", ".txt")]
        files = [either(self._folder / name) for name in (*names, f"{source.name}/run.trec")]
        found = [file for file in files if file.is_file()]
        if not found:
            raise FormatError(f"{self._folder} holds no run of {source.name}: {files[0].name} was looked for")
        return found[0]


def _identity(identity: EncoderIdentity) -> tuple[tuple[str, Any], ...]:
    """What tells encoders apart, whatever they were called by."""
    return tuple(sorted((name, value) for name, value in asdict(identity).items() if name != "name"))


def _shown(identity: EncoderIdentity) -> dict[str, Any]:
    """What a reader wants to know of an encoder."""
    usual = {"tokenizer", "vocabulary", "name"}
    unset = ("", None, 0.0)
    return {name: value for name, value in asdict(identity).items() if name not in usual and value not in unset}


def _finished(path: Path) -> VectorFolder | VectorParts | None:
    """What is encoded, where all of it is."""
    try:
        vectors = open_vectors(path)
    except FormatError:  # a part is missing or unfinished: encoding goes on
        return None
    return None if isinstance(vectors, VectorFolder) and not vectors.complete else vectors


def _encoded_so_far(path: Path) -> int:
    folders = [path, *part_folders(path).values()]
    return sum(VectorFolder.open(folder).documents for folder in folders if VectorFolder.is_one(folder))


def bytes_in(path: Path) -> int:
    """What the files of a folder take."""
    return sum(file.stat().st_size for file in path.iterdir() if file.is_file())


def _taken(waiting: deque[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    while waiting:
        yield waiting.popleft()


_NO_TERMS = Vocabulary(())


def _empty(doc_ids: list[str]) -> TermVectors:
    """Documents without impacts: BM25 alone finds them."""
    none = np.zeros(0, np.int32)
    return TermVectors(doc_ids, np.zeros(len(doc_ids) + 1, np.int64), none, _NO_TERMS, none.astype(np.float32))
