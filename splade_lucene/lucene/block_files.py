"""The files beside an index: with block files a search reads fewer postings, by a rank file an open index orders ties.

`Blocks.java` and `RankFile.java` say what is in them. Law: they are derived from what Lucene holds and from the
manifest, and exact hits are the same without them.
"""

import os
from pathlib import Path

from splade_lucene.lucene import jvm
from splade_lucene.lucene.manifest import Manifest
from splade_lucene.quantization import MAX_IMPACT, Quantizer

PREFIXES = ("blocks", "ranks")  # what their names begin with


# The weight that a first pass of a search in two steps counts for half of the most that any can: weight w counts as
# w / (w + 4). In Two-Step SPLADE (2404.13357) it is 1, which takes twice as many candidates to have the exact hits
# among them; 4 takes hardly more than impacts that are not saturated, and needs no range to fit them into a byte.
HALF_SATURATION = 4.0


def refresh(path: Path, manifest: Manifest, threads: int | None = None) -> None:
    """Write those that the last commit lacks or that cannot be used, and remove those of segments that are gone.

    Each appears whole or not at all, and the index is whole without.

    Raises:
        ImpactIndexError: a file cannot be written.
    """
    scale = manifest.scale if manifest.scale != 1 else Quantizer().scale  # given as impacts: as the field scales them
    half = min(max(1, round(HALF_SATURATION * scale)), MAX_IMPACT)
    files = jvm.java_class("splade_lucene.BlockFiles")
    doc_terms = min(manifest.first_pass_doc_terms, MAX_IMPACT)  # Java's numbers end, and no document has so many
    jvm.wait(files.refresh(str(path), doc_terms, half, threads or os.cpu_count() or 1), path)
