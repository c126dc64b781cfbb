"""Tables of what vectors hold, worked by hand, and which token gave each term in every family of encoders."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from splade_lucene.encoding import export as module
from splade_lucene.encoding.encoder import TextEncoder, load_encoder
from splade_lucene.encoding.export import export
from splade_lucene.encoding.inspection import inspect_collection, inspect_text
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.encoding.pooling import Pooling
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.encoding.torch_encoder import TorchEncoder
from splade_lucene.errors import EncoderError
from splade_lucene.inspection import InspectedText, Spread, inspect_vectors
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import Vocabulary
from tests.helpers import tiny_tokenizer, weights

TEXT = "the black cat and the brown dog fly over the moon"
CPU = EncoderOptions(device="cpu", threads=1)

ROWS = {"x": {"a": 0.5, "b": 1.256}, "y": {"a": 1.5, "c": 0.004}, "z": {}}


# Many vectors


def test_what_is_counted() -> None:
    found = inspect_vectors([weights(ROWS, Vocabulary("abcd"))], "three rows")
    assert (found.what, found.encoder, found.vectors, found.cut, found.empty) == ("three rows", None, 3, None, 1)
    assert found.terms == Spread(4 / 3, 0, 0, 2, 2, 2, 2)
    assert found.own_terms is None
    assert (found.vocabulary, found.dead_terms) == (4, ("d",))
    assert [(use.term, use.vectors, use.share, use.mean_weight) for use in found.most_used] == [
        ("a", 2, pytest.approx(2 / 3), 1.0),
        ("b", 1, pytest.approx(1 / 3), pytest.approx(1.256)),
        ("c", 1, pytest.approx(1 / 3), pytest.approx(0.004)),
    ]
    assert found.most_used[0].largest_weight == 1.5
    assert found.mean_weight == pytest.approx((0.5 + 1.256 + 1.5 + 0.004) / 4)
    assert found.largest_weight == 1.5
    assert found.impacts == Spread(pytest.approx((50 + 126 + 150) / 3), 50, 50, 126, 150, 150, 150)  # type: ignore[arg-type]
    assert found.rounded_away == 1
    assert (found.mean_error, found.largest_error) == (pytest.approx(0.002, abs=1e-6), pytest.approx(0.004, abs=1e-6))
    assert found.expected_postings is None


def test_a_vector_costs_the_posting_lists_of_its_impacts_and_each_is_asked_for_once() -> None:
    lists, asked = {"a": 10, "b": 200, "c": 9}, Counter[str]()

    def postings_of(terms: object) -> list[int]:
        asked.update(terms)  # type: ignore[call-overload]
        return [lists[term] for term in terms]  # type: ignore[attr-defined]

    parts = [weights({name: row}, Vocabulary("abcd")) for name, row in ROWS.items()]
    found = inspect_vectors(parts, postings_of=postings_of)
    assert found.expected_postings == Spread(220 / 3, 0, 0, 10, 210, 210, 210)
    assert asked == {"a": 1, "b": 1}


def test_parts_of_other_vocabularies_are_counted_by_name() -> None:
    parts = [weights({name: row}) for name, row in ROWS.items()]
    together, apart = (inspect_vectors(each, most_used=2) for each in ([weights(ROWS)], parts))
    assert apart == together
    assert [use.term for use in apart.most_used] == ["a", "b"]


def test_nothing_is_counted_as_nothing() -> None:
    for batches in ([], [weights({})], [weights({"x": {}}, Vocabulary("ab"))]):
        found = inspect_vectors(batches)
        assert found.terms == Spread(*[0.0] * 7)
        assert found.most_used == ()
        assert (found.mean_weight, found.mean_error, found.rounded_away) == (0, 0, 0)


def test_the_scale_decides_what_is_rounded_away() -> None:
    found = inspect_vectors([weights(ROWS)], quantizer=Quantizer(1000))
    assert (found.rounded_away, found.impacts.most, found.scale) == (0, 1500, 1000)
    assert found.largest_error < 1e-6


# One text


@pytest.fixture(scope="module")
def default() -> TextEncoder:
    return load_encoder("default", options=CPU)


def checked(encoder: TextEncoder, text: str = TEXT) -> InspectedText:
    """What is found of a text, after comparing it with the text's vector."""
    found = inspect_text(encoder, text)
    assert {each.term: each.weight for each in found.terms} == pytest.approx(encoder.encode([text]).row(0))
    assert [each.weight for each in found.terms] == sorted((each.weight for each in found.terms), reverse=True)
    for each in found.terms:
        assert sum(source.share for source in each.sources) == pytest.approx(1, abs=1e-5)
        assert all(found.tokens[source.position] == source.token for source in each.sources)
        assert each.error == pytest.approx(each.impact / found.scale - each.weight)
    if found.terms:
        assert sum(part.share for part in found.token_parts) == pytest.approx(1, abs=1e-4)
        assert sum(part.terms for part in found.token_parts) == len(found.terms)
    return found


def sources(found: InspectedText) -> dict[str, tuple[int, float]]:
    """Each term's first source: its position and share."""
    return {each.term: (each.sources[0].position, each.sources[0].share) for each in found.terms}


def test_a_word_is_given_by_itself_and_its_relatives_by_it(default: TextEncoder) -> None:
    found = checked(default, "run a shell command")
    assert found.tokens == ("[CLS]", "run", "a", "shell", "command", "[SEP]")
    by_token = {each.term: (each.sources[0].token, each.expansion) for each in found.terms}
    assert by_token["shell"] == ("shell", False)
    assert by_token["shells"] == ("shell", True)
    assert by_token["commands"] == ("command", True)
    assert found.expansions == sum(expansion for _, expansion in by_token.values())
    assert found.expected_postings is None
    assert not found.truncated


@pytest.mark.parametrize("text", ["", "sort", "naïve café", "open a socket and wait " * 80])
def test_any_text_may_be_looked_at(default: TextEncoder, text: str) -> None:
    assert checked(default, text).truncated == (len(text) > 1000)


def test_a_text_costs_the_posting_lists_of_its_terms(default: TextEncoder) -> None:
    found = inspect_text(default, "run a shell command", postings_of=lambda terms: [7] * len(terms))
    assert found.expected_postings == 7 * len(found.terms)


def test_rounding_is_shown(default: TextEncoder) -> None:
    found = inspect_text(
        default, "run a shell command", quantizer=Quantizer(1.5), postings_of=lambda terms: [7] * len(terms)
    )
    dropped = [each for each in found.terms if not each.impact]
    assert dropped
    assert all(each.error == -each.weight for each in dropped)
    assert found.expected_postings == 7 * (len(found.terms) - len(dropped))


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_an_export_names_the_tokens_that_its_checkpoint_names(
    tiny_model: Path, tmp_path: Path, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(CPU, pooling=pooling)  # type: ignore[arg-type]
    expected = sources(checked(load_encoder(tiny_model, options=options)))
    monkeypatch.setattr(module, "LARGEST_FILE", 1)  # weights in a file beside
    export(tiny_model, tmp_path / "fp32", options=options)
    assert (tmp_path / "fp32" / "model.onnx.data").is_file()
    found = sources(checked(load_encoder(tmp_path / "fp32", options=CPU)))
    assert found.keys() == expected.keys()
    for term, (position, share) in expected.items():
        assert found[term] == (position, pytest.approx(share, abs=1e-3))


def test_a_sum_has_several_sources_and_a_maximum_one(tiny_model: Path) -> None:
    by_sum, by_max = (
        checked(load_encoder(tiny_model, options=replace(CPU, pooling=pooling))) for pooling in ("sum", "max")
    )
    assert {len(each.sources) for each in by_max.terms} == {1}
    assert max(len(each.sources) for each in by_sum.terms) > 1


def test_the_double_logarithm_is_the_models_own(tiny_model: Path) -> None:
    checked(load_encoder(tiny_model, options=replace(CPU, activation="log1p_log1p_relu", special_terms="keep")))


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_a_network_in_bf16_shows_its_tokens_within_the_steps_of_its_logits(tiny_model: Path, pooling: Pooling) -> None:
    """Logits near 10, and a bias that leaves a tenth of them: where the bias is added decides what is rounded."""
    encoder = load_encoder(tiny_model, options=replace(CPU, pooling=pooling, precision="bf16"))
    assert isinstance(encoder, TorchEncoder)
    ids = torch.arange(5, 21)[None]
    with torch.no_grad():
        encoder.model.decoder.weight *= 10 / encoder.model(ids, torch.ones_like(ids)).expm1().max()
        encoder.model.decoder.bias -= 6
    checked(encoder)


def test_weights_of_a_table_are_given_by_the_token_itself() -> None:
    found = checked(
        IdfEncoder(tiny_tokenizer(), {"cat": 3.0, "moon": 2.0, "the": 0.5}, missing=0.0), "the cat the moon"
    )
    assert [(each.term, each.sources[0].position, each.expansion) for each in found.terms] == [
        ("cat", 2, False),
        ("moon", 4, False),
        ("the", 1, False),
    ]


def test_pruned_terms_are_not_looked_at() -> None:
    found = checked(load_encoder("default", options=replace(CPU, top_terms=3)))
    assert len(found.terms) == 3


def test_a_network_that_is_pooled_otherwise_is_refused() -> None:
    encoder = load_encoder("default", options=CPU)
    encoder.identity = replace(encoder.identity, pooling="sum")
    with pytest.raises(EncoderError, match="does not show which token gave a term"):
        inspect_text(encoder, "the cat and the dog of the house")


# Many texts


def test_a_collection_is_counted_as_its_vectors_are(default: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["run a shell command", "", "sort a list " * 200, "a"]
    done: list[int] = []
    monkeypatch.setattr("splade_lucene.encoding.inspection.BATCH_SIZE", 3)
    found = inspect_collection(default, texts, "four texts", progress=done.append)
    vectors = default.encode(texts)
    expected = inspect_vectors([vectors], "four texts", encoder=default.identity)
    own = [len(set(vectors.row(row)) & set(default.terms_in(text))) for row, text in enumerate(texts)]
    assert found.own_terms is not None
    assert found.own_terms.mean == pytest.approx(np.mean(own))
    assert (found.cut, found.own_terms.most, sum(done)) == (1, max(own), 4)
    assert replace(found, cut=None, own_terms=None, mean_weight=0, mean_error=0) == replace(
        expected, mean_weight=0, mean_error=0
    )
