"""The texts that `benchmarks.encode` encodes: of mixed lengths, and of exactly so many tokens.

Law: the same file, or none, gives the same texts on every machine.

The ones made in code are words that are terms themselves, drawn Zipf-like in the order of the vocabulary, which in
BERT's falls by frequency; their number is drawn log-normal with median 74 and mean 88, as of real passages.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from splade_lucene.datasets import read_documents
from splade_lucene.encoding.tokenizer import Tokenizer

DOCUMENT_TOKENS = (64, 128, 256)
QUERY_TOKENS = (8, 16, 32)
_AROUND = 2  # [CLS] and [SEP]


@dataclass(frozen=True)
class Texts:
    """What is encoded.

    Attributes:
        source: where the words come from.
        mixed: documents of mixed lengths.
        mean_tokens: of those, [CLS] and [SEP] included, after truncation.
        documents, queries: number of tokens, [CLS] and [SEP] included → texts of exactly so many.
    """

    source: str
    mixed: Sequence[str]
    mean_tokens: float
    documents: Mapping[int, Sequence[str]]
    queries: Mapping[int, Sequence[str]]


def choose(file: Path | None, documents: int, queries: int, tokenizer: Tokenizer) -> Texts:
    """The texts, of a file or made in code.

    Args:
        file: an INPUT, of which as many documents are drawn; None to make texts.
        documents: how many of mixed lengths; of each exact length a quarter as many.
        queries: how many of each length.
        tokenizer: its terms make the texts of exact lengths.
    """
    if file is None:
        mixed = _made(documents, tokenizer)
    else:
        found = [doc.default_text() for doc in read_documents(str(file))]
        mixed = random.Random(0).sample(found, min(documents, len(found)))
    words = _words(mixed, tokenizer)
    return Texts(
        source="made in code, seed 0" if file is None else file.name,
        mixed=mixed,
        mean_tokens=float(np.mean([len(each.ids) for each in tokenizer(mixed)])),
        documents={size: _exact(words, size, max(1, documents // 4), tokenizer) for size in DOCUMENT_TOKENS},
        queries={size: _exact(words, size, queries, tokenizer) for size in QUERY_TOKENS},
    )


def _made(count: int, tokenizer: Tokenizer) -> list[str]:
    draw = np.random.default_rng(0)
    words = [term for term in tokenizer.vocabulary.terms if _is_word(term)]
    chances = 1 / (np.arange(len(words)) + 10.0)
    lengths = np.exp(draw.normal(4.3, 0.6, count)).clip(5, 400).astype(int)
    return [" ".join(draw.choice(words, length, p=chances / chances.sum())) for length in lengths]


def _words(texts: Sequence[str], tokenizer: Tokenizer) -> Iterator[str]:
    """The words of the texts that are one token each, in their order, over and over."""
    known = tokenizer.vocabulary.id_of
    words = [word for text in texts for word in text.lower().split() if _is_word(word) and word in known]
    if not words:
        raise SystemExit("the texts have no English word, so that none of exact lengths can be made of them")
    return cycle(words)


def _is_word(term: str) -> bool:
    return term.isascii() and term.isalpha() and len(term) > 1


def _exact(words: Iterator[str], tokens: int, count: int, tokenizer: Tokenizer) -> list[str]:
    texts = [" ".join(islice(words, tokens - _AROUND)) for _ in range(count)]
    assert all(len(each.ids) == tokens for each in tokenizer(texts))
    return texts
