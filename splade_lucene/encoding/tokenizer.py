"""The tokenizer as encoders need it: Hugging Face's `tokenizers` alone, which imports in milliseconds."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splade_lucene.errors import EncoderError
from splade_lucene.vectors import Vocabulary


@dataclass(frozen=True)
class Tokens:
    """One text as the network sees it: token ids with [CLS] and [SEP], and whether max_length cut it."""

    ids: list[int]
    truncated: bool


class Tokenizer:
    """Splits texts into tokens; a token is also the term of the same name.

    Args:
        backend: a `tokenizers.Tokenizer`, whose truncation and padding this class takes over.
        max_length: tokens a text may have, [CLS] and [SEP] included; the rest is cut off and reported.
        pad_id: what a batch is padded with; where it is not given, what the backend says, or 0.
        prompt: stands before every text.
        special_tokens: whether [CLS] and [SEP], or what this tokenizer has for them, are put around a text.

    Attributes:
        vocabulary: the terms.
        special_ids: term ids of [CLS], [SEP], [PAD], [UNK], [MASK] and the like, ascending.
        fingerprint: equal for tokenizers that split alike (12 hex digits of SHA-256); max_length is not in it.

    Raises:
        EncoderError: max_length leaves no room for text.
    """

    def __init__(
        self,
        backend: Any,
        max_length: int,
        *,
        pad_id: int | None = None,
        prompt: str = "",
        special_tokens: bool = True,
    ) -> None:
        shortest = 1 + special_tokens * backend.num_special_tokens_to_add(is_pair=False)
        if max_length < shortest:
            raise EncoderError(f"max_length {max_length} leaves no room for text; it is at least {shortest}")
        self._backend = backend
        self._prompt = prompt
        self._special_tokens = special_tokens
        self.pad_id = int((backend.padding or {}).get("pad_id", 0)) if pad_id is None else pad_id
        backend.no_padding()
        backend.no_truncation()
        self.fingerprint = _fingerprint(backend.to_str(), prompt, str(special_tokens))
        backend.enable_truncation(max_length)
        self.max_length = max_length
        self.vocabulary = Vocabulary(_terms(backend))
        self.special_ids = sorted(
            number for number, token in backend.get_added_tokens_decoder().items() if token.special
        )

    @classmethod
    def load(
        cls,
        file: Path,
        max_length: int,
        *,
        pad_id: int | None = None,
        prompt: str = "",
        special_tokens: bool = True,
    ) -> "Tokenizer":
        """Read a `tokenizer.json`.

        Raises:
            EncoderError: it is missing or malformed.
        """
        from tokenizers import Tokenizer as Backend

        if not file.is_file():
            raise EncoderError(f"{file}: the tokenizer is missing from the model's folder")
        try:
            backend = Backend.from_file(str(file))
        except Exception as error:  # tokenizers raises plain Exception
            raise EncoderError(f"{file}: not a tokenizer that can be read ({error})") from error
        return cls(backend, max_length, pad_id=pad_id, prompt=prompt, special_tokens=special_tokens)

    def save(self, file: Path) -> None:
        """Write a `tokenizer.json` that `load` makes the same tokenizer of; max_length and prompt are not in it."""
        from tokenizers import Tokenizer as Backend

        copy = Backend.from_str(self._backend.to_str())
        copy.no_truncation()
        copy.save(str(file), pretty=False)

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids of each text."""
        encoded = self._backend.encode_batch_fast(
            [without_surrogates(self._prompt + text) for text in texts], add_special_tokens=self._special_tokens
        )
        return [Tokens(each.ids, bool(each.overflowing)) for each in encoded]

    def terms_in(self, text: str) -> list[str]:
        """The terms that stand in a text, in order, without [CLS] and [SEP]; max_length does not cut them."""
        first = self._backend.encode(without_surrogates(text), add_special_tokens=False)
        tokens = [token for part in (first, *first.overflowing) for token in part.ids]
        return [self.vocabulary.terms[token] for token in tokens if token not in self.special_ids]


def _fingerprint(tokenizer: str, *settings: str) -> str:
    """12 hex digits of SHA-256; a score's last digits do not count, as writing and reading a tokenizer changes them."""
    stable = re.sub(r"(\.\d{9})\d+", r"\1", tokenizer)
    return hashlib.sha256("\0".join((stable, *settings)).encode()).hexdigest()[:12]


def _terms(backend: Any) -> list[str]:
    """Term id → term; ids that the tokenizer leaves out become terms of their own that no text has."""
    named = {number: term for term, number in backend.get_vocab(with_added_tokens=True).items()}
    return [named.get(number, f"[unnamed {number}]") for number in range(max(named, default=-1) + 1)]


def without_surrogates(text: str) -> str:
    """Lone surrogates are no Unicode text; each becomes U+FFFD, as decoders do."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
