"""The only rounding in the package: float weights become integer impacts.

May import `errors` and `vectors`. Laws: monotone; |impact/scale - weight| <= 1/(2*scale) but for the float rounding of
the product; no zeros come out; the result is independent of the batch.
"""

from dataclasses import dataclass

import numpy as np

from splade_lucene.errors import WeightError
from splade_lucene.vectors import ImpactVectors, TermVectors

MAX_IMPACT = 2**24 - 1  # Lucene's bulk postings hand frequencies over as float32, exact up to 2**24


@dataclass(frozen=True)
class Quantizer:
    """impact = rint(scale * weight), computed in float64, halves to even; zeros are dropped.

    The rounding is naver's (`np.rint`), scale 100 is naver's too; Anserini's published indexes have 51.2 (256/5).
    Scale 1 says that the weights are impacts already: they must then be whole numbers.

    Raises:
        ValueError: the scale is not a finite number > 0.
    """

    scale: float = 100.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a finite number > 0, not {self.scale}")

    def __call__(self, vectors: TermVectors) -> ImpactVectors:
        """Quantize a batch.

        Raises:
            WeightError: an impact is 2**24 or more; at scale 1, a weight is not a whole number.
        """
        with np.errstate(over="ignore"):  # a product beyond float64 becomes infinite, and is refused below
            scaled = self.scale * vectors.weights.astype(np.float64)
        rounded = np.rint(scaled)
        if self.scale == 1 and not np.array_equal(rounded, scaled):
            raise WeightError(
                f"{vectors.describe(int(np.argmax(rounded != scaled)))} is not a whole number; at scale 1 weights are "
                "taken for impacts; give a scale (100 keeps two decimals)"
            )
        if rounded.size and rounded.max() > MAX_IMPACT:
            position = int(rounded.argmax())
            fits = MAX_IMPACT / float(vectors.weights[position])
            raise WeightError(
                f"{vectors.describe(position)} becomes an impact of {rounded[position]:,.0f}; a posting holds at most "
                f"{MAX_IMPACT:,}: use a scale below {fits:.6g}"
            )
        kept = rounded > 0
        kept_before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
        return ImpactVectors(
            ids=vectors.ids,
            indptr=kept_before[vectors.indptr],
            terms=vectors.terms[kept],
            impacts=rounded[kept].astype(np.int32),
            vocabulary=vectors.vocabulary,
        )
