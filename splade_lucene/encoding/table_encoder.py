"""IdfEncoder: weights out of a table, or all equal to one; no network, and neither torch nor onnxruntime."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from splade_lucene.encoding.encoder import Batch, TextEncoder
from splade_lucene.encoding.layouts import USUAL_MAX_LENGTH, ExportedNetwork, Layout, WeightTable
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.encoding.tokenizer import Tokenizer, Tokens
from splade_lucene.errors import EncoderError
from splade_lucene.vectors import EncoderIdentity


class IdfEncoder(TextEncoder):
    """Weights from a table, no network: q_j = table[j] for each term j that stands in the text, once.

    Args:
        tokenizer: splits the text.
        table: term → weight, usually an idf.
        options: for what is kept of a vector.
        missing: the weight of a term that the table lacks: 1 as OpenSearch has it, 0 as sentence-transformers has it.
        name: for messages and manifests.

    Attributes:
        table: (V,) float32, the weight of each term.

    Raises:
        EncoderError: a weight is not finite and >= 0.

    References:
        Inference-free retrievers, arXiv:2411.04403.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        table: Mapping[str, float],
        options: EncoderOptions | None = None,
        *,
        missing: float = 1.0,
        name: str = "idf",
    ) -> None:
        options = options or EncoderOptions()
        with np.errstate(over="ignore"):  # a weight beyond float32 becomes infinite, and is refused as such
            self.table = np.array(
                [_as_float(table.get(term, missing)) for term in tokenizer.vocabulary.terms], dtype=np.float32
            )
        usable = np.isfinite(self.table) & (self.table >= 0)
        if not usable.all():
            wrong = tokenizer.vocabulary.terms[int(np.argmin(usable))]
            raise EncoderError(f"{name}: the weight of {wrong!r} is {table[wrong]}; weights are finite and >= 0")
        if options.special_terms == "drop":
            self.table[tokenizer.special_ids] = 0.0
        identity = EncoderIdentity(
            name=name,
            fingerprint=hashlib.sha256(self.table.tobytes()).hexdigest()[:12],
            vocabulary=tokenizer.vocabulary.fingerprint,
            max_length=tokenizer.max_length,
            activation="binary" if not table and missing == 1.0 else "table",
            tokenizer=tokenizer.fingerprint,
            special_terms=options.special_terms,
            top_terms=options.top_terms,
            min_weight=options.min_weight,
        )
        super().__init__(tokenizer, identity)

    def _batches(self, tokens: Sequence[Tokens]) -> Iterator[Batch]:
        found = [np.unique(np.array(each.ids, dtype=np.int32)) for each in tokens]
        rows = [row[self.table[row] > 0] for row in found]
        terms = np.concatenate([np.zeros(0, np.int32), *rows])
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        yield Batch(list(range(len(rows))), lengths, terms, self.table[terms])


def load_table_encoder(
    layout: WeightTable, options: EncoderOptions | None = None, *, name: str | None = None
) -> IdfEncoder:
    """The encoder of a model whose queries are looked up.

    Where the layout puts [CLS] and [SEP] around a text, special terms weigh nothing, whatever the options say.

    Raises:
        EncoderError: the table or the tokenizer is missing or malformed, or they are of different models.
    """
    options = options or EncoderOptions()
    tokenizer = _tokenizer(
        layout.folder,
        options.max_length or layout.max_length,
        prompt=layout.prompt,
        special_tokens=layout.special_tokens,
    )
    match layout.file.suffix:
        case ".json":
            table = _read_json_table(layout.file)
        case ".txt":
            table = _read_text_table(layout.file)
        case _:
            table = _read_weight_vector(layout.file, tokenizer)
    if layout.special_tokens:
        options = replace(options, special_terms="drop")
    options = replace(options, top_terms=options.top_terms or layout.top_terms)
    return IdfEncoder(tokenizer, table, options, missing=layout.missing, name=name or str(layout.folder))


def load_binary_encoder(
    layout: Layout, options: EncoderOptions | None = None, *, name: str | None = None
) -> IdfEncoder:
    """The set of a query's own terms, each of weight 1, special terms none: SPLADE-doc, with any model's tokenizer.

    Raises:
        EncoderError: there is no tokenizer that can be read.
    """
    options = options or EncoderOptions()
    own_length = USUAL_MAX_LENGTH if isinstance(layout, ExportedNetwork) else layout.max_length
    tokenizer = _tokenizer(layout.folder, options.max_length or own_length)
    return IdfEncoder(tokenizer, {}, replace(options, special_terms="drop"), name=name or str(layout.folder))


def _tokenizer(folder: Path, max_length: int, *, prompt: str = "", special_tokens: bool = True) -> Tokenizer:
    """The tokenizer of a folder; one without tokenizer.json needs transformers to read its older files."""
    file = folder / "tokenizer.json"
    if file.is_file() or not [*folder.glob("vocab.*"), *folder.glob("*.model")]:
        return Tokenizer.load(file, max_length, prompt=prompt, special_tokens=special_tokens)
    from splade_lucene.encoding.torch_encoder import load_fast_tokenizer

    backend = load_fast_tokenizer(folder).backend_tokenizer
    return Tokenizer(backend, max_length, prompt=prompt, special_tokens=special_tokens)


def _read_json_table(file: Path) -> dict[str, float]:
    """{term: weight}."""
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EncoderError(f"{file}: not JSON ({error})") from error
    if not isinstance(table, dict) or not set(map(type, table.values())) <= {int, float}:
        raise EncoderError(f"{file}: not an object of the form {{term: weight}}")
    return table


def _read_text_table(file: Path) -> dict[str, float]:
    """Lines of a term, a tab and its weight; a term may hold whatever else Unicode calls a line's end."""
    table = {}
    try:
        lines = file.read_bytes().decode().split("\n")
    except ValueError as error:
        raise EncoderError(f"{file}: not UTF-8 ({error})") from error
    for number, line in enumerate(lines, start=1):
        term, tab, weight = line.removesuffix("\r").rpartition("\t")
        if not line.strip("\r"):
            continue
        try:
            if not tab:
                raise ValueError("no tab")
            table[term] = float(weight)
        except ValueError as error:
            raise EncoderError(f"{file}:{number}: not a term, a tab and a weight: {line[:80]!r} ({error})") from error
    return table


def _read_weight_vector(file: Path, tokenizer: Tokenizer) -> dict[str, float]:
    """The tensor `weight` of a safetensors file: one weight per term id."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        weights = load_file(file)["weight"]
    except (OSError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise EncoderError(f"{file}: not weights that can be read ({error!r})") from error
    terms = tokenizer.vocabulary.terms
    if weights.shape != (len(terms),):
        raise EncoderError(
            f"{file} holds weights of shape {weights.shape}, its tokenizer has {len(terms):,} terms: they are of "
            "different models"
        )
    return dict(zip(terms, weights.tolist(), strict=True))


def _as_float(weight: float) -> float:
    """A weight as float; a whole number beyond float64 is infinite."""
    try:
        return float(weight)
    except OverflowError:
        return float("inf")
