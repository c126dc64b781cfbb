"""The engines that `benchmarks.encode` compares, and the folders that they load the same weights from.

    python -m benchmarks.encoders ENGINE MODELS --query TEXT     says READY once there is the query's vector
    python -m benchmarks.encoders ENGINE MODELS --texts FILE     prints the peak of memory over encoding a JSON list

runs one engine in an interpreter of its own. Law: importing this module imports nothing heavy; each engine imports its
own libraries when it is loaded, so that a fresh interpreter pays for one engine alone.
"""

import json
import math
import os
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from splade_lucene.encoding.options import EncoderOptions, Precision, Side
from tools.minilm import MAX_LENGTH, make_checkpoint

if TYPE_CHECKING:
    from splade_lucene.encoding.export import ExportPrecision

LOOP_BATCH = 32  # texts; sentence-transformers' default
READY = "READY"
PYSERINI_SCALE = 256 / 5  # Pyserini gives round(weight / 5 * 256)


class Loaded(Protocol):
    """An engine with its model in memory."""

    def documents(self, texts: Sequence[str]) -> object:
        """The vectors, in the form that the engine gives them, in the computer's own memory."""

    def query(self, text: str) -> object:
        """The vector of one query."""

    def weights(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """What `documents` gives, read."""


class Ours:
    """`load_encoder`, for one side.

    Attributes:
        encoder: what it gave.
    """

    def __init__(self, model: Path | str, options: EncoderOptions | None = None, side: Side = "documents") -> None:
        from splade_lucene.encoding.encoder import load_encoder

        self.encoder = load_encoder(model, side=side, options=options)

    def documents(self, texts: Sequence[str]) -> object:
        """TermVectors."""
        return self.encoder.encode(texts)

    def query(self, text: str) -> object:
        """TermVectors of one row."""
        return self.encoder.encode([text])

    def weights(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Each row as a dictionary."""
        vectors = self.encoder.encode(texts)
        return [vectors.row(number) for number in range(len(vectors))]


class SentenceTransformers:
    """SparseEncoder with its defaults: batches of 32 texts, sorted by length; sparse tensors."""

    def __init__(self, folder: Path, device: str = "cpu", dtype: str = "float32") -> None:
        import torch
        from sentence_transformers import SparseEncoder

        torch.set_num_threads(os.cpu_count() or 1)
        self._model = SparseEncoder(str(folder), device=device, model_kwargs={"dtype": getattr(torch, dtype)})
        self._model.max_seq_length = MAX_LENGTH

    def documents(self, texts: Sequence[str]) -> Any:
        """A sparse tensor (texts, V); from a GPU it is fetched, as ours are."""
        return self._model.encode(list(texts), save_to_cpu=True)

    def query(self, text: str) -> object:
        """A sparse tensor (V,)."""
        return self._model.encode_query(text, save_to_cpu=True)

    def weights(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """The tensor's rows as dictionaries, by its own `decode`."""
        found: Any = self._model.decode(self.documents(texts))
        return [dict(pairs) for pairs in found]


class Pyserini:
    """SpladeDocumentEncoder and SpladeQueryEncoder, given 32 texts at a time; dictionaries of whole numbers.

    Importing them fetches a catalogue of downloadable indexes, which nothing here looks at: an empty one stands in its
    place, so that no network is needed.
    """

    def __init__(self, folder: Path) -> None:
        from unittest.mock import MagicMock

        import torch

        sys.modules.setdefault("pyserini.prebuilt_index_info", MagicMock())
        torch.set_num_threads(os.cpu_count() or 1)
        self._folder = str(folder)

    @cached_property
    def _document_encoder(self) -> Any:
        from pyserini.encode import SpladeDocumentEncoder

        return SpladeDocumentEncoder(self._folder, device="cpu")

    @cached_property
    def _query_encoder(self) -> Any:
        from pyserini.encode import SpladeQueryEncoder

        return SpladeQueryEncoder(self._folder, device="cpu")

    def documents(self, texts: Sequence[str]) -> list[dict[str, int]]:
        """One dictionary a text."""
        return [
            vector
            for start in range(0, len(texts), LOOP_BATCH)
            for vector in self._document_encoder.encode(list(texts[start : start + LOOP_BATCH]), max_length=MAX_LENGTH)
        ]

    def query(self, text: str) -> object:
        """A dictionary."""
        return self._query_encoder.encode(text, max_length=MAX_LENGTH)

    def weights(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Its whole numbers divided by their scale."""
        return [{term: value / PYSERINI_SCALE for term, value in row.items()} for row in self.documents(texts)]


class PlainLoop:
    """naver/splade's way: 32 texts at a time in the order given, log(1 + relu) of all logits, then max over tokens."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        torch.set_num_threads(os.cpu_count() or 1)
        self._model = AutoModelForMaskedLM.from_pretrained(folder).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    def documents(self, texts: Sequence[str]) -> list[tuple[Any, Any]]:
        """Arrays of term ids and weights, a pair for each text."""
        import torch

        vectors = []
        with torch.no_grad():
            for start in range(0, len(texts), LOOP_BATCH):
                batch = self._tokenizer(
                    list(texts[start : start + LOOP_BATCH]),
                    padding="longest",
                    truncation="longest_first",
                    max_length=MAX_LENGTH,
                    return_tensors="pt",
                )
                logits = self._model(**batch).logits  # (B, L, V)
                weights = torch.log(1 + torch.relu(logits)) * batch["attention_mask"].unsqueeze(-1)
                for row in torch.max(weights, dim=1).values.numpy():
                    terms = row.nonzero()[0]
                    vectors.append((terms, row[terms]))
        return vectors

    def query(self, text: str) -> object:
        """The same for one text."""
        return self.documents([text])

    def weights(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Each pair of arrays as a dictionary."""
        return [
            dict(zip(self._tokenizer.convert_ids_to_tokens(terms.tolist()), weights.tolist(), strict=True))
            for terms, weights in self.documents(texts)
        ]


@dataclass(frozen=True)
class Engine:
    """One row of the benchmark.

    Attributes:
        label: what the row is called.
        model: the folder in MODELS that it loads; none for the model that comes with the package.
        load: loads it.
        device: rows of one device are compared with one another.
        tolerance: how far a weight may be from sentence-transformers' on the CPU, where the arithmetic is its own.
        lone_queries: it is measured on queries alone; its vectors are not the others'.
        torch_free: a query imports neither torch nor transformers.
    """

    label: str
    model: str
    load: Callable[[Path], Loaded]
    device: Literal["cpu", "cuda"] = "cpu"
    tolerance: float | None = None
    lone_queries: bool = False
    torch_free: bool = False


def _ours(precision: Precision = "auto", device: str = "cpu") -> Callable[[Path], Loaded]:
    """Special terms are kept, as all others keep them."""
    options = EncoderOptions(max_length=MAX_LENGTH, device=device, precision=precision, special_terms="keep")
    return partial(Ours, options=options)


ENGINES: Mapping[str, Engine] = {
    "sentence-transformers": Engine(
        "sentence-transformers SparseEncoder", "checkpoint", SentenceTransformers, tolerance=1e-3
    ),
    "pyserini": Engine("Pyserini SpladeDocumentEncoder", "pytorch", Pyserini, tolerance=0.6 / PYSERINI_SCALE),
    "naver": Engine("naver's way, a plain loop", "checkpoint", PlainLoop, tolerance=1e-3),
    "torch": Engine("ours, torch fp32", "checkpoint", _ours("fp32"), tolerance=1e-3),
    "torch-bf16": Engine("ours, torch bf16", "checkpoint", _ours("bf16")),
    "onnx": Engine("ours, ONNX fp32", "onnx-fp32", _ours(), tolerance=1e-3, torch_free=True),
    "onnx-int8": Engine("ours, ONNX int8", "onnx-int8", _ours(), torch_free=True),
    "default": Engine(
        "ours, the default model (ONNX int8)",
        "",
        lambda _: Ours("default", EncoderOptions(device="cpu")),
        lone_queries=True,
        torch_free=True,
    ),
    "idf": Engine(
        "ours, queries looked up (IdfEncoder)", "idf", partial(Ours, side="queries"), lone_queries=True, torch_free=True
    ),
    "gpu-sentence-transformers-bf16": Engine(
        "GPU: sentence-transformers bf16",
        "checkpoint",
        partial(SentenceTransformers, device="cuda", dtype="bfloat16"),
        device="cuda",
    ),
    "gpu-sentence-transformers": Engine(
        "GPU: sentence-transformers fp32", "checkpoint", partial(SentenceTransformers, device="cuda"), device="cuda"
    ),
    "gpu-torch-bf16": Engine("GPU: ours, torch bf16", "checkpoint", _ours("bf16", "cuda"), device="cuda"),
}


def prepare(models: Path, names: Iterable[str]) -> None:
    """Make the checkpoint, and what these engines load, in MODELS where it is missing; each whole or not at all."""
    checkpoint = models / "checkpoint"
    make: Mapping[str, Callable[[Path], object]] = {
        "checkpoint": make_checkpoint,
        "pytorch": partial(_as_pytorch, checkpoint),
        "onnx-fp32": partial(_exported, checkpoint, "fp32"),
        "onnx-int8": partial(_exported, checkpoint, "int8"),
        "idf": partial(_table, checkpoint),
    }
    models.mkdir(parents=True, exist_ok=True)
    wanted = {"checkpoint", *(ENGINES[name].model for name in names)}
    for model in make:
        if model in wanted and not (models / model).is_dir():
            unfinished = models / f".{model}"
            shutil.rmtree(unfinished, ignore_errors=True)
            make[model](unfinished)
            unfinished.rename(models / model)


def _as_pytorch(checkpoint: Path, folder: Path) -> None:
    """The checkpoint with its weights in `pytorch_model.bin`: Pyserini reads no safetensors."""
    import torch
    from safetensors.torch import load_file

    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(load_file(checkpoint / "model.safetensors"), folder / "pytorch_model.bin")


def _exported(checkpoint: Path, precision: "ExportPrecision", folder: Path) -> None:
    from splade_lucene.encoding.export import export

    export(checkpoint, folder, precision=precision)


def _table(checkpoint: Path, folder: Path) -> None:
    """An inference-free model as OpenSearch publishes them; the weights are made up, one for each term."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint / name, folder)
    terms = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    table = {term: round(math.log1p(number), 6) for term, number in terms.items()}
    (folder / "idf.json").write_text(json.dumps(table), encoding="utf-8")


def peak_mb(device: str) -> float:
    """The most memory that this process has had; on a GPU, the most of the GPU's."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage counts the parent's memory at the fork, too
        return next(int(line.split()[1]) for line in status.open() if line.startswith("VmHWM")) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes, on macOS


def main() -> None:
    """One engine in an interpreter of its own."""
    parser = ArgumentParser("benchmarks.encoders")
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("models", type=Path)
    work = parser.add_mutually_exclusive_group(required=True)
    work.add_argument("--query")
    work.add_argument("--texts", type=Path)
    arguments = parser.parse_args()
    engine = ENGINES[arguments.engine]
    loaded = engine.load(arguments.models / engine.model)
    if arguments.texts is not None:
        loaded.documents(json.loads(arguments.texts.read_text(encoding="utf-8")))
        print(peak_mb(engine.device))
        return
    loaded.query(arguments.query)
    print(READY, flush=True)
    if engine.torch_free and (found := {"torch", "transformers"} & sys.modules.keys()):
        sys.exit(f"{engine.label}: its first query has imported {', '.join(sorted(found))}")


if __name__ == "__main__":
    main()
