"""What an engine is that `benchmarks.engines` compares, and the documents in the forms that engines take."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_data import Documents, split
from splade_lucene.vectors import ImpactVectors, TermVectors

Setting = Mapping[str, float]
Found = tuple[Sequence[Any] | None, Sequence[float]]
"""The doc_ids of hits, or the numbers of their documents, or None where neither is at hand; and their scores."""


class Feed:
    """Documents in the forms that engines take.

    Attributes:
        documents: all of them.
        source: the INPUT of their texts, where there are some.
        seconds: that it took to make these forms; they are no cost of an engine.
    """

    def __init__(self, documents: Documents, order: NDArray[np.int64] | None, source: str | None) -> None:
        self.documents = documents
        self.source = source
        self.seconds = 0.0
        self._order = order

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """What is done in this block is no cost of the engine."""
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start

    def weights(self) -> Iterator[TermVectors]:
        """Batches, as our own index takes them; making them counts as its cost."""
        for batch in self.batches():
            weights = batch.impacts.astype(np.float32)
            yield TermVectors(batch.ids, batch.indptr, batch.terms, batch.vocabulary, weights)

    def dicts(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Each document's doc_id and {term: impact}."""
        return self._prepared((batch.ids[i], batch.row(i)) for batch in self.batches() for i in range(len(batch)))

    def arrays(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Each document's term ids and impacts."""
        return self._prepared(self.rows())

    def rows(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """The same, where the time that it takes is not to be told apart."""
        for batch in self.batches():
            yield from split(batch.indptr, batch.terms, batch.impacts)

    def batches(self) -> Iterator[ImpactVectors]:
        """All of them."""
        return self.documents.batches(self._order)

    def _prepared[T](self, made: Iterator[T]) -> Iterator[T]:
        while True:
            with self.preparing():
                item = next(made, None)
            if item is None:
                return
            yield item


class Peer(ABC):
    """An engine with its index open, that knows the queries in its own form.

    settings: what it can be asked with, of which the fastest that finds enough is chosen; none if there is no choice.
    """

    settings: ClassVar[Sequence[Setting]] = ()

    @abstractmethod
    def search(self, query: int, k: int) -> Any:
        """The hits of one query, as the engine gives them. This is what is timed."""

    @abstractmethod
    def read(self, hits: Any) -> Found:
        """What `search` has found. This is not timed."""

    def search_all(self, count: int, k: int) -> object:
        """The hits of the first queries, by the engine's own call for many where it has one."""
        return [self.search(query, k) for query in range(count)]

    def use(self, setting: Setting) -> None:
        """Search with this setting from now on."""
        raise ValueError(f"{type(self).__name__} has no settings, so not {setting}")
