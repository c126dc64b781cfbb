"""OnnxEncoder with the model that comes with the package."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from splade_lucene.encoding.encoder import DEFAULT_MODEL, OnnxEncoder, PyseriniQueryEncoder, load_encoder
from splade_lucene.errors import EncoderError, ModelNotFoundError
from splade_lucene.quantization import Quantizer

TEXTS = [
    "How do I read a file line by line?",
    "",
    "sort",
    "Open a socket and wait for a connection. " * 9,
    "naïve café",
]


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    return OnnxEncoder(DEFAULT_MODEL, threads=1)


def test_default_is_a_name() -> None:
    assert isinstance(load_encoder("default"), OnnxEncoder)


def test_rows_come_in_the_order_of_the_texts(encoder: OnnxEncoder) -> None:
    found = encoder.encode(TEXTS, ids="abcde")
    assert list(found.ids) == list("abcde")
    assert found.row(2).keys() >= {"sort"}
    assert found.row(4).keys() >= {"naive", "cafe"}


def test_a_vector_does_not_depend_on_its_batch(encoder: OnnxEncoder) -> None:
    """Neither on neighbours nor on padding: integer matrices with one scale a row see to it."""
    alone = [encoder.encode([text]).row(0) for text in TEXTS]
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 3, 2, 3, 2]):
        together = encoder.encode([TEXTS[number] for number in order])
        for row, number in enumerate(order):
            assert together.row(row).keys() == alone[number].keys()
            assert together.row(row) == pytest.approx(alone[number], abs=1e-4)


def test_weights_are_positive_and_specials_have_none(encoder: OnnxEncoder) -> None:
    found = encoder.encode([*TEXTS, "[MASK] [SEP] [UNK]"])
    assert (found.weights > 0).all()
    assert found.weights.dtype == np.float32
    assert not set(found.terms.tolist()) & set(encoder.tokenizer.special_ids)


def test_a_word_finds_its_relatives(encoder: OnnxEncoder) -> None:
    (row,) = (encoder.encode(["a file"]).row(0),)
    assert max(row, key=lambda term: row[term]) == "file"
    assert "files" in row
    assert encoder.terms_in("a file") == ["a", "file"]


def test_a_long_text_is_cut_and_counted() -> None:
    encoder = OnnxEncoder(DEFAULT_MODEL, max_length=8, threads=1)
    first, second = (encoder.encode(["open a file and read " + rest]).row(0) for rest in ("it", "it again and again"))
    assert encoder.truncated_texts == 1
    assert first == pytest.approx(second, abs=1e-4)
    assert OnnxEncoder(DEFAULT_MODEL, max_length=9_999).identity.max_length == 256


def test_the_identity_is_that_of_the_files(encoder: OnnxEncoder, tmp_path: Path) -> None:
    same = shutil.copytree(DEFAULT_MODEL, tmp_path / "same")
    assert OnnxEncoder(same).identity == encoder.identity == OnnxEncoder(DEFAULT_MODEL).identity
    assert encoder.identity.vocabulary == encoder.vocabulary.fingerprint


def test_no_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        OnnxEncoder(tmp_path / "none")
    with pytest.raises(ModelNotFoundError):
        OnnxEncoder(tmp_path)


@pytest.mark.parametrize("damage", ["no network", "network cut", "no tokenizer", "config cut", "config", "version"])
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(DEFAULT_MODEL, tmp_path / "copy")
    network, config = folder / "model.onnx", json.loads((folder / "config.json").read_text())
    if damage == "no network":
        network.unlink()
    elif damage == "network cut":
        network.write_bytes(network.read_bytes()[:100_000])
    elif damage == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif damage == "config cut":
        (folder / "config.json").write_text("{")
    elif damage == "config":
        (folder / "config.json").write_text(json.dumps({"format": config["format"], "format_version": 1, "name": "x"}))
    else:
        (folder / "config.json").write_text(json.dumps(config | {"format_version": 2}))
    with pytest.raises(EncoderError, match=str(folder)):
        OnnxEncoder(folder)


@pytest.mark.parametrize("content", ["[]", "5", "null", '"text"'])
def test_a_configuration_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(EncoderError, match=r"config\.json"):
        OnnxEncoder(tmp_path)


def test_pyserini_gets_impacts(encoder: OnnxEncoder) -> None:
    impacts = PyseriniQueryEncoder(encoder).encode("read a file")
    assert impacts == Quantizer()(encoder.encode(["read a file"])).row(0)
    assert {type(each) for each in impacts.values()} == {int}
    halved = PyseriniQueryEncoder(encoder, Quantizer(50)).encode("read a file")
    assert all(abs(2 * each - impacts[term]) <= 2 for term, each in halved.items())
