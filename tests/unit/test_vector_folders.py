"""Folders that `encode` wrote: what is read, what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from splade_lucene.errors import FormatError
from splade_lucene.vector_files import read_vectors
from splade_lucene.vector_folders import Shard, VectorFolder
from splade_lucene.vectors import EncoderIdentity, TermVectors, Vocabulary
from tests.helpers import weights

ABC = Vocabulary("abc")
IDENTITY = EncoderIdentity("tests/model", "f00d", ABC.fingerprint, 16, "log1p_relu")


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as refused:
        list(read_vectors(path))
    return str(refused.value)


@pytest.fixture
def folder(tmp_path: Path) -> VectorFolder:
    """A finished folder of two shards: {x: {a, c}, e: {}} and {y: {b}}."""
    path = tmp_path / "vectors"
    begun = VectorFolder(path, IDENTITY, "toy.jsonl", 2)
    begun.write_vocabulary(ABC)
    begun.write_shard("shard-00000.parquet", weights({"x": {"a": 1.0, "c": 0.1}, "e": {}}, ABC))
    begun.write_shard("shard-00001.parquet", weights({"y": {"b": 2.0}}, ABC))
    shards = (Shard("shard-00000.parquet", 2, "00", 1, 1), Shard("shard-00001.parquet", 1, "11", 0, 0))
    finished = replace(begun, shards=shards, complete=True)
    finished.save()
    return finished


def test_a_folder_reads_as_it_was_written(folder: VectorFolder) -> None:
    assert VectorFolder.is_one(folder.path)
    assert VectorFolder.open(folder.path) == folder
    assert folder.documents == 3
    whole = TermVectors.concatenate(list(read_vectors(folder.path)))
    assert whole == weights({"x": {"a": 1.0, "c": 0.1}, "e": {}, "y": {"b": 2.0}}, ABC)


def test_a_folder_that_is_not_finished_is_refused_with_the_way_on(folder: VectorFolder) -> None:
    replace(folder, complete=False).save()
    assert "is not finished (3 vectors so far); run the same `splade-lucene encode` again" in refusal(folder.path)


@pytest.mark.parametrize("file", ["vocabulary.json", "shard-00001.parquet"])
def test_a_missing_or_damaged_file_is_named(folder: VectorFolder, file: str) -> None:
    whole = (folder.path / file).read_bytes()
    for content in (b"", b"rubbish", whole[: len(whole) // 2], whole[:-1]):
        (folder.path / file).write_bytes(content)
        assert str(folder.path / file) in refusal(folder.path)
    (folder.path / file).unlink()
    assert str(folder.path / file) in refusal(folder.path)


@pytest.mark.parametrize("content", ["5", "null", '"ab"', '[["a"]]'])
def test_a_vocabulary_that_is_no_list_of_terms_is_refused(folder: VectorFolder, content: str) -> None:
    (folder.path / "vocabulary.json").write_text(content)
    assert "vocabulary.json" in refusal(folder.path)


def test_another_vocabulary_than_the_shards_have_is_refused(folder: VectorFolder) -> None:
    folder.write_vocabulary(Vocabulary("acb"))
    assert "not the vocabulary that the shards were written with" in refusal(folder.path)


def test_a_shard_with_another_number_of_vectors_is_refused(folder: VectorFolder) -> None:
    folder.write_shard("shard-00001.parquet", weights({"y": {"b": 2.0}, "z": {}}, ABC))
    assert "2 vectors, the record says 1" in refusal(folder.path)


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "5", "null", '"text"', '{"format_version": 1}'])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "vectors.json").write_text(content)
    assert refusal(tmp_path).startswith(f"{tmp_path / 'vectors.json'}: not a record of encoded vectors")


def test_a_record_of_a_newer_version_is_refused(folder: VectorFolder) -> None:
    file = folder.path / "vectors.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format_version": 3}))
    assert "written by a newer splade-lucene; upgrade" in refusal(folder.path)


def test_a_record_that_was_written_before_has_the_fields_of_now(folder: VectorFolder) -> None:
    file = folder.path / "vectors.json"
    record = json.loads(file.read_text()) | {"format_version": 1}
    for name in ("weights", "passages", "scale", "part", "total", "input_digest"):
        del record[name]
    for shard in record["shards"]:
        del shard["dropped"]
    file.write_text(json.dumps(record))
    assert VectorFolder.open(folder.path) == folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": "int8"}, "weights of type 'int8'"),
        ({"passages": {"words": 3, "stride": 4}}, "not a record of encoded vectors"),
        ({"part": {"number": 3, "parts": 2}}, "not a record of encoded vectors"),
        ({"format_version": "2"}, "not a record of encoded vectors"),
    ],
    ids=lambda given: str(given)[:30],
)
def test_a_record_that_says_the_impossible_is_refused(
    folder: VectorFolder, change: dict[str, object], said: str
) -> None:
    file = folder.path / "vectors.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert said in refusal(folder.path)
