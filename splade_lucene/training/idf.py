"""idf of terms: counted in documents, or read where somebody has counted it. Imports neither torch nor Lucene.

A term that no document has weighs 1, as in OpenSearch's tables; special terms weigh nothing.
"""

from collections.abc import Iterable
from itertools import batched
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splade_lucene.encoding.encoder import find_model, load_encoder
from splade_lucene.encoding.layouts import WeightTable, read_layout
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.encoding.table_encoder import IdfEncoder, load_binary_encoder, load_table_encoder
from splade_lucene.encoding.tokenizer import Tokenizer
from splade_lucene.errors import EncoderError

TEXTS_AT_A_TIME = 1_000


def idf(document_frequencies: NDArray[np.int64], documents: int) -> NDArray[np.float64]:
    """ln(1 + (N − df + ½) / (df + ½)); 1 where df is 0.

    References:
        Geng et al., arXiv:2411.04403, whose published table has 1 for terms that were not seen.
    """
    seen = np.log1p((documents - document_frequencies + 0.5) / (document_frequencies + 0.5))
    return np.where(document_frequencies > 0, seen, 1.0)


def count_idf(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, float]:
    """Term → idf in these texts, as the tokenizer splits and cuts them; texts without a token do not count."""
    found = np.zeros(len(tokenizer.vocabulary), dtype=np.int64)
    special = set(tokenizer.special_ids)
    documents = 0
    for some in batched(texts, TEXTS_AT_A_TIME):
        for each in tokenizer(some):
            own = list(set(each.ids) - special)
            found[own] += 1
            documents += bool(own)
    return dict(zip(tokenizer.vocabulary.terms, idf(found, documents).tolist(), strict=True))


def counted_idf(model: str, max_length: int, texts: Iterable[str]) -> IdfEncoder:
    """Queries by their terms' idf in texts, with the tokenizer of a model."""
    tokenizer = binary_queries(model, max_length).tokenizer
    return IdfEncoder(tokenizer, count_idf(tokenizer, texts))


def read_idf(source: str, model: str, max_length: int) -> IdfEncoder:
    """Queries by an idf that is there: a file {term: weight} for the tokenizer of a model, or a model's own table.

    Raises:
        ModelNotFoundError: neither file nor model. EncoderError: the model's queries are not looked up.
    """
    file = Path(source)
    if file.is_file():
        folder, _ = find_model(model)
        return load_table_encoder(WeightTable(folder, file, missing=1.0, special_tokens=True, max_length=max_length))
    encoder = load_encoder(source, side="queries", options=EncoderOptions(max_length=max_length))
    if not isinstance(encoder, IdfEncoder):
        raise EncoderError(
            f"{source} encodes queries with a network; an idf is a table: a file, or a model that has one"
        )
    return encoder


def binary_queries(model: str, max_length: int) -> IdfEncoder:
    """Queries whose terms all weigh 1, with the tokenizer of a model."""
    folder, _ = find_model(model)
    return load_binary_encoder(read_layout(folder, "documents"), EncoderOptions(max_length=max_length))
