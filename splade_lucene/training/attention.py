"""Attention while networks learn. Imports torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def plain_attention(network: Any) -> Iterator[None]:
    """On a CPU, a transformers network's attention as three products; elsewhere as it is.

    The gradient of torch's fused attention takes several times as long on a CPU as that of the plain one.
    """
    if torch.accelerator.is_available():
        yield
        return
    usual = network.config._attn_implementation
    network.set_attn_implementation("eager")
    try:
        yield
    finally:
        network.set_attn_implementation(usual)
