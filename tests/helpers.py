"""What several tests need: vectors out of dictionaries, the slow and simple search, a tiny tokenizer."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from splade_lucene.encoding.tokenizer import Tokenizer
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits
from splade_lucene.vectors import ImpactVectors, TermVectors, Vocabulary

ROOT = Path(__file__).resolve().parent.parent

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SENTENCE = """
a an and apple bird black blue boat brown cat coat cold cloud day dog door eat field fish fly for fox garden green grey
hot house in is jump lake light moon night of on over rain red river run sea sky sleep small snow stone sun swim the
tree walk water white wind yellow . ? ##s ##ing ##ed
"""
WORDS = tuple(_SENTENCE.split())

Rows = Mapping[str, Mapping[str, float]]


def weights(rows: Rows, vocabulary: Vocabulary | None = None) -> TermVectors:
    """Vectors of {id: {term: weight}}."""
    return TermVectors.from_rows(rows, vocabulary)


def impacts(rows: Mapping[str, Mapping[str, int]], vocabulary: Vocabulary | None = None) -> ImpactVectors:
    """Vectors of {id: {term: impact}}."""
    return Quantizer(1)(weights(rows, vocabulary))


def as_rows(vectors: TermVectors | ImpactVectors) -> dict[str, dict[str, float]]:
    """{id: {term: value}}."""
    return {row_id: dict(vectors.row(number)) for number, row_id in enumerate(vectors.ids)}


def hits(*doc_ids: str, scores: Sequence[float] = ()) -> Hits:
    """Hits with these scores, or with scores that fall by 1."""
    return Hits(list(doc_ids), np.array(scores or range(len(doc_ids), 0, -1), dtype=np.float64))


def brute_force(documents: Mapping[str, Mapping[str, int]], query: Mapping[str, int], k: int) -> list[tuple[str, int]]:
    """Not efficient, but simple: all dot products that are not 0, in the one order, the first k."""
    scores = {
        doc_id: sum(impact * document.get(term, 0) for term, impact in query.items())
        for doc_id, document in documents.items()
    }
    found = [(doc_id, score) for doc_id, score in scores.items() if score]
    return sorted(found, key=lambda hit: (-hit[1], hit[0].encode()))[:k]


def tiny_backend() -> Backend:
    """A BERT-like WordPiece tokenizer over 64 terms."""
    vocabulary = {term: number for number, term in enumerate((*SPECIALS, *WORDS))}
    backend = Backend(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = BertNormalizer(lowercase=True)
    backend.pre_tokenizer = BertPreTokenizer()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(each, vocabulary[each]) for each in ("[CLS]", "[SEP]")]
    )
    backend.add_special_tokens(list(SPECIALS))
    return backend


def tiny_tokenizer(max_length: int = 16) -> Tokenizer:
    """The same as encoders take it."""
    return Tokenizer(tiny_backend(), max_length)
