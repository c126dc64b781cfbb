"""Export: a checkpoint of any family → an ONNX folder that onnxruntime encodes with, as near to it as measured.

The folder is `model.onnx` (pooling inside; batch and length are free), `tokenizer.json` and `config.json`, which says
everything else that an encoder needs, and how near the exported network came to the checkpoint. Law: a folder that
misses the parity gate is never there.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import onnx_ir
import torch
from onnxscript import optimizer

from splade_lucene import __version__
from splade_lucene.encoding.encoder import find_model
from splade_lucene.encoding.int8 import to_int8
from splade_lucene.encoding.layouts import ONNX_FORMAT, TABLES, TASKS, Checkpoint, Layout, WeightTable, read_layout
from splade_lucene.encoding.model import SpladeModel
from splade_lucene.encoding.onnx_encoder import OnnxEncoder
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.encoding.parity import GATES, Parity, compare_encoders
from splade_lucene.encoding.table_encoder import load_table_encoder
from splade_lucene.encoding.torch_encoder import TorchEncoder
from splade_lucene.errors import ConfigError, EncoderError
from splade_lucene.files import cache_folder

ExportPrecision = Literal["fp32", "fp16", "int8"]

OPSET = 23  # the first with Attention as one operator, which onnxruntime computes without (L, L) masks of its own
LARGEST_FILE = 1_800_000_000  # bytes; protobuf ends at 2 GB, so that larger weights go to a file beside

logger = logging.getLogger(__name__)


def export(
    model: str | Path,
    output: Path,
    *,
    precision: ExportPrecision = "fp32",
    side: Side = "documents",
    options: EncoderOptions | None = None,
) -> Parity:
    """Write a checkpoint as an ONNX folder, and measure it against the checkpoint.

    Args:
        model: as for `load_encoder`.
        output: a folder that is not there yet, or empty; it appears whole or not at all.
        precision: `int8` is the fastest on a CPU and a quarter of the size; `fp16` is meant for GPUs.
        side: which of the model's networks, where it has two.
        options: pooling and activation where the model does not say, and max_length; the others count when the folder
            is used.

    Returns:
        What was measured, which the folder's configuration keeps too. A model whose queries are looked up in a table
        has that table in the folder.

    Raises:
        EncoderError: it is exported already, has no network on this side, or misses `parity.GATES`.
        ConfigError: the output folder holds something.
    """
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output} exists; name another folder")
    folder, name = find_model(model)
    layout = read_layout(folder, side)
    if not isinstance(layout, Checkpoint):
        raise EncoderError(f"{folder}: its {side} are not encoded by a checkpoint, so that there is nothing to export")
    prompts = {
        task: prompt for each, task in TASKS.items() if (prompt := getattr(read_layout(folder, each), "prompt", ""))
    }
    with _appearing(output) as scratch:
        table = _write_table(read_layout(folder, "queries"), scratch)
        return _export(layout, name, scratch, precision, options or EncoderOptions(), {"prompts": prompts} | table)


def kept_export(checkpoint: Checkpoint, options: EncoderOptions, *, name: str) -> Path:
    """The int8 export of a checkpoint in the user's cache, where it is made when it is first asked for.

    Raises:
        EncoderError: as for `export`.
    """
    digest = hashlib.sha256(repr((__version__, name, replace(checkpoint, folder=Path()), _fixed(options))).encode())
    for file in sorted(each for each in checkpoint.folder.iterdir() if each.is_file()):
        digest.update(file.name.encode() + file.read_bytes())
    kept = cache_folder() / "exports" / f"{digest.hexdigest()[:12]}-int8"
    if not kept.is_dir():
        logger.warning("%s is exported to int8 once, which takes a while: %s", name, kept)
        prompts = dict.fromkeys(TASKS.values(), checkpoint.prompt)
        try:
            with _appearing(kept) as scratch:
                _export(checkpoint, name, scratch, "int8", options, {"prompts": prompts})
        except OSError:
            if not kept.is_dir():  # else another process was faster
                raise
    return kept


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `folder` when the block ends well, and is removed when not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fixed(options: EncoderOptions) -> EncoderOptions:
    """The options that an export fixes; the others count when it is used."""
    return EncoderOptions(
        max_length=options.max_length,
        device="cpu",
        precision="fp32",
        special_terms="keep",
        pooling=options.pooling,
        activation=options.activation,
    )


def _export(
    checkpoint: Checkpoint,
    name: str,
    folder: Path,
    precision: ExportPrecision,
    options: EncoderOptions,
    said: dict[str, Any],
) -> Parity:
    """Write network, tokenizer and configuration, and measure what came of them."""
    reference = TorchEncoder(replace(checkpoint, top_terms=None), _fixed(options), name=name)
    _write_graph(reference.model, folder / "model.onnx", precision)
    reference.tokenizer.save(folder / "tokenizer.json")
    config = _config(reference, precision) | said
    _write_config(folder, config)
    parity = compare_encoders(reference, OnnxEncoder(folder, EncoderOptions(device="cpu", special_terms="keep")))
    GATES[precision].check(parity)
    _write_config(folder, config | {"top_terms": checkpoint.top_terms, "parity": asdict(parity)})
    return parity


def _write_graph(network: SpladeModel, file: Path, precision: ExportPrecision) -> None:
    if precision == "fp16":
        network = deepcopy(network).half()
    graph = _traced(network)
    if precision == "int8":
        graph = onnx_ir.from_proto(to_int8(onnx_ir.to_proto(graph)))
    size = sum(each.const_value.nbytes for each in graph.graph.initializers.values() if each.const_value is not None)
    onnx_ir.save(graph, file, external_data=f"{file.name}.data" if size > LARGEST_FILE else None)


def _traced(network: SpladeModel) -> onnx_ir.Model:
    """input_ids and attention_mask, (B, L) int64 → weights, (B, V) float32."""
    texts, positions = 2, 8
    input_ids = torch.full((texts, positions), 5)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, positions // 2 :] = 0
    shape = {0: torch.export.Dim("texts", min=1, max=2**20), 1: torch.export.Dim("positions", min=1, max=2**16)}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            (input_ids, attention_mask),
            input_names=["input_ids", "attention_mask"],
            output_names=["weights"],
            dynamic_shapes=(shape, shape),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            # Its own optimization turns rotary positions into an operator that onnxruntime refuses for batches.
            optimize=False,
        )
        assert program is not None
        optimizer.optimize_ir(program.model)
    return _bare(_sums_apart(program.model))


def _sums_apart(graph: onnx_ir.Model) -> onnx_ir.Model:
    """Sum in place of Add in front of LayerNormalization: onnxruntime fuses Add with it, and is slower for that."""
    for node in graph.graph:
        if node.op_type == "Add" and any(use.node.op_type == "LayerNormalization" for use in node.outputs[0].uses()):
            node.op_type = "Sum"
    return graph


def _bare(graph: onnx_ir.Model) -> onnx_ir.Model:
    """Without the exporter's notes, which name the files of this machine."""
    values = [value for node in graph.graph for value in node.outputs]
    for noted in (graph, graph.graph, *graph.graph, *values, *graph.graph.inputs, *graph.graph.initializers.values()):
        noted.metadata_props.clear()
        noted.doc_string = None
    return graph


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks on their own insides."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _config(reference: TorchEncoder, precision: ExportPrecision) -> dict[str, Any]:
    identity = reference.identity
    return {
        "format": ONNX_FORMAT,
        "format_version": 1,
        "name": identity.name,
        "fingerprint": identity.fingerprint,
        "vocabulary": identity.vocabulary,
        "max_length": identity.max_length,
        "pooling": identity.pooling,
        "activation": identity.activation,
        "precision": precision,
        "pad_id": reference.tokenizer.pad_id,
        "made_with": {
            "splade-lucene": __version__,
            **{each: version(each) for each in ("torch", "transformers", "onnxruntime")},
        },
    }


def _write_table(queries: Layout, folder: Path) -> dict[str, Any]:
    """The weights by which queries are looked up, where they are, and what the configuration says of them."""
    if not isinstance(queries, WeightTable):
        return {}
    encoder = load_table_encoder(queries, EncoderOptions(special_terms="keep"))
    table = {
        term: float(weight) for term, weight in zip(encoder.vocabulary.terms, encoder.table, strict=True) if weight
    }
    (folder / TABLES[0]).write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
    said = {each.name: getattr(queries, each.name) for each in fields(queries) if each.name not in ("folder", "file")}
    return {"query_table": said | {"missing": 0.0}}


def _write_config(folder: Path, config: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
