"""An index read back: the vectors of all its documents, streamed.

Law: what was indexed comes back, impact by impact; pruned postings and deleted documents do not.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from splade_lucene.lucene import jvm
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.packed import unpack_strings
from splade_lucene.vectors import ImpactVectors, Vocabulary


def scan(index: Path) -> Iterator[ImpactVectors]:
    """All vectors of an index, ours or Anserini's, in its own order, some thousands at a time.

    They are turned back out of the postings; terms are in byte order. Of an index of passages they are the passages'.

    Raises:
        IndexNotFoundError: no finished index there. CorruptIndexError: Lucene cannot read it.
    """
    ImpactIndex(index).close()  # says in our words what is wrong with it
    with jvm.calling(index):
        reader = jvm.java_class("splade_lucene.Scan")(str(index))
    try:
        with jvm.calling(index):
            vocabulary = Vocabulary(unpack_strings(jvm.to_bytes(reader.terms())))
        while packed := jvm.wait(reader.window(), index):
            yield _unpack(packed, vocabulary)
    finally:
        reader.close()


def _unpack(packed: bytes, vocabulary: Vocabulary) -> ImpactVectors:
    """What `Scan.window` packs: int32 n, int32[n + 1] indptr, int32[nnz] terms, int32[nnz] impacts, doc_ids."""
    documents = int.from_bytes(packed[:4], "little")
    numbers = np.frombuffer(packed, "<i4", documents + 1, 4)
    size = int(numbers[-1])
    start = 4 * (documents + 2)
    return ImpactVectors(
        ids=unpack_strings(packed[start + 8 * size :]),
        indptr=numbers.astype(np.int64),
        terms=np.frombuffer(packed, "<i4", size, start),
        vocabulary=vocabulary,
        impacts=np.frombuffer(packed, "<i4", size, start + 4 * size),
    )
