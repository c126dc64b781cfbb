"""Export of every family, and the gate that each export passes."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from splade_lucene.encoding import export as module
from splade_lucene.encoding.encoder import DEFAULT_MODEL, load_encoder
from splade_lucene.encoding.export import ExportPrecision, export
from splade_lucene.encoding.onnx_encoder import OnnxEncoder
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.encoding.parity import GATES, Gate, compare_encoders
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.errors import ConfigError, EncoderError
from tests.checkpoints import FAMILIES, MAX_LENGTH, add_opensearch_tables, add_sparse_encoder_files, make_bert
from tests.helpers import ROOT, WORDS, as_rows

TEXTS = ["the black cat and the brown dog fly over the moon", "", "a fox", " ".join(WORDS * 30), "fish"]
# Random networks of 32 dimensions lose more to 8 bits than trained ones of some hundred.
RANDOM = Gate(0.5, 0.4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, ExportPrecision], Path]:
    """A family's exported folder; the checkpoint lies beside it."""
    root = tmp_path_factory.mktemp("exports")

    @cache
    def checkpoint(family: str) -> Path:
        return FAMILIES[family](root / family)

    @cache
    def made(family: str, precision: ExportPrecision) -> Path:
        folder = root / f"{family}-{precision}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(GATES, "int8", RANDOM)
            export(checkpoint(family), folder, precision=precision)
        return folder

    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_an_export_encodes_as_its_checkpoint(exported: Callable[[str, ExportPrecision], Path], family: str) -> None:
    folder = exported(family, "fp32")
    ours, theirs = (
        load_encoder(each, options=EncoderOptions(device="cpu")) for each in (folder, folder.parent / family)
    )
    assert isinstance(ours, OnnxEncoder)
    found, expected = as_rows(ours.encode(TEXTS)), as_rows(theirs.encode(TEXTS))
    for row_id, row in expected.items():
        assert found[row_id] == pytest.approx(row, abs=1e-4)
    for what in ("name", "vocabulary", "tokenizer", "max_length", "pooling", "activation", "precision"):
        assert getattr(ours.identity, what) == getattr(theirs.identity, what), what
    assert ours.identity.max_length == MAX_LENGTH


@pytest.mark.parametrize("family", FAMILIES)
def test_in_int8_a_vector_does_not_depend_on_its_batch(
    exported: Callable[[str, ExportPrecision], Path], family: str
) -> None:
    """Not by a bit, whatever is beside it, however it is padded: sums of integers know no order."""
    encoder = OnnxEncoder(exported(family, "int8"))
    together = as_rows(encoder.encode(TEXTS))
    encoder.batch_tokens = 1
    alone = as_rows(encoder.encode(TEXTS))
    for row_id, row in together.items():
        assert alone[row_id] == pytest.approx(row, abs=1e-5), row_id


@pytest.mark.parametrize("family", FAMILIES)
def test_in_int8_no_matrix_stays_float(exported: Callable[[str, ExportPrecision], Path], family: str) -> None:
    graph = onnx.load(exported(family, "int8") / "model.onnx").graph
    floats = {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT}
    assert not [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] in floats]
    whole = sum(each.ByteSize() for each in onnx.load(exported(family, "fp32") / "model.onnx").graph.initializer)
    assert sum(each.ByteSize() for each in graph.initializer) < 0.6 * whole


def test_in_fp16_weights_are_halves(exported: Callable[[str, ExportPrecision], Path]) -> None:
    graph = onnx.load(exported("bert", "fp16") / "model.onnx").graph
    large = [each for each in graph.initializer if np.prod(each.dims) > 500]
    assert large
    assert {numpy_helper.to_array(each).dtype for each in large} == {np.dtype(np.float16)}
    assert load_encoder(exported("bert", "fp16")).identity.precision == "fp16"


def test_the_folder_says_what_was_measured(exported: Callable[[str, ExportPrecision], Path]) -> None:
    config = json.loads((exported("bert", "fp32") / "config.json").read_text())
    assert config["parity"]["largest_difference"] < 1e-4
    assert config["parity"]["equal_impacts"] > 0.999
    assert config["parity"]["top10_overlap"] > 0.999
    assert config["parity"]["texts"] > 100
    assert {"splade-lucene", "torch", "onnxruntime"} <= config["made_with"].keys()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_no_path_of_this_machine_is_in_the_graph(
    exported: Callable[[str, ExportPrecision], Path], precision: ExportPrecision
) -> None:
    graph = (exported("bert", precision) / "model.onnx").read_bytes()
    assert str(Path(onnx.__file__).parent.parent).encode() not in graph
    assert str(ROOT).encode() not in graph


def test_what_a_layout_says_is_in_the_export(tmp_path: Path) -> None:
    """Double logarithm, sum, prompts, the number of terms, and the table for queries."""
    source = add_sparse_encoder_files(
        make_bert(tmp_path / "source"),
        pooling="sum",
        activation="log1p_relu",
        configuration={"max_active_dims": 7, "prompts": {"query": "the ", "document": "a "}},
    )
    export(source, tmp_path / "exported")
    for side in ("documents", "queries"):
        ours, theirs = (load_encoder(each, side=side).encode(TEXTS) for each in (tmp_path / "exported", source))
        assert (ours.row_lengths == theirs.row_lengths).all()
        assert ours.row_lengths.max() == 7
        for row in range(len(TEXTS)):
            assert ours.row(row) == pytest.approx(theirs.row(row), abs=1e-4)


def test_a_table_for_queries_goes_with_the_network(tmp_path: Path) -> None:
    table = {"cat": 3.0, "dog": 0.5, "the": 0.0}
    source = add_opensearch_tables(make_bert(tmp_path / "source"), table)
    export(source, tmp_path / "exported")
    encoder = load_encoder(tmp_path / "exported", side="queries")
    assert isinstance(encoder, IdfEncoder)
    assert encoder.encode(["the cat, a dog [SEP] cat"]).row(0) == {"cat": 3.0, "dog": 0.5, "a": 1.0}
    assert encoder.encode(TEXTS) == load_encoder(source, side="queries").encode(TEXTS)
    assert isinstance(load_encoder(tmp_path / "exported"), OnnxEncoder)


def test_pooling_may_be_named_where_the_layout_does_not(tmp_path: Path) -> None:
    source = make_bert(tmp_path / "source")
    options = EncoderOptions(pooling="sum", activation="log1p_log1p_relu", max_length=9)
    export(source, tmp_path / "exported", options=options)
    identity = load_encoder(tmp_path / "exported").identity
    assert (identity.pooling, identity.activation, identity.max_length) == ("sum", "log1p_log1p_relu", 9)


def test_large_weights_lie_in_a_file_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_FILE", 1_000)
    source = make_bert(tmp_path / "source")
    export(source, tmp_path / "exported")
    files = sorted(each.name for each in (tmp_path / "exported").iterdir())
    assert files == ["config.json", "model.onnx", "model.onnx.data", "tokenizer.json"]
    moved = (tmp_path / "exported").rename(tmp_path / "moved")
    assert compare_encoders(load_encoder(source), OnnxEncoder(moved), TEXTS).largest_difference < 1e-4


def test_an_export_that_misses_the_gate_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GATES, "int8", Gate(0.0, 1.0))
    with pytest.raises(EncoderError, match=r"misses the parity gate: relative difference 0\.\d+ \(at most 0\).*top 10"):
        export(make_bert(tmp_path / "source"), tmp_path / "exported", precision="int8")
    assert [each.name for each in tmp_path.iterdir()] == ["source"]


def test_a_folder_that_holds_something_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(ConfigError, match="exists; name another folder"):
        export("default", tmp_path / "mine")
    with pytest.raises(EncoderError, match="nothing to export"):
        export(DEFAULT_MODEL, tmp_path / "other")
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_precision_int8_of_a_checkpoint_is_an_export_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(GATES, "int8", RANDOM)
    source, options = make_bert(tmp_path / "source"), EncoderOptions(precision="int8", top_terms=5)
    first, second = (load_encoder(source, options=options) for _ in range(2))
    assert isinstance(first, OnnxEncoder)
    assert sum("exported to int8 once" in each.getMessage() for each in caplog.records) == 1
    assert first.encode(TEXTS) == second.encode(TEXTS)
    assert (first.identity.precision, first.identity.top_terms, first.identity.name) == ("int8", 5, str(source))
    other = load_encoder(source, options=EncoderOptions(precision="int8", pooling="sum"))
    assert other.identity.pooling == "sum"
    kept = list((tmp_path / "cache" / "splade-lucene" / "exports").iterdir())
    assert len(kept) == 2


def test_batch_and_length_are_free(exported: Callable[[str, ExportPrecision], Path]) -> None:
    session = onnxruntime.InferenceSession(exported("bert", "fp32") / "model.onnx", providers=["CPUExecutionProvider"])
    for shape in ((1, 1), (1, 40), (7, 3)):
        feed = {name: np.ones(shape, dtype=np.int64) for name in ("input_ids", "attention_mask")}
        assert session.run(["weights"], feed)[0].shape == (shape[0], 66)
