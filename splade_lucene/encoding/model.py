"""SpladeModel: a masked-LM network that gives term weights. Imports torch and transformers."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from splade_lucene.encoding.pooling import Activation, Pooling, splade_pool_tiles
from splade_lucene.errors import EncoderError, ModelNotFoundError


class SpladeModel(nn.Module):
    """weights = splade_pool(masked_lm(input_ids)), the special terms' weights set to zero.

    The network is parted before its last matrix, the decoder (V, H), so that the (B, L, V) logits are never there.

    Args:
        masked_lm: a transformers masked-LM model; it is taken apart.
        special_ids: term ids ([CLS], [SEP], [PAD], …) that never get a weight; their positions keep contributing.
        pooling, activation: as in `splade_pool`.
    """

    kept: Tensor  # (V,) 1, or 0 for the special terms

    def __init__(
        self,
        masked_lm: nn.Module,
        special_ids: Sequence[int],
        pooling: Pooling = "max",
        activation: Activation = "log1p_relu",
    ) -> None:
        super().__init__()
        holder, self._decoder_name, self.decoder = _find_decoder(masked_lm)
        self._holder = [holder]  # in a list, so that its parameters are not counted twice
        self._own_bias = self.decoder.bias is not None
        if not self._own_bias:
            zeros = torch.zeros(self.decoder.out_features, dtype=self.decoder.weight.dtype)
            self.decoder.bias = nn.Parameter(zeros, requires_grad=False)
        setattr(holder, self._decoder_name, nn.Identity())
        self.body = masked_lm  # gives (B, L, H): what the decoder would be given
        self.pooling: Pooling = pooling
        self.activation: Activation = activation
        kept = torch.ones(self.decoder.out_features)
        kept[list(special_ids)] = 0.0
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L) ids and mask → (B, V) float32 weights >= 0."""
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask).logits  # (B, L, H)
        weights = splade_pool_tiles(
            hidden, attention_mask, self.decoder.weight, self.decoder.bias, self.pooling, self.activation
        )
        return weights * self.kept

    @contextmanager
    def whole(self) -> Iterator[Any]:
        """The masked-LM model put together again, as transformers saves it."""
        holder, name = self._holder[0], self._decoder_name
        identity, bias = getattr(holder, name), self.decoder.bias
        setattr(holder, name, self.decoder)
        if not self._own_bias:
            self.decoder.register_parameter("bias", None)
        try:
            yield self.body
        finally:
            self.decoder.bias = bias
            setattr(holder, name, identity)


def _find_decoder(masked_lm: nn.Module) -> tuple[nn.Module, str, nn.Linear]:
    """The last matrix of the network: which module has it, under which name."""
    decoder = masked_lm.get_output_embeddings()  # type: ignore[operator]
    for parent in masked_lm.modules():
        for name, child in parent.named_children():
            if child is decoder and isinstance(child, nn.Linear):
                return parent, name, child
    raise EncoderError(f"a {type(masked_lm).__name__} has no linear decoder to the vocabulary")


def load_masked_lm(folder: Path) -> tuple[nn.Module, str]:
    """A masked-LM from a local folder, and the fingerprint of its weights.

    Raises:
        ModelNotFoundError: there is no configuration in it. EncoderError: it is no masked-LM checkpoint, or its weights
            and its configuration are of different networks.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForMaskedLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # of the moment in which weights are read
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"{folder} has no config.json that can be read ({first_line(error)})") from error
    try:
        model, report = AutoModelForMaskedLM.from_pretrained(
            folder, config=config, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise EncoderError(f"{folder} is not a masked-LM checkpoint that can be read ({first_line(error)})") from error
    if missing := sorted(report["missing_keys"]):
        raise EncoderError(
            f"{folder} lacks weights of a {type(model).__name__}: {', '.join(missing[:3])}"
            f"{' …' if len(missing) > 3 else ''}; a masked-LM head must not be made up at random"
        )
    return model.eval(), weights_fingerprint(model)


def weights_fingerprint(model: nn.Module) -> str:
    """12 hex digits of SHA-256 over all parameters, by name."""
    digest = hashlib.sha256()
    tensors: dict[str, Any] = model.state_dict()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()[:12]


def first_line(error: Exception) -> str:
    """What others' errors begin with, or their class where they say nothing."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
