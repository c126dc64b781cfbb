"""IdfEncoder: query weights out of a table."""

import gzip
import json
from pathlib import Path

import pytest

from splade_lucene.encoding.encoder import DEFAULT_MODEL, IdfEncoder, TorchEncoder, load_encoder
from splade_lucene.encoding.tokenizer import Tokenizer
from splade_lucene.errors import EncoderError, ModelNotFoundError
from tests.helpers import ROOT, SPECIALS, as_rows, tiny_backend, tiny_tokenizer

TABLE = {"the": 0.25, "cat": 3.5, "##s": 0.5, "fox": 0.0} | dict.fromkeys(SPECIALS, 1.0)
REAL_TABLE = ROOT.parent / "shared" / "data" / "idf" / "opensearch-doc-v2.idf.json.gz"


@pytest.fixture
def encoder() -> IdfEncoder:
    return IdfEncoder(tiny_tokenizer(), TABLE)


def test_presence_counts_and_frequency_does_not(encoder: IdfEncoder) -> None:
    found = encoder.encode(["cat the cats cat", "the", "cat cat"], ids=["x", "y", "z"])
    assert as_rows(found) == {"x": {"the": 0.25, "cat": 3.5, "##s": 0.5}, "y": {"the": 0.25}, "z": {"cat": 3.5}}


def test_a_term_that_the_table_lacks_weighs_one(encoder: IdfEncoder) -> None:
    assert encoder.encode(["dog"]).row(0) == {"dog": 1.0}


def test_a_weight_of_zero_is_no_term(encoder: IdfEncoder) -> None:
    assert encoder.encode(["fox"]).row(0) == {}


@pytest.mark.parametrize("text", ["", "   ", "unheard", "[CLS] [MASK] [PAD]", "\ud800"])
def test_special_terms_weigh_nothing(encoder: IdfEncoder, text: str) -> None:
    assert encoder.encode([text]).row(0) == {}


def test_a_long_text_is_cut_and_counted() -> None:
    encoder = IdfEncoder(tiny_tokenizer(5), TABLE)
    assert as_rows(encoder.encode(["the cat dog", "the cat dog fish", ""])) == {
        "0": {"the": 0.25, "cat": 3.5, "dog": 1.0},
        "1": {"the": 0.25, "cat": 3.5, "dog": 1.0},
        "2": {},
    }
    assert encoder.truncated_texts == 1


def test_ids_must_fit(encoder: IdfEncoder) -> None:
    assert len(encoder.encode([])) == 0
    with pytest.raises(ValueError, match="1 ids"):
        encoder.encode(["a", "b"], ids=["x"])


def test_the_identity_follows_the_table() -> None:
    first, same, other = (IdfEncoder(tiny_tokenizer(), each).identity for each in (TABLE, TABLE, TABLE | {"sea": 2.0}))
    assert first == same != other
    assert first.vocabulary == tiny_tokenizer().vocabulary.fingerprint == other.vocabulary


@pytest.mark.parametrize(
    "weight", [-1.0, float("nan"), float("inf"), 1e300, 10**400], ids=lambda given: f"{given!r:.6}"
)
def test_an_unusable_weight_is_refused(weight: float) -> None:
    with pytest.raises(EncoderError, match="the weight of 'cat' is"):
        IdfEncoder(tiny_tokenizer(), {"cat": weight})


# From a folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_backend().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "idf.json").write_text(json.dumps(TABLE))
    return tmp_path


def test_a_folder_with_a_table_answers_for_queries(folder: Path) -> None:
    encoder = load_encoder(folder, side="queries")
    assert isinstance(encoder, IdfEncoder)
    assert encoder.identity.max_length == 512
    assert encoder.encode(["the cat"]).row(0) == {"the": 0.25, "cat": 3.5}


def test_its_documents_need_the_network(folder: Path, tiny_model: Path) -> None:
    for file in tiny_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    assert isinstance(load_encoder(folder, side="documents"), TorchEncoder)
    assert isinstance(load_encoder(folder, side="queries"), IdfEncoder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "5", '{"cat": "1"}', '{"cat": true}', '{"cat": null}', '{"cat": NaN}']
)
def test_a_table_that_cannot_be_read_is_refused(folder: Path, content: str) -> None:
    (folder / "idf.json").write_text(content)
    with pytest.raises(EncoderError, match=str(folder)):
        IdfEncoder.load(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(EncoderError, match=r"tokenizer\.json: the tokenizer is missing"):
        IdfEncoder.load(folder)
    with pytest.raises(ModelNotFoundError, match=r"no idf\.json there"):
        IdfEncoder.load(folder / "none")


def test_a_real_table() -> None:
    """OpenSearch's doc-v2 table over BERT's vocabulary, which the default model has too."""
    if not REAL_TABLE.is_file():
        pytest.skip(f"{REAL_TABLE} is not here")
    table = json.loads(gzip.decompress(REAL_TABLE.read_bytes()))
    encoder = IdfEncoder(Tokenizer.load(DEFAULT_MODEL / "tokenizer.json", 512), table)
    assert set(encoder.vocabulary.terms) == set(table)
    found = encoder.encode(["What is the capital of Mongolia?"]).row(0)
    assert found.keys() == {"what", "is", "the", "capital", "of", "mongolia", "?"}
    assert found == pytest.approx({term: table[term] for term in found})
    assert found["mongolia"] > found["capital"] > found["the"]
