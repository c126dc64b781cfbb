"""The block files beside an index, with which a search reads fewer postings; `Blocks.java` says what is in them.

Law: they are derived from the postings alone, and hits are the same without them.
"""

import os
from pathlib import Path

from splade_lucene.lucene import jvm

PREFIX = "blocks"  # what their names begin with


def refresh(path: Path, threads: int | None = None) -> None:
    """Write those that the last commit lacks or that cannot be used, and remove those of segments that are gone.

    Each appears whole or not at all, and the index is whole without.

    Raises:
        ImpactIndexError: a file cannot be written.
    """
    jvm.wait(jvm.java_class("splade_lucene.BlockFiles").refresh(str(path), threads or os.cpu_count() or 1), path)
