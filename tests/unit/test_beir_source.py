"""Where a collection's texts are: the data root first; what is cut off is refused; what is no hit is left out."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import ir_datasets
import pytest

from splade_lucene.beir.registry import Collection, chosen
from splade_lucene.beir.source import Source, located
from splade_lucene.datasets import Qrel
from splade_lucene.errors import FormatError
from tests.helpers import hits

DOCUMENTS = {"a": "one", "b": "two", "c": "three"}
QUERIES = {"q1": "first", "b": "second", "unjudged": "third"}
JUDGED = {("q1", "a"): 1, ("b", "c"): 2, ("b", "a"): 0}


def write_folder(
    folder: Path,
    documents: Mapping[str, str] = DOCUMENTS,
    queries: Mapping[str, str] = QUERIES,
    judged: Mapping[tuple[str, str], int] = JUDGED,
    *,
    split: str = "test",
) -> Path:
    """A BEIR folder."""
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", documents), ("queries", queries)):
        lines = (json.dumps({"_id": each, "title": "", "text": text}) for each, text in texts.items())
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    lines = (f"{query_id}\t{doc_id}\t{grade}\n" for (query_id, doc_id), grade in judged.items())
    (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return folder


def source_of(folder: Path, **rules: object) -> Source:
    return located(Collection.model_validate({"name": folder.name, "path": str(folder), **rules}), None)


def test_a_folder_is_read(tmp_path: Path) -> None:
    source = source_of(write_folder(tmp_path / "mine"))
    assert source.corpus == "mine"
    assert [doc.doc_id for doc in source.read_documents()] == list(DOCUMENTS)
    assert source.count_documents() == 3
    assert source.asked == {"q1": "first", "b": "second"}  # as BEIR asks: the judged ones
    assert source.judgments == [Qrel(query_id, doc_id, grade) for (query_id, doc_id), grade in JUDGED.items()]
    assert source.texts({"a", "none"}) == {"a": "one"}
    assert source.removed == {} and source.depth(10) == 10


def test_a_data_root_comes_before_ir_datasets(tmp_path: Path) -> None:
    (scifact,) = chosen(["scifact"])
    assert located(scifact, None).documents == located(scifact, tmp_path).documents == "beir/scifact/test"
    folder = write_folder(tmp_path / "scifact")
    assert located(scifact, tmp_path).documents == str(folder)


def test_a_part_may_lie_in_the_folder_of_the_whole(tmp_path: Path) -> None:
    (android,) = chosen(["cqadupstack-android"])
    folder = write_folder(tmp_path / "cqadupstack" / "android")
    assert located(android, tmp_path).documents == str(folder)


def test_a_folder_has_the_split_that_the_collection_is_known_by(tmp_path: Path) -> None:
    (msmarco,) = chosen(["msmarco"])
    write_folder(tmp_path / "msmarco", split="dev")
    assert located(msmarco, tmp_path).qrels.endswith("dev.tsv")


def test_collections_that_share_documents_share_what_is_made_of_them(tmp_path: Path) -> None:
    first, second = (located(each, None) for each in chosen(["trec-dl-2019", "msmarco-passage-dev"]))
    assert first.corpus == second.corpus == "msmarco-passage"
    assert first.documents_digest == second.documents_digest
    write_folder(tmp_path / "trec-dl-2019")
    (collection,) = chosen(["trec-dl-2019"])
    assert located(collection, tmp_path).corpus == "trec-dl-2019"  # who knows what is in there


def test_what_is_nowhere_says_what_it_needs(tmp_path: Path) -> None:
    (robust,) = chosen(["robust04"])
    with pytest.raises(FormatError, match=r"put a folder of this name in BEIR layout .*needs a licence: .*NIST"):
        located(robust, tmp_path)


def test_a_folder_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    (scifact,) = chosen(["scifact"])
    write_folder(tmp_path / "scifact")
    source = located(scifact, tmp_path)
    with pytest.raises(FormatError, match=r"corpus|scifact: 3 documents, and scifact has 5,183: it was cut off"):
        source.count_documents()
    with pytest.raises(FormatError, match=r"test.tsv: 3 judgments, and scifact has 339"):
        source.check()


def test_the_maker_of_a_licensed_folder_knows_what_is_in_it(tmp_path: Path) -> None:
    (robust,) = chosen(["robust04"])
    write_folder(tmp_path / "robust04")
    assert len(located(robust, tmp_path).asked) == 2


def test_a_judged_query_without_a_text_is_an_error(tmp_path: Path) -> None:
    source = source_of(write_folder(tmp_path / "mine", queries={"b": "second"}))
    with pytest.raises(
        FormatError, match=r"queries.jsonl lacks 1 of the 2 queries that .*test.tsv judges, 'q1' for one"
    ):
        source.check()


def test_what_ir_datasets_raises_is_said_in_our_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline:
        def has_docs(self) -> bool:
            return True

        def docs_iter(self) -> None:
            raise ConnectionError("Name or service not known")

    (scifact,) = chosen(["scifact"])
    monkeypatch.setattr(ir_datasets, "load", lambda name: Offline())
    with pytest.raises(
        FormatError, match=r"beir/scifact/test could not be had .*known\); without network, put a folder"
    ):
        next(located(scifact, None).read_documents())


def test_the_query_itself_is_no_hit_where_the_rule_says_so(tmp_path: Path) -> None:
    source = source_of(write_folder(tmp_path / "mine"), removes="query")
    assert source.depth(2) == 3
    run = {"q1": hits("a", "b", "c"), "b": hits("b", "a", "c")}
    assert source.cleaned(run, 2) == {"q1": hits("a", "b", scores=[3, 2]), "b": hits("a", "c", scores=[2, 1])}


def test_excluded_documents_are_neither_hits_nor_judgments(tmp_path: Path) -> None:
    judged = {("q1", "a"): 1, ("q1", "b"): -100, ("q1", "c"): -100}
    source = source_of(write_folder(tmp_path / "mine", judged=judged), removes="excluded")
    assert source.depth(5) == 7
    assert source.cleaned({"q1": hits("b", "a", "c")}, 5) == {"q1": hits("a", scores=[2])}
    assert source.judgments == [Qrel("q1", "a", 1)]


def test_digests_tell_texts_apart(tmp_path: Path) -> None:
    source = source_of(write_folder(tmp_path / "one"))
    same = source_of(write_folder(tmp_path / "two"))
    other = source_of(write_folder(tmp_path / "three", {**DOCUMENTS, "c": "3"}, {**QUERIES, "b": "2"}, {("b", "c"): 1}))
    for name in ("documents_digest", "asked_digest", "judged_digest"):
        assert getattr(source, name) == getattr(same, name) != getattr(other, name)
    unjudged = source_of(write_folder(tmp_path / "four", queries={**QUERIES, "unjudged": "another"}))
    assert unjudged.asked_digest == source.asked_digest  # it is not asked


def test_files_may_be_gzipped(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        plain = folder / name
        (folder / f"{name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    source = source_of(folder)
    assert len(source.asked) == 2 and source.count_documents() == 3 and len(source.documents_digest) == 12


def test_a_folder_without_documents_is_an_error(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(FormatError, match=r"corpus.jsonl: no such file"):
        source_of(folder).documents_digest  # noqa: B018
