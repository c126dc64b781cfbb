"""Arrays as they cross the border to Java: the Python side of `Packed.java`.

Strings are packed as `int32 n, int32[n + 1] offsets, UTF-8 bytes`; hits come back as `int32[queries + 1] indptr,
int64[hits] scores, doc_ids as UTF-8, each ended by the byte 0xFF`. All little-endian.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from splade_lucene.errors import WeightError
from splade_lucene.runs import Hits


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


def unpack_hits(packed: bytes, queries: int) -> list[Hits]:
    """The hits of each query, as `ImpactReader.search` packs them."""
    indptr = np.frombuffer(packed, "<i4", queries + 1)
    scores = np.frombuffer(packed, "<i8", indptr[-1], 4 * (queries + 1))
    # 0xFF, which UTF-8 never has, becomes this lone surrogate: all ids are decoded at once.
    doc_ids = packed[4 * (queries + 1) + 8 * len(scores) :].decode("utf-8", "surrogateescape").split("\udcff")
    return [Hits(doc_ids[a:b], scores[a:b]) for a, b in pairwise(indptr.tolist())]
