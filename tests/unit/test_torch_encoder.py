"""TorchEncoder on the tiny model; `test_families` holds its weights against the formula."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from splade_lucene.encoding.encoder import load_encoder
from splade_lucene.encoding.layouts import Checkpoint
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.encoding.torch_encoder import TorchEncoder
from splade_lucene.errors import EncoderError, ModelNotFoundError, WeightError
from tests.checkpoints import make_bert

TEXTS = [
    "the cat sleeps",
    "",
    "a fox",
    "the black cat and the brown dog fly over the moon",
    "unheard",
    "fish fish fish",
]


def loaded(folder: Path, **options: Any) -> TorchEncoder:
    encoder = load_encoder(folder, options=EncoderOptions(device="cpu", **options))
    assert isinstance(encoder, TorchEncoder)
    return encoder


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> TorchEncoder:
    return loaded(tiny_model)


def test_the_tiny_model_tells_texts_apart(encoder: TorchEncoder) -> None:
    found = encoder.encode(TEXTS)
    assert len({tuple(found.row(number).items()) for number in range(len(found))}) == len(TEXTS)
    assert 1 < found.row_lengths.min() < found.row_lengths.max() < 60
    assert found.weights.max() > 0.5


def test_rows_come_in_the_order_of_the_texts(encoder: TorchEncoder) -> None:
    found = encoder.encode(TEXTS)
    assert found.ids == ["0", "1", "2", "3", "4", "5"]
    for number, text in enumerate(TEXTS):
        assert found.row(number) == pytest.approx(encoder.encode([text]).row(0), abs=1e-5)


def test_ids_are_those_that_are_given(encoder: TorchEncoder) -> None:
    assert encoder.encode(iter(["a", "cat"]), ids=iter(["x", "é"])).ids == ["x", "é"]
    with pytest.raises(ValueError, match="2 texts and 1 ids"):
        encoder.encode(["a", "cat"], ids=["x"])


def test_no_texts_are_no_rows(encoder: TorchEncoder) -> None:
    assert len(encoder.encode([])) == 0


def test_special_terms_have_no_weight(encoder: TorchEncoder) -> None:
    found = encoder.encode([*TEXTS, "[MASK] [SEP] [PAD] [CLS] [UNK]"])
    assert not set(found.terms.tolist()) & set(encoder.tokenizer.special_ids)


def test_a_long_text_is_cut_and_counted(tiny_model: Path) -> None:
    encoder = loaded(tiny_model, max_length=6)
    found = encoder.encode(["the cat and a", "the cat and a dog", "the cat and a fish in the sea"])
    assert encoder.truncated_texts == 2
    assert found.row(0) == pytest.approx(found.row(1), abs=1e-5)
    assert found.row(0) == pytest.approx(found.row(2), abs=1e-5)
    encoder.encode(["the cat and a dog"])
    assert encoder.truncated_texts == 3


def test_max_length_stays_within_what_the_model_can(tiny_model: Path) -> None:
    assert loaded(tiny_model).identity.max_length == 32
    assert loaded(tiny_model, max_length=9).identity.max_length == 9
    assert loaded(tiny_model, max_length=999).identity.max_length == 40
    with pytest.raises(EncoderError, match="leaves no room for text; it is at least 3"):
        loaded(tiny_model, max_length=2)


def test_the_identity_follows_the_weights_and_not_the_folder(tiny_model: Path, tmp_path: Path) -> None:
    same = shutil.copytree(tiny_model, tmp_path / "same")
    other = shutil.copytree(tiny_model, tmp_path / "other")
    network = AutoModelForMaskedLM.from_pretrained(other)
    with torch.no_grad():
        next(network.parameters())[7, 7] += 1
    network.save_pretrained(other)
    first, second, third = (loaded(each).identity for each in (tiny_model, same, other))
    assert first.fingerprint == second.fingerprint != third.fingerprint
    assert first.vocabulary == second.vocabulary == third.vocabulary


def test_terms_in_a_text(encoder: TorchEncoder) -> None:
    assert encoder.terms_in("The cats sleeping") == ["the", "cat", "##s", "sleep", "##ing"]


def test_a_folder_is_loaded_by_its_name(tiny_model: Path) -> None:
    identity = load_encoder(str(tiny_model), side="queries", options=EncoderOptions(max_length=7)).identity
    assert (identity.name, identity.max_length) == (str(tiny_model), 7)
    assert TorchEncoder(Checkpoint(tiny_model)).identity.name == str(tiny_model)


def test_the_identity_says_all_that_a_vector_depends_on(tiny_model: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"max_length": 7},
        {"precision": "bf16"},
        {"special_terms": "keep"},
        {"top_terms": 3},
        {"min_weight": 0.5},
        {"pooling": "sum"},
        {"activation": "log1p_log1p_relu"},
    ]
    identities = [loaded(tiny_model, **each).identity for each in [{}, *changes]]
    assert len(set(identities)) == len(identities)
    assert identities[0].precision == "fp32"
    assert loaded(tiny_model, batch_tokens=64, threads=1).identity == identities[0]


def test_precisions_agree_roughly(tiny_model: Path, encoder: TorchEncoder) -> None:
    for precision in ("bf16", "fp16"):
        row = loaded(tiny_model, precision=precision).encode(TEXTS[:1]).row(0)
        expected = encoder.encode(TEXTS[:1]).row(0)
        assert all(row.get(term, 0) == pytest.approx(weight, abs=0.1) for term, weight in expected.items())


def test_torch_itself_has_no_int8(tiny_model: Path) -> None:
    with pytest.raises(EncoderError, match="load_encoder exports it to ONNX"):
        TorchEncoder(Checkpoint(tiny_model), EncoderOptions(precision="int8"))


@pytest.mark.parametrize("device", ["cuda:97", "tpu", "cuda:x", ""])
def test_a_device_that_is_not_there_is_refused_and_others_named(tiny_model: Path, device: str) -> None:
    with pytest.raises(EncoderError, match=f"no device '{device}' here; there is .*cpu"):
        load_encoder(tiny_model, options=EncoderOptions(device=device))


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives(tiny_model: Path, encoder: TorchEncoder) -> None:
    gpu = load_encoder(tiny_model, options=EncoderOptions(precision="fp32"))
    assert isinstance(gpu, TorchEncoder)
    assert gpu.device.startswith("cuda")
    for number in range(len(TEXTS)):
        assert gpu.encode(TEXTS).row(number) == pytest.approx(encoder.encode(TEXTS).row(number), abs=1e-3)
    assert load_encoder(tiny_model).identity.precision == "bf16"


# What cannot be loaded


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "copy")


def test_no_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"has no config\.json"):
        load_encoder(tmp_path)
    with pytest.raises(ModelNotFoundError, match=r"has no config\.json"):
        TorchEncoder(Checkpoint(tmp_path))


def test_a_head_is_not_made_up_at_random(copy: Path) -> None:
    AutoModelForMaskedLM.from_pretrained(copy).bert.save_pretrained(copy)
    with pytest.raises(EncoderError, match="BertModel"):
        load_encoder(copy)
    with pytest.raises(EncoderError, match="must not be made up at random"):
        TorchEncoder(Checkpoint(copy))


@pytest.mark.parametrize(
    "damage", ["weights missing", "weights cut", "weights of noise", "no tokenizer", "tokenizer cut", "other tokenizer"]
)
def test_a_damaged_folder_is_refused(copy: Path, damage: str) -> None:
    weights, tokenizer = copy / "model.safetensors", copy / "tokenizer.json"
    if damage == "weights missing":
        weights.unlink()
    elif damage == "weights cut":
        weights.write_bytes(weights.read_bytes()[:1_000])
    elif damage == "weights of noise":
        weights.write_bytes(bytes(range(256)) * 100)
    elif damage == "no tokenizer":
        tokenizer.unlink()
    elif damage == "tokenizer cut":
        tokenizer.write_text(tokenizer.read_text()[:1_000])
    else:
        record = json.loads(tokenizer.read_text())
        record["model"]["vocab"]["one more"] = 99
        tokenizer.write_text(json.dumps(record))
    with pytest.raises(EncoderError, match=str(copy)):
        loaded(copy)


@pytest.mark.parametrize(
    "lie",
    [
        {"hidden_size": 64},
        {"vocab_size": 100},
        {"vocab_size": 60},
        {"num_hidden_layers": 3},
        {"model_type": "distilbert", "architectures": ["DistilBertForMaskedLM"]},
        {"model_type": "roberta", "architectures": ["RobertaForMaskedLM"]},
        {"model_type": "never-heard-of"},
        {"architectures": ["BertModel"]},
        {"architectures": None},
    ],
    ids=str,
)
def test_a_configuration_that_lies_is_refused(copy: Path, lie: dict[str, Any]) -> None:
    config = copy / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | lie))
    with pytest.raises(EncoderError, match=str(copy)):
        loaded(copy)


def test_a_decoder_that_is_too_small_for_the_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "small", vocab_size=60)
    with pytest.raises(EncoderError, match=r"its tokenizer has 66 terms, the network 60: .* different models"):
        loaded(folder)


@pytest.mark.parametrize("options", [{}, {"top_terms": 3}, {"min_weight": 1.0}], ids=str)
def test_a_weight_that_is_no_number_is_refused(copy: Path, options: dict[str, Any]) -> None:
    network = AutoModelForMaskedLM.from_pretrained(copy)
    with torch.no_grad():
        network.get_output_embeddings().bias[20] = np.nan
    network.save_pretrained(copy)
    with pytest.raises(WeightError, match="first: the weight nan of term"):
        loaded(copy, **options).encode(["a cat and a fox", "a cat"], ids=["first", "second"]).row(0)
