"""Looking inside a model: which terms it gives a text, and which tokens gave them.

Weights come out of networks pooled over positions. Here one text goes through the same network without its pooling, so
that positions are the rows: a checkpoint is asked for the text's terms alone, an exported graph is changed in memory.
Law: pooled again, the rows are the vector that the encoder gives; a network of which that is not true is refused.
"""

import functools
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splade_lucene.encoding.encoder import TextEncoder
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.errors import EncoderError
from splade_lucene.inspection import (
    MOST_USED,
    InspectedTerm,
    InspectedText,
    InspectedVectors,
    PostingsOf,
    Source,
    Tally,
)
from splade_lucene.quantization import Quantizer

if TYPE_CHECKING:
    from splade_lucene.encoding.onnx_encoder import OnnxEncoder
    from splade_lucene.encoding.torch_encoder import TorchEncoder

BATCH_SIZE = 1_024  # texts that are encoded at a time
TOLERANCE = 0.01  # by which rows that are pooled again may miss a weight; products of other shapes round otherwise
TOLERANCE_BF16 = 0.07  # whose steps are 1/16 in logits up to 16


def inspect_text(
    encoder: TextEncoder, text: str, *, quantizer: Quantizer | None = None, postings_of: PostingsOf | None = None
) -> InspectedText:
    """The terms of a text: weights, impacts, expansions, and the tokens that gave them.

    Where positions are pooled by their maximum (and where weights are looked up), a term has one source, the first
    position of the largest weight; where they are summed, each position that gave something has its share.

    Args:
        encoder: of documents or of queries.
        text: as `encode` takes it.
        quantizer: for impacts; scale 100 by default.
        postings_of: asks an index how long posting lists are.

    Memory: 4 bytes for each position and each term of the text; of an exported network, of the vocabulary.

    Raises:
        WeightError: a weight is not finite or too large for a posting. EncoderError: the network does not fit in memory
            or, of an exported one, does not show what its positions give.
    """
    quantizer = quantizer or Quantizer()
    (tokens,) = encoder.tokenize([text])
    vectors = encoder.encode_tokens([tokens], ids=["text"])
    names = [encoder.vocabulary.terms[token] for token in tokens.ids]
    by_position = _by_position(encoder, np.array(tokens.ids, dtype=np.int64), vectors.terms)
    summed = encoder.identity.pooling == "sum"
    pooled = by_position.sum(axis=0) if summed else by_position.max(axis=0, initial=0.0)
    allowed = TOLERANCE_BF16 if encoder.identity.precision == "bf16" else TOLERANCE
    if not np.allclose(pooled, vectors.weights, rtol=allowed, atol=allowed):
        raise EncoderError(
            f"{encoder.identity} does not show which token gave a term: what its positions give, pooled, is not its "
            "vector; export the model with splade-lucene, or inspect the checkpoint"
        )
    impacts, written = quantizer(vectors).row(0), set(encoder.terms_in(text))
    weights = vectors.row(0)
    lists = dict(zip(weights, postings_of(list(weights)), strict=True)) if postings_of is not None else {}
    terms = [
        InspectedTerm(
            term,
            weight,
            impact=impacts.get(term, 0),
            error=impacts.get(term, 0) / quantizer.scale - weight,
            expansion=term not in written,
            sources=_shared(given, names) if summed else _largest(given, names),
            postings=int(lists[term]) if postings_of is not None else None,
        )
        for (term, weight), given in zip(weights.items(), by_position.T, strict=True)
    ]
    terms.sort(key=lambda each: -each.weight)
    return InspectedText(encoder.identity, text, tuple(names), tokens.truncated, quantizer.scale, tuple(terms))


def inspect_collection(
    encoder: TextEncoder,
    texts: Iterable[str],
    what: str = "texts",
    *,
    quantizer: Quantizer | None = None,
    postings_of: PostingsOf | None = None,
    most_used: int = MOST_USED,
    progress: Callable[[int], None] = lambda count: None,
) -> InspectedVectors:
    """Encode texts and count what stands in their vectors; `inspect_vectors` does it for vectors that are there.

    Args:
        encoder: of documents or of queries.
        texts: streamed; no vector is kept.
        what: what they are, for a heading.
        quantizer: for impacts; scale 100 by default.
        postings_of: asks an index how long posting lists are.
        most_used: how many of the terms used most to name.
        progress: called with the number of texts that a batch has encoded.

    Raises:
        WeightError, EncoderError: as `encode`.
    """
    tally = Tally(quantizer or Quantizer(), postings_of)
    rest, cut = iter(texts), 0
    while batch := list(islice(rest, BATCH_SIZE)):
        tokens = encoder.tokenize(batch)
        cut += sum(each.truncated for each in tokens)
        ids = [str(number) for number in range(len(batch))]
        vectors = encoder.encode_tokens(tokens, ids=ids, progress=progress)
        own = [len(vectors.row(row).keys() & set(encoder.terms_in(text))) for row, text in enumerate(batch)]
        tally.add(vectors, own)
    return tally.result(what, encoder.identity, cut=cut, most_used=most_used)


def _largest(given: NDArray[np.float32], tokens: list[str]) -> tuple[Source, ...]:
    position = int(given.argmax())
    return (Source(position, tokens[position], 1.0),)


def _shared(given: NDArray[np.float32], tokens: list[str]) -> tuple[Source, ...]:
    shares = given / given.sum()
    order = [int(position) for position in np.argsort(-shares, kind="stable") if shares[position] > 0]
    return tuple(Source(position, tokens[position], float(shares[position])) for position in order)


def _by_position(encoder: TextEncoder, tokens: NDArray[np.int64], terms: NDArray[np.int32]) -> NDArray[np.float32]:
    """(L,) token ids of a text and (T,) its terms → (L, T) what each position gives each term."""
    if isinstance(encoder, IdfEncoder):
        given: NDArray[np.float32] = (tokens[:, None] == terms) * encoder.table[terms]
        return given
    from splade_lucene.encoding.onnx_encoder import OnnxEncoder

    if isinstance(encoder, OnnxEncoder):
        return _of_graph(encoder, tokens, terms)
    from splade_lucene.encoding.torch_encoder import TorchEncoder

    if isinstance(encoder, TorchEncoder):
        return _of_network(encoder, tokens, terms)
    raise EncoderError(f"{encoder.identity}: a {type(encoder).__name__} does not say which token gave a term")


def _of_network(encoder: "TorchEncoder", tokens: NDArray[np.int64], terms: NDArray[np.int32]) -> NDArray[np.float32]:
    """f(logit_ij) for the terms' rows of the decoder alone."""
    import torch

    from splade_lucene.encoding.pooling import activate

    model = encoder.model
    with torch.inference_mode():
        input_ids = torch.from_numpy(tokens)[None].to(encoder.device)
        hidden = model.body(input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).logits[0]  # (L, H)
        wanted = torch.from_numpy(terms.astype(np.int64)).to(encoder.device)
        rows, bias = model.decoder.weight[wanted], model.decoder.bias[wanted]
        if model.pooling == "max":  # as `splade_pool_tiles` rounds: the bias comes after the maximum
            logits = torch.matmul(hidden, rows.t()).float() + bias.float()  # (L, T)
        else:
            logits = torch.nn.functional.linear(hidden, rows, bias).float()
        found: NDArray[np.float32] = activate(logits, model.activation).cpu().numpy()
    return found


def _of_graph(encoder: "OnnxEncoder", tokens: NDArray[np.int64], terms: NDArray[np.int32]) -> NDArray[np.float32]:
    """All of the graph but its pooling; the first terms of its rows are the vocabulary's."""
    session = _unpooled(encoder._file, encoder._device, encoder.identity.fingerprint)
    feed = {"input_ids": tokens[None], "attention_mask": np.ones_like(tokens)[None]}
    rows: NDArray[np.float32] = session.run(["weights"], feed)[0]  # (L, V)
    return rows[:, terms]


@functools.lru_cache(maxsize=2)  # of two models side by side
def _unpooled(file: Path, device: str, fingerprint: str) -> Any:
    """The graph, ready to run for one text, whose positions take the place of texts.

    Where a maximum or a sum over positions makes (B, tile) of (B, L, tile), the axis of the only text goes instead, and
    everything behind it, which is the same for all rows, is done for (L, tile).
    """
    import onnx
    import onnxruntime

    from splade_lucene.encoding.onnx_encoder import providers

    model = onnx.load(file, load_external_data=False)
    graph = model.graph
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer if each.dims in ([], [1])}
    text = onnx.numpy_helper.from_array(np.array([0]), "inspection.text")
    graph.initializer.append(text)
    for node in graph.node:
        if node.op_type in ("ReduceMax", "ReduceSum") and len(node.input) == 2:
            keeps = next((each.i for each in node.attribute if each.name == "keepdims"), 1)
            axes = constants.get(node.input[1])
            if not keeps and axes is not None and axes.tolist() == [1]:
                node.op_type, node.input[1] = "Squeeze", text.name
                del node.attribute[:]
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # the graph still says that it gives as many rows as it is given texts
    settings.add_session_config_entry("session.model_external_initializers_file_folder_path", str(file.parent))
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=providers(device))
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        raise EncoderError(f"{file} does not show which token gave a term: without its pooling {error}") from error
