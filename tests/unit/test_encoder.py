"""What encoders with a network share: memory that does not suffice, and counts."""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from splade_lucene.encoding.encoder import NetworkEncoder
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.errors import ConfigError, EncoderError
from splade_lucene.vectors import EncoderIdentity
from tests.helpers import tiny_tokenizer

TEXTS = ["cat " * count for count in (9, 1, 4, 0, 14, 2, 2, 7, 3, 3)]
SAID = [
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 9",
    "std::bad_alloc",
]


class SmallNetwork(NetworkEncoder):
    """The weight of a term is how often it stands there; it has room for so many tokens at a time."""

    def __init__(self, room: int, error: Exception | None = None, *, batches_at_a_time: int = 1) -> None:
        tokenizer = tiny_tokenizer()
        identity = EncoderIdentity("small", "0", tokenizer.vocabulary.fingerprint, tokenizer.max_length, "none")
        super().__init__(tokenizer, identity, batch_tokens=160, batches_at_a_time=batches_at_a_time)
        self.room = room
        self.error = error or RuntimeError(SAID[0])
        self.shapes: list[tuple[int, ...]] = []

    def _weights(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64], *, alone: bool
    ) -> NDArray[np.float32]:
        if input_ids.size > self.room:
            raise self.error
        self.shapes.append(input_ids.shape)
        found = np.zeros((len(input_ids), len(self.vocabulary)), dtype=np.float32)
        np.add.at(found, (np.arange(len(input_ids))[:, None], input_ids), attention_mask)
        return found


def test_batches_in_threads_are_the_same() -> None:
    one, many = SmallNetwork(10_000), SmallNetwork(10_000, batches_at_a_time=3)
    for network in (one, many):
        network.batch_tokens = 8
    assert many.encode(TEXTS * 9) == one.encode(TEXTS * 9)
    assert len(many.shapes) == len(one.shapes) > 9
    assert many.encode([]) == one.encode([])


def test_an_error_in_a_thread_is_raised() -> None:
    network = SmallNetwork(0, ValueError("broken"), batches_at_a_time=2)
    network.batch_tokens = 8
    with pytest.raises(ValueError, match="broken"):
        network.encode(TEXTS * 9)


class AllocationError(Exception):
    """onnxruntime's errors derive from Exception alone."""


@pytest.mark.parametrize("error", [*map(RuntimeError, SAID), AllocationError(SAID[2]), MemoryError()], ids=repr)
def test_batches_are_halved_where_memory_is_short(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    roomy, narrow = SmallNetwork(10_000), SmallNetwork(35, error)
    with caplog.at_level(logging.WARNING):
        assert narrow.encode(TEXTS) == roomy.encode(TEXTS)
        assert narrow.encode(TEXTS * 2) == roomy.encode(TEXTS * 2)
    assert [record.name for record in caplog.records] == ["splade_lucene.encoding.encoder"]
    assert "Out of memory with 160 tokens at a time" in caplog.text
    assert narrow.batch_tokens <= 35
    assert max(rows * length for rows, length in narrow.shapes) <= 35


def test_a_text_that_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(EncoderError, match="a text of 16 tokens does not fit in memory"):
        SmallNetwork(15).encode(TEXTS)


def test_other_errors_are_not_taken_for_short_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"):
        SmallNetwork(15, RuntimeError("shapes differ")).encode(TEXTS)


def test_progress_counts_the_texts_of_each_batch() -> None:
    encoder, done = SmallNetwork(10_000), []
    encoder.encode_tokens(encoder.tokenize(TEXTS), ids=[f"d{at}" for at in range(len(TEXTS))], progress=done.append)
    assert len(done) > 0
    assert sum(done) == len(TEXTS)
    assert [rows for rows, length in encoder.shapes] == done


def test_texts_may_be_tokenized_by_several_threads_at_once() -> None:
    encoder = SmallNetwork(10_000)
    expected = encoder.tokenize(TEXTS)
    with ThreadPoolExecutor(4) as threads:
        assert all(found == expected for found in threads.map(encoder.tokenize, [TEXTS] * 50))
    assert encoder.truncated_texts == 0


def test_tokens_and_ids_must_fit() -> None:
    encoder = SmallNetwork(10_000)
    with pytest.raises(ValueError, match="2 texts and 1 ids"):
        encoder.encode_tokens(encoder.tokenize(["a", "b"]), ids=["x"])
    assert len(encoder.encode_tokens([], ids=[])) == 0


@pytest.mark.parametrize(
    "wrong", [{"max_length": 0}, {"batch_tokens": 0}, {"threads": 0}, {"top_terms": 0}, {"min_weight": -1.0}], ids=str
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EncoderOptions(**wrong)  # type: ignore[arg-type]
