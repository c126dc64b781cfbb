"""A text's vector depends on the text alone; pooling does not see padding."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from splade_lucene.encoding.encoder import DEFAULT_MODEL, TextEncoder, load_encoder
from splade_lucene.encoding.onnx_encoder import OnnxEncoder
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.encoding.pooling import Pooling, splade_pool
from splade_lucene.encoding.table_encoder import IdfEncoder
from tests.helpers import WORDS, as_rows, tiny_tokenizer

TOLERANCE = 1e-5  # float32 sums in another order
DEFAULT_TOLERANCE = 1e-4  # the default model: 8-bit weights, and 6 layers of such sums

words = st.one_of(st.sampled_from(WORDS), st.text(max_size=5))
texts = st.lists(st.lists(words, max_size=30).map(" ".join), min_size=1, max_size=8)


@pytest.fixture(scope="module", params=["torch", "idf", "default"])
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    match request.param:
        case "torch":  # two or three texts a batch
            options = EncoderOptions(device="cpu", batch_tokens=64)
            return load_encoder(request.getfixturevalue("tiny_model"), options=options)
        case "idf":
            return IdfEncoder(tiny_tokenizer(), {"the": 0.25, "cat": 3.0})
        case _:
            return OnnxEncoder(DEFAULT_MODEL, EncoderOptions(max_length=32, threads=1))


@settings(max_examples=12)
@given(texts=texts, shuffler=st.randoms(use_true_random=False))
def test_a_vector_does_not_depend_on_its_batch(encoder: TextEncoder, texts: list[str], shuffler: random.Random) -> None:
    """Neither on its neighbours, nor on their number, their order or their length."""
    tolerance = DEFAULT_TOLERANCE if isinstance(encoder, OnnxEncoder) else TOLERANCE
    shuffled = list(range(len(texts)))
    shuffler.shuffle(shuffled)
    together = dense(encoder, texts)
    assert_allclose(dense(encoder, [texts[row] for row in shuffled]), together[shuffled], tolerance)
    assert_allclose(np.concatenate([dense(encoder, [text]) for text in texts]), together, tolerance)


@settings(max_examples=12)
@given(texts=texts)
def test_every_text_is_a_row_of_weights(encoder: TextEncoder, texts: list[str]) -> None:
    found = encoder.encode(texts)
    assert found.ids == [str(number) for number in range(len(texts))]
    assert (found.weights > 0).all()
    assert found.vocabulary is encoder.vocabulary


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), max_size=6),
    st.dictionaries(st.sampled_from(WORDS), st.sampled_from([0.0, 0.5, 1.0, 2.0])),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.5, 1.5]),
)
def test_pruning_keeps_the_largest_weights_and_of_equal_ones_the_first_terms(
    texts: list[str], table: dict[str, float], top_terms: int, min_weight: float
) -> None:
    tokenizer = tiny_tokenizer()
    options = EncoderOptions(top_terms=top_terms, min_weight=min_weight)
    pruned = as_rows(IdfEncoder(tokenizer, table, options).encode(texts))
    for row_id, row in as_rows(IdfEncoder(tokenizer, table).encode(texts)).items():
        ranked = sorted(row, key=lambda term: (-row[term], tokenizer.vocabulary.id_of[term]))
        assert pruned[row_id] == {term: row[term] for term in ranked[:top_terms] if row[term] >= min_weight}


@settings(max_examples=12)
@given(texts=texts)
def test_to_tokenize_ahead_changes_nothing(encoder: TextEncoder, texts: list[str]) -> None:
    done: list[int] = []
    ids = [str(number) for number in range(len(texts))]
    assert encoder.encode_tokens(encoder.tokenize(texts), ids=ids, progress=done.append) == encoder.encode(texts)
    assert sum(done) == len(texts)


def dense(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    found = encoder.encode(texts)
    matrix = np.zeros((len(found), len(found.vocabulary)), dtype=np.float32)
    matrix[np.repeat(np.arange(len(found)), found.row_lengths), found.terms] = found.weights
    return matrix


def assert_allclose(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


# Pooling

seeds = st.integers(0, 2**32)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 9))
poolings = st.sampled_from(["max", "sum"])


def logits_and_mask(seed: int, shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(shape, generator=generator)
    lengths = torch.randint(0, shape[1] + 1, (shape[0], 1), generator=generator)
    return logits, (torch.arange(shape[1]) < lengths).long()


@given(seeds, shapes, poolings, st.integers(1, 5))
def test_padding_changes_no_row(seed: int, shape: tuple[int, int, int], pooling: Pooling, more: int) -> None:
    logits, mask = logits_and_mask(seed, shape)
    padded = torch.nn.functional.pad(logits, (0, 0, 0, more), value=9.0)
    assert_close(
        splade_pool(padded, torch.nn.functional.pad(mask, (0, more)), pooling), splade_pool(logits, mask, pooling)
    )


@given(seeds, shapes, poolings)
def test_rows_keep_to_themselves(seed: int, shape: tuple[int, int, int], pooling: Pooling) -> None:
    logits, mask = logits_and_mask(seed, shape)
    whole = splade_pool(logits, mask, pooling)
    assert_close(splade_pool(logits.flip(0), mask.flip(0), pooling), whole.flip(0))
    for row in range(shape[0]):
        assert_close(splade_pool(logits[row : row + 1], mask[row : row + 1], pooling)[0], whole[row])


@given(seeds, shapes)
def test_max_is_at_most_sum_and_neither_is_negative(seed: int, shape: tuple[int, int, int]) -> None:
    logits, mask = logits_and_mask(seed, shape)
    largest, total = splade_pool(logits, mask, "max"), splade_pool(logits, mask, "sum")
    assert (largest >= 0).all()
    assert (largest <= total + TOLERANCE).all()


@given(seeds, shapes)
def test_both_orders_of_max_and_log_agree(seed: int, shape: tuple[int, int, int]) -> None:
    logits, mask = logits_and_mask(seed, shape)
    slow = (torch.log1p(torch.relu(logits)) * mask.unsqueeze(-1)).amax(dim=1)
    assert_close(splade_pool(logits, mask), slow)
