"""Vectors in files: what is read, what is refused, what is written."""

import gzip
from pathlib import Path

import pytest

from splade_lucene.errors import FormatError, SpladeLuceneError, WeightError
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import read_vectors, refuse_unrepeatable, write_jsonl, write_query_tsv
from tests.helpers import as_rows, impacts, weights


def rows_in(path: Path, batch_size: int = 5_000) -> dict[str, dict[str, float]]:
    return {
        row_id: row for batch in read_vectors(path, batch_size=batch_size) for row_id, row in as_rows(batch).items()
    }


def refusal(path: Path, kind: type[SpladeLuceneError] = FormatError) -> str:
    with pytest.raises(kind) as refused:
        rows_in(path)
    return str(refused.value)


# Anserini's JSONL


def test_json_vectors(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text(
        '{"id": "1", "contents": "", "vector": {"a": 3, "##b": 0.5}}\n'
        '{"_id": 2, "vector": {}}\n'
        '{"query_id": "é", "vector": {"a": 1e1}}\n'
    )
    assert rows_in(path) == {"1": {"a": 3, "##b": 0.5}, "2": {}, "é": {"a": 10}}


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_batches_have_the_size_that_is_asked_for(tmp_path: Path, size: int) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text("".join(f'{{"id": "{n}", "vector": {{"a": {n}}}}}\n' for n in range(5)))
    sizes = [len(batch) for batch in read_vectors(path, batch_size=size)]
    assert sum(sizes) == 5
    assert set(sizes[:-1]) <= {size}
    assert rows_in(path, size) == {str(n): {"a": n} for n in range(5)}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "2", "vector": {"a": 3, "b', "not a JSON object"),
        ('{"id": "2", "vector": {"a": 3, "a": 3}}', "the key 'a' stands there twice"),
        ('{"id": "2"}', "no field 'vector'"),
        ('{"id": "2", "vector": [1]}', "no field 'vector'"),
        ('{"vector": {}}', "no field 'id'"),
        ('{"id": "2", "vector": {"a": "3"}}', "the weight of term 'a' is not a number: '3'"),
        ('{"id": "2", "vector": {"a": true}}', "the weight of term 'a' is not a number: True"),
        ('{"id": "2", "vector": {"a": null}}', "the weight of term 'a' is not a number: None"),
        ('{"id": "2", "vector": {"a": [3]}}', "the weight of term 'a' is not a number: [3]"),
        ('{"id": "1", "vector": {}}', "the id '1' was there before"),
        ('{"id": 1, "vector": {}}', "the id '1' was there before"),
        ('{"id": "", "vector": {}}', "the id '' is empty"),
        ('{"id": "2 3", "vector": {}}', "holds white space"),
        ('{"id": "\\u0007", "vector": {}}', "control character"),
        ('{"id": "\\udfff", "vector": {}}', "lone surrogate"),
        ('{"id": "' + "x" * 40_000 + '", "vector": {}}', "is 40,000 bytes long"),
    ],
    ids=lambda given: str(given)[:44],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": "1", "vector": {"a": 1}}\n' + line + "\n")
    assert refusal(path).startswith(f"{path}:2: ")
    assert said in refusal(path)


@pytest.mark.parametrize("weight", ["NaN", "Infinity", "-Infinity", "-1", "-0.5", "1e400", "1e39", "9" * 400])
def test_an_unusable_weight_is_refused_with_its_file(tmp_path: Path, weight: str) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": "1", "vector": {"a": ' + weight + "}}\n")
    assert refusal(path, WeightError).startswith(f"{path}: ")


def test_a_gz_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": "1", "vector": {}}\n')[:-9])
    assert "damaged or cut off" in refusal(path)


def test_a_folder_of_json_files_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "b.jsonl.gz", [impacts({"2": {"b": 1}})])
    write_jsonl(tmp_path / "a.jsonl", [impacts({"1": {"a": 1}})])
    (tmp_path / "README.md").touch()
    assert list(rows_in(tmp_path)) == ["1", "2"]


def test_what_holds_no_vectors_is_refused(tmp_path: Path) -> None:
    assert "neither a folder written by" in refusal(tmp_path)
    (tmp_path / "v.npz").touch()
    assert "vectors are read from a folder, .jsonl or .tsv" in refusal(tmp_path / "v.npz")
    assert "no such file" in refusal(tmp_path / "none")


def test_written_json_is_what_anserini_reads(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    assert write_jsonl(path, [impacts({"é": {"##a": 2, "“": 1}, "e": {}})]) == 2
    assert path.read_text() == (
        '{"id": "é", "contents": "", "vector": {"##a": 2, "“": 1}}\n{"id": "e", "contents": "", "vector": {}}\n'
    )


# Anserini's TSV of queries


def test_a_query_is_its_terms_repeated(tmp_path: Path) -> None:
    path = tmp_path / "q.tsv"
    write_query_tsv(path, impacts({"1": {"a": 3, "##b": 1}, "e": {}}))
    assert path.read_text() == "1\t##b a a a\ne\t\n"
    assert rows_in(path) == {"1": {"a": 3, "##b": 1}, "e": {}}


def test_a_query_line_without_tab_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.tsv"
    path.write_text("1\ta a\n2 b b\n")
    assert refusal(path) == f"{path}:2: 'query_id<TAB>term term …' was expected, found no tab"


@pytest.mark.parametrize("term", ["", " ", "a b", "a\u3000", "\x85", "x" * 256, "\U0001d4d0" * 128])
def test_a_term_that_repetition_would_change_is_refused(tmp_path: Path, term: str) -> None:
    with pytest.raises(WeightError, match="cannot be written by repetition"):
        refuse_unrepeatable([term])
    with pytest.raises(WeightError):
        write_query_tsv(tmp_path / "q.tsv", impacts({"1": {term: 1}}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("term", ["a", "##ing", "\u2581the", "\u0120the", "\u200b", "x" * 255, "\U0001d4d0" * 127])
def test_a_term_that_repetition_leaves_alone_is_written(tmp_path: Path, term: str) -> None:
    write_query_tsv(tmp_path / "q.tsv", impacts({"1": {term: 2}}))
    assert rows_in(tmp_path / "q.tsv") == {"1": {term: 2}}


def test_a_term_that_is_no_unicode_text_is_refused_in_json_too(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match="surrogate"):
        write_jsonl(tmp_path / "v.jsonl", [impacts({"1": {"\ud800": 1}})])


def test_impacts_that_were_written_pass_scale_one(tmp_path: Path) -> None:
    given = weights({"x": {"a": 1.0, "c": 0.1}, "e": {}, "y": {"b": 2.0}})
    write_jsonl(tmp_path / "impacts.jsonl", [Quantizer()(given)])
    read = (Quantizer(1)(batch) for batch in read_vectors(tmp_path / "impacts.jsonl"))
    assert [as_rows(batch) for batch in read] == [{"x": {"a": 100, "c": 10}, "e": {}, "y": {"b": 200}}]
