"""ImpactWriter: what it refuses, what it counts, and what of texts it keeps."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from splade_lucene.datasets import Passages
from splade_lucene.errors import (
    ConfigError,
    FormatError,
    ImpactIndexError,
    IncompleteIndexError,
    IndexExistsError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
    WeightError,
)
from splade_lucene.lucene import jvm
from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.manifest import Form, Manifest
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.pruning import Pruning
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import EncoderIdentity, TermVectors
from tests.helpers import Rows, weights

pytestmark = pytest.mark.jvm

OPTIONS = IndexOptions(quantizer=Quantizer(1), threads=1)
ROWS = {"d1": {"cat": 2, "dog": 1}, "d2": {"cat": 1}, "empty": {}}
ENCODER = EncoderIdentity("model", "ab12", "0123456789ab", 256, "log1p_relu")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small index."""
    ImpactIndex.build(tmp_path / "index", [weights(ROWS)], OPTIONS).close()
    return tmp_path / "index"


def held(path: Path) -> tuple[int, int, int]:
    """Documents, empty ones and postings, as the manifest says; the index agrees."""
    with ImpactIndex(path) as index:
        index.check()
        assert index.manifest is not None
        assert index.manifest.documents == len(index)
        return len(index), index.manifest.empty_documents, index.manifest.postings


def test_documents_are_added_replaced_and_removed(path: Path) -> None:
    with ImpactIndex.writer(path) as writer:
        writer.append([weights({"d3": {"sun": 4}}), weights({"d4": {}})])
        writer.update([weights({"d1": {"sun": 1}, "d5": {"cat": 1}})])
        assert writer.delete(["d2", "d4", "never", "d2"]) == 2
    with ImpactIndex(path) as index:
        assert index.postings("sun") == {"d1": 1, "d3": 4}
        assert index.postings("cat") == {"d5": 1}
        assert index.impacts("d2", ["cat"]) is None
    assert held(path) == (4, 1, 3)


def test_a_reader_keeps_its_commit_and_sees_nothing_uncommitted(path: Path) -> None:
    with ImpactIndex(path) as before, ImpactIndex.writer(path) as writer:
        writer.delete(["d1", "d2"])
        assert len(ImpactIndex(path)) == 3
        writer.commit()
        assert (len(before), len(ImpactIndex(path))) == (3, 1)
        assert before.postings("cat") == {"d1": 2, "d2": 1}


def test_a_document_that_is_there_is_not_appended_and_nothing_else_is(path: Path) -> None:
    said = r"has a document 'd2' already, .* `update` replaces"
    with pytest.raises(IndexExistsError, match=said), ImpactIndex.writer(path) as writer:
        writer.append([weights({"new": {"a": 1}}), weights({"d2": {"a": 1}})])
    assert held(path) == (3, 1, 3)


def test_after_an_error_the_writer_is_closed_and_the_last_commit_stands(path: Path) -> None:
    with ImpactIndex.writer(path) as writer:
        writer.append([weights({"new": {"a": 1}})])
        writer.commit()
        writer.delete(["d1"])
        with pytest.raises(FormatError, match="'x' stands in the vectors twice"):
            writer.update([weights({"x": {"a": 1}}), weights({"x": {"a": 2}})])
        with pytest.raises(ImpactIndexError, match=r"this writer of .* is closed; open another"):
            writer.delete(["d2"])
        writer.close()  # again: nothing to do
    assert held(path) == (4, 1, 4)
    with ImpactIndex.writer(path) as writer:  # the lock is free
        writer.update([weights({"x": {"a": 1}})])
    assert held(path) == (5, 1, 5)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_leaving_the_block_by_an_exception_forgets(path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), ImpactIndex.writer(path) as writer:
        writer.delete(["d1"])
        raise error
    assert held(path) == (3, 1, 3)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_vectors_that_end_in_an_exception_are_forgotten(path: Path, error: type[BaseException]) -> None:
    def broken() -> Iterator[TermVectors]:
        yield weights({"new": {"a": 1}})
        raise error

    with pytest.raises(error), ImpactIndex.writer(path) as writer:
        writer.append(broken())
    assert held(path) == (3, 1, 3)


@pytest.mark.parametrize("weight", [float("nan"), 2.0**24, 0.5])
def test_an_unusable_weight_changes_nothing(path: Path, weight: float) -> None:
    with pytest.raises(WeightError), ImpactIndex.writer(path) as writer:
        writer.update([weights({"d1": {"a": 1}}), weights({"d2": {"a": weight}})])
    assert held(path) == (3, 1, 3)


def test_of_two_writers_the_second_is_refused(path: Path) -> None:
    with ImpactIndex.writer(path) as writer:
        with pytest.raises(IndexLockedError, match="is being written by another process"):
            ImpactIndex.writer(path)
        with pytest.raises(IndexLockedError):
            ImpactIndex.build(path, [], replace(OPTIONS, overwrite=True))
        writer.delete(["d1"])
    assert held(path) == (2, 1, 1)


def test_where_no_index_is(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="no such folder"):
        ImpactIndex.writer(tmp_path / "none")
    with pytest.raises(IndexNotFoundError, match="holds no finished index"):
        ImpactIndex.writer(tmp_path)
    assert not list(tmp_path.iterdir())  # no lock either


def test_an_index_of_nobody_knows_what_scale_is_refused(tmp_path: Path) -> None:
    writer = jvm.java_class("splade_lucene.ImpactWriter")(str(tmp_path / "i"), 1, False)
    jvm.wait(writer.finish(False, False), tmp_path)
    writer.checkpoint("{}")
    writer.close()
    index_files = {file.name for file in (tmp_path / "i").iterdir()}
    with pytest.raises(ImpactIndexError):
        ImpactIndex.writer(tmp_path / "i")
    assert {file.name for file in (tmp_path / "i").iterdir()} == index_files


# Deletes of everything


def test_everything_may_be_deleted(path: Path) -> None:
    with ImpactIndex.writer(path) as writer:
        assert writer.delete(ROWS) == 3
    assert held(path) == (0, 0, 0)
    with ImpactIndex(path) as index:
        assert (index.segments, index.terms(), list(Searcher(index).search({"cat": 1.0}))) == (0, [], [])
    with ImpactIndex.writer(path) as writer:
        writer.append([weights(ROWS)])
    assert held(path) == (3, 1, 3)


@pytest.mark.parametrize("doc_ids", [[], [""], ["\ud800"], ["x" * 40_000], ["\0", "none"]], ids=repr)
def test_what_no_index_can_hold_is_not_there_to_be_deleted(path: Path, doc_ids: list[str]) -> None:
    with ImpactIndex.writer(path) as writer:
        assert writer.delete(doc_ids) == 0
    assert held(path) == (3, 1, 3)


# Counts


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_a_commit_without_changes_writes_nothing(path: Path) -> None:
    before = files(path)
    with ImpactIndex.writer(path) as writer:
        writer.commit()
        writer.append([])
        writer.update([])
    assert files(path) == before


@pytest.mark.parametrize("form", ["impacts", "repeat"])
def test_counts_stay_true_also_of_documents_that_anserini_wrote(tmp_path: Path, form: Form) -> None:
    """Their segments do not say how many terms a document has, and deletes leave the segment as it is."""
    rows: Rows = {f"d{number}": {"cat": 1, **({"dog": 2} if number % 3 else {})} for number in range(100)}
    given = [weights({**rows, "empty": {}, "nothing": {}})]
    ImpactIndex.build(tmp_path / "i", given, replace(OPTIONS, form=form)).close()
    with ImpactIndex.writer(tmp_path / "i") as writer:
        writer.delete(["d0", "d1", "empty"])
    assert held(tmp_path / "i") == (99, 1, 166 - 3)
    with ImpactIndex.writer(tmp_path / "i") as writer:
        writer.merge()
    assert held(tmp_path / "i") == (99, 1, 166 - 3)
    with ImpactIndex.writer(tmp_path / "i") as writer:
        writer.update([weights({"d2": {"sun": 1}, "nothing": {}})])
    assert held(tmp_path / "i") == (99, 1, 166 - 3 - 1)
    with ImpactIndex(tmp_path / "i") as index:
        assert index.manifest is not None and index.manifest.form == form


def test_weights_rounded_to_nothing_and_unaskable_terms_add_up(tmp_path: Path) -> None:
    ImpactIndex.build(tmp_path / "i", [weights({"d": {"two words": 1, "cat": 0.001}})]).close()
    with ImpactIndex.writer(tmp_path / "i") as writer:
        writer.append([weights({"e": {"two words": 1, "dog": 0.001}, "f": {"tab\t": 1}})])
        writer.commit()
        assert (writer.manifest.dropped_weights, writer.manifest.unaskable_terms) == (2, 2)
        writer.append([weights({"g": {"\u3000": 1, "cat": 0.001}})])
    with ImpactIndex(tmp_path / "i") as index:
        assert index.manifest == writer.manifest
        assert (writer.manifest.dropped_weights, writer.manifest.unaskable_terms) == (3, 3)


def test_a_pruned_index_prunes_what_it_is_given_too(tmp_path: Path) -> None:
    options = replace(OPTIONS, pruning=Pruning(top_terms=1))
    ImpactIndex.build(tmp_path / "i", [weights(ROWS)], options).close()
    with ImpactIndex.writer(tmp_path / "i") as writer:
        writer.append([weights({"d3": {"cat": 1, "sun": 5}})])
    assert held(tmp_path / "i") == (4, 1, 3)
    assert writer.manifest.pruned_postings == 2
    with ImpactIndex(tmp_path / "i") as index:
        assert index.postings("sun") == {"d3": 5}


def test_an_index_pruned_by_quantiles_of_its_documents_takes_no_others(tmp_path: Path) -> None:
    options = replace(OPTIONS, pruning=Pruning(term_quantile=0.5))
    ImpactIndex.build(tmp_path / "i", [weights(ROWS)], options).close()
    with pytest.raises(ImpactIndexError, match="pruned by quantiles"), ImpactIndex.writer(tmp_path / "i") as writer:
        writer.append([weights({"d3": {"cat": 1}})])
    with ImpactIndex.writer(tmp_path / "i") as writer:
        assert writer.delete(["d1"]) == 1


# Merging


def test_merging_leaves_so_many_segments_and_drops_the_deleted(path: Path) -> None:
    with ImpactIndex.writer(path) as writer:
        for number in range(5):
            writer.append([weights({f"n{number}": {"cat": number + 1}})])
            writer.commit()
        writer.delete(["d1", "n3"])
        writer.merge()
    with ImpactIndex(path) as index:
        assert index.segments == 1
        assert index.postings("cat") == {"d2": 1, "n0": 1, "n1": 2, "n2": 3, "n4": 5}
    assert held(path) == (6, 1, 5)
    with pytest.raises(ValueError, match="at least 1, not 0"), ImpactIndex.writer(path) as writer:
        writer.merge(0)


# Vectors of another kind


def manifest(path: Path, **changes: object) -> None:
    """Write the index's manifest anew."""
    writer = jvm.java_class("splade_lucene.ImpactWriter").onto(str(path), 1)
    record = json.loads(writer.manifest()) | changes
    writer.commit(json.dumps({name: value for name, value in record.items() if value is not ...}))


def test_another_vocabulary_is_refused_and_both_are_named(tmp_path: Path) -> None:
    ImpactIndex.build(tmp_path / "i", [weights(ROWS)], OPTIONS, encoder=ENCODER).close()
    other = replace(ENCODER, name="another", vocabulary="fedcba987654")
    with pytest.raises(IndexMismatchError) as refused:
        ImpactIndex.writer(tmp_path / "i", encoder=other)
    assert str(ENCODER) in str(refused.value) and str(other) in str(refused.value)
    ImpactIndex.writer(tmp_path / "i", encoder=replace(ENCODER, name="elsewhere")).close()


def test_another_scale_is_refused_and_both_are_named(path: Path) -> None:
    with pytest.raises(IndexMismatchError, match=r"scale 1, not 51\.2"):
        ImpactIndex.writer(path, quantizer=Quantizer(51.2))
    ImpactIndex.writer(path, quantizer=Quantizer(1)).close()


def test_another_cut_is_refused_and_both_are_named(path: Path) -> None:
    with pytest.raises(IndexMismatchError, match="whole documents, these vectors are of passages of 5 words every 3"):
        ImpactIndex.writer(path, encoder=ENCODER, passages=Passages(5, 3))


def test_into_passages_go_passages(tmp_path: Path) -> None:
    rows: Rows = {"d1#0": {"cat": 1}, "d1#1": {"dog": 1}}
    ImpactIndex.build(tmp_path / "i", [weights(rows)], OPTIONS, passages=Passages(5, 5)).close()
    with pytest.raises(FormatError, match="'d2' is no such id"), ImpactIndex.writer(tmp_path / "i") as writer:
        writer.append([weights({"d2": {"a": 1}})])
    with pytest.raises(IndexExistsError, match="'d1'"), ImpactIndex.writer(tmp_path / "i") as writer:
        writer.append([weights({"d1#2": {"a": 1}})])
    with ImpactIndex.writer(tmp_path / "i") as writer:
        writer.update([weights({"d1#0": {"sun": 1}})])
    assert held(tmp_path / "i") == (1, 0, 1)


def test_an_index_of_format_2_is_changed_and_of_the_newest_then(path: Path) -> None:
    manifest(path, format_version=2, stored=..., bm25=...)
    with ImpactIndex(path) as index:
        assert index.manifest is not None and index.manifest.stored is None
    with ImpactIndex.writer(path) as writer:
        writer.append([weights({"d3": {"cat": 1}})], [("d3", "a cat")])
        writer.append([weights({"d4": {"cat": 1}})])
    with ImpactIndex(path) as index:
        assert index.manifest is not None and index.manifest.format_version == Manifest.FORMAT_VERSION
        assert (index.text("d3"), index.text("d4")) == ("a cat", None)


# Texts


def test_an_index_that_keeps_texts_wants_them_and_one_that_does_not_refuses_them(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ImpactIndexError, match="keeps nothing of texts"), ImpactIndex.writer(path) as writer:
        writer.append([weights({"d3": {"cat": 1}})], [("d3", "a cat")])
    texts = [(doc_id, f"text of {doc_id}") for doc_id in ROWS]
    ImpactIndex.build(tmp_path / "t", [weights(ROWS)], replace(OPTIONS, bm25=True), texts=texts).close()
    with (
        pytest.raises(ImpactIndexError, match="keeps raw, bm25 of its documents' texts: give the texts"),
        ImpactIndex.writer(tmp_path / "t") as writer,
    ):
        writer.append([weights({"d3": {"cat": 1}})])
    for others in ([("other", "a cat")], [], [("d3", "a cat"), ("d4", "a dog")]):
        with pytest.raises(IncompleteIndexError, match="texts"), ImpactIndex.writer(tmp_path / "t") as writer:
            writer.append([weights({"d3": {"cat": 1}})], others)
    with ImpactIndex.writer(tmp_path / "t") as writer:
        writer.update([weights({"d1": {"cat": 1}})], [("d1", "a cat")])
    with ImpactIndex(tmp_path / "t") as index:
        assert (index.text("d1"), index.text("d2")) == ("a cat", "text of d2")


def test_fields_are_kept_as_they_are_named(tmp_path: Path) -> None:
    options = replace(OPTIONS, store=("title", "url", "raw"))
    texts = [
        ("d1", {"title": "Cats", "text": "Cats sleep.", "url": "http://cats"}),
        ("d2", {"text": "No title.", "url": "http://" + "x" * 1000}),
        ("empty", {"title": "Only\ud800", "text": "", "more": "not kept"}),
    ]
    with ImpactIndex.build(tmp_path / "i", [weights(ROWS)], options, texts=texts) as index:
        assert index.manifest is not None and index.manifest.stored == ("title", "url", "raw")
        assert index.fields("d1") == {"title": "Cats", "url": "http://cats", "raw": "Cats Cats sleep."}
        assert index.fields("d2") == {"url": "http://" + "x" * 1000, "raw": "No title."}
        assert index.fields("empty") == {"title": "Only?", "raw": "Only?"}
        assert (index.fields("none"), index.text("none")) == (None, None)
        assert index.text("d1") == "Cats Cats sleep."


def test_a_text_is_shown_as_far_as_it_is_kept(tmp_path: Path) -> None:
    for store, shown in ((("title",), "Cats"), (("text",), "Cats sleep."), (("title", "text"), "Cats Cats sleep.")):
        texts = [("d1", {"title": "Cats", "text": "Cats sleep.", "url": "http://cats"})]
        options = replace(OPTIONS, store=store, overwrite=True)
        with ImpactIndex.build(tmp_path / "i", [weights({"d1": {"cat": 1}})], options, texts=texts) as index:
            assert index.text("d1") == shown


def test_a_field_that_no_text_has_is_an_error_where_the_index_is_built(tmp_path: Path) -> None:
    options = replace(OPTIONS, store=("title", "ulr"))
    texts = [(doc_id, {"title": "t", "text": "x", "url": "u"}) for doc_id in ROWS]
    with pytest.raises(ConfigError, match="not one of the texts has a field 'ulr'"):
        ImpactIndex.build(tmp_path / "i", [weights(ROWS)], options, texts=texts)
    assert not (tmp_path / "i").exists()


@pytest.mark.parametrize("store", [("id",), ("contents",), ("bm25",), ("contents.terms",), ("",), ("a", "b", "a")])
def test_names_that_are_taken(store: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="stored"):
        IndexOptions(store=store)


def test_to_store_something_takes_texts(tmp_path: Path) -> None:
    for options in (replace(OPTIONS, bm25=True), replace(OPTIONS, store=("title",))):
        with pytest.raises(ValueError, match="the texts of the documents are needed"):
            ImpactIndex.build(tmp_path / "i", [weights(ROWS)], options)
    assert not (tmp_path / "i").exists()
