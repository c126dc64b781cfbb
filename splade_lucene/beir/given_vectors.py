"""A system whose vectors somebody else made: they are indexed and searched, and nothing is encoded.

Law: every document of the collection and every query that is asked has a vector, or nothing is measured.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from splade_lucene.beir.engines import Built, ImpactEngine
from splade_lucene.beir.source import Source, digest, file_digest
from splade_lucene.beir.systems import Keep, Place, SearchingSystem, bytes_in
from splade_lucene.errors import FormatError
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import read_vectors
from splade_lucene.vector_folders import open_vectors
from splade_lucene.vectors import ImpactVectors, TermVectors


class GivenVectors(SearchingSystem):
    """Vectors of documents and of queries, in any form that `read_vectors` takes.

    Args:
        name: what it is called.
        files: documents and queries; `{collection}` in their names stands for the collection's.
        place: where indexes are kept.
        scale: impact = round(scale * weight), on both sides; 1 where they are impacts.
        made_with: what is known of the encoding, for a reader and for comparison with published scores.
    """

    def __init__(
        self,
        name: str,
        files: tuple[Path, Path],
        place: Place,
        *,
        scale: float = 100.0,
        made_with: Mapping[str, str | float] | None = None,
    ) -> None:
        super().__init__(name, place)
        self._documents, self._queries = files
        self.quantizer = Quantizer(scale)
        self._made_with = dict(made_with or {})

    def settings(self) -> dict[str, Any]:
        """What decides its numbers."""
        return {"vectors": "given", "scale": self.quantizer.scale, **self._made_with}

    def index_key(self, source: Source) -> str:
        """What decides its index."""
        return digest(("given vectors", _digest(_named(self._documents, source)), self.quantizer.scale))

    def run_key(self, source: Source, k: int) -> str:
        """What decides its run."""
        return digest((super().run_key(source, k), _digest(_named(self._queries, source))))

    def asking(self) -> object:
        """What decides how it is asked, but for the vectors, which are another file for each collection."""
        return "given vectors"

    @contextmanager
    def open(self, source: Source) -> Iterator["GivenEngine"]:
        """Make what is not there, and be ready."""
        documents, queries = _named(self._documents, source), _named(self._queries, source)
        encoded = open_vectors(documents)

        def build(path: Path) -> ImpactIndex:
            options = IndexOptions(quantizer=self.quantizer, threads=self._place.threads, overwrite=True)
            with self._place.progress(f"{source.name} · {self.name}: indexing", source.count_documents()) as advance:

                def batches() -> Iterator[TermVectors]:
                    for batch in read_vectors(documents):
                        yield batch
                        advance(len(batch))

                return ImpactIndex.build(path, batches(), options, encoder=encoded.encoder if encoded else None)

        index, seconds = self._index(source, build)
        with index:
            total = source.collection.documents or sum(1 for _ in source.read_documents())
            if len(index) != total:
                raise FormatError(f"{documents} holds vectors of {len(index):,} documents, {source.name} has {total:,}")
            if asked := open_vectors(queries):
                index.check_vocabulary(asked.encoder)
            assert index.manifest is not None  # it was built here
            size = bytes_in(index.path)
            built = Built(len(index), index.manifest.postings, size, seconds)
            searcher = Searcher(index, quantizer=self.quantizer)
            yield GivenEngine(built, searcher, _vectors_of(source.asked, queries), source.asked)

    def drop(self, source: Source, keep: Keep) -> None:
        """Remove the index, unless it is kept."""
        if keep == "runs":
            self._drop(source, "index", self.index_key(source))


class GivenEngine(ImpactEngine):
    """Searches impacts; a query's vector is looked up.

    What is a term of a text and what an expansion nobody says: a term counts as the text's where its letters stand in
    it, as those of every word piece do.

    Args:
        built: what the index took.
        searcher: over it.
        vectors: of the queries.
        asked: their texts, query_id → text.
    """

    encodes = False

    def __init__(self, built: Built, searcher: Searcher, vectors: TermVectors, asked: Mapping[str, str]) -> None:
        super().__init__(built, searcher, self._terms_in)
        self._vectors = vectors
        self._asked = asked
        self._row_of = {query_id: row for row, query_id in enumerate(vectors.ids)}
        self._id_of = {text: query_id for query_id, text in asked.items()}

    def prepare(self, queries: Mapping[str, str]) -> ImpactVectors:
        """Their impacts; a text that is asked under another name has the same."""
        ids = [
            query_id if self._asked.get(query_id) == text else self._id_of[text] for query_id, text in queries.items()
        ]
        vectors = self._vectors.select([self._row_of[query_id] for query_id in ids])
        return self._searcher.quantizer(replace(vectors, ids=list(queries)))

    def _typed(self, text: str) -> set[str]:
        return set(self._terms_in(text))

    def _terms_in(self, text: str) -> list[str]:
        letters = text.lower()
        return [term for term in self._vectors.vocabulary.terms if term.removeprefix("##") in letters]


def _vectors_of(asked: Iterable[str], queries: Path) -> TermVectors:
    """The vectors of the queries that are asked."""
    rows = {query_id: batch.row(number) for batch in read_vectors(queries) for number, query_id in enumerate(batch.ids)}
    missing = [query_id for query_id in asked if query_id not in rows]
    if missing:
        raise FormatError(f"{queries} has no vector of {len(missing):,} queries that are asked, {missing[0]!r} for one")
    return TermVectors.from_rows({query_id: rows[query_id] for query_id in asked})


def _named(path: Path, source: Source) -> Path:
    return Path(str(path).replace("{collection}", source.name))


def _digest(path: Path) -> str:
    """What tells vectors from others."""
    if not path.is_dir():
        return file_digest(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest([(file.relative_to(path).as_posix(), file_digest(file)) for file in files])
