"""Learned sparse retrieval on Lucene, through Pyserini.

Texts become weighted terms (`load_encoder`), weighted terms become impacts in the postings of an ordinary Lucene index
(`ImpactIndex.build`), and a `Searcher` finds the documents with the largest dot product, exactly. The names below are
loaded on first use: importing the package loads neither torch nor a JVM.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from splade_lucene.encoding.encoder import (
        IdfEncoder,
        OnnxEncoder,
        PyseriniQueryEncoder,
        TorchEncoder,
        load_encoder,
    )
    from splade_lucene.encoding.pipeline import encode_collection
    from splade_lucene.errors import SpladeLuceneError
    from splade_lucene.evaluation.measures import evaluate
    from splade_lucene.lucene.index import ImpactIndex, IndexOptions
    from splade_lucene.lucene.searcher import Searcher
    from splade_lucene.quantization import Quantizer
    from splade_lucene.runs import Hit, read_run, write_run
    from splade_lucene.vector_files import read_vectors
    from splade_lucene.vectors import TermVectors

_HOME = {
    "Hit": "runs",
    "IdfEncoder": "encoding.encoder",
    "ImpactIndex": "lucene.index",
    "IndexOptions": "lucene.index",
    "OnnxEncoder": "encoding.encoder",
    "PyseriniQueryEncoder": "encoding.encoder",
    "Quantizer": "quantization",
    "Searcher": "lucene.searcher",
    "SpladeLuceneError": "errors",
    "TermVectors": "vectors",
    "TorchEncoder": "encoding.encoder",
    "encode_collection": "encoding.pipeline",
    "evaluate": "evaluation.measures",
    "load_encoder": "encoding.encoder",
    "read_run": "runs",
    "read_vectors": "vector_files",
    "write_run": "runs",
}

__all__ = [
    "Hit",
    "IdfEncoder",
    "ImpactIndex",
    "IndexOptions",
    "OnnxEncoder",
    "PyseriniQueryEncoder",
    "Quantizer",
    "Searcher",
    "SpladeLuceneError",
    "TermVectors",
    "TorchEncoder",
    "encode_collection",
    "evaluate",
    "load_encoder",
    "read_run",
    "read_vectors",
    "write_run",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
