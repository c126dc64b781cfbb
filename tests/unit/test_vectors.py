"""CSR batches: what they refuse, and how they are taken apart and put together."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from splade_lucene.errors import ConfigError, FormatError, WeightError
from splade_lucene.vectors import EncoderIdentity, ImpactVectors, TermVectors, Vocabulary
from tests.helpers import as_rows, impacts, weights

ABC = Vocabulary("abc")


def csr(**changed: Any) -> TermVectors:
    """Two rows over a, b, c: {a: 1, c: .5} and {b: 2}; arrays may be given anew."""
    arrays = {"ids": ["x", "y"], "indptr": [0, 2, 3], "terms": [0, 2, 1], "weights": [1.0, 0.5, 2.0]} | changed
    return TermVectors(
        arrays["ids"],
        np.array(arrays["indptr"], dtype=np.int64),
        np.array(arrays["terms"], dtype=np.int32),
        ABC,
        np.array(arrays["weights"], dtype=np.float32),
    )


def test_rows_are_dictionaries_for_a_person() -> None:
    assert as_rows(csr()) == {"x": {"a": 1.0, "c": 0.5}, "y": {"b": 2.0}}
    assert csr().row_lengths.tolist() == [2, 1]
    assert len(csr()) == 2


def test_from_rows_sorts_terms_and_keeps_rows() -> None:
    assert weights({"x": {"c": 0.5, "a": 1.0}, "y": {"b": 2.0}}) == csr()
    assert weights({"x": {"c": 0.5, "a": 1.0}, "y": {"b": 2.0}}, ABC) == csr()


def test_a_vector_without_terms_stays_a_row() -> None:
    given = weights({"first": {}, "x": {"a": 1.0}, "middle": {}, "last": {}})
    assert as_rows(given) == {"first": {}, "x": {"a": 1.0}, "middle": {}, "last": {}}
    assert len(weights({})) == 0


def test_a_term_that_the_vocabulary_lacks_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="d"):
        weights({"x": {"d": 1.0}}, ABC)


@pytest.mark.parametrize("weight", [np.nan, np.inf, -np.inf, -1.0, 1e39])
def test_an_unusable_weight_is_refused_by_name(weight: float) -> None:
    with pytest.raises(WeightError, match=r"^y: the weight \S+ of term 'b' is refused: weights are finite and >= 0$"):
        weights({"x": {"a": 1.0}, "y": {"a": 1.0, "b": weight}})


def test_a_weight_of_zero_is_a_weight() -> None:
    assert as_rows(weights({"x": {"a": 0.0}})) == {"x": {"a": 0.0}}


@pytest.mark.parametrize("doc_id", ["", "a b", "a\tb", "\x00", "\x7f", "\ud800", "x" * 40_000])
def test_an_unusable_id_is_refused(doc_id: str) -> None:
    with pytest.raises(FormatError, match=r"^term vectors: the id "):
        weights({doc_id: {"a": 1.0}})


def test_an_id_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(FormatError, match="the id 'x' stands there twice"):
        csr(ids=["x", "x"])


@pytest.mark.parametrize(
    "changed",
    [
        {"ids": ["x"]},
        {"indptr": [0, 2, 2]},
        {"indptr": [1, 2, 3]},
        {"indptr": [0, 4, 3]},
        {"indptr": [0, -1, 3]},
        {"terms": [0, 2]},
        {"terms": [0, 3, 1]},
        {"terms": [-1, 2, 1]},
        {"terms": [2, 0, 1]},
        {"terms": [0, 0, 1]},
        {"weights": [1.0, 0.5]},
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_together_are_refused(changed: dict[str, list[Any]]) -> None:
    with pytest.raises(ValueError, match="term vectors: "):
        csr(**changed)


def test_the_row_whose_terms_do_not_ascend_is_named() -> None:
    with pytest.raises(ValueError, match="the term ids of 'y' do not ascend strictly"):
        csr(indptr=[0, 1, 3], terms=[2, 1, 1])


@pytest.mark.parametrize("indptr", [[0, 0, 3], [0, 3, 3], [0, 1, 3]], ids=str)
def test_the_first_term_of_a_row_may_be_any(indptr: list[int]) -> None:
    csr(indptr=indptr, terms=[0, 1, 2])


def test_an_impact_is_at_least_one() -> None:
    arrays = (["x"], np.array([0, 1]), np.array([0], dtype=np.int32), ABC)
    ImpactVectors(*arrays, np.array([1], dtype=np.int32))
    with pytest.raises(WeightError, match="an impact of 0"):
        ImpactVectors(*arrays, np.array([0], dtype=np.int32))


def test_concatenate_and_select_take_rows_apart_and_together() -> None:
    first, second = weights({"x": {"a": 1.0}, "e": {}}, ABC), weights({"y": {"b": 2.0, "c": 3.0}}, ABC)
    whole = TermVectors.concatenate([first, second])
    assert as_rows(whole) == as_rows(first) | as_rows(second)
    assert whole.select([0, 1]) == first
    assert list(as_rows(whole.select([2, 0]))) == ["y", "x"]
    assert whole.select([2]) == second
    assert len(whole.select([])) == 0
    with pytest.raises(FormatError, match="'x' stands there twice"):
        TermVectors.concatenate([first, first])


def test_rows_of_impacts() -> None:
    whole = impacts({"x": {"a": 1}, "e": {}, "y": {"b": 2, "c": 3}})
    assert as_rows(whole.rows(1, 3)) == {"e": {}, "y": {"b": 2, "c": 3}}
    assert as_rows(whole.rows(2, 99)) == {"y": {"b": 2, "c": 3}}
    assert len(whole.rows(3, 4)) == 0


def test_equal_is_equal_in_everything() -> None:
    assert csr() == csr()
    others: list[dict[str, list[Any]]] = [{"ids": ["x", "z"]}, {"terms": [0, 1, 1]}, {"weights": [1.0, 0.5, 3.0]}]
    assert all(csr() != csr(**changed) for changed in others)
    assert csr() != weights({"x": {"a": 1.0, "c": 0.5}, "y": {"b": 2.0}}, Vocabulary("abcd"))
    assert csr() != "x"
    assert impacts({"x": {"a": 1}}) == impacts({"x": {"a": 1}}) != impacts({"x": {"a": 2}})


def test_a_vocabulary_has_each_term_once() -> None:
    assert ABC.id_of == {"a": 0, "b": 1, "c": 2}
    assert len(ABC) == 3
    with pytest.raises(ConfigError, match="holds the term 'a' twice"):
        Vocabulary("abca")


def test_a_fingerprint_knows_terms_and_order() -> None:
    assert ABC.fingerprint == Vocabulary(iter("abc")).fingerprint
    assert len({Vocabulary(terms).fingerprint for terms in (["ab", "c"], ["a", "bc"], "abc", "acb", "", [""])}) == 6


def test_an_identity_says_what_a_person_compares() -> None:
    identity = EncoderIdentity("model", "f00d", "cafe", 256, "log1p_relu")
    assert str(identity) == "model@f00d (vocabulary cafe, max_length 256)"


def test_an_identity_says_in_short_what_is_unusual_about_it() -> None:
    usual = EncoderIdentity("model", "f00d", "cafe", 256, "log1p_relu")
    assert (usual.special_terms, usual.top_terms, usual.min_weight) == (
        "drop",
        None,
        0.0,
    )  # what was, before it was kept
    unusual = replace(usual, precision="bf16", special_terms="keep", top_terms=9, min_weight=0.5)
    assert str(unusual) == (
        "model@f00d (vocabulary cafe, max_length 256, bf16, special terms kept, top 9 terms, weights from 0.5)"
    )
