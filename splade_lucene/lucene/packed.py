"""Arrays as they cross the border to Java: the Python side of `Packed.java`.

Strings are packed as `int32 n, int32[n + 1] offsets, UTF-8 bytes`; hits come back as `int32[queries + 1] indptr,
int64[queries] postings read (the complement where the search was cut), int64[hits] scores, doc_ids as UTF-8, each ended
by the byte 0xFF`, those of BM25 as `indptr, float32[hits] scores, doc_ids`. All little-endian.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splade_lucene.errors import WeightError
from splade_lucene.runs import Hits

ABSENT = b"\xff"  # where a string is missing from a list: UTF-8 never has it


def pack_strings(strings: Sequence[str]) -> bytes:
    """Pack strings for `Packed.strings`.

    Raises:
        WeightError: a string holds a lone surrogate, which UTF-8 does not have.
    """
    try:
        encoded = [string.encode() for string in strings]
    except UnicodeEncodeError as error:
        raise WeightError(f"{error.object!r} cannot be stored: it holds a lone surrogate") from error
    return pack_encoded(encoded)


def pack_encoded(encoded: Sequence[bytes]) -> bytes:
    """Pack strings that are UTF-8 already."""
    header = np.zeros(len(encoded) + 2, dtype="<i4")
    header[0] = len(encoded)
    np.cumsum([len(each) for each in encoded], out=header[2:])
    return header.tobytes() + b"".join(encoded)


def unpack_strings(packed: bytes) -> list[str]:
    """Strings that Java packed."""
    count = int.from_bytes(packed[:4], "little")
    offsets = np.frombuffer(packed, "<i4", count + 1, 4)
    start = 4 * (count + 2)
    return [packed[start + a : start + b].decode() for a, b in pairwise(offsets.tolist())]


def pack_ints(values: NDArray[np.integer]) -> bytes:
    """Pack whole numbers for `Packed.ints`."""
    return values.astype("<i4", copy=False).tobytes()


def unpack_vectors(packed: bytes, documents: int) -> tuple[NDArray[np.int32], NDArray[np.int32], list[str]]:
    """(documents,) lengths, -1 where there is no such document; the impacts and the terms of all, as they follow."""
    lengths = np.frombuffer(packed, "<i4", documents)
    impacts = np.frombuffer(packed, "<i4", int(lengths.clip(min=0).sum()), lengths.nbytes)
    return lengths, impacts, unpack_strings(packed[lengths.nbytes + impacts.nbytes :])


def unpack_answers(packed: bytes, queries: int) -> list[Hits]:
    """The hits of each query and what they took, as `ImpactReader.search` packs them."""
    indptr = np.frombuffer(packed, "<i4", queries + 1)
    read = np.frombuffer(packed, "<i8", queries, indptr.nbytes).tolist()
    hits = _unpacked(packed, indptr, "<i8", indptr.nbytes + 8 * queries)
    return [
        Hits(doc_ids, scores, postings_read=max(taken, ~taken), cut=taken < 0)
        for (doc_ids, scores), taken in zip(hits, read, strict=True)
    ]


def unpack_bm25(packed: bytes, queries: int) -> list[Hits]:
    """The hits of each text, as `TextSearcher.search` packs them."""
    indptr = np.frombuffer(packed, "<i4", queries + 1)
    return [Hits(*hits) for hits in _unpacked(packed, indptr, "<f4", indptr.nbytes)]


def _unpacked(
    packed: bytes, indptr: NDArray[np.int32], scores_as: str, start: int
) -> Iterator[tuple[list[str], NDArray[Any]]]:
    scores = np.frombuffer(packed, scores_as, indptr[-1], start)
    # 0xFF, which UTF-8 never has, becomes this lone surrogate: all ids are decoded at once.
    doc_ids = packed[start + scores.nbytes :].decode("utf-8", "surrogateescape").split("\udcff")
    return ((doc_ids[a:b], scores[a:b]) for a, b in pairwise(indptr.tolist()))
