"""Encoders: texts → TermVectors. What all of them share, and the loader that tells families apart.

Loads neither torch nor transformers nor onnxruntime before an encoder that needs them is made. Documents and queries
are encoded by two encoders, which for most models are the same one. Laws: rows come in the order of the texts; a
text's vector does not depend on its batch.
"""

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.encoding.tokenizer import Tokenizer, Tokens
from splade_lucene.errors import EncoderError
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import Encoder, EncoderIdentity, TermVectors

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "default_model"
GPU_BATCH_TOKENS = 32_768  # tokens, padding included, that go through a network on a GPU at a time

logger = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Some of the texts as CSR rows: `rows[i]` is the number of the text whose vector is the i-th row here."""

    rows: list[int]
    lengths: NDArray[np.int64]  # (B,) terms of each row
    terms: NDArray[np.int32]  # (nnz,) ascending within a row
    weights: NDArray[np.float32]  # (nnz,)


class TextEncoder(ABC):
    """What all encoders share: tokens of texts, the order of rows, pruning, and counts.

    Pruning is as the identity says: of each vector the `top_terms` largest weights (equal ones by ascending term id),
    and none below `min_weight`.

    Attributes:
        tokenizer: splits the texts.
        vocabulary: what the term ids stand for.
        identity: who made the vectors.
        truncated_texts: how many texts max_length has cut in `encode` since this encoder was made.
    """

    def __init__(self, tokenizer: Tokenizer, identity: EncoderIdentity) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = tokenizer.vocabulary
        self.identity = identity
        self.truncated_texts = 0

    @abstractmethod
    def _batches(self, tokens: Sequence[Tokens]) -> Iterator[Batch]:
        """The vector of every text once, in batches, in any order."""

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text. Changes nothing, so that other threads may call it meanwhile."""
        return self.tokenizer(texts)

    def encode_tokens(
        self, tokens: Sequence[Tokens], *, ids: Sequence[str], progress: Callable[[int], None] = lambda count: None
    ) -> TermVectors:
        """The vectors of texts that `tokenize` has split, in their order.

        Args:
            tokens: of N texts.
            ids: N doc_ids or query_ids.
            progress: called after each batch with the number of its texts.

        Raises:
            WeightError: the network gave a weight that is not finite. EncoderError: a text does not fit in memory.
        """
        if len(ids) != len(tokens):
            raise ValueError(f"{len(tokens)} texts and {len(ids)} ids")
        order: list[int] = []
        lengths, terms, weights = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        for batch in self._batches(tokens):
            pruned = _prune(batch, self.identity.top_terms, self.identity.min_weight)
            order += pruned.rows
            lengths.append(pruned.lengths)
            terms.append(pruned.terms)
            weights.append(pruned.weights)
            progress(len(pruned.rows))
        vectors = TermVectors(
            ids=[ids[row] for row in order],
            indptr=np.concatenate(lengths).cumsum(dtype=np.int64),
            terms=np.concatenate(terms),
            vocabulary=self.vocabulary,
            weights=np.concatenate(weights),
        )
        in_order = order == list(range(len(tokens)))
        return vectors if in_order else vectors.select(np.argsort(order).tolist())

    def encode(self, texts: Iterable[str], *, ids: Iterable[str] | None = None) -> TermVectors:
        """The vectors of the texts, in their order.

        Args:
            texts: any texts; an empty one gives what the model makes of [CLS] [SEP].
            ids: doc_ids or query_ids; "0", "1", … where none are given.

        Raises:
            WeightError: the network gave a weight that is not finite. EncoderError: a text does not fit in memory.
        """
        tokens = self.tokenize(list(texts))
        self.truncated_texts += sum(each.truncated for each in tokens)
        return self.encode_tokens(
            tokens, ids=[str(number) for number in range(len(tokens))] if ids is None else list(ids)
        )

    def terms_in(self, text: str) -> list[str]:
        """The terms that stand in the text itself."""
        return self.tokenizer.terms_in(text)


def _prune(batch: Batch, top_terms: int | None, min_weight: float) -> Batch:
    """The batch with at most `top_terms` weights a row, the largest, and none below `min_weight`."""
    if (top_terms is None and min_weight <= 0) or not np.isfinite(batch.weights).all():
        return batch  # what is not finite must reach TermVectors, which names the text and the term
    row_of = np.repeat(np.arange(len(batch.rows)), batch.lengths)
    kept = batch.weights >= min_weight
    if top_terms is not None:
        ranked = np.lexsort((batch.terms, -batch.weights, row_of))
        first = np.cumsum(batch.lengths) - batch.lengths
        rank = np.empty(len(ranked), dtype=np.int64)
        rank[ranked] = np.arange(len(ranked)) - np.repeat(first, batch.lengths)
        kept &= rank < top_terms
    lengths = np.bincount(row_of[kept], minlength=len(batch.rows))
    return Batch(batch.rows, lengths, batch.terms[kept], batch.weights[kept])


class NetworkEncoder(TextEncoder):
    """What encoders with a network share: batches of texts of like length, halved where memory does not suffice.

    Attributes:
        batch_tokens: tokens that go through the network at a time, padding included.
        batches_at_a_time: how many batches do, each in a thread of its own.
    """

    def __init__(
        self, tokenizer: Tokenizer, identity: EncoderIdentity, *, batch_tokens: int, batches_at_a_time: int = 1
    ) -> None:
        super().__init__(tokenizer, identity)
        self.batch_tokens = batch_tokens
        self.batches_at_a_time = batches_at_a_time
        self._halved = False

    @abstractmethod
    def _weights(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64], *, alone: bool
    ) -> NDArray[np.float32]:
        """(B, L) ids and mask → (B, V) weights >= 0; alone: no other batch is in the network meanwhile."""

    def _batches(self, tokens: Sequence[Tokens]) -> Iterator[Batch]:
        """Longest texts first, in the order in which they were planned, whichever thread is done first."""
        longest_first = sorted(range(len(tokens)), key=lambda row: -len(tokens[row].ids))
        plans = self._planned(longest_first, tokens)
        first = next(plans, [])
        if self.batches_at_a_time == 1 or len(first) == len(tokens):
            for rows in chain([first] if first else [], plans):
                yield from self._encoded(rows, tokens, alone=True)
            return
        with ThreadPoolExecutor(self.batches_at_a_time, thread_name_prefix="network") as threads:
            running: deque[Future[list[Batch]]] = deque()
            for rows in chain([first], plans):
                running.append(threads.submit(self._encoded, rows, tokens, alone=False))
                if len(running) > self.batches_at_a_time:  # one waits, so that no thread does
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()

    def _planned(self, longest_first: list[int], tokens: Sequence[Tokens]) -> Iterator[list[int]]:
        """Rows of at most `batch_tokens` together, padding included."""
        start = 0
        while start < len(longest_first):
            length = max(1, len(tokens[longest_first[start]].ids))
            rows = longest_first[start : start + max(1, self.batch_tokens // length)]
            start += len(rows)
            yield rows

    def _encoded(self, rows: list[int], tokens: Sequence[Tokens], *, alone: bool) -> list[Batch]:
        """The rows as one batch, or as several where one does not fit in memory."""
        input_ids, mask = _padded([tokens[row].ids for row in rows], self.tokenizer.pad_id)
        try:
            # A network may have room for terms that its tokenizer does not know; no text can ask for them.
            found = self._weights(input_ids, mask, alone=alone)[:, : len(self.vocabulary)]
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            if not _out_of_memory(error):
                raise
            if len(rows) == 1:
                raise EncoderError(
                    f"a text of {input_ids.size} tokens does not fit in memory, though alone in its batch ({error}); "
                    "set a smaller max_length"
                ) from error
            self._halve(input_ids.size)
        else:
            at, terms = np.nonzero(found)
            lengths = np.bincount(at, minlength=len(rows))
            return [Batch(rows, lengths, terms.astype(np.int32), found[at, terms].astype(np.float32, copy=False))]
        middle = len(rows) // 2
        halves = (rows[:middle], rows[middle:])
        return [batch for half in halves for batch in self._encoded(half, tokens, alone=alone)]

    def _halve(self, batch_tokens: int) -> None:
        if not self._halved:
            logger.warning(
                "Out of memory with %d tokens at a time: going on with half of them, and with half of that "
                "wherever it is still too much.",
                batch_tokens,
            )
        self._halved = True
        self.batch_tokens = min(self.batch_tokens, batch_tokens // 2)


def _out_of_memory(error: Exception) -> bool:
    """Whether memory was short: torch, onnxruntime and their allocators say so in words, and share no class."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in said for words in ("out of memory", "allocate memory", "failed to allocate", "bad_alloc", "bad alloc")
    )


def _padded(rows: list[list[int]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and mask, both (B, L); padding has the tokenizer's id for it, and mask 0."""
    longest = max(map(len, rows))
    input_ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros_like(input_ids)
    for number, row in enumerate(rows):
        input_ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return input_ids, mask


class PyseriniQueryEncoder:
    """An encoder of ours as Pyserini's `LuceneImpactSearcher(index, query_encoder)` wants it.

    Give that searcher `min_idf=-1`: at its default 0 it leaves out every term that stands in all documents.
    """

    def __init__(self, encoder: Encoder, quantizer: Quantizer | None = None) -> None:
        self.encoder = encoder
        self.quantizer = quantizer or Quantizer()

    def encode(self, text: str) -> dict[str, int]:
        """The impacts of one query."""
        return self.quantizer(self.encoder.encode([text])).row(0)


def load_encoder(model: str | Path, *, side: Side = "documents", options: EncoderOptions | None = None) -> TextEncoder:
    """Load a model for one side.

    Args:
        model: `default`, a local folder, or a hub name, which may pin a revision as `name@revision`. A folder is read
            in the layout that its family is published in; `layouts` names them.
        side: which texts it is for; where a model has an encoder of its own for queries, this chooses.
        options: None and `auto` stand for the model's own.

    Raises:
        ModelNotFoundError: there is nothing by this name. EncoderError: what is there cannot be loaded, or the options
            do not go with it.
    """
    from splade_lucene.encoding.layouts import Checkpoint, ExportedNetwork, WeightTable, read_layout

    options = options or EncoderOptions()
    folder, name = find_model(model)
    layout = read_layout(folder, side)
    if side == "queries" and options.binary_queries:
        from splade_lucene.encoding.table_encoder import load_binary_encoder

        return load_binary_encoder(layout, options, name=name)
    match layout:
        case ExportedNetwork():
            from splade_lucene.encoding.onnx_encoder import OnnxEncoder

            return OnnxEncoder(folder, options, side=side)
        case WeightTable():
            from splade_lucene.encoding.table_encoder import load_table_encoder

            return load_table_encoder(layout, options, name=name)
        case Checkpoint() if options.precision == "int8":
            from splade_lucene.encoding.export import kept_export
            from splade_lucene.encoding.onnx_encoder import OnnxEncoder

            return OnnxEncoder(kept_export(layout, options, name=name), options, side=side)
        case Checkpoint():
            from splade_lucene.encoding.torch_encoder import TorchEncoder

            return TorchEncoder(layout, options, name=name)


def find_model(model: str | Path) -> tuple[Path, str]:
    """The folder of a model, and the name that its vectors remember.

    Raises:
        ModelNotFoundError: there is nothing by this name.
    """
    if model == "default":
        return DEFAULT_MODEL, "default"
    if Path(model).is_dir():
        return Path(model), str(model)
    from splade_lucene.encoding.hub import resolve

    return resolve(str(model))
