"""Parity: how near one encoder's vectors are to another's, on real sentences, and how near they must be.

What is compared is what a user meets: weights, the impacts they become, and the documents that a search finds.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from splade_lucene.encoding.encoder import TextEncoder
from splade_lucene.encoding.options import Precision
from splade_lucene.errors import EncoderError
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import ImpactVectors, TermVectors

SAMPLE_SIZE = 200
TOP = 10
QUERY_WORDS = 8
SMALLEST_SUM = 1e-9  # of weights, against division by zero

# Modules of the standard library whose documentation is prose: real sentences that every machine has.
_DOCUMENTED = """
argparse cmath cmd collections.abc configparser contextlib copy csv datetime decimal difflib doctest email fileinput
fractions getopt gettext heapq http.client http.cookies imaplib json locale logging optparse pdb pickle pickletools
platform poplib pprint profile random re sched shelve shlex smtplib socket sqlite3 statistics string struct subprocess
tarfile textwrap threading timeit tokenize trace unittest urllib.parse urllib.request uuid weakref xml.sax
zipfile
"""


@dataclass(frozen=True)
class Parity:
    """How two encoders differ on the same texts.

    Attributes:
        texts: how many were compared.
        largest_difference: of all weights of all texts, a term that only one of them gives counting as 0 in the other.
        relative_difference: sum of all differences over the sum of all weights of the first.
        equal_impacts: share of the impacts (scale 100) of either that the other has too.
        top10_overlap: mean share of the ten best documents that both find, by exact search.
    """

    texts: int
    largest_difference: float
    relative_difference: float
    equal_impacts: float
    top10_overlap: float

    def __str__(self) -> str:
        return (
            f"largest difference of a weight {self.largest_difference:.2g}, "
            f"all differences {self.relative_difference:.2%} of all weights, "
            f"{self.equal_impacts:.2%} of impacts equal, top 10 overlap {self.top10_overlap:.1%}; {self.texts} texts"
        )


@dataclass(frozen=True)
class Gate:
    """What an export has to reach; None where a figure says nothing about its precision."""

    relative_difference: float
    top10_overlap: float
    largest_difference: float | None = None
    equal_impacts: float | None = None

    def check(self, parity: Parity) -> None:
        """Raise an `EncoderError` that names each figure missed."""
        missed = [
            f"{name} {found:.3g} (at {'least' if at_least else 'most'} {limit:.3g})"
            for name, found, limit, at_least in (
                ("largest difference", parity.largest_difference, self.largest_difference, False),
                ("relative difference", parity.relative_difference, self.relative_difference, False),
                ("equal impacts", parity.equal_impacts, self.equal_impacts, True),
                ("top 10 overlap", parity.top10_overlap, self.top10_overlap, True),
            )
            if limit is not None and not (found >= limit if at_least else found <= limit)
        ]
        if missed:
            raise EncoderError(f"the exported network misses the parity gate: {', '.join(missed)}; nothing was written")


GATES: dict[Precision, Gate] = {
    "fp32": Gate(1e-4, 0.999, largest_difference=1e-4, equal_impacts=0.999),
    "fp16": Gate(0.03, 0.97),
    "int8": Gate(0.15, 0.9),
}


def compare_encoders(reference: TextEncoder, other: TextEncoder, texts: Sequence[str] | None = None) -> Parity:
    """Encode the texts (by default `sample_texts`) with both, and compare."""
    texts = sample_texts() if texts is None else texts
    queries = [" ".join(text.split()[:QUERY_WORDS]) for text in texts[::4]]
    encoders = (reference, other)
    documents = [encoder.encode(texts) for encoder in encoders]
    mine, theirs = (_matrix(each, each.weights) for each in documents)
    differences = abs(mine - theirs)
    impacts = [_matrix(each, each.impacts) for each in map(Quantizer(), documents)]
    unequal, either = (impacts[0] != impacts[1]).count_nonzero(), (impacts[0] + impacts[1]).count_nonzero()
    found = [
        _best(_matrix(vectors, vectors.weights) @ matrix.T)
        for vectors, matrix in zip((each.encode(queries) for each in encoders), (mine, theirs), strict=True)
    ]
    shared = [len(ours & others) / max(len(ours), len(others), 1) for ours, others in zip(*found, strict=True)]
    compared = [share for share, ours, others in zip(shared, *found, strict=True) if ours or others]
    return Parity(
        texts=len(texts),
        largest_difference=float(differences.max()),
        relative_difference=float(differences.sum() / max(mine.sum(), SMALLEST_SUM)),
        equal_impacts=1 - unequal / either if either else 1.0,
        top10_overlap=float(np.mean(compared)) if compared else 1.0,
    )


def sample_texts(count: int = SAMPLE_SIZE) -> list[str]:
    """Paragraphs of the standard library's documentation, evenly taken, then an empty text and a long one.

    Raises:
        EncoderError: this Python runs without documentation strings, so that nothing would be compared.
    """
    paragraphs = [" ".join(part.split()) for name in _DOCUMENTED.split() for part in _documentation(name).split("\n\n")]
    prose = [text for text in paragraphs if len(text.split()) >= 4]
    if len(prose) < count:
        raise EncoderError("the standard library's documentation, the texts to compare with, is missing: no python -OO")
    return [*prose[:: max(1, len(prose) // count)][:count], "", " ".join(prose[:40])]


def _documentation(module: str) -> str:
    try:
        return importlib.import_module(module).__doc__ or ""
    except ImportError:  # a Python that was built without SQLite, say
        return ""


def _matrix(vectors: TermVectors | ImpactVectors, values: NDArray[Any]) -> csr_array:
    """(N, V)."""
    return csr_array((values, vectors.terms, vectors.indptr), (len(vectors), len(vectors.vocabulary)))


def _best(scores: csr_array) -> list[set[int]]:
    """For each row of (queries, documents) the documents of the largest scores, at most TOP; no score is no hit."""
    rows = scores.toarray()
    order = np.argsort(-rows, axis=1, kind="stable")[:, :TOP]
    return [{int(found) for found in best if row[found] > 0} for best, row in zip(order, rows, strict=True)]
