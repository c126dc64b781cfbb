"""What answers queries: the index of one system over one collection, opened.

Engines are alike, so that what a query costs is measured in one way for all of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from splade_lucene.evaluation.results import Match, WeightedTerm
from splade_lucene.fusion import Fusion
from splade_lucene.lucene.bm25 import stems, text_frequencies
from splade_lucene.lucene.explain import explain
from splade_lucene.lucene.frequencies import document_frequencies
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.runs import Hits
from splade_lucene.vectors import ImpactVectors

MATCHES = 10  # of a document that is shown


@dataclass(frozen=True)
class Built:
    """What a system made of the documents, and what that took; None as in `Cost`."""

    documents: int
    postings: int
    index_bytes: int
    index_seconds: float
    encode_seconds: float | None = None
    cut_documents: int | None = None


class Engine(ABC):
    """A system that is ready to be asked about one collection."""

    built: Built
    encodes: bool

    @abstractmethod
    def prepare(self, queries: Mapping[str, str]) -> Any:
        """What is searched for, of queries {query_id: text}."""

    @abstractmethod
    def search(self, prepared: Any, k: int, threads: int) -> dict[str, Hits]:
        """The k best documents of each query."""

    @abstractmethod
    def demand(self, prepared: Any) -> tuple[float, float]:
        """(terms, expected postings) of a query, means."""

    @abstractmethod
    def terms(self, text: str) -> tuple[WeightedTerm, ...]:
        """What a query asks for, heaviest first."""

    def matches(self, text: str, doc_id: str, doc_text: str) -> tuple[float, tuple[Match, ...]] | None:
        """The score of a document, and the terms that gave most of it; None where a system does not say."""
        return None


class ImpactEngine(Engine):
    """Searches impacts."""

    encodes = True

    def __init__(self, built: Built, searcher: Searcher, document_terms: Callable[[str], list[str]]) -> None:
        self.built = built
        self._searcher = searcher
        self._document_terms = document_terms

    def prepare(self, queries: Mapping[str, str]) -> ImpactVectors:
        """Their impacts."""
        return self._searcher.quantizer(self._searcher.encode(queries))

    def search(self, prepared: ImpactVectors, k: int, threads: int) -> dict[str, Hits]:
        """The k best documents of each query."""
        return self._searcher.search_vectors(prepared, k, threads=threads)

    def demand(self, prepared: ImpactVectors) -> tuple[float, float]:
        """(terms, expected postings) of a query, means."""
        distinct, times = np.unique(prepared.terms, return_counts=True)
        names = prepared.vocabulary.terms
        lengths = document_frequencies(self._searcher.index, [names[term] for term in distinct.tolist()])
        postings = float(np.dot(times, np.array(lengths, dtype=np.int64)))
        return len(prepared.terms) / len(prepared), postings / len(prepared)

    def terms(self, text: str) -> tuple[WeightedTerm, ...]:
        """What a query asks for, heaviest first."""
        typed = self._typed(text)
        impacts = self.prepare({"query": text}).row(0)
        heaviest = sorted(impacts.items(), key=lambda term: (-term[1], term[0]))
        return tuple(WeightedTerm(term, impact, expansion=term not in typed) for term, impact in heaviest)

    def matches(self, text: str, doc_id: str, doc_text: str) -> tuple[float, tuple[Match, ...]]:
        """The score of a document, and the terms that gave most of it."""
        impacts = self.prepare({"query": text}).row(0)
        explained = explain(self._searcher.index, impacts, doc_id, query_terms=self._typed(text))
        written = set(self._document_terms(doc_text))
        best = explained.contributions[:MATCHES]
        return explained.score, tuple(Match(each.term, each.score, each.typed, each.term in written) for each in best)

    def _typed(self, text: str) -> set[str]:
        encoder = self._searcher.encoder
        return set(encoder.terms_in(text)) if encoder is not None else set()


class Bm25Engine(Engine):
    """Searches texts."""

    encodes = False

    def __init__(self, built: Built, searcher: Searcher) -> None:
        self.built = built
        self._searcher = searcher

    def prepare(self, queries: Mapping[str, str]) -> Mapping[str, str]:
        """Their texts: Lucene takes them as they are."""
        return queries

    def search(self, prepared: Mapping[str, str], k: int, threads: int) -> dict[str, Hits]:
        """The k best documents of each query."""
        return self._searcher.search_bm25(prepared, k, threads=threads)

    def demand(self, prepared: Mapping[str, str]) -> tuple[float, float]:
        """(terms, expected postings) of a query, means."""
        asked = [set(stems(text)) for text in prepared.values()]
        distinct = sorted(set().union(*asked))
        found = text_frequencies(self._searcher.index, distinct)
        lengths = dict(zip(distinct, found, strict=True))
        postings = sum(lengths[stem] for each in asked for stem in each)
        return sum(map(len, asked)) / len(asked), postings / len(asked)

    def terms(self, text: str) -> tuple[WeightedTerm, ...]:
        """The stems of a query; an impact is how often one stands there."""
        asked = stems(text)
        return tuple(WeightedTerm(stem, asked.count(stem), expansion=False) for stem in dict.fromkeys(asked))


class FusedEngine(Engine):
    """Searches impacts and texts, and fuses what both find; it costs what both cost."""

    encodes = True

    def __init__(self, model: ImpactEngine, bm25: Bm25Engine, fusion: Fusion) -> None:
        self._model, self._bm25, self._fusion = model, bm25, fusion
        self.built = replace(
            model.built,
            postings=model.built.postings + bm25.built.postings,
            index_bytes=model.built.index_bytes + bm25.built.index_bytes,
            index_seconds=model.built.index_seconds + bm25.built.index_seconds,
        )

    def prepare(self, queries: Mapping[str, str]) -> tuple[ImpactVectors, Mapping[str, str]]:
        """Impacts and texts."""
        return self._model.prepare(queries), self._bm25.prepare(queries)

    def search(self, prepared: tuple[ImpactVectors, Mapping[str, str]], k: int, threads: int) -> dict[str, Hits]:
        """The k best documents of each query."""
        impacts, texts = prepared
        depth = max(k, self._fusion.depth)
        found = self._model.search(impacts, depth, threads), self._bm25.search(texts, depth, threads)
        return self._fusion(found, k)

    def demand(self, prepared: tuple[ImpactVectors, Mapping[str, str]]) -> tuple[float, float]:
        """(terms, expected postings) of a query, means."""
        both = self._model.demand(prepared[0]), self._bm25.demand(prepared[1])
        return both[0][0] + both[1][0], both[0][1] + both[1][1]

    def terms(self, text: str) -> tuple[WeightedTerm, ...]:
        """What the model asks for."""
        return self._model.terms(text)
