"""What a folder is taken for, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.encoding.encoder import DEFAULT_MODEL, load_encoder
from splade_lucene.encoding.layouts import (
    SUPPORTED,
    Checkpoint,
    ExportedNetwork,
    WeightTable,
    read_layout,
)
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.errors import EncoderError, ModelNotFoundError

MODELS = "sentence_transformers.sparse_encoder.models"
NETWORK, POOLING, STATIC = (f"{MODELS}.{name}" for name in ("MLMTransformer", "SpladePooling", "SparseStaticEmbedding"))
TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
SIDES: tuple[Side, Side] = ("documents", "queries")


def write(folder: Path, files: dict[str, Any]) -> Path:
    """A folder of files: what is no text is written as JSON."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def modules(*steps: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(steps)]


MASKED_LM = {"config.json": {"model_type": "bert", "architectures": ["BertForMaskedLM"]}}
SPLADE = MASKED_LM | {
    "modules.json": modules(("", NETWORK), ("1_SpladePooling", POOLING)),
    "1_SpladePooling/config.json": {"pooling_strategy": "sum", "activation_function": "log1p_relu"},
}


def test_a_masked_lm_does_not_say_how_it_pools(tmp_path: Path) -> None:
    write(tmp_path, MASKED_LM | {"tokenizer_config.json": {"model_max_length": 128}})
    assert [read_layout(tmp_path, side) for side in SIDES] == [Checkpoint(tmp_path, max_length=128)] * 2


@pytest.mark.parametrize("length", [1e30, 8_192, None])
def test_lengths_beyond_the_usual_must_be_asked_for(tmp_path: Path, length: float | None) -> None:
    write(tmp_path, MASKED_LM | {"tokenizer_config.json": {"model_max_length": length}})
    assert read_layout(tmp_path, "documents") == Checkpoint(tmp_path, max_length=512)


def test_a_table_beside_a_network_is_for_queries(tmp_path: Path) -> None:
    write(tmp_path, MASKED_LM | {"query_token_weights.txt": "cat\t1\n"})
    table = WeightTable(tmp_path, tmp_path / "query_token_weights.txt", missing=1.0, special_tokens=True)
    assert read_layout(tmp_path, "documents") == Checkpoint(tmp_path)
    assert read_layout(tmp_path, "queries") == table
    write(tmp_path, {"idf.json": {}})
    assert read_layout(tmp_path, "queries") == WeightTable(tmp_path, tmp_path / "idf.json", 1.0, special_tokens=True)


def test_the_default_model_is_an_export() -> None:
    assert [read_layout(DEFAULT_MODEL, side) for side in SIDES] == [ExportedNetwork(DEFAULT_MODEL)] * 2


def test_a_sparse_encoder_says_how_it_pools(tmp_path: Path) -> None:
    configuration = {"prompts": {"query": "q: "}, "max_active_dims": 9}
    settings = {"max_seq_length": 100, "do_lower_case": False}
    write(
        tmp_path,
        SPLADE | {"config_sentence_transformers.json": configuration, "sentence_bert_config.json": settings},
    )
    checkpoint = Checkpoint(tmp_path, "sum", "log1p_log1p_relu", 100, "q: ", 9)
    assert read_layout(tmp_path, "queries") == checkpoint
    assert read_layout(tmp_path, "documents") == Checkpoint(tmp_path, "sum", "log1p_log1p_relu", 100, "", 9)


def test_modules_stand_above_a_table_beside_them(tmp_path: Path) -> None:
    """OpenSearch's later models are published in both layouts at once; the modules say more."""
    write(tmp_path, SPLADE | {"idf.json": {}})
    assert isinstance(read_layout(tmp_path, "queries"), Checkpoint)


def test_options_may_not_contradict_the_layout(tmp_path: Path) -> None:
    write(tmp_path, SPLADE)
    with pytest.raises(EncoderError, match="has pooling sum, and max was asked for"):
        load_encoder(tmp_path, options=EncoderOptions(pooling="max"))
    with pytest.raises(EncoderError, match="has activation log1p_log1p_relu, and log1p_relu was asked for"):
        load_encoder(tmp_path, options=EncoderOptions(activation="log1p_relu"))


def router(structure: dict[str, list[str]], types: dict[str, str], **parameters: Any) -> dict[str, Any]:
    return {
        "modules.json": modules(("", "sentence_transformers.models.Router")),
        "router_config.json": {"types": types, "structure": structure, "parameters": parameters},
    }


TWO_ROUTES = router(
    {"query": ["query_0"], "document": ["document_0", "document_1"]},
    {"query_0": STATIC, "document_0": NETWORK, "document_1": POOLING},
)
ROUTED = TWO_ROUTES | {
    "query_0/config.json": {"frozen": False},
    "query_0/model.safetensors": "",
    "document_0/config.json": MASKED_LM["config.json"],
    "document_1/config.json": {},
}


def test_a_router_has_a_folder_for_each_module(tmp_path: Path) -> None:
    write(tmp_path, ROUTED)
    assert read_layout(tmp_path, "documents") == Checkpoint(tmp_path / "document_0", "max", "log1p_relu")
    static = tmp_path / "query_0"
    table = WeightTable(static, static / "model.safetensors", missing=0.0, special_tokens=False)
    assert read_layout(tmp_path, "queries") == table


def test_an_older_router_keeps_its_routes_elsewhere(tmp_path: Path) -> None:
    files = dict(ROUTED)
    files["config.json"] = files.pop("router_config.json")
    write(tmp_path, files)
    assert isinstance(read_layout(tmp_path, "queries"), WeightTable)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"config.json": {"architectures": ["BertModel"]}}, "its architectures are ['BertModel']"),
        ({"config.json": {"architectures": "BertForMaskedLM"}}, "its architectures are 'BertForMaskedLM'"),
        ({"config.json": {"hidden_size": 3}}, "its architectures are None"),
        ({"modules.json": []}, "it has no modules"),
        ({"modules.json": modules(("", NETWORK))}, "it has MLMTransformer"),
        (
            {"modules.json": modules(("", TRANSFORMER), ("1_Pooling", "sentence_transformers.models.Pooling"))},
            "it has Transformer → Pooling",
        ),
        (
            {"modules.json": modules(("", NETWORK), ("1", POOLING), ("2", "sentence_transformers.models.Dense"))},
            "it has MLMTransformer → SpladePooling → Dense",
        ),
        (
            {"modules.json": modules(("", TRANSFORMER), ("1", f"{MODELS}.SparseAutoEncoder"))},
            "it has Transformer → SparseAutoEncoder",
        ),
        (
            {"modules.json": modules(("", "my_code.MLMTransformer"), ("1", POOLING))},
            "it has my_code.MLMTransformer → SpladePooling",
        ),
        (SPLADE | {"modules.json": modules(("", TRANSFORMER), ("1_SpladePooling", POOLING))}, "feature-extraction"),
        (SPLADE | {"1_SpladePooling/config.json": {"pooling_strategy": "mean"}}, "SpladePooling of 'mean' and 'relu'"),
        (SPLADE | {"sentence_bert_config.json": {"do_lower_case": True}}, "do_lower_case is True"),
        (SPLADE | {"sentence_bert_config.json": {"query_length": 9}}, "query_length is 9"),
        (router({"image": ["a"]}, {"a": NETWORK}), "its routes are image, and none is for"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_another_layout_is_refused_with_what_was_found(
    tmp_path: Path, files: dict[str, Any], found: str, side: Side
) -> None:
    write(tmp_path, files)
    with pytest.raises(EncoderError, match=re.escape(found)) as refused:
        load_encoder(tmp_path, side=side)
    assert str(tmp_path) in str(refused.value)
    assert SUPPORTED in str(refused.value)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config.json": "{"}, r"config\.json: not JSON"),
        ({"config.json": "[]"}, r"config\.json: not a JSON object"),
        ({"config.json": "[" * 100_000}, r"config\.json: not JSON"),
        ({"modules.json": "nonsense"}, r"modules\.json: not JSON"),
        ({"modules.json": {"a": 1}}, r"modules\.json: not a list of modules"),
        ({"modules.json": [{"idx": 0, "type": NETWORK}]}, r"modules\.json: not a list of modules"),
        ({"modules.json": modules(("../elsewhere", NETWORK), ("", POOLING))}, "lies outside of the folder"),
        (
            {"modules.json": modules(("", NETWORK), ("1_SpladePooling", POOLING))},
            r"1_SpladePooling.config\.json is mis",
        ),
        (SPLADE | {"config_sentence_transformers.json": {"max_active_dims": 0}}, "max_active_dims is 0"),
        (SPLADE | {"sentence_bert_config.json": {"max_seq_length": "9"}}, "max_seq_length is '9'"),
        (MASKED_LM | {"tokenizer_config.json": {"truncation_side": "left"}}, "truncation_side is 'left'"),
        (router({"document": ["a"]}, {}), r"router_config\.json: not a Router's configuration"),
        (ROUTED | {"router_config.json": {"types": []}}, r"router_config\.json: not a Router's configuration"),
        (router({"document": ["a"]}, {"a": STATIC}), "weights of its SparseStaticEmbedding are missing"),
        (
            router({"document": ["a"]}, {"a": STATIC}) | {"a/config.json": {"path": "other/idf.json"}},
            r"SparseStaticEmbedding are missing \(idf\.json\)",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_is_malformed_is_named(tmp_path: Path, files: dict[str, Any], said: str) -> None:
    write(tmp_path, files)
    with pytest.raises(EncoderError, match=said):
        load_encoder(tmp_path)


def test_a_folder_without_a_description_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=re.escape(SUPPORTED)):
        read_layout(tmp_path, "documents")
    with pytest.raises(ModelNotFoundError, match="no such folder"):
        read_layout(tmp_path / "none", "documents")
