"""The collection that the proofs in `conf/training/proof/` learn from: SciFact, NFCorpus and pairs of title and text.

    python -m benchmarks.proof.data --pairs FILE.jsonl[.gz] --output DIR

Writes DIR in BEIR layout: the documents, training queries and judgments of beir/scifact/train and beir/nfcorpus/train,
which ir_datasets brings, and of FILE (`_id`, `title`, `text`) documents that have both, with their titles as queries.
Ids begin with what they are from. Nothing of the test queries is in it.
"""

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from splade_lucene.datasets import Doc, Qrel, Query, read_documents, read_qrels, read_queries, write_qrels
from splade_lucene.files import writing_text

JUDGED = {"scifact": "beir/scifact/train", "nfcorpus": "beir/nfcorpus/train"}
PAIRS = 2_000
LEAST_WORDS = 4  # of a title that asks for something


def main() -> None:
    """Read the command line and write the collection."""
    parser = ArgumentParser("benchmarks.proof.data", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True, help="documents with titles: JSONL, gzipped or not")
    parser.add_argument("--output", type=Path, required=True, help="the folder")
    given = parser.parse_args()
    print(write_collection(given.pairs, given.output))


def write_collection(pairs: str, folder: Path) -> str:
    """Write the collection; what it has, in a line."""
    documents, queries, qrels = (list(chain(*parts)) for parts in zip(*_parts(pairs), strict=True))
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    with writing_text(folder / "corpus.jsonl") as file:
        for doc in documents:
            file.write(json.dumps({"_id": doc.doc_id, "title": doc.title, "text": doc.text}) + "\n")
    with writing_text(folder / "queries.jsonl") as file:
        for query in queries:
            file.write(json.dumps({"_id": query.query_id, "text": query.text}) + "\n")
    write_qrels(folder / "qrels" / "train.tsv", qrels)
    return f"{folder}: {len(documents):,} documents, {len(queries):,} queries, {len(qrels):,} judgments"


def _parts(pairs: str) -> Iterator[tuple[list[Doc], list[Query], list[Qrel]]]:
    """Documents, queries and judgments of each source."""
    for name, source in JUDGED.items():
        qrels = [
            Qrel(f"{name}-{each.query_id}", f"{name}-{each.doc_id}", each.relevance) for each in read_qrels(source)
        ]
        asked = {qrel.query_id for qrel in qrels}
        queries = (Query(f"{name}-{each.query_id}", each.text) for each in read_queries(source))
        documents = [each._replace(doc_id=f"{name}-{each.doc_id}") for each in read_documents(source)]
        yield documents, [query for query in queries if query.query_id in asked], qrels
    titled = [each for each in read_documents(pairs) if each.text and len(each.title.split()) >= LEAST_WORDS]
    chosen = titled[:: max(1, len(titled) // PAIRS)][:PAIRS]  # from everywhere in the file
    documents = [Doc(f"pairs-{each.doc_id}", "", each.text) for each in chosen]
    queries_of = [Query(f"pairs-{each.doc_id}", each.title) for each in chosen]
    yield documents, queries_of, [Qrel(each.query_id, each.query_id, 1) for each in queries_of]


if __name__ == "__main__":
    main()
