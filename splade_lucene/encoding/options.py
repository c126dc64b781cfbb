"""What a user may set about an encoder, the same for every family. Imports nothing heavy."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from splade_lucene.errors import ConfigError

if TYPE_CHECKING:
    from splade_lucene.encoding.pooling import Activation, Pooling

Side = Literal["documents", "queries"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
SpecialTerms = Literal["drop", "keep"]


@dataclass(frozen=True)
class EncoderOptions:
    """Settings of an encoder; None stands for the model's own.

    Attributes:
        max_length: tokens a text may have, [CLS] and [SEP] included.
        batch_tokens: tokens that go through the network at a time, padding included.
        device: `auto` (the GPU where there is one), `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: what the network computes in; `auto` is the model's own, fp32 for a checkpoint on a CPU.
        threads: of the network; all cores where None.
        special_terms: `drop` gives [CLS], [SEP], [PAD], [UNK] and [MASK] no weight; `keep` leaves them, as naver's and
            Pyserini's encoders do. Their positions contribute to other terms either way.
        top_terms: at most so many terms a text, those of largest weight; equal weights by term id.
        min_weight: smaller weights are dropped.
        binary_queries: a query is the set of its own terms, each of weight 1 (SPLADE-doc).
        pooling, activation: for folders that do not say how they were trained.

    Raises:
        ConfigError: a number is out of range.
    """

    max_length: int | None = None
    batch_tokens: int | None = None
    device: str = "auto"
    precision: Precision = "auto"
    threads: int | None = None
    special_terms: SpecialTerms = "drop"
    top_terms: int | None = None
    min_weight: float = 0.0
    binary_queries: bool = False
    pooling: "Pooling | None" = None
    activation: "Activation | None" = None

    def __post_init__(self) -> None:
        for name in ("max_length", "batch_tokens", "threads", "top_terms"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        if not 0 <= self.min_weight < float("inf"):
            raise ConfigError(f"min_weight must be a number of at least 0, not {self.min_weight}")


@dataclass(frozen=True)
class Preset:
    """What somebody's published indexes were made with, so that their numbers can be met.

    scale: impact = round(scale * weight). max_length: tokens of a text, for each side. special_terms: as in
    `EncoderOptions`.
    """

    scale: float
    max_length: dict[Side, int]
    special_terms: SpecialTerms


PRESETS = {
    # Pyserini's SPLADE encoders: rint(weight / 5 * 256), special terms left in
    "castorini": Preset(scale=51.2, max_length={"documents": 512, "queries": 256}, special_terms="keep"),
    # naver/splade: rint(weight * 100), special terms left in
    "naver": Preset(scale=100.0, max_length={"documents": 256, "queries": 256}, special_terms="keep"),
}
