"""Anserini's own roads, unchanged, through the Java that Pyserini ships: pseudo-documents by repetition, and BM25.

What a user of Pyserini gets, for the `repeat` form of an index and for baselines measured beside ours.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from splade_lucene.datasets import Doc, Query
from splade_lucene.files import writing_text
from splade_lucene.lucene import jvm
from splade_lucene.runs import Hits
from splade_lucene.vector_files import refuse_unrepeatable, write_jsonl
from splade_lucene.vectors import ImpactVectors

_IMPACT_OPTIONS = ("-collection", "JsonVectorCollection", "-impact", "-pretokenized")


@contextmanager
def index_repeated(batches: Iterable[ImpactVectors], *, beside: Path, threads: int) -> Iterator[Path]:
    """Build an index with Anserini's IndexCollection, each term written impact times; it lasts as long as the block.

    Empty documents are not in it: Anserini drops them.

    Raises:
        WeightError: a term is empty, holds white space or is too long for Lucene's whitespace tokenizer.
    """
    beside.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{beside.name}.", dir=beside.parent))
    try:
        collection, index = scratch / "collection", scratch / "index"
        collection.mkdir()
        for number, batch in enumerate(batches):  # Anserini gives each file to one thread
            refuse_unrepeatable(batch.vocabulary.terms[term] for term in np.unique(batch.terms))
            write_jsonl(collection / f"{number:05}.jsonl", [batch])
        index_collection(collection, index, *_IMPACT_OPTIONS, threads=threads)
        yield index
    finally:
        _remove(scratch)


def _remove(folder: Path) -> None:
    """Remove a folder into which Anserini, interrupted, may be writing still: it stops when it meets the gap."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def index_collection(collection: Path, index: Path, *options: str, threads: int) -> None:
    """Run Anserini's IndexCollection in this JVM, as `python -m pyserini.index.lucene` does."""
    paths = ["-input", str(collection), "-index", str(index), "-threads", str(threads)]
    arguments = [*paths, "-generator", "DefaultLuceneDocumentGenerator", *options]
    program = jvm.java_class("splade_lucene.Anserini")
    try:
        jvm.wait(program.index(arguments), index)
    except KeyboardInterrupt:
        program.silence()
        raise


def bm25(documents: Iterable[Doc], queries: Iterable[Query], k: int, *, folder: Path, threads: int) -> dict[str, Hits]:
    """Anserini's BM25 (k1 .9, b .4, Porter stemming) over title and text: the baseline of Pyserini's users.

    The index stays in `folder`; if one is there already, it is searched as it is.
    """
    index = folder / "index"
    if not jvm.java_class("splade_lucene.ImpactReader").exists(str(index)):
        _index_texts(documents, folder, index, threads)
    with jvm.calling(index):
        searcher = jvm.java_class("io.anserini.search.SimpleSearcher")(str(index))
        searcher.set_bm25(0.9, 0.4)
        return {query.query_id: _hits(searcher.search(query.text, k)) for query in queries}


def _index_texts(documents: Iterable[Doc], folder: Path, index: Path, threads: int) -> None:
    with tempfile.TemporaryDirectory(prefix=".bm25.", dir=folder) as scratch:
        with writing_text(Path(scratch, "collection", "documents.jsonl")) as file:
            for doc in documents:
                file.write(json.dumps({"id": doc.doc_id, "contents": doc.default_text()}) + "\n")
        built = Path(scratch, "index")
        index_collection(Path(scratch, "collection"), built, "-collection", "JsonCollection", threads=threads)
        built.rename(index)


def _hits(scored: Any) -> Hits:
    found = list(scored)
    return Hits([hit.docid for hit in found], np.array([hit.score for hit in found], dtype=np.float64))
