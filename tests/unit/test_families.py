"""Every family against its home library, and against the formula written as loops.

Weights agree within 1e-4, and impacts wherever a weight is not that near to a half.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import Router, SparseStaticEmbedding, SpladePooling, Transformer
from transformers import AutoModelForMaskedLM, AutoTokenizer

from splade_lucene.encoding.encoder import TextEncoder, load_encoder
from splade_lucene.encoding.layouts import Checkpoint, read_layout, write_sparse_encoder_files
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.encoding.torch_encoder import TorchEncoder
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import TermVectors
from tests.checkpoints import (
    FAMILIES,
    MAX_LENGTH,
    add_opensearch_tables,
    add_sparse_encoder_files,
    copied,
    make_bert,
)
from tests.helpers import WORDS, as_rows

CPU = EncoderOptions(device="cpu")
AS_THEY_DO = EncoderOptions(device="cpu", special_terms="keep")
TOLERANCE = 1e-4

TEXTS = [
    "the black cat and the brown dog fly over the moon",
    "",
    "a fox",
    "unheard 龘 ☃",
    *(" ".join(["fish"] * count) for count in range(MAX_LENGTH - 4, MAX_LENGTH + 1)),
    " ".join(WORDS[number % 60] for number in range(10_000)),
    "cat  dog   fish\tsea\n\nsun",
    "قطة سوداء \u202eסוף\u202c cat",
    "e\u0301le\u0300ve cafe\u0301 \u1112\u1161\u11ab",
    "the \x00 cat\x00",
    "[SEP] [MASK] </s> <mask> [UNK]",
]
MEGABYTE = "cat dog, " * 115_000  # on one line


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's checkpoint; made once, not to be changed."""
    root = tmp_path_factory.mktemp("families")
    return cache(lambda name: FAMILIES[name](root / name))


def dense(vectors: TermVectors) -> NDArray[np.float32]:
    matrix = np.zeros((len(vectors), len(vectors.vocabulary)), dtype=np.float32)
    matrix[np.repeat(np.arange(len(vectors)), vectors.row_lengths), vectors.terms] = vectors.weights
    return matrix


def theirs(library: SparseEncoder, texts: Sequence[str], side: str = "documents") -> NDArray[np.float32]:
    """What sentence-transformers makes of the texts, (N, V)."""
    encode = library.encode_document if side == "documents" else library.encode_query
    found: NDArray[np.float32] = encode(list(texts), batch_size=4, convert_to_sparse_tensor=False).cpu().numpy()
    return found


def assert_parity(encoder: TextEncoder, expected: NDArray[np.float32], texts: Sequence[str] = TEXTS) -> None:
    """Equal weights; equal impacts; and not merely because all is zero. Columns without a term are no one's."""
    vectors = encoder.encode(texts)
    found, expected = dense(vectors), expected[:, : len(vectors.vocabulary)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    quantizer = Quantizer()
    sure = np.abs(expected * 100 % 1 - 0.5) > TOLERANCE * 100
    impacts = np.zeros_like(found)
    quantized = quantizer(vectors)
    impacts[np.repeat(np.arange(len(vectors)), quantized.row_lengths), quantized.terms] = quantized.impacts
    assert (impacts == np.rint(expected.astype(np.float64) * 100))[sure].all()
    assert sure.mean() > 0.9
    assert expected.max() > 0.5


def loops(folder: Path, text: str, pool: Callable[[Iterable[float]], float] = max, *, logs: int = 1) -> list[float]:
    """w_j = pool over positions i of log(1 + max(0, logit_ij)), one text and one term at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        ids = tokenizer(text, truncation=True, return_tensors="pt")["input_ids"]
        logits = AutoModelForMaskedLM.from_pretrained(folder).eval()(input_ids=ids).logits[0].T.tolist()

    def weight(logit: float) -> float:
        value = max(0.0, logit)
        for _ in range(logs):
            value = math.log(1 + value)
        return value

    return [pool(map(weight, positions)) for positions in logits]


# Masked-LM folders


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_what_its_home_library_makes_of_it(family: Callable[[str], Path], name: str) -> None:
    encoder, library = load_encoder(family(name), options=AS_THEY_DO), SparseEncoder(str(family(name)), device="cpu")
    assert isinstance(encoder, TorchEncoder)
    assert_parity(encoder, theirs(library, [*TEXTS, MEGABYTE]), [*TEXTS, MEGABYTE])
    features = library.preprocess(TEXTS)
    expected = [
        ids[mask.bool()].tolist() for ids, mask in zip(features["input_ids"], features["attention_mask"], strict=True)
    ]
    tokens = encoder.tokenize(TEXTS)
    assert [each.ids for each in tokens] == expected
    assert max(map(len, expected)) == encoder.identity.max_length == MAX_LENGTH
    assert sum(each.truncated for each in tokens) >= 3


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_the_formula(family: Callable[[str], Path], name: str) -> None:
    texts = TEXTS[:4]
    for options, pool in ((AS_THEY_DO, max), (EncoderOptions(device="cpu", special_terms="keep", pooling="sum"), sum)):
        encoder = load_encoder(family(name), options=options)
        assert_parity(encoder, np.array([loops(family(name), text, pool) for text in texts]), texts)


@pytest.mark.parametrize("name", FAMILIES)
def test_special_terms_are_dropped_unless_asked_for(family: Callable[[str], Path], name: str) -> None:
    dropped, kept = (load_encoder(family(name), options=each) for each in (CPU, AS_THEY_DO))
    expected = dense(kept.encode(TEXTS[:4]))
    assert expected[:, dropped.tokenizer.special_ids].any()
    expected[:, dropped.tokenizer.special_ids] = 0
    np.testing.assert_allclose(dense(dropped.encode(TEXTS[:4])), expected, atol=1e-6)
    assert dropped.identity != kept.identity


@pytest.mark.parametrize("name", FAMILIES)
def test_terms_are_stored_exactly(family: Callable[[str], Path], name: str) -> None:
    encoder = load_encoder(family(name), options=CPU)
    published = AutoTokenizer.from_pretrained(family(name))
    assert list(encoder.vocabulary.terms) == published.convert_ids_to_tokens(range(len(published)))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_lone_surrogate_is_a_replacement_character(family: Callable[[str], Path], name: str) -> None:
    found = load_encoder(family(name), options=CPU).encode(["cat \ud800 dog", "cat \ufffd dog"])
    assert found.row(0) == found.row(1)


def test_max_length_may_be_raised_up_to_the_positions(family: Callable[[str], Path]) -> None:
    for name in FAMILIES:
        encoder = load_encoder(family(name), options=EncoderOptions(max_length=10_000, device="cpu"))
        assert encoder.identity.max_length == 40, name
        assert encoder.encode([TEXTS[8]]).row_lengths.min() > 0


# OpenSearch

TABLE = {"the": 0.25, "cat": 3.5, "##s": 0.5, "fox": 0.0, "[CLS]": 2.0, "[UNK]": 1.5}


@pytest.mark.parametrize("removed", ["idf.json", "query_token_weights.txt"])
@pytest.mark.parametrize("special_terms", ["drop", "keep"])
def test_opensearch_queries_are_looked_up(tmp_path: Path, removed: str, special_terms: Any) -> None:
    """The published way: presence times table, a missing term weighs 1, special terms nothing."""
    folder = add_opensearch_tables(make_bert(tmp_path / "model"), TABLE)
    (folder / removed).unlink()
    encoder = load_encoder(folder, side="queries", options=EncoderOptions(special_terms=special_terms))
    assert isinstance(encoder, IdfEncoder)
    found = as_rows(encoder.encode(["the cats, the cat", "unheard dog fox", "", "fish " * 40]))
    assert found == {
        "0": {"the": 0.25, "cat": 3.5, "##s": 0.5},
        "1": {"dog": 1.0},
        "2": {},
        "3": {"fish": 1.0},
    }
    assert encoder.truncated_texts == 1
    assert encoder.identity.activation == "table"


@pytest.mark.parametrize(("activation", "logs"), [(None, 1), ("log1p_log1p_relu", 2)], ids=["v2", "v3"])
def test_opensearch_documents_pass_through_the_network(tmp_path: Path, activation: Any, logs: int) -> None:
    folder = add_opensearch_tables(make_bert(tmp_path / "model"), TABLE)
    options = EncoderOptions(device="cpu", special_terms="keep", activation=activation)
    texts = TEXTS[:4]
    expected = np.array([loops(folder, text, logs=logs) for text in texts])
    assert_parity(load_encoder(folder, options=options), expected, texts)


# sentence-transformers

LEGACY = "sentence_transformers.sparse_encoder.models.MLMTransformer"
MODERN = "sentence_transformers.base.modules.transformer.Transformer"
FILL_MASK = {"transformer_task": "fill-mask"}
SPARSE_ENCODERS: dict[str, dict[str, Any]] = {
    "SPLADE v1": {"pooling": "sum"},
    "double log": {"activation": "log1p_relu"},
    "sum of double logs": {"pooling": "sum", "activation": "log1p_relu"},
    "a Transformer": {"transformer": MODERN, "settings": FILL_MASK},
    "shorter than its tokenizer": {"settings": {"max_seq_length": 9}},
    "longer than its tokenizer": {"settings": {"max_seq_length": 38}},
    "pruned": {"configuration": {"max_active_dims": 5}},
    "prompts": {"configuration": {"prompts": {"query": "the moon ", "document": "a sea: "}}},
    "a default prompt": {"configuration": {"prompts": {"red": "red "}, "default_prompt_name": "red"}},
}


@pytest.mark.parametrize("name", SPARSE_ENCODERS)
def test_a_sparse_encoder_is_read_as_its_library_reads_it(
    family: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    folder = add_sparse_encoder_files(copied(family("distilbert"), tmp_path / "model"), **SPARSE_ENCODERS[name])
    library = SparseEncoder(str(folder), device="cpu")
    assert_parity(load_encoder(folder, options=AS_THEY_DO), theirs(library, TEXTS))
    queries = load_encoder(folder, side="queries", options=AS_THEY_DO)
    assert_parity(queries, theirs(library, TEXTS, "queries"))
    assert queries.identity.max_length == library.max_seq_length


def test_a_sparse_encoder_that_the_library_wrote_itself(family: Callable[[str], Path], tmp_path: Path) -> None:
    modules = [Transformer(str(family("roberta")), transformer_task="fill-mask"), SpladePooling("max")]
    library = SparseEncoder(modules=modules, device="cpu", max_active_dims=7)
    library.save_pretrained(str(tmp_path / "model"))
    encoder = load_encoder(tmp_path / "model", options=AS_THEY_DO)
    assert encoder.identity.top_terms == 7
    assert_parity(encoder, theirs(library, TEXTS))


@pytest.mark.parametrize(
    ("name", "pooling", "activation"),
    [("bert", "max", "log1p_relu"), ("xlm-roberta", "sum", "log1p_log1p_relu")],
)
def test_the_library_opens_what_is_written(
    family: Callable[[str], Path], tmp_path: Path, name: str, pooling: Any, activation: Any
) -> None:
    folder = copied(family(name), tmp_path / "model")
    checkpoint = Checkpoint(folder, pooling, activation, max_length=20, prompt="a cat: ", top_terms=30)
    write_sparse_encoder_files(checkpoint)
    assert read_layout(folder, "documents") == read_layout(folder, "queries") == checkpoint
    library = SparseEncoder(str(folder), device="cpu")
    assert (library.max_seq_length, library.max_active_dims) == (20, 30)
    for side in ("documents", "queries"):
        assert_parity(load_encoder(folder, side=side, options=AS_THEY_DO), theirs(library, TEXTS, side))


def written_router(folder: Path, query: list[Any], document: list[Any], **changes: Any) -> SparseEncoder:
    router = Router.for_query_document(query_modules=query, document_modules=document)
    library = SparseEncoder(modules=[router], device="cpu", **changes)
    library.save_pretrained(str(folder))
    return library


def transformer_of(folder: Path) -> Any:
    return Transformer(str(folder), transformer_task="fill-mask")


@pytest.mark.parametrize("prompts", [{}, {"query": "the moon ", "document": "fox "}], ids=["plain", "prompts"])
def test_a_router_with_static_weights_for_queries(
    family: Callable[[str], Path], tmp_path: Path, prompts: dict[str, str]
) -> None:
    network = transformer_of(family("bert"))
    weight = torch.rand(len(network.tokenizer), generator=torch.Generator().manual_seed(3))
    static = SparseStaticEmbedding(network.tokenizer, weight)
    document = [network, SpladePooling("max", "log1p_relu")]
    library = written_router(tmp_path / "model", [static], document, prompts=prompts)
    documents, queries = encoders_of(tmp_path / "model")
    assert isinstance(queries, IdfEncoder)
    assert_parity(documents, theirs(library, TEXTS))
    assert_parity(queries, theirs(library, TEXTS, "queries"))


def test_a_router_whose_static_weights_are_an_idf_file(family: Callable[[str], Path], tmp_path: Path) -> None:
    """A term that the file lacks weighs nothing there."""
    network = transformer_of(family("bert"))
    written_router(tmp_path / "model", [SparseStaticEmbedding(network.tokenizer)], [network, SpladePooling()])
    (static,) = (tmp_path / "model").glob("query_*")
    (static / "model.safetensors").unlink()
    (static / "idf.json").write_text(json.dumps(TABLE))
    (static / "config.json").write_text(json.dumps({"frozen": True, "path": str(static / "idf.json")}))
    library = SparseEncoder(str(tmp_path / "model"), device="cpu")
    assert_parity(encoders_of(tmp_path / "model")[1], theirs(library, TEXTS, "queries"))


def test_a_router_with_two_networks(family: Callable[[str], Path], tmp_path: Path) -> None:
    small = [transformer_of(family("distilbert")), SpladePooling("sum")]
    library = written_router(tmp_path / "model", small, [transformer_of(family("bert")), SpladePooling("max")])
    documents, queries = encoders_of(tmp_path / "model")
    assert_parity(documents, theirs(library, TEXTS))
    assert_parity(queries, theirs(library, TEXTS, "queries"))
    assert documents.identity.fingerprint != queries.identity.fingerprint
    assert documents.identity.vocabulary == queries.identity.vocabulary


def test_a_router_that_maps_its_routes(family: Callable[[str], Path], tmp_path: Path) -> None:
    networks = {name: [transformer_of(family(name)), SpladePooling("max")] for name in ("bert", "distilbert")}
    routes = {("query", None): "distilbert", (None, "text"): "bert"}
    library = SparseEncoder(modules=[Router(networks, route_mappings=routes)], device="cpu")
    library.save_pretrained(str(tmp_path / "model"))
    documents, queries = encoders_of(tmp_path / "model")
    assert_parity(documents, theirs(library, TEXTS))
    assert_parity(queries, theirs(library, TEXTS, "queries"))


def encoders_of(folder: Path) -> tuple[TextEncoder, TextEncoder]:
    return (
        load_encoder(folder, side="documents", options=AS_THEY_DO),
        load_encoder(folder, side="queries", options=AS_THEY_DO),
    )


# Queries without a network, and of another one


def test_two_folders_are_two_encoders_of_one_vocabulary(family: Callable[[str], Path]) -> None:
    documents = load_encoder(family("bert"), options=CPU)
    queries = load_encoder(family("distilbert"), side="queries", options=CPU)
    assert documents.identity.vocabulary == queries.identity.vocabulary
    assert documents.identity.fingerprint != queries.identity.fingerprint


@pytest.mark.parametrize("name", FAMILIES)
def test_a_binary_query_is_the_set_of_its_terms(family: Callable[[str], Path], name: str) -> None:
    options = EncoderOptions(binary_queries=True, special_terms="keep")
    encoder = load_encoder(family(name), side="queries", options=options)
    text = "the cat and the black cat"
    assert encoder.encode([text]).row(0) == dict.fromkeys(encoder.terms_in(text), 1.0)
    assert encoder.encode([""]).row(0) == {}
    assert encoder.identity.activation == "binary"
    assert isinstance(load_encoder(family(name), options=options), TorchEncoder)


# Pyserini


class PyseriniEncoders(NamedTuple):
    """Its classes for both sides."""

    document: Any
    query: Any


@pytest.fixture
def pyserini_encoders(monkeypatch: pytest.MonkeyPatch) -> PyseriniEncoders:
    """`pyserini.encode._splade` by itself: the package around it asks the network for metadata when it is imported."""
    around, used = ModuleType("pyserini.encode"), ModuleType("pyserini.util")
    vars(around).update({name: type(name, (), {}) for name in ("DocumentEncoder", "QueryEncoder")})
    vars(used).update(temporary_env=lambda **names: nullcontext())
    monkeypatch.setitem(sys.modules, "pyserini.encode", around)
    monkeypatch.setitem(sys.modules, "pyserini.util", used)
    found = find_spec("pyserini")
    assert found is not None and found.origin is not None
    spec = spec_from_file_location("pyserini_splade", Path(found.origin).parent / "encode" / "_splade.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return PyseriniEncoders(module.SpladeDocumentEncoder, module.SpladeQueryEncoder)


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_the_impacts_are_those_of_pyserinis_encoders(
    family: Callable[[str], Path], pyserini_encoders: PyseriniEncoders, tmp_path: Path, name: str
) -> None:
    """With its scale and its special terms; it writes impacts of 0 too."""
    folder = copied(family(name), tmp_path / "model")
    torch.save(
        AutoModelForMaskedLM.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin"
    )  # reads no other
    documents = pyserini_encoders.document(str(folder), device="cpu").encode(TEXTS[:4], max_length=MAX_LENGTH)
    queries = [pyserini_encoders.query(str(folder)).encode(text, max_length=MAX_LENGTH) for text in TEXTS[:4]]
    found = Quantizer(51.2)(load_encoder(family(name), options=AS_THEY_DO).encode(TEXTS[:4]))
    for number in range(4):
        for expected in (documents[number], queries[number]):
            assert found.row(number) == {term: impact for term, impact in expected.items() if impact > 0}
