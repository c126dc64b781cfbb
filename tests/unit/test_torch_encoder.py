"""TorchEncoder on the tiny model, against the formula written as loops."""

import json
import math
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForMaskedLM

from splade_lucene.encoding.encoder import TorchEncoder, load_encoder
from splade_lucene.errors import EncoderError, ModelNotFoundError, WeightError
from splade_lucene.vectors import TermWeights
from tests.helpers import SPECIALS, WORDS, tiny_tokenizer

TEXTS = [
    "the cat sleeps",
    "",
    "a fox",
    "the black cat and the brown dog fly over the moon",
    "unheard",
    "fish fish fish",
]


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> TorchEncoder:
    return TorchEncoder(str(tiny_model), device="cpu")


@pytest.fixture(scope="module")
def summing(tiny_model: Path) -> TorchEncoder:
    return TorchEncoder(str(tiny_model), pooling="sum", device="cpu")


@pytest.fixture(scope="module")
def network(tiny_model: Path) -> nn.Module:
    return AutoModelForMaskedLM.from_pretrained(tiny_model).eval()


def reference(network: nn.Module, text: str, pool: Callable[[Iterable[float]], float]) -> TermWeights:
    """w_j = pool over positions i of log(1 + max(0, logit_ij)), one text and one term at a time."""
    (tokens,) = tiny_tokenizer(32)([text])
    with torch.no_grad():
        logits = network(input_ids=torch.tensor([tokens.ids])).logits[0].tolist()
    weights = {
        term: pool(math.log(1 + max(0.0, position[number])) for position in logits)
        for number, term in enumerate((*SPECIALS, *WORDS))
    }
    return {term: weight for term, weight in weights.items() if weight > 0 and term not in SPECIALS}


@pytest.mark.parametrize("text", TEXTS)
def test_weights_are_the_formulas(encoder: TorchEncoder, summing: TorchEncoder, network: nn.Module, text: str) -> None:
    for each, pool in ((encoder, max), (summing, sum)):
        found, expected = each.encode([text]).row(0), reference(network, text, pool)
        assert found.keys() == expected.keys()
        assert found == pytest.approx(expected, abs=1e-5)


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
    encoder = TorchEncoder(str(tiny_model), max_length=6, device="cpu")
    found = encoder.encode(["the cat and a", "the cat and a dog", "the cat and a fish in the sea"])
    assert encoder.truncated_texts == 2
    assert found.row(0) == pytest.approx(found.row(1), abs=1e-5)
    assert found.row(0) == pytest.approx(found.row(2), abs=1e-5)
    encoder.encode(["the cat and a dog"])
    assert encoder.truncated_texts == 3


def test_max_length_stays_within_what_the_model_can(tiny_model: Path) -> None:
    assert TorchEncoder(str(tiny_model), device="cpu").identity.max_length == 32
    assert TorchEncoder(str(tiny_model), max_length=9, device="cpu").identity.max_length == 9
    assert TorchEncoder(str(tiny_model), max_length=999, device="cpu").identity.max_length == 32
    with pytest.raises((ValueError, EncoderError)):
        TorchEncoder(str(tiny_model), max_length=0, device="cpu")


def test_the_identity_follows_the_weights_and_not_the_folder(tiny_model: Path, tmp_path: Path) -> None:
    same = shutil.copytree(tiny_model, tmp_path / "same")
    other = shutil.copytree(tiny_model, tmp_path / "other")
    network = AutoModelForMaskedLM.from_pretrained(other)
    with torch.no_grad():
        next(network.parameters())[7, 7] += 1
    network.save_pretrained(other)
    first, second, third = (TorchEncoder(str(each), device="cpu").identity for each in (tiny_model, same, other))
    assert first.fingerprint == second.fingerprint != third.fingerprint
    assert first.vocabulary == second.vocabulary == third.vocabulary


def test_terms_in_a_text(encoder: TorchEncoder) -> None:
    assert encoder.terms_in("The cats sleeping") == ["the", "cat", "##s", "sleep", "##ing"]


def test_a_folder_is_loaded_by_its_name(tiny_model: Path) -> None:
    assert isinstance(load_encoder(tiny_model), TorchEncoder)
    assert load_encoder(str(tiny_model), side="queries", max_length=7).identity.max_length == 7


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "copy")


def test_no_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="neither a folder nor a model that the hub gives"):
        TorchEncoder(str(tmp_path / "none"))
    with pytest.raises(ModelNotFoundError, match=r"a folder without config\.json"):
        TorchEncoder(str(tmp_path))


def test_a_head_is_not_made_up_at_random(copy: Path) -> None:
    AutoModelForMaskedLM.from_pretrained(copy).bert.save_pretrained(copy)
    with pytest.raises(EncoderError, match="must not be made up at random"):
        TorchEncoder(str(copy))


@pytest.mark.parametrize(
    "damage", ["weights missing", "weights cut", "no tokenizer", "tokenizer cut", "other tokenizer"]
)
def test_a_damaged_folder_is_refused(copy: Path, damage: str) -> None:
    weights, tokenizer = copy / "model.safetensors", copy / "tokenizer.json"
    if damage == "weights missing":
        weights.unlink()
    elif damage == "weights cut":
        weights.write_bytes(weights.read_bytes()[:1_000])
    elif damage == "no tokenizer":
        tokenizer.unlink()
    elif damage == "tokenizer cut":
        tokenizer.write_text(tokenizer.read_text()[:1_000])
    else:
        record = json.loads(tokenizer.read_text())
        record["model"]["vocab"]["one more"] = 99
        tokenizer.write_text(json.dumps(record))
    with pytest.raises(EncoderError):
        TorchEncoder(str(copy))


def test_a_weight_that_is_no_number_is_refused(copy: Path) -> None:
    network = AutoModelForMaskedLM.from_pretrained(copy)
    with torch.no_grad():
        network.get_output_embeddings().bias[20] = np.nan
    network.save_pretrained(copy)
    with pytest.raises(WeightError, match="nan"):
        TorchEncoder(str(copy), device="cpu").encode(["a cat"])
