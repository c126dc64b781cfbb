"""TorchEncoder: a masked-LM checkpoint of any family, run by torch."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import AutoTokenizer

from splade_lucene.encoding.encoder import GPU_BATCH_TOKENS, NetworkEncoder
from splade_lucene.encoding.layouts import USUAL_MAX_LENGTH, Checkpoint, agreed
from splade_lucene.encoding.model import SpladeModel, load_masked_lm
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.encoding.pooling import Activation, Pooling
from splade_lucene.encoding.tokenizer import Tokenizer
from splade_lucene.errors import EncoderError
from splade_lucene.vectors import EncoderIdentity

CPU_BATCH_TOKENS = 1_024  # more leave the processor's cache, which slows the network down
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEncoder(NetworkEncoder):
    """A masked-LM checkpoint: w_j = pool_i f(logit_ij), as `SpladeModel` computes it.

    Args:
        checkpoint: the folder, and what its layout says about it.
        options: None and `auto` stand for the model's own; for the precision that is bf16 on a GPU that has it, and
            fp32 everywhere else. max_length may be raised up to the positions that the network has.
        name: for messages and manifests; the folder's where it is not given.

    Attributes:
        model: the network, pooling inside.
        device: where it is.

    Raises:
        ModelNotFoundError: no configuration in the folder. EncoderError: not a masked-LM checkpoint, network and
            tokenizer do not fit together, or the options do not go with them.
    """

    def __init__(
        self, checkpoint: Checkpoint, options: EncoderOptions | None = None, *, name: str | None = None
    ) -> None:
        folder, options = checkpoint.folder, options or EncoderOptions()
        self.device = device_named(options.device)
        precision = precision_of(options, self.device)
        pooling: Pooling = agreed("pooling", checkpoint.pooling, options.pooling, folder) or "max"
        activation: Activation = agreed("activation", checkpoint.activation, options.activation, folder) or "log1p_relu"
        network, fingerprint = load_masked_lm(folder)
        fast = load_fast_tokenizer(folder)
        positions = positions_of(network)
        tokenizer = Tokenizer(
            fast.backend_tokenizer,
            min(options.max_length or checkpoint.max_length, positions),
            pad_id=fast.pad_token_id or 0,
            prompt=checkpoint.prompt,
        )
        outputs = _whole(network, "vocab_size") or 0
        if len(tokenizer.vocabulary) > outputs:
            raise EncoderError(
                f"{folder}: its tokenizer has {len(tokenizer.vocabulary):,} terms, the network {outputs:,}: "
                "tokenizer and weights are of different models"
            )
        dropped = tokenizer.special_ids if options.special_terms == "drop" else []
        model = SpladeModel(network, dropped, pooling, activation)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        self.model = model.to(self.device, DTYPES[precision]).eval()
        identity = EncoderIdentity(
            name=name or str(folder),
            fingerprint=fingerprint,
            vocabulary=tokenizer.vocabulary.fingerprint,
            max_length=tokenizer.max_length,
            activation=activation,
            tokenizer=tokenizer.fingerprint,
            pooling=pooling,
            precision=precision,
            special_terms=options.special_terms,
            top_terms=options.top_terms or checkpoint.top_terms,
            min_weight=options.min_weight,
        )
        batch_tokens = options.batch_tokens or (CPU_BATCH_TOKENS if self.device == "cpu" else GPU_BATCH_TOKENS)
        super().__init__(tokenizer, identity, batch_tokens=batch_tokens)

    def _weights(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64], *, alone: bool
    ) -> NDArray[np.float32]:
        with torch.inference_mode():
            inputs = (torch.from_numpy(each).to(self.device) for each in (input_ids, attention_mask))
            return self.model(*inputs).float().cpu().numpy()  # type: ignore[no-any-return]


def load_fast_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder as transformers reads it, from whichever files are there.

    Raises:
        EncoderError: there is none that can be read.
    """
    try:
        fast = AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
        fast.backend_tokenizer.get_vocab_size()
    except Exception as error:  # the readers of ten formats raise whatever they run into
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EncoderError(f"{folder} has no fast tokenizer that can be read ({reason})") from error
    return fast


def positions_of(network: nn.Module) -> int:
    """How many positions the network has; RoBERTa's kind begins to count them after the padding's id."""
    positions = _whole(network, "max_position_embeddings") or USUAL_MAX_LENGTH
    terms = network.get_input_embeddings()  # type: ignore[operator]
    for module in network.modules():
        if isinstance(module, nn.Embedding) and module is not terms and module.num_embeddings == positions:
            return positions if module.padding_idx is None else positions - module.padding_idx - 1
    return positions


def _whole(network: nn.Module, key: str) -> int | None:
    """A number from the network's configuration."""
    config: Any = network.config
    return getattr(config, key, None)


def device_named(wanted: str) -> str:
    """The device of that name, or the best one for `auto`.

    Raises:
        EncoderError: it is not there; those that are, are named.
    """
    there = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    there += ["mps"] if torch.backends.mps.is_available() else []
    there += ["cpu"]
    if wanted == "auto":
        return there[0]
    if wanted not in there and not (wanted == "cuda" and "cuda:0" in there):
        raise EncoderError(f"there is no device {wanted!r} here; there is {', '.join(there)}")
    return wanted


def precision_of(options: EncoderOptions, device: str) -> str:
    """What the network computes in: `auto` is bf16 on a GPU that has it, else fp32; int8 is an EncoderError here."""
    if options.precision == "int8":
        raise EncoderError("torch does not run a checkpoint in int8 here; load_encoder exports it to ONNX for that")
    if options.precision != "auto":
        return options.precision
    return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "fp32"
