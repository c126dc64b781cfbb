"""Parity: its figures on vectors that are known, and its sample of real sentences."""

import numpy as np
import pytest

from splade_lucene.encoding import parity
from splade_lucene.encoding.parity import Gate, Parity, compare_encoders, sample_texts
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.errors import EncoderError
from tests.helpers import tiny_tokenizer

TEXTS = ["cat", "dog", "cat dog"]


def encoder(**table: float) -> IdfEncoder:
    return IdfEncoder(tiny_tokenizer(), table, missing=0.0)


def test_an_encoder_equals_itself() -> None:
    same = compare_encoders(encoder(cat=1.0, dog=2.0), encoder(cat=1.0, dog=2.0), TEXTS)
    assert same == Parity(3, 0.0, 0.0, 1.0, 1.0)


def test_each_difference_counts() -> None:
    """Of four weights that sum to 6 two differ by .5; a term that one lacks differs by its whole weight."""
    found = compare_encoders(encoder(cat=1.0, dog=2.0), encoder(cat=1.0, dog=1.5), TEXTS)
    assert (found.largest_difference, found.relative_difference, found.equal_impacts) == (
        0.5,
        pytest.approx(1 / 6),
        0.5,
    )
    found = compare_encoders(encoder(cat=1.0, dog=2.0), encoder(cat=1.0), TEXTS)
    assert (found.largest_difference, found.relative_difference, found.equal_impacts) == (
        2.0,
        pytest.approx(4 / 6),
        0.5,
    )


def test_what_is_found_counts() -> None:
    """The query `cat` finds two of the texts; an encoder that gives nothing finds none."""
    assert compare_encoders(encoder(cat=1.0), encoder(), TEXTS).top10_overlap == 0.0
    assert compare_encoders(encoder(), encoder(), TEXTS) == Parity(3, 0.0, 0.0, 1.0, 1.0)


def test_a_gate_names_what_was_missed() -> None:
    parity = Parity(10, 0.5, 0.01, 0.9, 0.8)
    Gate(0.01, 0.8, largest_difference=0.5, equal_impacts=0.9).check(parity)
    with pytest.raises(EncoderError, match=r"largest difference 0\.5 \(at most 0\.4\), top 10 overlap 0\.8 \(at least"):
        Gate(0.01, 0.9, largest_difference=0.4).check(parity)
    with pytest.raises(EncoderError, match="relative difference nan"):
        Gate(0.01, 0.5).check(Parity(10, 0.5, np.nan, 1.0, 1.0))


def test_nothing_to_compare_is_no_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "_DOCUMENTED", "a_module_that_is_not_there")
    with pytest.raises(EncoderError, match="documentation"):
        sample_texts()


def test_the_sample_is_of_real_sentences() -> None:
    texts = sample_texts()
    assert len(texts) == len(sample_texts()) > 150
    assert "" in texts
    assert max(len(text.split()) for text in texts) > 512
    assert len(set(texts)) > 150
