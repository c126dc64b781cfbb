"""OnnxEncoder with the model that comes with the package."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_lucene.encoding.encoder import DEFAULT_MODEL, PyseriniQueryEncoder, load_encoder
from splade_lucene.encoding.onnx_encoder import OnnxEncoder
from splade_lucene.encoding.options import EncoderOptions
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
    return OnnxEncoder(DEFAULT_MODEL, EncoderOptions(threads=1))


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
    encoder = OnnxEncoder(DEFAULT_MODEL, EncoderOptions(max_length=8, threads=1))
    first, second = (encoder.encode(["open a file and read " + rest]).row(0) for rest in ("it", "it again and again"))
    assert encoder.truncated_texts == 1
    assert first == pytest.approx(second, abs=1e-4)
    assert OnnxEncoder(DEFAULT_MODEL, EncoderOptions(max_length=9_999)).identity.max_length == 256


def test_the_identity_is_that_of_the_files(encoder: OnnxEncoder, tmp_path: Path) -> None:
    same = shutil.copytree(DEFAULT_MODEL, tmp_path / "same")
    assert OnnxEncoder(same).identity == encoder.identity == OnnxEncoder(DEFAULT_MODEL).identity
    assert encoder.identity.vocabulary == encoder.vocabulary.fingerprint


def test_special_terms_may_be_kept() -> None:
    special = "[CLS]"
    kept = load_encoder("default", options=EncoderOptions(special_terms="keep")).encode([f"a file {special}"]).row(0)
    dropped = load_encoder("default").encode([f"a file {special}"]).row(0)
    assert {term: weight for term, weight in kept.items() if term in dropped} == dropped
    assert special in kept
    assert special not in dropped


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"precision": "fp32"}, "has precision int8, and fp32 was asked for"),
        ({"pooling": "sum"}, "has pooling max, and sum was asked for"),
        ({"activation": "log1p_log1p_relu"}, "has activation log1p_relu"),
        ({"device": "mps"}, "onnxruntime has no device 'mps' here; it has cpu"),
        ({"device": "tpu"}, "onnxruntime has no device 'tpu' here"),
    ],
)
def test_what_the_export_fixed_cannot_be_chosen_anew(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(EncoderError, match=said):
        load_encoder("default", options=EncoderOptions(**wanted))


def test_what_it_has_may_be_asked_for(encoder: OnnxEncoder) -> None:
    same = EncoderOptions(precision="int8", pooling="max", activation="log1p_relu", device="cpu")
    assert load_encoder("default", options=same).identity == encoder.identity


def test_the_configuration_may_name_prompts_and_how_many_terms_are_kept(encoder: OnnxEncoder, tmp_path: Path) -> None:
    folder = shutil.copytree(DEFAULT_MODEL, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    added = {"prompts": {"query": "open "}, "top_terms": 3, "pad_id": 1}
    (folder / "config.json").write_text(json.dumps(config | added))
    row = load_encoder(folder, side="queries").encode(["a file"]).row(0)
    whole = encoder.encode(["open a file"]).row(0)
    assert row == {term: whole[term] for term in sorted(whole, key=lambda term: -whole[term])[:3]}
    assert load_encoder(folder).encode(["open a file"]).row(0) == row
    assert load_encoder(folder).tokenizer.pad_id == 1


def test_the_queries_of_an_export_may_be_looked_up(encoder: OnnxEncoder, tmp_path: Path) -> None:
    folder = shutil.copytree(DEFAULT_MODEL, tmp_path / "copy")
    (folder / "idf.json").write_text('{"file": 4.5}')
    assert isinstance(load_encoder(folder), OnnxEncoder)
    queries = load_encoder(folder, side="queries")
    assert queries.encode(["a file"]).row(0) == {"a": 1.0, "file": 4.5}
    assert queries.identity.vocabulary == encoder.identity.vocabulary
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"query_table": {"missing": 0.0}}))
    assert load_encoder(folder, side="queries").encode(["a file"]).row(0) == {"file": 4.5}


def test_no_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        OnnxEncoder(tmp_path / "none")
    with pytest.raises(ModelNotFoundError):
        OnnxEncoder(tmp_path)


@pytest.mark.parametrize(
    "damage",
    ["no network", "network cut", "no tokenizer", "other tokenizer", "config cut", "config", "kind", "version"],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(DEFAULT_MODEL, tmp_path / "copy")
    network, config = folder / "model.onnx", json.loads((folder / "config.json").read_text())
    if damage == "no network":
        network.unlink()
    elif damage == "network cut":
        network.write_bytes(network.read_bytes()[:100_000])
    elif damage == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif damage == "other tokenizer":
        record = json.loads((folder / "tokenizer.json").read_text())
        record["model"]["vocab"]["one more"] = 30_522
        (folder / "tokenizer.json").write_text(json.dumps(record))
    elif damage == "config cut":
        (folder / "config.json").write_text("{")
    elif damage == "config":
        (folder / "config.json").write_text(json.dumps({"format": config["format"], "format_version": 1, "name": "x"}))
    elif damage == "kind":
        (folder / "config.json").write_text(json.dumps(config | {"max_length": "256"}))
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
