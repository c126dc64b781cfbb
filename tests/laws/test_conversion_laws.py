"""What was indexed comes back out of the postings: as vectors, and as vectors in a file."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.scan import scan
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import read_vectors, write_jsonl
from tests.helpers import as_rows, weights
from tests.laws.strategies import Documents, any_impacts, collections

pytestmark = pytest.mark.jvm


@settings(max_examples=20)
@given(collections(impacts=any_impacts), st.booleans(), st.data())
def test_an_index_gives_back_what_it_was_given(
    drawn: tuple[Documents, Documents], reorder: bool, data: st.DataObject
) -> None:
    documents, _ = drawn
    deleted = data.draw(st.sets(st.sampled_from(sorted(documents)))) if documents else set()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "index")
        ImpactIndex.build(path, [weights(documents)], IndexOptions(quantizer=Quantizer(1), reorder=reorder)).close()
        if deleted:
            with ImpactIndex.writer(path) as writer:
                writer.delete(sorted(deleted))
        found = {doc_id: row for batch in scan(path) for doc_id, row in as_rows(batch).items()}
        assert found == {doc_id: row for doc_id, row in documents.items() if doc_id not in deleted}
        if found:
            write_jsonl(Path(folder, "v.jsonl"), scan(path))
            (read,) = read_vectors(Path(folder, "v.jsonl"))
            assert as_rows(read) == found
