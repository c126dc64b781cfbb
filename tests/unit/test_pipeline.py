"""Encoding a collection: what an interruption leaves, what parts are, and what a folder refuses."""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_lucene.datasets import Doc, Passages, Query
from splade_lucene.encoding.encoder import TextEncoder
from splade_lucene.encoding.pipeline import CollectionOptions, encode_collection
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.encoding.tokenizer import Tokens
from splade_lucene.errors import ConfigError, EncoderError, FormatError, WeightError
from splade_lucene.vector_files import read_vectors
from splade_lucene.vector_folders import Part, VectorFolder, open_vectors
from splade_lucene.vectors import TermVectors
from tests.helpers import as_rows, tiny_tokenizer

WORDS = ["cat", "dog", "fish", "", "unheard", "sun moon sea sky", "fox " * 20]
DOCUMENTS = [Doc(f"d{number}", "the" if number % 3 else "", WORDS[number % 7]) for number in range(23)]
SHARD = 4  # 23 documents: five shards of 4 and one of 3


def an_encoder(**table: float) -> IdfEncoder:
    return IdfEncoder(tiny_tokenizer(8), {"the": 0.25} | table)


class Stopped(BaseException):
    """What stops a run in these tests; no code of ours catches it."""


class StoppedEncoder(IdfEncoder):
    """Encodes so many shards and then stops."""

    def __init__(self, shards: int) -> None:
        super().__init__(tiny_tokenizer(8), {"the": 0.25})
        self.shards = shards

    def encode_tokens(
        self, tokens: Sequence[Tokens], *, ids: Sequence[str], progress: Callable[[int], None] = lambda count: None
    ) -> TermVectors:
        if self.shards == 0:
            raise Stopped
        self.shards -= 1
        return super().encode_tokens(tokens, ids=ids, progress=progress)


class ScalingEncoder(IdfEncoder):
    """Multiplies all weights."""

    def __init__(self, factor: float) -> None:
        super().__init__(tiny_tokenizer(8), {})
        self.factor = factor

    def encode_tokens(
        self, tokens: Sequence[Tokens], *, ids: Sequence[str], progress: Callable[[int], None] = lambda count: None
    ) -> TermVectors:
        vectors = super().encode_tokens(tokens, ids=ids, progress=progress)
        return replace(vectors, weights=vectors.weights * np.float32(self.factor))


def run(
    output: Path,
    encoder: TextEncoder | None = None,
    documents: Iterable[Doc | Query] = DOCUMENTS,
    *,
    source: str = "toy",
    **options: Any,
) -> VectorFolder:
    how = CollectionOptions(**options)
    return encode_collection(encoder or an_encoder(), documents, output, source=source, options=how, shard_size=SHARD)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(
    output: Path, encoder: TextEncoder | None = None, documents: Iterable[Doc] = DOCUMENTS, **options: Any
) -> str:
    before = files(output) if output.is_dir() else {}
    with pytest.raises(ConfigError) as refused:
        run(output, encoder, documents, **options)
    assert (files(output) if output.is_dir() else {}) == before
    return str(refused.value)


def test_a_doc_id_that_stands_there_twice_is_refused_before_it_is_encoded(tmp_path: Path) -> None:
    class Unused(ScalingEncoder):
        def encode_tokens(self, *arguments: Any, **more: Any) -> TermVectors:
            raise AssertionError

    with pytest.raises(FormatError, match="toy: the id 'd1' stands there twice"):
        run(tmp_path / "v", Unused(2.0), [Doc("d1", "", "cat"), Doc("d1", "", "dog")])


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
    assert [shard.documents for shard in folder.shards] == [4, 4, 4, 4, 4, 3]
    assert folder.documents == folder.total == 23
    rows = [row for batch in folder.read() for row in as_rows(batch).values()]
    assert sum(shard.empty for shard in folder.shards) == sum(not row for row in rows) == 2
    assert sum(shard.truncated for shard in folder.shards) == 3  # d6, d13, d20
    assert (folder.source, folder.encoder, folder.shard_size) == ("toy", an_encoder().identity, SHARD)


@pytest.mark.parametrize("shards", range(6))
def test_a_run_stopped_in_any_shard_goes_on_and_gives_the_same(tmp_path: Path, undisturbed: Path, shards: int) -> None:
    with pytest.raises(Stopped):
        run(tmp_path / "out", StoppedEncoder(shards))
    resumed = StoppedEncoder(99)
    run(tmp_path / "out", resumed)
    assert files(tmp_path / "out") == files(undisturbed)
    assert 99 - resumed.shards == 6 - shards  # whole shards were not encoded again


@pytest.mark.parametrize("step", range(15))
def test_a_run_killed_before_any_file_appears_goes_on(
    tmp_path: Path, undisturbed: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process has renamed so many files and not the next; its half-written one stays under another name."""
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
    assert files(tmp_path / "out") == files(undisturbed)


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
        run(tmp_path / "out", StoppedEncoder(2))
    encode_collection(an_encoder(), DOCUMENTS, tmp_path / "out", source="toy", shard_size=7)
    assert files(tmp_path / "out") == files(undisturbed)


def test_progress_counts_every_text_once(tmp_path: Path) -> None:
    for _ in range(2):
        seen: list[int] = []
        encode_collection(an_encoder(), DOCUMENTS, tmp_path, source="toy", shard_size=SHARD, progress=seen.append)
        assert sum(seen) == 23


def test_queries_are_encoded_alike(tmp_path: Path) -> None:
    folder = run(tmp_path, documents=[Query("q1", "the cat")])
    assert [as_rows(batch) for batch in folder.read()] == [{"q1": {"the": 0.25, "cat": 1.0}}]


def test_texts_are_tokenized_one_shard_ahead_and_no_further() -> None:
    """While the network has shard n, another thread reads and tokenizes shard n + 1, and none after it."""
    read: list[str] = []
    seen: list[tuple[int, int]] = []
    tokenizing: set[str] = set()

    def documents() -> Iterator[Doc]:
        for doc in DOCUMENTS:
            read.append(doc.doc_id)
            yield doc

    class Watching(IdfEncoder):
        def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
            tokenizing.add(threading.current_thread().name)
            return super().tokenize(texts)

        def encode_tokens(
            self, tokens: Sequence[Tokens], *, ids: Sequence[str], progress: Callable[[int], None] = lambda count: None
        ) -> TermVectors:
            seen.append((int(ids[-1][1:]) + 1, len(read)))
            return super().encode_tokens(tokens, ids=ids, progress=progress)

    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), Watching(tiny_tokenizer(8), {}), documents())
    assert len(seen) == 6
    assert all(encoded <= known <= encoded + SHARD for encoded, known in seen)
    assert threading.current_thread().name not in tokenizing


# What is stored


def test_float16_halves_the_weights_and_is_read_as_float32(tmp_path: Path) -> None:
    folder = run(tmp_path, an_encoder(cat=0.1, dog=1e-9), weights="float16")
    assert folder.weights == "float16"
    rows = {row_id: row for batch in folder.read() for row_id, row in as_rows(batch).items()}
    assert rows["d0"] == {"cat": float(np.float16(0.1))}
    assert rows["d1"] == {"the": 0.25}  # dog weighs nothing in float16
    assert {batch.weights.dtype for batch in folder.read()} == {np.dtype(np.float32)}
    assert sum(shard.dropped for shard in folder.shards) == sum(doc.text == "dog" for doc in DOCUMENTS) == 4
    assert sum(shard.empty for shard in folder.shards) == sum(not row for row in rows.values())


@pytest.mark.parametrize("weight", [65_520.0, 1e30])
def test_a_weight_beyond_float16_is_refused_by_name(tmp_path: Path, weight: float) -> None:
    with pytest.raises(WeightError, match=r"d0: the weight .* of term 'cat' is beyond float16.*store .* as float32"):
        run(tmp_path, an_encoder(cat=weight), weights="float16")
    assert run(tmp_path / "float32", an_encoder(cat=weight)).complete


def test_passages_are_cut_and_remembered(tmp_path: Path) -> None:
    folder = run(tmp_path, documents=[Doc("d", "the", "cat dog fish"), Doc("e", "", "")], passages=Passages(2, 1))
    rows = {row_id: set(row) for batch in folder.read() for row_id, row in as_rows(batch).items()}
    assert rows == {"d#0": {"the", "cat", "dog"}, "d#1": {"the", "dog", "fish"}, "e#0": set()}
    assert folder.passages == VectorFolder.open(tmp_path).passages == Passages(2, 1)
    assert folder.total == 3


def test_queries_are_not_cut(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="queries are not cut into passages"):
        run(tmp_path, documents=[Query("q", "cat")], passages=Passages(2, 1))


# Models that give nothing usable


def test_a_model_that_emits_nothing_is_stopped_after_its_first_shard(tmp_path: Path) -> None:
    encoded: list[int] = []
    with pytest.raises(EncoderError, match="not one of the first 4 texts a term: the model has collapsed"):
        encode_collection(
            ScalingEncoder(0), DOCUMENTS, tmp_path / "out", source="toy", shard_size=SHARD, progress=encoded.append
        )
    assert sum(encoded) == SHARD
    assert not (tmp_path / "out").exists()
    run(tmp_path / "out")  # the folder is free for a better model


def test_empty_texts_may_have_empty_vectors(tmp_path: Path) -> None:
    documents = [Doc(f"d{number}", "", ["", "unheard", " "][number % 3]) for number in range(9)]
    assert sum(shard.empty for shard in run(tmp_path, documents=documents).shards) == 9


def test_a_weight_that_is_no_number_is_named_and_the_folder_can_be_gone_on_with(
    tmp_path: Path, undisturbed: Path
) -> None:
    class Sick(StoppedEncoder):
        def encode_tokens(
            self, tokens: Sequence[Tokens], *, ids: Sequence[str], progress: Callable[[int], None] = lambda count: None
        ) -> TermVectors:
            vectors = IdfEncoder.encode_tokens(self, tokens, ids=ids)
            if "d9" in ids:
                vectors.weights[vectors.indptr[list(ids).index("d9")]] = np.nan
            return replace(vectors)

    with pytest.raises(WeightError, match="d9: the weight nan of term 'fish'"):
        run(tmp_path / "out", Sick(9))
    assert VectorFolder.open(tmp_path / "out").documents == 8
    run(tmp_path / "out")
    assert files(tmp_path / "out") == files(undisturbed)


# Parts


def parts_of(output: Path, count: int, **options: Any) -> None:
    for number in range(1, count + 1):
        run(output, part=Part(number, count), **options)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_parts_are_together_the_whole(tmp_path: Path, undisturbed: Path, count: int) -> None:
    parts_of(tmp_path / "out", count)
    assert list(read_vectors(tmp_path / "out")) == list(read_vectors(undisturbed))
    merged = open_vectors(tmp_path / "out")
    assert merged is not None
    assert (merged.documents, merged.encoder, merged.passages) == (23, an_encoder().identity, None)
    whole = VectorFolder.open(undisturbed)
    assert merged.shards == whole.shards
    for shard in whole.shards:  # the very same files
        (copy,) = (tmp_path / "out").rglob(shard.file)
        assert copy.read_bytes() == (undisturbed / shard.file).read_bytes()


def test_a_part_that_was_stopped_goes_on(tmp_path: Path) -> None:
    parts_of(tmp_path / "undisturbed", 2)
    with pytest.raises(Stopped):
        run(tmp_path / "out", StoppedEncoder(1), part=Part(2, 2))
    parts_of(tmp_path / "out", 2)
    assert files(tmp_path / "out") == files(tmp_path / "undisturbed")


def damaged(tmp_path: Path, harm: Callable[[Path], object]) -> str:
    """What is said of three parts after something was done to them."""
    parts_of(tmp_path, 3)
    harm(tmp_path)
    with pytest.raises(FormatError) as refused:
        list(read_vectors(tmp_path))
    return str(refused.value)


def remake(part: int, **options: Any) -> Callable[[Path], object]:
    """Encode one part anew, otherwise."""

    def harm(folder: Path) -> None:
        shutil.rmtree(folder / f"part-{part}-of-3")
        run(folder, part=Part(part, 3), **options)

    return harm


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: shutil.rmtree(folder / "part-2-of-3"), "part-2-of-3 is missing; encode it with --shard 2/3"),
        (lambda folder: (folder / "part-1-of-2").mkdir(), "part-1-of-2 and part-1-of-3, which are parts of two"),
        (
            lambda folder: shutil.copytree(folder / "part-1-of-3", folder / "part-2-of-3", dirs_exist_ok=True),
            "part-2-of-3: by its record it is part 1 of 3",
        ),
        (
            lambda folder: replace(VectorFolder.open(folder / "part-3-of-3"), complete=False).save(),
            "part-3-of-3: this part is not finished (7 vectors so far)",
        ),
        (
            remake(2, encoder=an_encoder(cat=2.0)),
            "part-2-of-3 was encoded otherwise than part-1-of-3, with the encoder idf@",
        ),
        (remake(2, weights="float16"), "with the weights float16, not float32"),
        (remake(3, passages=Passages(9, 9)), "with the passages 9 words every 9, not None"),
        (remake(3, documents=DOCUMENTS[:22]), "with the total 22, not 23"),
        (remake(3, documents=[Doc("d0", "", "x"), *DOCUMENTS[1:]]), "with the input digest "),
        (
            lambda folder: replace(VectorFolder.open(folder / "part-3-of-3"), shards=()).save(),
            "its parts hold 8, 8, 0 vectors, the input has 23 texts",
        ),
        (lambda folder: (folder / "part-2-of-3" / "vectors.json").write_text("{"), "part-2-of-3/vectors.json: not a"),
        (lambda folder: next(folder.glob("part-2-of-3/*.parquet")).unlink(), "part-2-of-3/shard-00001.parquet: miss"),
    ],
    ids=[
        *("missing", "of another number", "renamed", "unfinished", "model", "weights", "passages", "total", "input"),
        *("too few", "record", "shard"),
    ],
)
def test_parts_that_are_not_one_encoding_are_refused_by_name(
    tmp_path: Path, harm: Callable[[Path], object], said: str
) -> None:
    assert said in damaged(tmp_path, harm)


def test_a_part_alone_is_not_read_as_if_it_were_all(tmp_path: Path) -> None:
    parts_of(tmp_path, 2)
    with pytest.raises(FormatError, match="is part 1 of 2 of an encoding; give the folder that holds all 2 parts"):
        list(read_vectors(tmp_path / "part-1-of-2"))


def test_a_folder_holds_one_encoding(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    assert "holds an encoding that is not parted" in refusal(tmp_path / "whole", part=Part(1, 2))
    run(tmp_path / "parts", part=Part(1, 2))
    assert "holds part 1 of 2, and this would be the whole" in refusal(tmp_path / "parts")
    assert "holds part 1 of 2, and this would be part 1 of 3" in refusal(tmp_path / "parts", part=Part(1, 3))


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1 / 2", "1/" + "9" * 20])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="parts are i/n with i from 1 to n"):
        Part.parse(text)


@pytest.mark.parametrize("records", [0, 1, 4, 5, 23, 24])
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_shares_of_parts_sum_to_all(records: int, parts: int) -> None:
    shares = [Part(number, parts).share(records, SHARD) for number in range(1, parts + 1)]
    assert sum(shares) == records
    of_shards = [sum(shard // SHARD % parts == number for shard in range(records)) for number in range(parts)]
    assert shares == of_shards


def test_a_part_is_split_among_devices() -> None:
    assert Part(2, 3).split(2) == [Part(2, 6), Part(5, 6)]
    halves = [half for number in (1, 2, 3) for half in Part(number, 3).split(2)]
    assert sorted(half.number for half in halves) == [1, 2, 3, 4, 5, 6]


# Refusals


def test_another_model_is_refused_and_both_are_named(undisturbed: Path) -> None:
    said = refusal(undisturbed, an_encoder(cat=2.0))
    assert str(an_encoder().identity) in said
    assert str(an_encoder(cat=2.0).identity) in said


def test_another_limit_is_another_model(undisturbed: Path) -> None:
    assert "max_length 9" in refusal(undisturbed, IdfEncoder(tiny_tokenizer(9), {"the": 0.25}))


def test_how_the_model_was_called_makes_no_other_model(undisturbed: Path) -> None:
    """Its path differs from machine to machine; its content is what counts."""
    before = files(undisturbed)
    run(undisturbed, IdfEncoder(tiny_tokenizer(8), {"the": 0.25}, name="elsewhere/model"))
    assert files(undisturbed) == before


def test_what_a_short_name_does_not_show_is_named(undisturbed: Path) -> None:
    folder = VectorFolder.open(undisturbed)
    replace(folder, encoder=replace(folder.encoder, pooling="sum")).save()
    assert "they differ in pooling" in refusal(undisturbed)


@pytest.mark.parametrize("changed", [0, 3, 4, 22])
@pytest.mark.parametrize("change", [{"text": "another text"}, {"doc_id": "another-id"}], ids=str)
def test_other_texts_are_refused(undisturbed: Path, changed: int, change: dict[str, str]) -> None:
    others = [*DOCUMENTS[:changed], DOCUMENTS[changed]._replace(**change), *DOCUMENTS[changed + 1 :]]
    said = refusal(undisturbed, documents=others, source="other.jsonl")
    assert "was begun from other texts than other.jsonl (it was begun from toy) has now" in said


@pytest.mark.parametrize("count", [23, 16, 8])
def test_more_texts_than_before_are_refused(tmp_path: Path, count: int) -> None:
    run(tmp_path, documents=DOCUMENTS[:count])
    more = [*DOCUMENTS, Doc("d23", "", "cat")]
    assert "name another folder" in refusal(tmp_path, documents=more)


@pytest.mark.parametrize("count", [22, 21, 20, 8, 1, 0])
def test_fewer_texts_than_before_are_refused(undisturbed: Path, count: int) -> None:
    assert "name another folder" in refusal(undisturbed, documents=DOCUMENTS[:count])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": "float16"}, "the weights float32, not float16"),
        ({"passages": Passages(5, 3)}, "the passages None, not 5 words every 3"),
        ({"scale": 51.2}, "the scale None, not 51.2"),
    ],
    ids=lambda given: str(given)[:20],
)
def test_other_options_than_before_are_refused_and_both_are_named(
    undisturbed: Path, options: dict[str, Any], said: str
) -> None:
    assert said in refusal(undisturbed, **options)


def test_other_texts_in_another_part_are_noticed(tmp_path: Path) -> None:
    run(tmp_path, part=Part(1, 2))
    for others in (
        DOCUMENTS[:22],
        [*DOCUMENTS, Doc("d23", "", "x")],
        [*DOCUMENTS[:5], Doc("x", "", ""), *DOCUMENTS[6:]],
    ):
        assert "name another folder" in refusal(tmp_path, documents=others, part=Part(1, 2))


def test_a_foreign_folder_or_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    assert "was not begun by encode" in refusal(tmp_path)
    assert "was not begun by encode" in refusal(tmp_path / "precious.txt")


def test_no_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="toy has no texts"):
        run(tmp_path / "out", documents=[])
