"""Networks that teach: cross-encoders and dense bi-encoders. Imports torch and transformers.

Law: what a network gives a text or a pair depends, up to the rounding of the device, on nothing that stands beside it
in the batch.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging

from splade_lucene.encoding.encoder import GPU_BATCH_TOKENS, find_model
from splade_lucene.encoding.layouts import USUAL_MAX_LENGTH, agreed, prompt_of, read_json, st_module, tokenizer_length
from splade_lucene.encoding.model import first_line, weights_fingerprint
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.encoding.tokenizer import without_surrogates
from splade_lucene.encoding.torch_encoder import (
    CPU_BATCH_TOKENS,
    DTYPES,
    device_named,
    load_fast_tokenizer,
    positions_of,
    precision_of,
)
from splade_lucene.errors import EncoderError, ModelNotFoundError
from splade_lucene.training.scoring import Candidates, DotProducts

DensePooling = Literal["mean", "cls"]


class _Network(ABC):
    """What both share: tokens, batches of like length, the longest first, and who they are.

    Attributes:
        identity: equal for equal weights, tokenizer and settings.
        truncated_texts: how many texts or pairs max_length has cut.
    """

    def __init__(self, network: Any, folder: Path, options: EncoderOptions, *, max_length: int, kind: str) -> None:
        self._device = device_named(options.device)
        precision = precision_of(options, self._device)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        self._tokenizer = load_fast_tokenizer(folder)
        self._max_length = min(options.max_length or max_length, positions_of(network))
        self._batch_tokens = options.batch_tokens or (CPU_BATCH_TOKENS if self._device == "cpu" else GPU_BATCH_TOKENS)
        made_of = (
            weights_fingerprint(network),
            hashlib.sha256(self._tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        )
        self.identity = f"{kind} {' '.join(made_of)} max_length {self._max_length} {precision}"
        self.truncated_texts = 0
        self._network = network.to(self._device, DTYPES[precision]).eval()

    @abstractmethod
    def _read(self, output: Any, attention_mask: Tensor) -> Tensor:
        """What the network gives for a batch → (B, D)."""

    def _rows(self, texts: Sequence[str], others: Sequence[str] | None = None) -> NDArray[np.float32]:
        """(N, D) of N texts, or of N pairs."""
        given = [[without_surrogates(text) for text in each] for each in (texts, others) if each is not None]
        tokens = self._tokenizer(*given, truncation="longest_first", max_length=self._max_length)
        self.truncated_texts += sum(bool(each.overflowing) for each in tokens.encodings)
        found: list[Tensor] = []
        longest_first = sorted(range(len(texts)), key=lambda row: -len(tokens["input_ids"][row]))
        for rows in self._batches(longest_first, tokens["input_ids"]):
            batch = self._tokenizer.pad(
                {name: [values[row] for row in rows] for name, values in tokens.items()}, return_tensors="pt"
            ).to(self._device)
            with torch.inference_mode():
                found.append(self._read(self._network(**batch), batch["attention_mask"]).float().cpu())
        return torch.cat(found)[np.argsort(longest_first)].numpy()

    def _batches(self, longest_first: list[int], tokens: list[list[int]]) -> Iterator[list[int]]:
        start = 0
        while start < len(longest_first):
            rows = longest_first[
                start : start + max(1, self._batch_tokens // max(1, len(tokens[longest_first[start]])))
            ]
            start += len(rows)
            yield rows


class CrossEncoder(_Network):
    """score = logit of a sequence classifier that reads query and document together.

    A classifier of two classes, the second of which is “relevant”, scores by logit_1 − logit_0, the log-odds that its
    softmax stands for. Scores are not squashed.

    Args:
        model: a folder or a hub name of a …ForSequenceClassification checkpoint.
        options: device, precision, max_length of a pair, batch_tokens and threads count.

    Raises:
        ModelNotFoundError: there is nothing by this name. EncoderError: it is no such classifier, or of more classes.
    """

    def __init__(self, model: str | Path, options: EncoderOptions | None = None) -> None:
        folder, _ = find_model(model)
        network = load_network(AutoModelForSequenceClassification, folder, "a sequence classifier")
        if (classes := network.config.num_labels) > 2:
            raise EncoderError(
                f"{folder} tells {classes} classes apart; a teacher has 1 logit, or 2 of which one says no"
            )
        options = options or EncoderOptions()
        super().__init__(network, folder, options, max_length=tokenizer_length(folder), kind="cross-encoder")

    def _read(self, output: Any, attention_mask: Tensor) -> Tensor:
        logits: Tensor = output.logits.float()  # (B, 1) or (B, 2)
        return logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]

    def __call__(self, questions: Sequence[Candidates]) -> list[NDArray[np.float32]]:
        """Every pair goes through the network."""
        pairs = [(each.query, text) for each in questions for text in each.documents]
        scores = self._rows([query for query, _ in pairs], [text for _, text in pairs])[:, 0]
        ends = np.cumsum([len(each.documents) for each in questions])
        return np.split(scores, ends[:-1])


class DenseEncoder(_Network):
    """Texts → (N, D) vectors of a dense bi-encoder.

    Args:
        model: a folder or a hub name: sentence-transformers' (Transformer, Pooling, and Normalize or not), or a plain
            checkpoint of transformers.
        options: device, precision, max_length, batch_tokens and threads count.
        pooling: the mean of all tokens' states, or the first token's; of a checkpoint that does not say.
        normalised: whether vectors have length 1; as the folder says where not given.

    Raises:
        ModelNotFoundError: there is nothing by this name. EncoderError: it is no such model, or nobody says how its
            vectors are pooled.
    """

    def __init__(
        self,
        model: str | Path,
        options: EncoderOptions | None = None,
        *,
        pooling: DensePooling | None = None,
        normalised: bool | None = None,
    ) -> None:
        folder, _ = find_model(model)
        layout = _read_layout(folder)
        pooled: DensePooling | None = agreed("pooling", layout.pooling, pooling, folder)
        if pooled is None:
            raise EncoderError(f"{folder} does not say how its vectors are pooled: say mean or cls")
        self._pooling = pooled
        self._normalised = layout.normalised if normalised is None else normalised
        self._prompts = layout.prompts
        network = load_network(AutoModel, layout.folder, "a network of transformers")
        super().__init__(
            network, layout.folder, options or EncoderOptions(), max_length=layout.max_length, kind="dense"
        )
        self.identity += f" {pooled} normalised {self._normalised} {json.dumps(self._prompts)}"
        self.dimensions: int = network.config.hidden_size

    def _read(self, output: Any, attention_mask: Tensor) -> Tensor:
        hidden: Tensor = output.last_hidden_state.float()  # (B, L, D)
        if self._pooling == "cls":
            vectors = hidden[:, 0]
        else:
            mask = attention_mask.unsqueeze(2)
            vectors = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return normalize(vectors) if self._normalised else vectors

    def encode(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """(N, D) vectors."""
        return self._rows([self._prompts[side] + text for text in texts])


def dense_teacher(queries: DenseEncoder, documents: DenseEncoder) -> DotProducts:
    """The teacher of two dense encoders, which may be one and the same.

    Raises:
        EncoderError: their vectors have different lengths.
    """
    if queries.dimensions != documents.dimensions:
        raise EncoderError(
            f"queries have {queries.dimensions} dimensions and documents {documents.dimensions}; they cannot meet"
        )
    return DotProducts(
        lambda texts: queries.encode(texts, "queries"),
        lambda texts: documents.encode(texts, "documents"),
        identity=f"{queries.identity} {documents.identity}",
        width=documents.dimensions,
    )


def load_network(kind: Any, folder: Path, wanted: str, *, new_head: bool = False, **settings: Any) -> Any:
    """A network in float32, of which nothing is made up at random; but for its head, where that is to be new.

    Args:
        kind: one of transformers' Auto classes.
        folder: the checkpoint.
        wanted: what it is to be, for messages.
        new_head: whether weights above the encoder may be missing.
        settings: in the place of the checkpoint's own.

    Raises:
        ModelNotFoundError: there is no configuration. EncoderError: it cannot be read, or lacks weights.
    """
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(f"{folder} has no config.json that describes a model")
    logging.disable_progress_bar()  # of the moment in which weights are read
    said = logging.get_verbosity()
    logging.set_verbosity_error()  # weights that this kind of network does not have are no news
    try:
        network, report = kind.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, output_loading_info=True, **settings
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise EncoderError(f"{folder} is not {wanted} that can be read ({first_line(error)})") from error
    finally:
        logging.set_verbosity(said)
    below = f"{network.base_model_prefix}."
    # An encoder may do without a pooler: a dense teacher does not ask it, and a new head learns with it.
    allowed = ("pooler.", f"{below}pooler.") if new_head or kind is AutoModel else ()
    missing = sorted(
        name
        for name in report["missing_keys"]
        if not name.startswith(allowed) and (name.startswith(below) or not new_head)
    )
    if missing or report["mismatched_keys"]:
        raise EncoderError(
            f"{folder} is not {wanted}: a {type(network).__name__} has weights that it lacks ({', '.join(missing[:3])})"
        )
    return network


# sentence-transformers' folders


@dataclass(frozen=True)
class _DenseLayout:
    """What a folder says of its vectors; pooling is None where it does not say."""

    folder: Path
    max_length: int
    pooling: DensePooling | None = None
    normalised: bool = False
    prompts: dict[Side, str] = field(default_factory=lambda: {"queries": "", "documents": ""})


_POOLINGS: dict[str, DensePooling] = {
    "mean": "mean",
    "cls": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
}


def _read_layout(folder: Path) -> _DenseLayout:
    """Raises EncoderError where there are modules that this package does not run."""
    if not (folder / "modules.json").is_file():
        return _DenseLayout(folder, tokenizer_length(folder))
    listed = sorted(read_json(folder / "modules.json"), key=lambda each: int(each["idx"]))
    modules = [st_module(each["type"], folder, each["path"]) for each in listed]
    kinds = [each.kind for each in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise EncoderError(
            f"{folder / 'modules.json'}: it has {' → '.join(kinds)}; a dense teacher is Transformer → Pooling, and "
            "Normalize or not"
        )
    network, pooling_at = modules[0].folder, modules[1].folder / "config.json"
    config = read_json(pooling_at)
    said = config.get("pooling_mode") or [
        name for name, is_on in config.items() if name.startswith("pooling_mode_") and is_on
    ]
    modes = [said] if isinstance(said, str) else list(said)
    pooling = _POOLINGS.get(modes[0]) if len(modes) == 1 else None
    if pooling is None:
        raise EncoderError(
            f"{pooling_at}: pooling by {', '.join(modes) or 'nothing'}; mean and cls are what can be done"
        )
    stated: dict[str, Any] = next((read_json(file) for file in sorted(network.glob("sentence_*_config.json"))), {})
    described = folder / "config_sentence_transformers.json"
    told = read_json(described) if described.is_file() else {}
    prompts: dict[Side, str] = {side: prompt_of(told, side) for side in ("queries", "documents")}
    if stated.get("do_lower_case") or (any(prompts.values()) and not config.get("include_prompt", True)):
        raise EncoderError(f"{folder}: do_lower_case, and prompts that are left out of the pooling, are not supported")
    length = stated.get("max_seq_length") or tokenizer_length(network)
    return _DenseLayout(network, min(int(length), USUAL_MAX_LENGTH), pooling, "Normalize" in kinds, prompts)
