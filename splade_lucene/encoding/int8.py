"""Int8 for exported networks: every product with a constant matrix is done in integers. Imports onnx.

Law: a text's vector stays its own. onnxruntime's dynamic quantization takes one activation scale for a whole batch, so
that a text's vector would depend on its neighbours; here each row (one position of one text) has a scale of its own,
and each column of a matrix has one. Before the maximum over positions all rows of a text share one, so that the maximum
can be taken over integers. onnxruntime's MatMulNBits keeps the law too, but for batches it is no faster than float32.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
Levels = NDArray[np.int8]

# Weights are held to ±63 of int8's ±127: x86 processors without VNNI add two products uint8·int8 in 16 bits, and
# 2·255·63 < 2¹⁵ is what keeps that sum from saturating. So integer products are exact on every processor.
WEIGHT_LEVELS = 63
ROW_LEVELS = 127  # an activation is uint8 around 128
GELU_FLOOR = 0.17  # GELU never falls below -0.17
SMALLEST_STEP = 1e-12  # the scale of a row of zeros


def quantize_columns(matrix: Floats) -> tuple[Levels, Floats]:
    """Find levels · scale ≈ matrix, one scale per column: of thirteen candidates the one of least squared error.

    Args:
        matrix: (K, N) float.

    Returns:
        (K, N) int8 within ±WEIGHT_LEVELS, and (N,) float32, > 0.
    """
    full_range = np.maximum(np.abs(matrix).max(axis=0) / WEIGHT_LEVELS, SMALLEST_STEP)
    best_error = np.full(matrix.shape[1], np.inf)
    best_scale = full_range.astype(np.float32)
    for fraction in np.linspace(0.7, 1.0, 13):  # cutting the few largest entries off may leave finer steps to all
        scale = (full_range * fraction).astype(np.float32)
        error = np.square(_rounded(matrix, scale) * scale - matrix).sum(axis=0)
        better = error < best_error
        best_error[better], best_scale[better] = error[better], scale[better]
    return _rounded(matrix, best_scale), best_scale


def _rounded(matrix: Floats, scale: Floats) -> Levels:
    return np.clip(np.rint(matrix / scale), -WEIGHT_LEVELS, WEIGHT_LEVELS).astype(np.int8)


def to_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with integer products; what is no product with a constant matrix stays float.

    A matrix that is read by rows too (embeddings that are tied to the decoder) is stored once, as int8.
    """
    return _Rewriting(model).model()


@dataclass(frozen=True)
class _Rows:
    """Rows of activations in uint8, x ≈ (levels − zero point) · scale − floor: names in the graph.

    Attributes:
        levels: (…, K) uint8.
        scale: (…, 1) float; each row's own.
        zero_point: () uint8.
        floor: what was added to x so that it is nowhere negative.
    """

    levels: str
    scale: str
    zero_point: str
    floor: float = 0.0


@dataclass(frozen=True)
class _Matrix:
    """A constant matrix (K, N) as levels · scale: the levels' name in the graph, the scale, the sum of each column."""

    levels: str
    scale: Floats
    column_sums: Floats


class _Rewriting:
    """One pass over the graph, node by node."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._source = model
        self._floats = {
            each.name: numpy_helper.to_array(each)
            for each in model.graph.initializer
            if each.data_type == TensorProto.FLOAT
        }
        self._maker = {name: node for node in model.graph.node for name in node.output}
        self._constants: dict[str, NDArray[Any]] = {}  # new ones
        self._rows: dict[str, _Rows] = {}
        self._tied: dict[str, _Matrix] = {}  # by the name of the (V, H) matrix whose tiles the decoder multiplies with
        self._done: set[str] = set()  # what a product has taken over from the node behind it
        self._nodes: list[onnx.NodeProto] = []

    def model(self) -> onnx.ModelProto:
        """Rewrite, and leave out the constants that nobody reads any more."""
        for node in self._source.graph.node:
            self._find_tied(node)
        for node in self._source.graph.node:
            self._rewrite(node)
        graph = self._source.graph
        read = {name for node in self._nodes for name in node.input}
        kept = [each for each in graph.initializer if each.name in read]
        added = [numpy_helper.from_array(value, name) for name, value in self._constants.items() if name in read]
        made = helper.make_model(
            helper.make_graph(self._nodes, graph.name, graph.input, graph.output, [*kept, *added]),
            producer_name=self._source.producer_name,
            opset_imports=[
                *(each for each in self._source.opset_import if each.domain != "com.microsoft"),
                helper.make_opsetid("com.microsoft", 1),
            ],
            ir_version=self._source.ir_version,
        )
        onnx.checker.check_model(made)
        return made

    def _find_tied(self, node: onnx.NodeProto) -> None:
        """MatMul(x, Transpose(Split(E))), or without Split: a tile of the vocabulary."""
        root = self._tile_of(node)
        if root is not None and root not in self._tied:
            levels, scale = quantize_columns(self._floats[root].T)
            name = self._constant(f"{root}.levels", levels.T)
            self._tied[root] = _Matrix(name, scale, levels.sum(axis=0, dtype=np.int64) * scale)

    def _tile_of(self, node: onnx.NodeProto) -> str | None:
        if node.op_type != "MatMul" or (transpose := self._maker.get(node.input[1])) is None:
            return None
        if transpose.op_type != "Transpose":
            return None
        root = transpose.input[0]
        if root in self._maker and self._maker[root].op_type == "Split":
            root = self._maker[root].input[0]
        return root if root in self._floats and self._floats[root].ndim == 2 else None

    def _rewrite(self, node: onnx.NodeProto) -> None:
        if node.op_type in ("Split", "Transpose") and node.input[0] in self._tied:
            self._copy(node, {node.input[0]: self._tied[node.input[0]].levels})
        elif node.op_type == "Gather" and node.input[0] in self._tied:
            self._gather(node)
        elif (root := self._tile_of(node)) is not None:
            if (maximum := self._maximum_of(node)) is None:
                self._product(node, self._tile(node, root))
            else:
                self._maximum(node, maximum, self._tile(node, root))
        elif node.op_type == "ReduceMax" and node.output[0] in self._done:
            pass
        elif node.op_type == "MatMul" and self._is_matrix(node.input[1]):
            levels, scale = quantize_columns(self._floats[node.input[1]])
            name = self._constant(f"{node.input[1]}.levels", levels)
            self._product(node, _Matrix(name, scale, levels.sum(axis=0, dtype=np.int64) * scale))
        else:
            self._copy(node, {})

    def _is_matrix(self, name: str) -> bool:
        return name in self._floats and self._floats[name].ndim == 2

    def _tile(self, node: onnx.NodeProto, root: str) -> _Matrix:
        """The columns of the tied matrix that this product is with."""
        whole, transpose = self._tied[root], self._maker[node.input[1]]
        start, stop = 0, len(whole.scale)
        if (split := self._maker.get(transpose.input[0])) is not None:
            bounds = np.cumsum([0, *self._split_sizes(split)])
            part = list(split.output).index(transpose.input[0])
            start, stop = int(bounds[part]), int(bounds[part + 1])
        return _Matrix(node.input[1], whole.scale[start:stop], whole.column_sums[start:stop])

    def _split_sizes(self, split: onnx.NodeProto) -> list[int]:
        sizes = next(each for each in self._source.graph.initializer if each.name == split.input[1])
        return [int(size) for size in numpy_helper.to_array(sizes)]

    def _gather(self, node: onnx.NodeProto) -> None:
        """Rows of a tied matrix: levels · scale."""
        matrix = self._tied[node.input[0]]
        levels = self._add("Cast", self._add("Gather", matrix.levels, node.input[1]), to=TensorProto.FLOAT)
        scale = self._add("Gather", self._constant(f"{matrix.levels}.scale", matrix.scale), node.input[1])
        last = self._constant("int8.axes_(-1,)", np.array([-1]))
        self._add("Mul", levels, self._add("Unsqueeze", scale, last), output=node.output[0])

    def _product(self, node: onnx.NodeProto, matrix: _Matrix) -> None:
        """Levels · levels in int32, times both scales; what a floor added is taken off again."""
        rows = self._quantized_rows(node.input[0])
        one = self._constant("int8.one", np.float32(1))
        scale = self._constant(f"{node.output[0]}.scale", matrix.scale)
        zero = self._constant("int8.zero", np.int8(0))
        product = self._add("MatMulIntegerToFloat", rows.levels, matrix.levels, one, scale, rows.zero_point, zero)
        if not rows.floor:
            self._add("Mul", product, rows.scale, output=node.output[0])
            return
        floor = self._constant(f"{node.output[0]}.floor", rows.floor * matrix.column_sums.astype(np.float32))
        self._add("Sub", self._add("Mul", product, rows.scale), floor, output=node.output[0])

    def _maximum_of(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """ReduceMax over positions, where it is all that becomes of a tile's logits."""
        readers = [each for each in self._source.graph.node if node.output[0] in each.input]
        if [each.op_type for each in readers] != ["ReduceMax"] or len(readers[0].input) != 2:
            return None
        axes = next(each for each in self._source.graph.initializer if each.name == readers[0].input[1])
        kept = next((each.i for each in readers[0].attribute if each.name == "keepdims"), 1)
        return readers[0] if numpy_helper.to_array(axes).tolist() == [1] and not kept else None

    def _maximum(self, node: onnx.NodeProto, maximum: onnx.NodeProto, matrix: _Matrix) -> None:
        """Maximum over positions of levels · levels, (B, tile) int32, times both scales, which are > 0."""
        name = f"{node.input[0]} a text"
        if name not in self._rows:
            middle = self._constant("int8.middle", np.uint8(ROW_LEVELS + 1))
            self._rows[name] = self._levels(node.input[0], self._add("Abs", node.input[0]), ROW_LEVELS, middle, (1, 2))
        rows = self._rows[name]
        zero = self._constant("int8.zero", np.int8(0))
        logits = self._add("MatMulInteger", rows.levels, matrix.levels, rows.zero_point, zero)
        largest = self._add("ReduceMax", logits, maximum.input[1], keepdims=0)
        scale = self._add("Squeeze", rows.scale, maximum.input[1])  # (B, 1)
        scale = self._add("Mul", scale, self._constant(f"{node.output[0]}.scale", matrix.scale))
        self._add("Mul", self._add("Cast", largest, to=TensorProto.FLOAT), scale, output=maximum.output[0])
        self._done.add(maximum.output[0])

    def _quantized_rows(self, name: str) -> _Rows:
        """The uint8 rows of an activation; made once, however many products read them."""
        if name not in self._rows:
            maker = self._maker.get(name)
            self._rows[name] = (
                self._gelu_rows(name) if maker is not None and maker.op_type == "Gelu" else self._signed_rows(name)
            )
        return self._rows[name]

    def _signed_rows(self, x: str) -> _Rows:
        """Each row over its own range ±max|x|, in 2·127 steps."""
        middle = self._constant("int8.middle", np.uint8(ROW_LEVELS + 1))
        return self._levels(x, self._add("Abs", x), ROW_LEVELS, middle)

    def _gelu_rows(self, x: str) -> _Rows:
        """Each row of x + floor over its own range 0 … max, in 255 steps: finer, as GELU is nearly one-sided."""
        raised = self._add("Add", x, self._constant("int8.gelu_floor", np.float32(GELU_FLOOR)))
        return self._levels(raised, raised, 255, self._constant("int8.bottom", np.uint8(0)), floor=GELU_FLOOR)

    def _levels(
        self, x: str, size: str, steps: int, zero_point: str, axes: tuple[int, ...] = (-1,), floor: float = 0.0
    ) -> _Rows:
        """Rows of x in so many steps of their largest size over the axes, from the zero point up."""
        largest = self._add("ReduceMax", size, self._constant(f"int8.axes_{axes}", np.array(axes)), keepdims=1)
        scale = self._add("Mul", largest, self._constant(f"int8.step_{steps}", np.float32(1 / steps)))
        scale = self._add("Max", scale, self._constant("int8.smallest_step", np.float32(SMALLEST_STEP)))
        one = self._constant("int8.one", np.float32(1))
        levels = self._add("QuantizeLinear", self._add("Div", x, scale), one, zero_point)
        return _Rows(levels, scale, zero_point, floor)

    def _copy(self, node: onnx.NodeProto, renamed: dict[str, str]) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [renamed.get(name, name) for name in node.input]
        self._nodes.append(copy)

    def _add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"int8.{op}_{len(self._nodes)}"
        domain = "com.microsoft" if op == "MatMulIntegerToFloat" else ""
        self._nodes.append(helper.make_node(op, inputs, [output], name=f"node.{output}", domain=domain, **attributes))
        return output

    def _constant(self, name: str, value: Any) -> str:
        self._constants.setdefault(name, np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value))
        return name
