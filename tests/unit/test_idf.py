"""idf: counted, read, and what of it is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from splade_lucene.errors import EncoderError, ModelNotFoundError
from splade_lucene.training.idf import binary_queries, count_idf, counted_idf, idf, read_idf
from tests.helpers import SPECIALS, tiny_tokenizer


def test_idf() -> None:
    assert idf(np.array([1, 2, 3]), 3) == pytest.approx([0.980829, 0.470004, 0.133531], abs=1e-6)
    marco = 8_841_823
    assert idf(np.array([1, marco, 0]), marco) == pytest.approx([15.589539, 5.7e-8, 1.0], rel=1e-2)
    falling = idf(np.arange(1, 50), 49)
    assert (np.diff(falling) < 0).all()
    assert (falling > 0).all()


def test_what_is_counted() -> None:
    counted = count_idf(tiny_tokenizer(6), iter(["a cat and a cat", "a dog", "", "a b c d e f fox"]))
    assert counted["a"] == pytest.approx(math.log(1 + 0.5 / 3.5))  # three documents have tokens, and all have it
    assert counted["cat"] == pytest.approx(math.log(1 + 2.5 / 1.5))
    assert counted["fox"] == counted["rain"] == 1.0  # cut off; nowhere
    assert {counted[each] for each in SPECIALS} == {1.0}


def test_tables(tiny_model: Path, tmp_path: Path) -> None:
    ours = counted_idf(str(tiny_model), 16, ["a cat", "a dog"])
    assert ours.table[ours.vocabulary.id_of["cat"]] == pytest.approx(math.log(2))
    (tmp_path / "idf.json").write_text(json.dumps({"cat": 3.5}), encoding="utf-8")
    theirs = read_idf(str(tmp_path / "idf.json"), str(tiny_model), 16)
    ones = binary_queries(str(tiny_model), 16)
    for table, cat in ((theirs.table, 3.5), (ones.table, 1.0)):
        assert table[ones.vocabulary.id_of["cat"]] == cat
        assert table[ones.vocabulary.id_of["dog"]] == 1.0
        assert (table[ones.tokenizer.special_ids] == 0).all()
    with pytest.raises(EncoderError, match="encodes queries with a network; an idf is a table"):
        read_idf(str(tiny_model), str(tiny_model), 16)
    with pytest.raises(ModelNotFoundError):
        read_idf("nowhere/model", str(tiny_model), 16)
