"""Lines with their numbers; files that appear whole or not at all."""

import gzip
from pathlib import Path

import pytest

from splade_lucene.errors import FormatError
from splade_lucene.files import (
    kind,
    read_json_lines,
    read_lines,
    remove_leftovers,
    replacing,
    shown,
    unique_keys,
    writing_text,
)

RECORDS = b'{"_id": "1", "text": "one"}\n' * 2_000


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as refused:
        list(read_lines(path))
    return str(refused.value)


def test_the_kind_of_a_file_is_seen_through_gz() -> None:
    assert [kind(Path(name)) for name in ("a.tsv", "a.b.jsonl.gz", "a.gz", "a")] == [".tsv", ".jsonl", "", ""]


def test_a_long_line_is_cut_in_messages() -> None:
    assert shown("x" * 80) == "x" * 80
    assert shown("x" * 81) == "x" * 77 + "…"


@pytest.mark.parametrize("name", ["lines.txt", "lines.txt.gz"])
def test_lines_come_with_their_numbers_and_without_their_ends(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with writing_text(path) as file:
        file.write("one\r\n\n  \t\nzwei\u2028\x0b\x85drei\nvier")
    assert list(read_lines(path)) == [(1, "one"), (4, "zwei\u2028\x0b\x85drei"), (5, "vier")]


@pytest.mark.parametrize("content", [b"", b"\n \n\t\n"], ids=["0 bytes", "blank lines"])
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_file_without_records_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert refusal(path) == f"{path} is empty; at least one record was expected"


def test_an_empty_gz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.touch()
    assert str(path) in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"{tmp_path / 'none'}: no such file"
    assert "is a folder" in refusal(tmp_path)


def test_what_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"one\ntwo\n\xe9\n")
    assert refusal(path).startswith(f"{path}:3: not UTF-8")


def damaged(kind: str) -> bytes:
    whole = gzip.compress(RECORDS)
    if kind == "flipped":
        middle = len(whole) // 2
        return whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]
    return {"cut": whole[: len(whole) // 2], "no gzip": RECORDS, "followed by rubbish": whole + b"rubbish"}[kind]


@pytest.mark.parametrize("kind", ["cut", "flipped", "no gzip", "followed by rubbish"])
def test_a_damaged_gz_is_refused_with_its_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(damaged(kind))
    assert f"{path}:" in refusal(path)
    assert "damaged or cut off" in refusal(path)


@pytest.mark.parametrize("at", [2, 30, 55])
def test_a_gz_with_a_wrong_bit_is_refused(tmp_path: Path, at: int) -> None:
    """Bits of the deflate stream itself, which zlib complains of in its own class."""
    whole = bytearray(gzip.compress(RECORDS))
    whole[at] ^= 0x55
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(bytes(whole))
    assert str(path) in refusal(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"_id": "1", "text": "cut in the mi', "not a JSON object"),
        ('{"a": 1, "a": 2}', "'a' stands there twice"),
        ('{"a": {"b": 1, "b": 1}}', "'b' stands there twice"),
        ('["a"]', "a JSON object was expected"),
        ("1", "a JSON object was expected"),
        ("[" * 100_000, "not a JSON object"),
        ('{"a": ' + "9" * 5_000 + "}", "not a JSON object"),
    ],
    ids=["cut", "repeated key", "repeated inner key", "list", "number", "nested too deep", "5,000 digits"],
)
def test_a_line_that_is_no_json_object_is_refused(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"_id": "0"}\n' + line + "\n")
    with pytest.raises(FormatError) as refused:
        list(read_json_lines(path))
    assert str(refused.value).startswith(f"{path}:2: ")
    assert said in str(refused.value)


def test_json_lines_come_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"b": [2]}\n')
    assert list(read_json_lines(path)) == [(f"{path}:1", {"a": 1}), (f"{path}:3", {"b": [2]})]


def test_unique_keys_keeps_what_is_unique() -> None:
    assert unique_keys([("a", 1), ("b", 2)]) == {"a": 1, "b": 2}


def test_a_file_being_written_has_another_name_until_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as part:
        part.write_text("whole")
        assert not path.exists()
        assert part.parent == path.parent  # a rename does not cross file systems
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("reason", [KeyboardInterrupt, OSError])
def test_a_file_that_was_not_finished_is_gone_and_the_old_one_is_still_there(
    tmp_path: Path, reason: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with writing_text(path) as file:
            file.write("half")
            raise reason

    with pytest.raises(reason):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.txt", ".a.txt.123.part", ".hidden", "a.part"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"a.txt", ".hidden", "a.part"}
