"""An index in the Common Index File Format, which PISA, BMP, JASS and others read: one file of postings and doc_ids.

Law: the file has every posting of every document that is not deleted, and nothing else: a reader of it finds what a
search of the index finds.

References:
    The format: https://github.com/osirrc/ciff; Lin et al., arXiv:2003.08276.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from splade_lucene import __version__
from splade_lucene.files import replacing
from splade_lucene.lucene import jvm
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.manifest import Manifest


class CiffCounts(NamedTuple):
    """What a file holds."""

    documents: int
    posting_lists: int
    postings: int
    highest_impact: int


def write_ciff(index: Path, output: Path) -> CiffCounts:
    """Write an index as a CIFF file, which appears whole or not at all.

    Term frequencies are impacts. Documents stand in the order of the index, numbered without the deleted ones; terms in
    byte order. The file is streamed: in memory is the longest posting list, and 8 bytes a document.

    Args:
        index: the index's folder, ours or Anserini's.
        output: the file; one that is there is replaced.

    Raises:
        IndexNotFoundError: no finished index there. CorruptIndexError: Lucene cannot read it.
    """
    with ImpactIndex(index) as opened:
        described = _describe(opened.manifest)
    with replacing(output) as part:
        job = jvm.java_class("splade_lucene.Ciff").write(str(index), str(part), described.encode())
        counts = np.frombuffer(jvm.wait(job, f"{output}, written from {index},"), "<i8")
    return CiffCounts(*counts.tolist())


def _describe(manifest: Manifest | None) -> str:
    """What the file says of itself to a person."""
    program = f"splade-lucene {__version__}: impacts as term frequencies"
    if manifest is None:
        return program
    return f"{program}, scale {manifest.scale:g}" + (f", by {manifest.encoder}" if manifest.encoder else "")
