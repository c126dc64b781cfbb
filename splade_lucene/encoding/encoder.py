"""Encoders: texts → TermVectors. One protocol (`vectors.Encoder`), three of them, and the loader that tells them apart.

`OnnxEncoder` (an exported folder; `default` is one) needs `onnxruntime` and `tokenizers` only; `TorchEncoder` runs a
masked-LM checkpoint; `IdfEncoder` looks query weights up in a table. Documents and queries are encoded by two
encoders, which for most models are the same one. Laws: rows come in the order of the texts; a text's vector does not
depend on its batch.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from splade_lucene.encoding.tokenizer import Tokenizer, Tokens
from splade_lucene.errors import EncoderError, ModelNotFoundError
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import Encoder, EncoderIdentity, TermVectors

if TYPE_CHECKING:
    from splade_lucene.encoding.pooling import Pooling

Side = Literal["documents", "queries"]

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "default_model"
ONNX_FORMAT = "splade-lucene-onnx"
BATCH_TOKENS = 4_096  # tokens, padding included, that go through the network at a time


class NetworkEncoder(ABC):
    """What encoders with a network share: batches of texts of like length, and order restored.

    Attributes:
        truncated_texts: how many texts max_length has cut since this encoder was made.
    """

    def __init__(self, tokenizer: Tokenizer, identity: EncoderIdentity, *, batch_tokens: int = BATCH_TOKENS) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = tokenizer.vocabulary
        self.identity = identity
        self.batch_tokens = batch_tokens
        self.truncated_texts = 0

    @abstractmethod
    def _weights(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """(B, L) ids and mask → (B, V) weights >= 0."""

    def encode(self, texts: Iterable[str], *, ids: Iterable[str] | None = None) -> TermVectors:
        """The vectors of the texts, in their order.

        Args:
            texts: any texts; an empty one gives what the network makes of [CLS] [SEP].
            ids: doc_ids or query_ids; "0", "1", … where none are given.

        Raises:
            WeightError: the network gave a weight that is not finite.
        """
        texts = list(texts)
        row_ids = [str(number) for number in range(len(texts))] if ids is None else list(ids)
        if len(row_ids) != len(texts):
            raise ValueError(f"{len(texts)} texts and {len(row_ids)} ids")
        tokens = self.tokenizer(texts)
        self.truncated_texts += sum(each.truncated for each in tokens)
        longest_first = sorted(range(len(texts)), key=lambda row: -len(tokens[row].ids))
        lengths, terms, weights = [], [], []
        for batch in self._batches(longest_first, tokens):
            found = self._weights(*_padded([tokens[row].ids for row in batch]))[:, : len(self.vocabulary)]
            rows, columns = np.nonzero(found)
            lengths.append(np.bincount(rows, minlength=len(batch)))
            terms.append(columns.astype(np.int32))
            weights.append(found[rows, columns].astype(np.float32, copy=False))
        by_length = TermVectors(
            ids=[row_ids[row] for row in longest_first],
            indptr=np.concatenate([[0], *lengths]).cumsum(dtype=np.int64),
            terms=np.concatenate([np.zeros(0, np.int32), *terms]),
            vocabulary=self.vocabulary,
            weights=np.concatenate([np.zeros(0, np.float32), *weights]),
        )
        return by_length.select(np.argsort(longest_first).tolist())

    def _batches(self, order: list[int], tokens: list[Tokens]) -> Iterator[list[int]]:
        """Rows in batches of at most `batch_tokens`, padding included; the first of a batch is its longest."""
        start = 0
        while start < len(order):
            size = max(1, self.batch_tokens // max(1, len(tokens[order[start]].ids)))
            yield order[start : start + size]
            start += size

    def terms_in(self, text: str) -> list[str]:
        """The terms that stand in the text itself."""
        return self.tokenizer.terms_in(text)


def _padded(rows: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and mask, both (B, L); padding has id 0 and mask 0."""
    longest = max(map(len, rows))
    input_ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros_like(input_ids)
    for number, row in enumerate(rows):
        input_ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return input_ids, mask


class OnnxEncoder(NetworkEncoder):
    """An exported model: a folder of `model.onnx`, `tokenizer.json` and `config.json`, pooling inside the graph.

    Args:
        folder: the model's folder.
        max_length: tokens a text may have; the model's own where not given.
        threads: for the network; all cores where not given.

    Raises:
        ModelNotFoundError: there is no such folder. EncoderError: a file is missing or malformed.
    """

    def __init__(self, folder: Path | str, *, max_length: int | None = None, threads: int | None = None) -> None:
        import onnxruntime

        folder = Path(folder)
        config = _read_config(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise EncoderError(f"{folder / 'model.onnx'}: not a model that onnxruntime can load ({error})") from error
        limit = int(config["max_length"])
        tokenizer = Tokenizer.load(folder / "tokenizer.json", limit if max_length is None else min(max_length, limit))
        identity = EncoderIdentity(
            name=str(config["name"]),
            fingerprint=_files_fingerprint(folder / "model.onnx", folder / "tokenizer.json"),
            vocabulary=tokenizer.vocabulary.fingerprint,
            max_length=tokenizer.max_length,
            activation=str(config["activation"]),
        )
        super().__init__(tokenizer, identity, batch_tokens=int(config.get("batch_tokens", BATCH_TOKENS)))

    def _weights(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        return self._session.run(["weights"], feed)[0]  # type: ignore[no-any-return]


class TorchEncoder(NetworkEncoder):
    """A masked-LM checkpoint, from a local folder or the hub, run by torch.

    Args:
        name: folder or hub name.
        max_length: tokens a text may have; the network's own limit, at most 512, where not given.
        pooling: over positions: `max`, or `sum` for SPLADE v1.
        device: where it runs; the GPU where there is one, if not given.

    Raises:
        ModelNotFoundError: no such folder and no such model on the hub. EncoderError: not a masked-LM checkpoint.
    """

    def __init__(
        self, name: str, *, max_length: int | None = None, pooling: "Pooling" = "max", device: str | None = None
    ) -> None:
        import torch
        from transformers import AutoTokenizer

        from splade_lucene.encoding.model import SpladeModel, load_masked_lm

        network, fingerprint = load_masked_lm(name)
        try:
            fast = AutoTokenizer.from_pretrained(name, use_fast=True)
            backend = fast.backend_tokenizer
        except (OSError, ValueError, AttributeError) as error:
            raise EncoderError(f"{name!r} has no fast tokenizer that can be read ({error})") from error
        config: Any = network.config
        limit = min(fast.model_max_length, getattr(config, "max_position_embeddings", 512), 512)
        tokenizer = Tokenizer(backend, limit if max_length is None else min(max_length, limit))
        if len(tokenizer.vocabulary) > config.vocab_size:
            raise EncoderError(
                f"{name!r}: its tokenizer has {len(tokenizer.vocabulary):,} terms, the network {config.vocab_size:,}: "
                "tokenizer and weights are of different models"
            )
        self._torch = torch
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = SpladeModel(network, tokenizer.special_ids, pooling).to(self.device).eval()
        identity = EncoderIdentity(
            name=name,
            fingerprint=fingerprint,
            vocabulary=tokenizer.vocabulary.fingerprint,
            max_length=tokenizer.max_length,
            activation="log1p_relu",
        )
        super().__init__(tokenizer, identity)

    def _weights(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        with self._torch.inference_mode():
            inputs = (self._torch.from_numpy(each).to(self.device) for each in (input_ids, attention_mask))
            return self._model(*inputs).float().cpu().numpy()  # type: ignore[no-any-return]


class IdfEncoder:
    """Query weights from a table, no network: q_j = table[j] for each term j that stands in the text, once.

    Args:
        tokenizer: splits the text.
        table: term → weight, usually an idf. A term that it lacks weighs 1; special terms weigh nothing.
        name: for messages and manifests.

    References:
        Inference-free retrievers, arXiv:2411.04403; the missing-term rule is OpenSearch's.
    """

    def __init__(self, tokenizer: Tokenizer, table: Mapping[str, float], *, name: str = "idf") -> None:
        self.tokenizer = tokenizer
        self.vocabulary = tokenizer.vocabulary
        self.truncated_texts = 0
        with np.errstate(over="ignore"):  # a weight beyond float32 becomes infinite, and is refused as such
            self._table = np.array(
                [_as_float(table.get(term, 1.0)) for term in self.vocabulary.terms], dtype=np.float32
            )
        self._table[tokenizer.special_ids] = 0.0
        if not (np.isfinite(self._table) & (self._table >= 0)).all():
            wrong = self.vocabulary.terms[int(np.argmin(np.isfinite(self._table) & (self._table >= 0)))]
            raise EncoderError(f"{name}: the weight of {wrong!r} is {table[wrong]}; weights are finite and >= 0")
        self.identity = EncoderIdentity(
            name=name,
            fingerprint=hashlib.sha256(self._table.tobytes()).hexdigest()[:12],
            vocabulary=self.vocabulary.fingerprint,
            max_length=tokenizer.max_length,
            activation="table",
        )

    @classmethod
    def load(cls, folder: Path | str, *, max_length: int = 512) -> "IdfEncoder":
        """Read `idf.json` ({term: weight}) and `tokenizer.json` of a folder, as OpenSearch publishes them.

        Raises:
            ModelNotFoundError: there is no `idf.json`. EncoderError: a file is malformed.
        """
        folder = Path(folder)
        try:
            table = json.loads((folder / "idf.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ModelNotFoundError(f"{folder}: no idf.json there") from error
        except ValueError as error:
            raise EncoderError(f"{folder / 'idf.json'}: not JSON ({error})") from error
        if not isinstance(table, dict) or not set(map(type, table.values())) <= {int, float}:
            raise EncoderError(f"{folder / 'idf.json'}: an object of term: weight was expected")
        return cls(Tokenizer.load(folder / "tokenizer.json", max_length), table, name=str(folder))

    def encode(self, texts: Iterable[str], *, ids: Iterable[str] | None = None) -> TermVectors:
        """The vectors of the texts, in their order."""
        tokens = self.tokenizer(list(texts))
        self.truncated_texts += sum(each.truncated for each in tokens)
        row_ids = [str(number) for number in range(len(tokens))] if ids is None else list(ids)
        found = [np.unique(np.array(each.ids, dtype=np.int32)) for each in tokens]
        rows = [row[self._table[row] > 0] for row in found]
        terms = np.concatenate([np.zeros(0, np.int32), *rows])
        return TermVectors(
            ids=row_ids,
            indptr=np.cumsum([0, *map(len, rows)], dtype=np.int64),
            terms=terms,
            vocabulary=self.vocabulary,
            weights=self._table[terms],
        )

    def terms_in(self, text: str) -> list[str]:
        """The terms that stand in the text itself."""
        return self.tokenizer.terms_in(text)


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


def load_encoder(model: str | Path, *, side: Side = "documents", max_length: int | None = None) -> Encoder:
    """Load a model for one side: `default`, an exported folder, a masked-LM folder, or a hub name.

    A folder that holds `idf.json` is an inference-free model: its queries are looked up in the table.

    Raises:
        ModelNotFoundError: there is nothing by this name. EncoderError: what is there cannot be loaded.
    """
    folder = DEFAULT_MODEL if model == "default" else Path(model)
    if (folder / "model.onnx").is_file():
        return OnnxEncoder(folder, max_length=max_length)
    if side == "queries" and (folder / "idf.json").is_file():
        return IdfEncoder.load(folder, max_length=512 if max_length is None else max_length)
    return TorchEncoder(str(model), max_length=max_length)


def _as_float(weight: float) -> float:
    """A weight as float; a whole number beyond float64 is infinite."""
    try:
        return float(weight)
    except OverflowError:
        return float("inf")


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelNotFoundError(
            f"{folder}: no config.json there; an exported model is a folder that has one"
        ) from error
    except ValueError as error:
        raise EncoderError(f"{file}: not JSON ({error})") from error
    if not isinstance(config, dict) or config.get("format") != ONNX_FORMAT or config.get("format_version") != 1:
        raise EncoderError(f"{file}: not an exported model of this version ({ONNX_FORMAT} 1)")
    if missing := {"name", "max_length", "activation"} - config.keys():
        raise EncoderError(f"{file}: no {', '.join(sorted(missing))} in it")
    return config


def _files_fingerprint(*files: Path) -> str:
    """12 hex digits of SHA-256 over the files' contents."""
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
