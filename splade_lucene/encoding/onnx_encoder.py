"""OnnxEncoder: an exported model, run by onnxruntime; needs neither torch nor transformers."""

import hashlib
import os
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from splade_lucene.encoding.encoder import GPU_BATCH_TOKENS, NetworkEncoder
from splade_lucene.encoding.layouts import agreed, prompt_of, read_exported_config
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.encoding.tokenizer import Tokenizer
from splade_lucene.errors import EncoderError
from splade_lucene.vectors import EncoderIdentity

CPU_BATCH_TOKENS = 512  # of each thread; more leave the processor's cache, which slows the network down


class OnnxEncoder(NetworkEncoder):
    """An exported model: a folder of `model.onnx`, `tokenizer.json` and `config.json`, pooling inside the graph.

    On a CPU one batch, a query say, has all threads; of many, each has one, which is faster for all of them together.

    Args:
        folder: the model's folder.
        options: None and `auto` stand for the model's own; what was fixed by the export cannot be chosen anew.
        side: which of the model's prompts stands before a text, where it has any, and whether many batches are
            expected, or single ones.

    Raises:
        ModelNotFoundError: there is no such folder. EncoderError: a file is missing or malformed, or the options do not
            go with what was exported.
    """

    def __init__(self, folder: Path | str, options: EncoderOptions | None = None, *, side: Side = "documents") -> None:
        folder, options = Path(folder), options or EncoderOptions()
        config = read_exported_config(folder)
        pooling = agreed("pooling", config.get("pooling"), options.pooling, folder) or ""
        activation = agreed("activation", config["activation"], options.activation, folder)
        own_precision = config.get("precision", "fp32")
        wanted = None if options.precision == "auto" else options.precision
        precision = agreed("precision", own_precision, wanted, folder)
        limit = config["max_length"]
        tokenizer = Tokenizer.load(
            folder / "tokenizer.json",
            min(options.max_length or limit, limit),
            pad_id=config.get("pad_id"),
            prompt=prompt_of(config, side),
        )
        self._dropped = tokenizer.special_ids if options.special_terms == "drop" else []
        self._file, self._device = folder / "model.onnx", options.device
        self._threads = options.threads or _cores()
        self._sessions: dict[int, Any] = {}  # by their threads; each holds the weights, so that most never get both
        self._lock = Lock()
        session = self._session(1 if side == "documents" else self._threads)
        width = session.get_outputs()[0].shape[-1]
        if isinstance(width, int) and width < len(tokenizer.vocabulary):
            raise EncoderError(
                f"{folder}: its tokenizer has {len(tokenizer.vocabulary):,} terms, the network {width:,}: tokenizer "
                "and network are of different models"
            )
        identity = EncoderIdentity(
            name=config["name"],
            fingerprint=_files_fingerprint(*sorted(folder.glob("model.onnx*")), folder / "tokenizer.json"),
            vocabulary=tokenizer.vocabulary.fingerprint,
            max_length=tokenizer.max_length,
            activation=str(activation),
            tokenizer=tokenizer.fingerprint,
            pooling=pooling,
            precision=str(precision),
            special_terms=options.special_terms,
            top_terms=options.top_terms or config.get("top_terms"),
            min_weight=options.min_weight,
        )
        on_gpu = "CUDAExecutionProvider" in session.get_providers()
        if on_gpu:  # where the processor's threads do not matter
            self._sessions = dict.fromkeys((1, self._threads), session)
        super().__init__(
            tokenizer,
            identity,
            batch_tokens=options.batch_tokens or (GPU_BATCH_TOKENS if on_gpu else CPU_BATCH_TOKENS),
            batches_at_a_time=1 if on_gpu else self._threads,
        )

    def _weights(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64], *, alone: bool
    ) -> NDArray[np.float32]:
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        weights: NDArray[np.float32] = self._session(self._threads if alone else 1).run(["weights"], feed)[0]
        if self._dropped:
            weights[:, self._dropped] = 0.0
        return weights

    def _session(self, threads: int) -> Any:
        """The graph, ready to run on so many threads."""
        with self._lock:
            if threads not in self._sessions:
                self._sessions[threads] = _session(self._file, self._device, threads)
            return self._sessions[threads]


def _cores() -> int:
    """The processor's cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session(file: Path, device: str, threads: int) -> Any:
    """The graph on a device.

    Raises:
        EncoderError: it cannot be loaded, or there is no such device.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    wanted = providers(device)
    try:
        session = onnxruntime.InferenceSession(str(file), settings, providers=wanted)
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        raise EncoderError(f"{file}: not a model that onnxruntime can load ({error})") from error
    if device.startswith("cuda") and "CUDAExecutionProvider" not in session.get_providers():
        # onnxruntime goes on with the CPU where the CUDA libraries do not load.
        raise EncoderError(f"onnxruntime cannot use {device}: its CUDA libraries did not load")
    if unknown := {each.name for each in session.get_inputs()} ^ {"input_ids", "attention_mask"}:
        raise EncoderError(
            f"{file}: its inputs are not input_ids and attention_mask ({', '.join(sorted(unknown))} differ); "
            "export the model with splade-lucene"
        )
    return session


def providers(device: str) -> list[Any]:
    """What onnxruntime runs a network on; raises EncoderError where the device is not there."""
    there = onnxruntime.get_available_providers()
    kind, _, number = device.partition(":")
    if kind in ("auto", "cuda") and "CUDAExecutionProvider" in there:
        return [("CUDAExecutionProvider", {"device_id": int(number or 0)}), "CPUExecutionProvider"]
    if kind in ("auto", "cpu"):
        return ["CPUExecutionProvider"]
    devices = ["cpu", *(["cuda"] if "CUDAExecutionProvider" in there else [])]
    raise EncoderError(f"onnxruntime has no device {device!r} here; it has {', '.join(devices)}")


def _files_fingerprint(*files: Path) -> str:
    """12 hex digits of SHA-256 over the files' contents."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
