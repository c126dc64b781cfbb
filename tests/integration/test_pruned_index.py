"""An index that holds a part of its vectors: what it knows of the rest, and that searches of the part are exact."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.errors import CorruptIndexError, IncompleteIndexError
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.manifest import Manifest
from splade_lucene.lucene.options import SearchOptions
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.pruning import Pruning, prune, term_bars
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import TermVectors
from tests.helpers import as_rows, brute_force, impacts, weights
from tests.integration.support import clean

pytestmark = pytest.mark.jvm

Cli = Callable[..., Any]

AS_THEY_ARE = Quantizer(1)
ROWS = {"d1": {"a": 9, "b": 2}, "d2": {"a": 3, "b": 5}, "d3": {"b": 1}, "none": {}}


@pytest.mark.parametrize("form", ["impacts", "repeat"])
@pytest.mark.parametrize("pruning", [Pruning(top_terms=1), Pruning(term_quantile=0.5), Pruning(min_impact=3)], ids=str)
def test_the_postings_are_the_pruned_vectors(form: str, pruning: Pruning, tmp_path: Path) -> None:
    left = as_rows(prune(impacts(ROWS), pruning, term_bars([impacts(ROWS)], 0.5)))
    options = IndexOptions(AS_THEY_ARE, form, pruning=pruning)  # type: ignore[arg-type]
    halves = [weights({"d1": ROWS["d1"]}), weights({each: ROWS[each] for each in ("d2", "d3", "none")})]
    with ImpactIndex.build(tmp_path / "i", halves, options) as index:
        assert {doc_id: index.impacts(doc_id, ["a", "b"]) for doc_id in ROWS} == {
            doc_id: {"a": 0, "b": 0} | row for doc_id, row in left.items()
        }
        query = {"a": 2, "b": 1}
        found = Searcher(index, quantizer=AS_THEY_ARE).search(query)
        assert [tuple(hit) for hit in found] == brute_force(left, query, 10)  # type: ignore[arg-type]
        assert index.manifest is not None
        assert index.manifest.pruning == pruning
        assert (index.manifest.documents, index.manifest.postings) == (4, sum(map(len, left.values())))
        assert index.manifest.postings + index.manifest.pruned_postings == 5
        emptied = sum(not left[doc_id] and bool(ROWS[doc_id]) for doc_id in ROWS)
        assert (index.manifest.emptied_documents, index.manifest.empty_documents) == (emptied, emptied + 1)


def test_an_index_that_is_not_pruned_knows_that(toy_index: ImpactIndex) -> None:
    assert toy_index.manifest is not None
    assert (toy_index.manifest.pruning, toy_index.manifest.pruned_postings) == (None, 0)


def test_real_vectors_lose_what_the_rule_says(
    nfcorpus_documents: list[TermVectors], nfcorpus_index: ImpactIndex, tmp_path: Path
) -> None:
    options = IndexOptions(AS_THEY_ARE, pruning=Pruning(top_terms=64))
    with ImpactIndex.build(tmp_path / "i", nfcorpus_documents, options) as index:
        assert index.manifest is not None and nfcorpus_index.manifest is not None
        assert index.manifest.postings <= 64 * len(index)
        assert index.manifest.postings + index.manifest.pruned_postings == nfcorpus_index.manifest.postings
        assert index.manifest.emptied_documents == 0


def test_an_iterator_is_read_once_and_is_no_place_for_quantiles(tmp_path: Path) -> None:
    options = IndexOptions(AS_THEY_ARE, pruning=Pruning(term_quantile=0.5))
    with pytest.raises(ValueError, match="needs the vectors twice, and an iterator gives them once: give a list"):
        ImpactIndex.build(tmp_path / "i", iter([weights(ROWS)]), options)
    assert not (tmp_path / "i").exists()


def test_vectors_that_are_others_the_second_time_are_refused(tmp_path: Path) -> None:
    class Fewer:
        """Gives less each time."""

        def __init__(self) -> None:
            self.batches = [weights({"d1": {"a": 1}}), weights({"d2": {"a": 2}})]

        def __iter__(self) -> Iterator[TermVectors]:
            yield from list(self.batches)
            self.batches.pop()

    with pytest.raises(IncompleteIndexError, match=r"were of 2 documents when .* and of 1 when they were read again"):
        ImpactIndex.build(tmp_path / "i", Fewer(), IndexOptions(AS_THEY_ARE, pruning=Pruning(term_quantile=0.5)))
    assert not (tmp_path / "i").exists()


def test_the_command_says_what_went(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "v.jsonl"
    file.write_text(
        '{"id": "d1", "vector": {"a": 9, "b": 2}}\n{"id": "d2", "vector": {"b": 5}}\n{"id": "d3", "vector": {"b": 1}}\n'
    )
    index = ("index", "--vectors", file, "--index", tmp_path / "i", "--scale", 1, "--overwrite")
    for rules, said, postings in (
        (("--top-terms", 1), "kept the top 1 terms of a vector: 1 postings less; 0 documents lost all", 3),
        (("--min-impact", 2), "kept impacts from 2: 1 postings less; 1 documents lost all of theirs", 3),
        (("--term-quantile", 0.5), "kept impacts above quantile 0.5 of a term: 3 postings less; 2 documents lost", 1),
    ):
        finished = cli(*index, *rules)
        assert finished.code == 0 and said in finished.err, finished.err
        assert f"3 documents, {postings} postings" in finished.out
    assert "kept" not in cli(*index).err


def test_rules_that_are_none_are_wrong_usage(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "v.jsonl").write_text('{"id": "d1", "vector": {"a": 9}}\n')
    index = ("index", "--vectors", tmp_path / "v.jsonl", "--index", tmp_path / "i")
    for rule in (("--top-terms", 0), ("--min-impact", 0), ("--term-quantile", 1.5), ("--term-quantile", 0)):
        finished = cli(*index, *rule)
        assert (finished.code, finished.out) == (2, "")
        assert clean(finished.err)
    assert not (tmp_path / "i").exists()


def test_vectors_from_a_device_that_can_be_read_once_are_wrong_usage(cli: Cli, tmp_path: Path) -> None:
    finished = cli("index", "--vectors", "/dev/null", "--index", tmp_path / "i", "--term-quantile", 0.5)
    assert finished.code == 2
    assert "reads the vectors twice" in finished.err


def test_a_manifest_with_an_impossible_pruning_is_a_damaged_one(toy_index: ImpactIndex, tmp_path: Path) -> None:
    assert toy_index.manifest is not None
    text = toy_index.manifest.to_json().replace('"pruning": null', '"pruning": {"top_terms": 0}')
    with pytest.raises(CorruptIndexError, match="its manifest cannot be read"):
        Manifest.from_json(text, where=tmp_path)


# Queries


def test_a_query_that_is_pruned_is_the_query_of_the_terms_that_stay(toy_index: ImpactIndex) -> None:
    rows = {"q1": {"cat": 5, "dog": 3, "sun": 3, "blue": 1}, "q2": {"the": 2}, "q3": {}}
    for options in (SearchOptions(query_terms=2), SearchOptions(min_query_impact=3)):
        left = as_rows(prune(impacts(rows), options.pruning))
        assert set(left["q1"]) == ({"cat", "dog"} if options.query_terms else {"cat", "dog", "sun"})
        pruned, plain = Searcher(toy_index, options=options), Searcher(toy_index)
        found = pruned.search_vectors(impacts(rows))
        assert found == plain.search_vectors(impacts(left))  # type: ignore[arg-type]
        for hit in found["q1"]:  # explained is what was asked
            explained = Searcher(toy_index, quantizer=AS_THEY_ARE, options=options).explain(rows["q1"], hit.doc_id)
            assert explained.score == hit.score


def test_the_command_prunes_queries(toy_index: ImpactIndex, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("q\tcat cat cat dog dog sun\n")
    (tmp_path / "left.tsv").write_text("q\tcat cat cat\n")
    search = ("search", "--index", toy_index.path, "--query-vectors")
    expected = cli(*search, tmp_path / "left.tsv").out
    assert expected
    for options in (("--query-terms", 1), ("--min-query-impact", 3)):
        assert cli(*search, tmp_path / "q.tsv", *options).out == expected
    for options in (("--query-terms", 0), ("--min-query-impact", 0)):
        finished = cli(*search, tmp_path / "q.tsv", *options)
        assert (finished.code, finished.out) == (2, "")
