"""IdfEncoder: query weights out of a table."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from splade_lucene.encoding.encoder import DEFAULT_MODEL, load_encoder
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.encoding.tokenizer import Tokenizer
from splade_lucene.encoding.torch_encoder import TorchEncoder
from splade_lucene.errors import EncoderError, ModelNotFoundError
from tests.helpers import ROOT, SPECIALS, WORDS, as_rows, tiny_backend, tiny_tokenizer

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
        load_encoder(folder, side="queries")


@pytest.mark.parametrize("line", ["cat", "cat 1", "cat\tone", "cat\t", "\x00\xff"])
def test_lines_that_cannot_be_read_are_named(folder: Path, line: str) -> None:
    (folder / "idf.json").unlink()
    (folder / "query_token_weights.txt").write_text(f"the\t0.5\n{line}\n", encoding="latin-1")
    with pytest.raises(EncoderError, match=r"query_token_weights\.txt"):
        load_encoder(folder, side="queries")


def test_lines_end_where_lines_end(folder: Path) -> None:
    """A term may be what Unicode calls a line's end."""
    (folder / "idf.json").unlink()
    (folder / "query_token_weights.txt").write_bytes("\u2028\t9\r\n\x85\t8\n\ncat\t2\n".encode())
    assert load_encoder(folder, side="queries").encode(["the cat"]).row(0) == {"the": 1.0, "cat": 2.0}


def test_a_missing_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(EncoderError, match=r"tokenizer\.json: the tokenizer is missing"):
        load_encoder(folder, side="queries")


def test_without_a_network_there_are_no_documents(folder: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        load_encoder(folder)


def test_an_older_tokenizer_file_will_do(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join((*SPECIALS, *WORDS)) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    assert load_encoder(folder, side="queries").encode(["the cats"]).row(0) == {"the": 0.25, "cat": 3.5, "##s": 0.5}


def test_a_table_of_another_tokenizer_is_refused(folder: Path) -> None:
    at = folder / "query_0_SparseStaticEmbedding"
    at.mkdir()
    tiny_backend().save(str(at / "tokenizer.json"))
    save_file({"weight": np.ones(5, np.float32)}, at / "model.safetensors")
    module = "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding"
    modules = [{"idx": 0, "name": "0", "path": at.name, "type": module}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(EncoderError, match=r"weights of shape \(5,\), its tokenizer has 66 terms"):
        load_encoder(folder, side="queries")


def test_pruning_keeps_the_largest_weights(folder: Path) -> None:
    rows = as_rows(
        load_encoder(folder, side="queries", options=EncoderOptions(top_terms=2)).encode(["the cats dog sea"])
    )
    assert rows == {"0": {"cat": 3.5, "dog": 1.0}}
    rows = as_rows(
        load_encoder(folder, side="queries", options=EncoderOptions(min_weight=0.5)).encode(["the cats sea"])
    )
    assert rows == {"0": {"cat": 3.5, "sea": 1.0, "##s": 0.5}}


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
