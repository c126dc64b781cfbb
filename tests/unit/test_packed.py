"""Arrays as they cross the border to Java, byte for byte."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_lucene.errors import WeightError
from splade_lucene.lucene.packed import pack_ints, pack_strings, unpack_answers, unpack_strings
from tests.helpers import hits


def int32s(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little", signed=True) for value in values)


def int64s(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little", signed=True) for value in values)


def test_strings() -> None:
    assert pack_strings(["a", "", "é"]) == int32s(3, 0, 1, 1, 3) + "aé".encode()
    assert pack_strings([]) == int32s(0, 0)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_strings_come_back(strings: list[str]) -> None:
    assert unpack_strings(pack_strings(strings)) == strings


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(WeightError, match="holds a lone surrogate"):
        pack_strings(["fine", "\ud800"])


@pytest.mark.parametrize("kind", [np.int32, np.int64, ">i4"])
def test_ints_are_little_endian_whatever_they_were(kind: str) -> None:
    assert pack_ints(np.array([1, -2, 2**31 - 1], dtype=kind)) == int32s(1, -2, 2**31 - 1)


def test_hits_of_several_queries() -> None:
    doc_ids = b"\xff".join(each.encode() for each in ("é", "b", "😀", ""))
    found = unpack_answers(int32s(0, 2, 2, 3) + int64s(12, 0, ~30) + int64s(2**53 + 1, 7, 5) + doc_ids, 3)
    assert [each.doc_ids for each in found] == [["é", "b"], [], ["😀"]]
    assert [each.scores.tolist() for each in found] == [[2**53 + 1, 7], [], [5]]
    assert [(each.postings_read, each.cut) for each in found] == [(12, False), (0, False), (30, True)]


def test_no_hits() -> None:
    assert unpack_answers(int32s(0, 0, 0) + int64s(0, 0), 2) == [hits(), hits()]
