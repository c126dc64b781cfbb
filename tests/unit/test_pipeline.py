"""Encoding a collection: what an interruption leaves, and what a folder refuses."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from splade_lucene.datasets import Doc, Query
from splade_lucene.encoding import pipeline
from splade_lucene.encoding.encoder import IdfEncoder
from splade_lucene.encoding.pipeline import encode_collection
from splade_lucene.errors import ConfigError
from splade_lucene.vector_files import VectorFolder, read_vectors
from splade_lucene.vectors import TermVectors
from tests.helpers import as_rows, tiny_tokenizer

WORDS = ["cat", "dog", "fish", "", "unheard", "sun moon sea sky", "fox " * 20]
DOCUMENTS = [Doc(f"d{number}", "the" if number % 3 else "", WORDS[number % 7]) for number in range(23)]
SHARD, WINDOW = 8, 3  # 23 documents: shards of 8, 8 and 7, each of windows of 3, 3 and 2 or 1


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "WINDOW", WINDOW)


def an_encoder(**table: float) -> IdfEncoder:
    return IdfEncoder(tiny_tokenizer(8), {"the": 0.25} | table)


class Stopped(BaseException):
    """What stops a run in these tests; no code of ours catches it."""


class StoppedEncoder(IdfEncoder):
    """Encodes so many windows and then stops."""

    def __init__(self, windows: int) -> None:
        super().__init__(tiny_tokenizer(8), {"the": 0.25})
        self.windows = windows

    def encode(self, texts: Iterable[str], *, ids: Iterable[str] | None = None) -> TermVectors:
        if self.windows == 0:
            raise Stopped
        self.windows -= 1
        return super().encode(texts, ids=ids)


def run(output: Path, encoder: IdfEncoder | None = None, documents: Iterable[Doc | Query] = DOCUMENTS) -> VectorFolder:
    return encode_collection(encoder or an_encoder(), documents, output, source="toy", shard_size=SHARD)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(output: Path, encoder: IdfEncoder | None = None, documents: Iterable[Doc] = DOCUMENTS) -> str:
    before = files(output) if output.is_dir() else {}
    with pytest.raises(ConfigError) as refused:
        run(output, encoder, documents)
    assert (files(output) if output.is_dir() else {}) == before
    return str(refused.value)


@pytest.fixture
def undisturbed(tmp_path: Path) -> Path:
    run(tmp_path / "undisturbed")
    return tmp_path / "undisturbed"


def test_vectors_out_are_texts_in(undisturbed: Path) -> None:
    whole = TermVectors.concatenate(list(read_vectors(undisturbed)))
    texts, ids = ([each.default_text() for each in DOCUMENTS], [each.doc_id for each in DOCUMENTS])
    assert whole == an_encoder().encode(texts, ids=ids)


def test_the_record_counts_what_was_cut_and_what_is_empty(undisturbed: Path) -> None:
    folder = VectorFolder.open(undisturbed)
    assert folder.complete
    assert [shard.documents for shard in folder.shards] == [8, 8, 7]
    assert folder.documents == 23
    rows = [row for batch in folder.read() for row in as_rows(batch).values()]
    assert sum(shard.empty for shard in folder.shards) == sum(not row for row in rows) == 2
    assert sum(shard.truncated for shard in folder.shards) == 3  # d6, d13, d20
    assert (folder.source, folder.encoder, folder.shard_size) == ("toy", an_encoder().identity, SHARD)


@pytest.mark.parametrize("windows", range(9))
def test_a_run_stopped_at_any_window_goes_on_and_gives_the_same(
    tmp_path: Path, undisturbed: Path, windows: int
) -> None:
    with pytest.raises(Stopped):
        run(tmp_path / "out", StoppedEncoder(windows))
    resumed = StoppedEncoder(99)
    run(tmp_path / "out", resumed)
    assert files(tmp_path / "out") == files(undisturbed)
    assert 99 - resumed.windows == 9 - windows // 3 * 3  # whole shards were not encoded again


@pytest.mark.parametrize("step", range(8))
def test_a_run_killed_before_any_file_appears_goes_on(
    tmp_path: Path, undisturbed: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process has renamed so many files and not the next; its half-written one stays under another name."""
    import os

    renamed: list[object] = []
    rename = os.replace

    def killed(source: Path, target: Path) -> None:
        if len(renamed) == step:
            (target.parent / f".{target.name}.0.part").write_bytes(b"half")
            raise Stopped
        renamed.append(target)
        rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(Stopped):
            run(tmp_path / "out")
    run(tmp_path / "out")
    assert {name: data for name, data in files(tmp_path / "out").items() if name[0] != "."} == files(undisturbed)


def test_a_source_that_breaks_off_is_no_end(tmp_path: Path, undisturbed: Path) -> None:
    def broken() -> Iterator[Doc]:
        yield from DOCUMENTS[:16]
        raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path / "out", documents=broken())
    assert not VectorFolder.open(tmp_path / "out").complete
    run(tmp_path / "out")
    assert files(tmp_path / "out") == files(undisturbed)


def test_a_finished_folder_is_left_as_it_is(undisturbed: Path) -> None:
    before = files(undisturbed)
    run(undisturbed, StoppedEncoder(0))
    assert files(undisturbed) == before


def test_a_folder_is_finished_with_the_shard_size_it_was_begun_with(tmp_path: Path, undisturbed: Path) -> None:
    with pytest.raises(Stopped):
        run(tmp_path / "out", StoppedEncoder(4))
    encode_collection(an_encoder(), DOCUMENTS, tmp_path / "out", source="toy", shard_size=5)
    assert files(tmp_path / "out") == files(undisturbed)


def test_progress_counts_every_text_once(tmp_path: Path) -> None:
    for _ in range(2):
        seen: list[int] = []
        encode_collection(an_encoder(), DOCUMENTS, tmp_path, source="toy", shard_size=SHARD, progress=seen.append)
        assert sum(seen) == 23


def test_queries_are_encoded_alike(tmp_path: Path) -> None:
    folder = run(tmp_path, documents=[Query("q1", "the cat")])
    assert [as_rows(batch) for batch in folder.read()] == [{"q1": {"the": 0.25, "cat": 1.0}}]


# Refusals


def test_another_model_is_refused_and_both_are_named(undisturbed: Path) -> None:
    said = refusal(undisturbed, an_encoder(cat=2.0))
    assert str(an_encoder().identity) in said
    assert str(an_encoder(cat=2.0).identity) in said


def test_another_limit_is_another_model(undisturbed: Path) -> None:
    assert "max_length 9" in refusal(undisturbed, IdfEncoder(tiny_tokenizer(9), {"the": 0.25}))


@pytest.mark.parametrize("changed", [0, 7, 8, 22])
@pytest.mark.parametrize("doc", [Doc("d0", "", "another text"), Doc("another-id", "", "cat")])
def test_other_texts_are_refused(undisturbed: Path, changed: int, doc: Doc) -> None:
    others = [*DOCUMENTS[:changed], doc, *DOCUMENTS[changed + 1 :]]
    assert "was begun from other texts" in refusal(undisturbed, documents=others)


@pytest.mark.parametrize("count", [23, 16, 8])
def test_more_texts_than_before_are_refused(tmp_path: Path, count: int) -> None:
    run(tmp_path, documents=DOCUMENTS[:count])
    more = [*DOCUMENTS, Doc("d23", "", "cat")]
    assert "name another folder" in refusal(tmp_path, documents=more)


@pytest.mark.parametrize("count", [22, 17, 16, 8, 1, 0])
def test_fewer_texts_than_before_are_refused(undisturbed: Path, count: int) -> None:
    assert "name another folder" in refusal(undisturbed, documents=DOCUMENTS[:count])


def test_a_foreign_folder_or_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    assert "was not begun by encode" in refusal(tmp_path)
    assert "was not begun by encode" in refusal(tmp_path / "precious.txt")


def test_no_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="toy has no texts"):
        run(tmp_path / "out", documents=[])
