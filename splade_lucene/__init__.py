"""Learned sparse retrieval on Lucene, through Pyserini.

Texts become weighted terms (`load_encoder`), weighted terms become impacts in the postings of an ordinary Lucene index
(`ImpactIndex.build`), and a `Searcher` finds the documents with the largest dot product, exactly. The names below are
loaded on first use: importing the package loads neither torch nor a JVM.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from splade_lucene.datasets import Passages, read_qrels, write_qrels
    from splade_lucene.encoding.encoder import PyseriniQueryEncoder, TextEncoder, load_encoder
    from splade_lucene.encoding.export import export
    from splade_lucene.encoding.inspection import inspect_collection, inspect_text
    from splade_lucene.encoding.onnx_encoder import OnnxEncoder
    from splade_lucene.encoding.options import EncoderOptions
    from splade_lucene.encoding.pipeline import CollectionOptions, encode_collection
    from splade_lucene.encoding.table_encoder import IdfEncoder
    from splade_lucene.encoding.torch_encoder import TorchEncoder
    from splade_lucene.errors import SpladeLuceneError
    from splade_lucene.evaluation.measures import evaluate
    from splade_lucene.evaluation.significance import compare
    from splade_lucene.fusion import Fusion, reciprocal_rank_fusion, weighted_sum
    from splade_lucene.inspection import inspect_vectors
    from splade_lucene.learning import train
    from splade_lucene.lucene.build import IndexOptions
    from splade_lucene.lucene.feedback import Feedback
    from splade_lucene.lucene.frequencies import document_frequencies
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.lucene.options import SearchOptions
    from splade_lucene.lucene.searcher import Searcher
    from splade_lucene.lucene.writer import ImpactWriter
    from splade_lucene.pruning import Pruning
    from splade_lucene.quantization import Quantizer
    from splade_lucene.runs import Hit, read_run, write_run
    from splade_lucene.vector_files import read_vectors
    from splade_lucene.vectors import TermVectors

_HOME = {
    "CollectionOptions": "encoding.pipeline",
    "EncoderOptions": "encoding.options",
    "Feedback": "lucene.feedback",
    "Fusion": "fusion",
    "Hit": "runs",
    "IdfEncoder": "encoding.table_encoder",
    "ImpactIndex": "lucene.index",
    "ImpactWriter": "lucene.writer",
    "IndexOptions": "lucene.build",
    "OnnxEncoder": "encoding.onnx_encoder",
    "Passages": "datasets",
    "Pruning": "pruning",
    "PyseriniQueryEncoder": "encoding.encoder",
    "Quantizer": "quantization",
    "SearchOptions": "lucene.options",
    "Searcher": "lucene.searcher",
    "SpladeLuceneError": "errors",
    "TermVectors": "vectors",
    "TextEncoder": "encoding.encoder",
    "TorchEncoder": "encoding.torch_encoder",
    "compare": "evaluation.significance",
    "document_frequencies": "lucene.frequencies",
    "encode_collection": "encoding.pipeline",
    "evaluate": "evaluation.measures",
    "export": "encoding.export",
    "inspect_collection": "encoding.inspection",
    "inspect_text": "encoding.inspection",
    "inspect_vectors": "inspection",
    "load_encoder": "encoding.encoder",
    "read_qrels": "datasets",
    "read_run": "runs",
    "read_vectors": "vector_files",
    "reciprocal_rank_fusion": "fusion",
    "train": "learning",
    "weighted_sum": "fusion",
    "write_qrels": "datasets",
    "write_run": "runs",
}

__all__ = [
    "CollectionOptions",
    "EncoderOptions",
    "Feedback",
    "Fusion",
    "Hit",
    "IdfEncoder",
    "ImpactIndex",
    "ImpactWriter",
    "IndexOptions",
    "OnnxEncoder",
    "Passages",
    "Pruning",
    "PyseriniQueryEncoder",
    "Quantizer",
    "SearchOptions",
    "Searcher",
    "SpladeLuceneError",
    "TermVectors",
    "TextEncoder",
    "TorchEncoder",
    "compare",
    "document_frequencies",
    "encode_collection",
    "evaluate",
    "export",
    "inspect_collection",
    "inspect_text",
    "inspect_vectors",
    "load_encoder",
    "read_qrels",
    "read_run",
    "read_vectors",
    "reciprocal_rank_fusion",
    "train",
    "weighted_sum",
    "write_qrels",
    "write_run",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
