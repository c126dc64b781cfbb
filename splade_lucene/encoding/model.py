"""SpladeModel: a masked-LM network that gives term weights. Imports torch and transformers.

Families that it loads: plain Hugging Face masked-LM folders and hub names (naver's SPLADE v2, ++ and v3, and whatever
has their layout).
"""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from splade_lucene.encoding.pooling import Pooling, splade_pool
from splade_lucene.errors import EncoderError, ModelNotFoundError


class SpladeModel(nn.Module):
    """weights = splade_pool(masked_lm(input_ids)), the special terms' weights set to zero.

    Args:
        masked_lm: a transformers model whose output has `logits` (B, L, V).
        special_ids: term ids ([CLS], [SEP], [PAD], …) that never get a weight; positions keep contributing.
        pooling: over positions.
    """

    def __init__(self, masked_lm: nn.Module, special_ids: list[int], pooling: Pooling = "max") -> None:
        super().__init__()
        self.masked_lm = masked_lm
        self.special_ids = special_ids
        self.pooling: Pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L) ids and mask → (B, V) weights >= 0."""
        logits = self.masked_lm(input_ids=input_ids, attention_mask=attention_mask).logits  # (B, L, V)
        weights = splade_pool(logits, attention_mask, self.pooling)
        weights[:, self.special_ids] = 0.0
        return weights


def load_masked_lm(name: str) -> tuple[nn.Module, str]:
    """A masked-LM from a local folder or the hub, and the fingerprint of its weights and configuration.

    Raises:
        ModelNotFoundError: there is no such folder, and the hub has no such model or cannot be reached.
        EncoderError: it is there, but no masked-LM checkpoint.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForMaskedLM

    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        where = (
            "a folder without config.json" if Path(name).is_dir() else "neither a folder nor a model that the hub gives"
        )
        raise ModelNotFoundError(f"{name!r} is {where} ({_first_line(error)})") from error
    try:
        model, report = AutoModelForMaskedLM.from_pretrained(name, config=config, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise EncoderError(f"{name!r} is not a masked-LM checkpoint that can be read ({_first_line(error)})") from error
    if missing := sorted(report["missing_keys"]):
        raise EncoderError(
            f"{name!r} lacks weights of a {type(model).__name__}: {', '.join(missing[:3])}"
            f"{' …' if len(missing) > 3 else ''}; a masked-LM head must not be made up at random"
        )
    return model.eval(), _fingerprint(model)


def _fingerprint(model: nn.Module) -> str:
    """12 hex digits of SHA-256 over all parameters, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()[:12]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
