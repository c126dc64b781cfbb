"""read(write(x)) == x, with odd ids and Unicode terms."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_lucene.datasets import Qrel, read_qrels, write_qrels
from splade_lucene.quantization import MAX_IMPACT
from splade_lucene.runs import Hits, read_run, write_run
from splade_lucene.vector_files import read_vectors, write_jsonl, write_query_tsv
from splade_lucene.vector_folders import Shard, VectorFolder
from splade_lucene.vectors import EncoderIdentity, TermVectors, Vocabulary
from tests.helpers import as_rows, impacts, weights
from tests.laws.strategies import float_weights, ids, repeatable_terms, terms


def rows_of(
    terms: st.SearchStrategy[str], values: st.SearchStrategy[float], min_size: int = 1
) -> st.SearchStrategy[dict[str, dict[str, float]]]:
    return st.dictionaries(ids, st.dictionaries(terms, values, max_size=6), min_size=min_size, max_size=8)


@contextmanager
def a_file(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, name)


@pytest.mark.parametrize("name", ["v.jsonl", "v.jsonl.gz"])
@given(rows=rows_of(terms, st.integers(1, MAX_IMPACT)), batch_size=st.integers(1, 9))
def test_json_vectors(name: str, rows: dict[str, dict[str, int]], batch_size: int) -> None:
    with a_file(name) as path:
        assert write_jsonl(path, [impacts(rows)]) == len(rows)
        read = [as_rows(batch) for batch in read_vectors(path, batch_size=batch_size)]
    assert {row_id: row for batch in read for row_id, row in batch.items()} == rows
    assert [row_id for batch in read for row_id in batch] == list(rows)


@given(rows_of(terms, float_weights))
def test_json_weights(rows: dict[str, dict[str, float]]) -> None:
    """Bit by bit, as Seismic is given them."""
    with a_file("v.jsonl") as path:
        assert write_jsonl(path, [weights(rows)]) == len(rows)
        (read,) = read_vectors(path)
    assert read == weights(rows)


@given(rows_of(repeatable_terms, st.integers(1, 50)))
def test_query_tsv(rows: dict[str, dict[str, int]]) -> None:
    with a_file("q.tsv") as path:
        write_query_tsv(path, impacts(rows))
        (read,) = read_vectors(path)
    assert as_rows(read) == rows
    assert list(read.ids) == list(rows)


@given(rows_of(terms, float_weights), st.integers(1, 8))
def test_a_folder_of_shards(rows: dict[str, dict[str, float]], size: int) -> None:
    """Bit by bit: ids, terms, weights, the vocabulary and what was known of the encoder."""
    whole = weights(rows, Vocabulary(sorted({term for row in rows.values() for term in row} | {"never used"})))
    with a_file("vectors") as path:
        identity = EncoderIdentity("é", "00", whole.vocabulary.fingerprint, 7, "log1p_relu")
        folder = VectorFolder(path, identity, "source", size, complete=True)
        folder.write_vocabulary(whole.vocabulary)
        for start in range(0, len(whole), size):
            part = whole.select(range(start, min(start + size, len(whole))))
            folder.write_shard(f"{start}.parquet", part)
            folder = replace(folder, shards=(*folder.shards, Shard(f"{start}.parquet", len(part), "", 0, 0)))
        folder.save()
        assert VectorFolder.open(path) == folder
        assert TermVectors.concatenate(list(read_vectors(path))) == whole


scores = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=10).map(
    lambda each: sorted(each)[::-1]
)
runs = st.dictionaries(
    ids, st.tuples(st.lists(ids, unique=True, min_size=10, max_size=10), scores), min_size=1, max_size=5
)


@pytest.mark.parametrize("name", ["a.run", "a.run.gz"])
@given(runs)
def test_runs(name: str, given: dict[str, tuple[list[str], list[float]]]) -> None:
    """The same queries, documents and order; the scores too, where they were distinct."""
    run = {query_id: Hits(found[: len(each)], np.array(each)) for query_id, (found, each) in given.items()}
    with a_file(name) as path:
        write_run(path, run)
        read = read_run(path)
        assert list(read) == list(run)
        for query_id, hits in run.items():
            assert read[query_id].doc_ids == hits.doc_ids
            if len(set(hits.scores.tolist())) == len(hits):
                assert read[query_id].scores.astype(np.float32).tolist() == hits.scores.tolist()
        again = path.with_name(f"again.{name}")
        write_run(again, read)
        assert {query_id: hits.doc_ids for query_id, hits in read_run(again).items()} == {
            query_id: hits.doc_ids for query_id, hits in run.items()
        }


@pytest.mark.parametrize("name", ["a.qrels", "a.tsv", "a.qrels.gz"])
@given(st.dictionaries(st.tuples(ids, ids), st.integers(-3, 9), min_size=1, max_size=8))
def test_qrels(name: str, judged: dict[tuple[str, str], int]) -> None:
    qrels = [Qrel(*pair, relevance) for pair, relevance in judged.items()]
    with a_file(name) as path:
        write_qrels(path, qrels)
        assert list(read_qrels(str(path))) == qrels
