"""Tokens, terms, truncation."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece

from splade_lucene.encoding.tokenizer import Tokenizer
from splade_lucene.errors import EncoderError
from tests.helpers import SPECIALS, WORDS, tiny_backend, tiny_tokenizer


def tokens(text: str, max_length: int = 16) -> list[str]:
    tokenizer = tiny_tokenizer(max_length)
    return [tokenizer.vocabulary.terms[each] for each in tokenizer([text])[0].ids]


def test_a_text_becomes_tokens_between_cls_and_sep() -> None:
    assert tokens("The CATS sleeping") == ["[CLS]", "the", "cat", "##s", "sleep", "##ing", "[SEP]"]
    assert tokens("") == ["[CLS]", "[SEP]"]
    assert tokens("unheard") == ["[CLS]", "[UNK]", "[SEP]"]


def test_a_long_text_is_cut_and_says_so() -> None:
    tokenizer = tiny_tokenizer(5)
    fits, cut, empty = tokenizer(["a cat and", "a cat and a", ""])
    assert (len(fits.ids), fits.truncated) == (5, False)
    assert (cut.ids, cut.truncated) == (fits.ids, True)
    assert (len(empty.ids), empty.truncated) == (2, False)


@pytest.mark.parametrize("max_length", [-1, 0, 1, 2])
def test_a_limit_that_leaves_no_room_for_text_is_refused(max_length: int) -> None:
    with pytest.raises((ValueError, EncoderError)):
        tiny_tokenizer(max_length)


def test_the_vocabulary_is_in_the_order_of_ids() -> None:
    tokenizer = tiny_tokenizer()
    assert tokenizer.vocabulary.terms == (*SPECIALS, *WORDS)
    assert tokenizer.special_ids == [0, 1, 2, 3, 4]


def test_terms_of_a_text_are_whole_and_without_specials() -> None:
    tokenizer = tiny_tokenizer(4)
    assert tokenizer.terms_in("the cats swim in [SEP] the unheard sea") == [
        *("the", "cat", "##s", "swim", "in", "the", "sea")
    ]


def test_ids_without_a_name_get_one_that_no_text_has() -> None:
    tokenizer = Tokenizer(Backend(WordPiece({"[UNK]": 0, "cat": 3}, unk_token="[UNK]")), 16)
    assert tokenizer.vocabulary.terms == ("[UNK]", "[unnamed 1]", "[unnamed 2]", "cat")


@pytest.mark.parametrize("text", ["\ud800cat", "cat \udfff", "\ud83d\ude00 cat", "\x00cat", "\ufeff", "😀" * 1_000])
def test_any_string_is_a_text(text: str) -> None:
    assert tokens(text)[0] == "[CLS]"
    assert tokens(text)[-1] == "[SEP]"


def test_a_saved_tokenizer_loads_as_it_was(tmp_path: Path) -> None:
    tiny_backend().save(str(tmp_path / "tokenizer.json"))
    loaded = Tokenizer.load(tmp_path / "tokenizer.json", 16)
    assert loaded.vocabulary.terms == tiny_tokenizer().vocabulary.terms
    assert loaded(["the cat"]) == tiny_tokenizer()(["the cat"])


def test_what_is_saved_has_the_same_fingerprint(tmp_path: Path) -> None:
    tiny_tokenizer(7).save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json", 16)
    assert loaded.fingerprint == tiny_tokenizer(7).fingerprint
    assert loaded(["the cat " * 9]) == tiny_tokenizer(16)(["the cat " * 9])
    assert not loaded(["the cat"] * 2)[1].truncated


def test_a_fingerprint_follows_what_splits_texts() -> None:
    other = tiny_backend()
    other.normalizer = None
    made = [
        tiny_tokenizer(),
        Tokenizer(other, 16),
        Tokenizer(tiny_backend(), 16, prompt="a "),
        Tokenizer(tiny_backend(), 16, special_tokens=False),
    ]
    assert len({each.fingerprint for each in made}) == 4


def test_a_prompt_stands_before_a_text_and_is_not_of_it() -> None:
    tokenizer = Tokenizer(tiny_backend(), 16, prompt="the moon: ")
    assert tokenizer(["cat"]) == tiny_tokenizer()(["the moon: cat"])
    assert tokenizer.terms_in("cat") == ["cat"]


def test_without_special_tokens_all_the_length_is_for_the_text() -> None:
    tokenizer = Tokenizer(tiny_backend(), 2, special_tokens=False)
    assert [len(each.ids) for each in tokenizer(["cat", "a cat", "a cat and"])] == [1, 2, 2]
    assert [each.truncated for each in tokenizer(["cat", "a cat", "a cat and"])] == [False, False, True]


def test_padding_is_what_the_tokenizer_says() -> None:
    backend = tiny_backend()
    backend.enable_padding(pad_id=4, pad_token="[MASK]")
    assert Tokenizer(backend, 16).pad_id == 4
    assert (tiny_tokenizer().pad_id, Tokenizer(tiny_backend(), 16, pad_id=3).pad_id) == (0, 3)


def test_a_tokenizer_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="the tokenizer is missing"):
        Tokenizer.load(tmp_path / "tokenizer.json", 16)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(EncoderError, match="not a tokenizer that can be read"):
        Tokenizer.load(tmp_path / "tokenizer.json", 16)
