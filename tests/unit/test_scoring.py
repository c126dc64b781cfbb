"""Teachers: each scores as a direct computation does, whatever stands beside a text; what was scored stays scored."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from splade_lucene.datasets import Doc, Query
from splade_lucene.encoding.encoder import load_encoder
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.errors import ConfigError, EncoderError, FormatError, ModelNotFoundError
from splade_lucene.training.cross_encoder import CrossEncoderTraining, train_cross_encoder
from splade_lucene.training.examples import Example, TextStore, TrainingExamples
from splade_lucene.training.scoring import Bm25, Candidates, DotProducts, score_examples
from splade_lucene.training.teaching_networks import CrossEncoder, DenseEncoder, dense_teacher
from tests.checkpoints import add_sparse_encoder_files, copied
from tests.helpers import WORDS, tiny_backend

ON_CPU = EncoderOptions(device="cpu")
DOCUMENTS = {f"d{number}": " ".join(WORDS[number : number + 1 + number % 7]) for number in range(20)}
QUERIES = {f"q{number}": " ".join(WORDS[number : number + 2]) for number in range(8)}
EXAMPLES = TrainingExamples.of(
    Example(query_id, (f"d{number}",), tuple(f"d{(number + 3 * away) % 20}" for away in range(1, 3 + number % 3)))
    for number, query_id in enumerate(QUERIES)
)
ASKED = TextStore((Query(*item) for item in QUERIES.items()), "query")
FOUND = TextStore((Doc(doc_id, "", text) for doc_id, text in DOCUMENTS.items()), "document")
QUESTIONS = [
    Candidates(each.query_id, QUERIES[each.query_id], ids, [DOCUMENTS[doc_id] for doc_id in ids])
    for each in EXAMPLES
    for ids in [each.positives + each.negatives]
]


def tokenizer() -> PreTrainedTokenizerFast:
    backend = tiny_backend()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(each, backend.token_to_id(each)) for each in ("[CLS]", "[SEP]")],
    )
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=32, **named)


def made(kind: Any, source: Path, folder: Path, **changes: Any) -> Path:
    """A random network of this kind with the tiny model's sizes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        kind(BertConfig.from_pretrained(source, **changes)).eval().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(BertForSequenceClassification, tiny_model, tmp_path_factory.mktemp("classifier"), num_labels=1)


@pytest.fixture(scope="module")
def encoder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(BertModel, tiny_model, tmp_path_factory.mktemp("encoder"))


def logits(folder: Path, query: str, document: str) -> Any:
    network = BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return network(**tokenizer()(query, document, return_tensors="pt")).logits[0]


def same(found: Sequence[NDArray[np.float32]], expected: Sequence[Sequence[float]]) -> None:
    assert [each.tolist() for each in found] == [pytest.approx(list(each), abs=1e-5) for each in expected]


# Networks


def test_a_cross_encoder_gives_its_logit(classifier: Path) -> None:
    expected = [[logits(classifier, each.query, text).item() for text in each.documents] for each in QUESTIONS[:3]]
    same(CrossEncoder(classifier, ON_CPU)(QUESTIONS[:3]), expected)


def test_of_two_logits_the_difference(tiny_model: Path, tmp_path: Path) -> None:
    folder = made(BertForSequenceClassification, tiny_model, tmp_path, num_labels=2)
    first = QUESTIONS[0]
    expected = [float(np.diff(logits(folder, first.query, text).numpy())[0]) for text in first.documents]
    same(CrossEncoder(folder, ON_CPU)([first]), [expected])


def test_a_cross_encoder_is_that_of_sentence_transformers(classifier: Path) -> None:
    from sentence_transformers import CrossEncoder as Theirs

    theirs = Theirs(str(classifier), device="cpu", max_length=12)
    long = [Candidates("q", QUERIES["q3"], ("a", "b"), [" ".join(WORDS[:40]), DOCUMENTS["d6"]])]
    expected = theirs.predict([(long[0].query, text) for text in long[0].documents], activation_fn=torch.nn.Identity())
    ours = CrossEncoder(classifier, EncoderOptions(device="cpu", max_length=12))
    same(ours(long), [expected.tolist()])
    assert ours.truncated_texts == 1


@pytest.mark.parametrize("batch_tokens", [1, 60, 100_000])
def test_what_stands_beside_a_pair_does_not_matter(classifier: Path, encoder: Path, batch_tokens: int) -> None:
    options = EncoderOptions(device="cpu", batch_tokens=batch_tokens)
    dense = DenseEncoder(encoder, options, pooling="mean")
    for teacher in (CrossEncoder(classifier, options), dense_teacher(dense, dense)):
        alone = [
            teacher([Candidates(each.query_id, each.query, (), [text])])[0][0]
            for each in QUESTIONS
            for text in each.documents
        ]
        assert np.concatenate(teacher(QUESTIONS)).tolist() == pytest.approx(alone, abs=1e-4)


def as_sentence_transformers(folder: Path, pooling: str, *, normalised: bool) -> Path:
    """Around an encoder's checkpoint, what releases before 5.4 wrote."""
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if normalised else [])]
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (path, kind) in enumerate(steps)
    ]
    files: dict[str, Any] = {
        "modules.json": modules,
        "1_Pooling/config.json": {
            "word_embedding_dimension": 32,
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
            "pooling_mode_max_tokens": pooling == "max",
        },
        "sentence_bert_config.json": {"max_seq_length": 9, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {"query": "a cat ", "document": ""}},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalised", [True, False])
def test_a_dense_encoder_is_that_of_sentence_transformers(
    encoder: Path, tmp_path: Path, pooling: str, normalised: bool
) -> None:
    from sentence_transformers import SentenceTransformer

    older = as_sentence_transformers(copied(encoder, tmp_path / "older"), pooling, normalised=normalised)
    theirs = SentenceTransformer(str(older), device="cpu")
    theirs.save_pretrained(str(tmp_path / "newer"))
    texts = [*DOCUMENTS.values(), " ".join(WORDS[:30])]
    expected: dict[Side, Any] = {"queries": theirs.encode_query(texts), "documents": theirs.encode_document(texts)}
    for folder in (older, tmp_path / "newer"):
        ours = DenseEncoder(folder, ON_CPU)
        for side, vectors in expected.items():
            assert ours.encode(texts, side) == pytest.approx(vectors, abs=1e-5)
        assert ours.truncated_texts >= 2
        first = QUESTIONS[0]
        scores = theirs.encode_document(first.documents) @ theirs.encode_query(first.query)
        same(dense_teacher(ours, ours)([first]), [scores.tolist()])


def test_a_folder_says_how_its_vectors_are_pooled(encoder: Path, tmp_path: Path) -> None:
    folder = as_sentence_transformers(copied(encoder, tmp_path / "cls"), "cls", normalised=False)
    expected = DenseEncoder(encoder, ON_CPU, pooling="cls").encode(["a cat"], "documents")
    assert DenseEncoder(folder, ON_CPU).encode(["a cat"], "documents").tolist() == expected.tolist()
    lengths = np.linalg.norm(DenseEncoder(folder, ON_CPU, normalised=True).encode(["a cat", "fish"], "queries"), axis=1)
    assert lengths.tolist() == pytest.approx([1, 1])
    with pytest.raises(EncoderError, match="has pooling cls, and mean was asked for"):
        DenseEncoder(folder, ON_CPU, pooling="mean")
    with pytest.raises(EncoderError, match="pooling by pooling_mode_max_tokens; mean and cls"):
        DenseEncoder(as_sentence_transformers(folder, "max", normalised=False), ON_CPU)


def test_a_folder_of_the_wrong_kind(tiny_model: Path, encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"not a sequence classifier: .*classifier\.bias"):
        CrossEncoder(encoder)
    with pytest.raises(EncoderError, match="tells 3 classes apart"):
        CrossEncoder(made(BertForSequenceClassification, tiny_model, tmp_path / "three", num_labels=3))
    with pytest.raises(EncoderError, match="does not say how its vectors are pooled"):
        DenseEncoder(encoder)
    with pytest.raises(EncoderError, match="MLMTransformer → SpladePooling; a dense teacher is"):
        DenseEncoder(add_sparse_encoder_files(copied(tiny_model, tmp_path / "sparse")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        CrossEncoder(tmp_path / "empty")


# Dot products, BM25


def test_a_sparse_teacher_multiplies_vectors(tiny_model: Path) -> None:
    ours = load_encoder(tiny_model)
    expected = []
    for each in QUESTIONS:
        query = ours.encode([each.query]).row(0)
        rows = [ours.encode([text]).row(0) for text in each.documents]
        expected.append([sum(weight * row.get(term, 0) for term, weight in query.items()) for row in rows])
    same(DotProducts.of_sparse(ours, ours)(QUESTIONS), expected)


def test_each_text_is_encoded_once() -> None:
    seen: list[str] = []

    def encode(texts: list[str]) -> NDArray[np.float32]:
        seen.extend(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    teacher = DotProducts(lambda texts: np.ones((len(texts), 2), np.float32), encode, identity="", width=2)
    found = teacher(QUESTIONS[:4]) + teacher(QUESTIONS[2:])
    assert len(seen) == len(set(seen))
    assert found[2].tolist() == found[4].tolist() == [1 + len(text) for text in QUESTIONS[2].documents]


def test_vocabularies_that_differ(tiny_model: Path) -> None:
    with pytest.raises(EncoderError, match="different vocabularies"):
        DotProducts.of_sparse(load_encoder("default"), load_encoder(tiny_model))


def test_what_bm25_does_not_find_scores_nothing() -> None:
    asked: list[tuple[str, Sequence[str]]] = []

    def search(query: str, doc_ids: Sequence[str]) -> dict[str, float]:
        asked.append((query, doc_ids))
        return {doc_ids[1]: 2.5}

    assert Bm25(search, identity="")(QUESTIONS[:1])[0].tolist() == [0, 2.5, *[0] * (len(QUESTIONS[0].doc_ids) - 2)]
    assert asked == [(QUESTIONS[0].query, QUESTIONS[0].doc_ids)]


# Scores of examples


class Lengths:
    """Scores by lengths of texts; counts what it was asked, and gives up where it is told to."""

    def __init__(self, identity: str = "lengths", *, most: int = 1_000) -> None:
        self.identity = identity
        self.asked: list[str] = []
        self.most = most

    def __call__(self, questions: Sequence[Candidates]) -> list[NDArray[np.float32]]:
        self.asked += [each.query_id for each in questions]
        if len(self.asked) > self.most:
            raise KeyboardInterrupt
        return [np.array([len(text) - len(each.query) for text in each.documents], np.float32) for each in questions]


Score = Callable[..., TrainingExamples]


@pytest.fixture
def score(tmp_path: Path) -> Score:
    def scored(teacher: Any, examples: TrainingExamples = EXAMPLES, name: str = "lengths", **given: Any) -> Any:
        texts = {"queries": ASKED, "documents": FOUND} | given
        return score_examples(examples, teacher, cache=tmp_path / "cache", name=name, shard_pairs=6, **texts)

    return scored


def test_scores_stand_beside_their_documents(score: Score) -> None:
    counted: list[int] = []
    scored = score(Lengths(), progress=counted.append)
    assert scored.teachers == ["lengths"]
    for before, after in zip(EXAMPLES, scored, strict=True):
        assert (before.query_id, before.positives, before.negatives) == (
            after.query_id,
            after.positives,
            after.negatives,
        )
        texts = [DOCUMENTS[doc_id] for doc_id in after.positives + after.negatives]
        assert after.scores["lengths"].tolist() == [len(text) - len(QUERIES[after.query_id]) for text in texts]
    assert sum(counted) == sum(len(each.doc_ids) for each in QUESTIONS)
    again = score(Lengths("other"), scored, "other")
    assert again.teachers == ["lengths", "other"]
    with pytest.raises(ConfigError, match="have scores of other already"):
        score(Lengths(), again, "other")


def test_a_run_that_was_stopped_goes_on(score: Score) -> None:
    stopped = Lengths(most=5)
    with pytest.raises(KeyboardInterrupt):
        score(stopped)
    gone_on = Lengths()
    assert score(gone_on) == score(Lengths("undisturbed"))
    assert 0 < len(gone_on.asked) < len(QUERIES)
    nothing = Lengths(most=0)
    assert score(nothing) == score(gone_on)
    assert nothing.asked == []


def test_other_texts_and_other_teachers_are_scored_anew(score: Score, tmp_path: Path) -> None:
    score(Lengths())
    changed = Lengths()
    texts = DOCUMENTS | {"d0": "a cat"}
    score(changed, documents=TextStore((Doc(*item[:1], "", item[1]) for item in texts.items()), "document"))
    assert 0 < len(changed.asked) < len(QUERIES)
    other = Lengths("other")
    score(other)
    assert len(other.asked) == len(QUERIES)
    longer = Lengths()
    score(longer, TrainingExamples.joined([EXAMPLES, EXAMPLES[:1]]))
    assert longer.asked == ["q0"]


def test_a_score_that_is_no_number(score: Score) -> None:
    class Broken(Lengths):
        def __call__(self, questions: Sequence[Candidates]) -> list[NDArray[np.float32]]:
            return [np.array([1, np.nan, *each[2:]], np.float32) for each in super().__call__(questions)]

    with pytest.raises(EncoderError, match="query 'q0', document 'd3': the teacher's score is nan"):
        score(Broken())
    assert score(Lengths()).teachers == ["lengths"]  # it was not kept


def test_texts_that_are_missing(score: Score) -> None:
    teacher = Lengths(most=0)
    with pytest.raises(ConfigError, match="name the document 'd0', which the collection does not have"):
        score(teacher, documents=TextStore([], "document"))
    with pytest.raises(ConfigError, match="name the query 'q0'"):
        score(teacher, queries=TextStore([], "query"))


def test_a_shard_that_is_damaged(score: Score, tmp_path: Path) -> None:
    score(Lengths())
    file = min((tmp_path / "cache").iterdir())
    file.write_bytes(b"nothing")
    with pytest.raises(FormatError, match=f"{file.name}: these scores cannot be read .*; remove the file"):
        score(Lengths())


# A cross-encoder of one's own

TRAINING = CrossEncoderTraining(steps=80, batch=8, negatives=2, learning_rate=3e-3, max_length=24)


def trained(encoder: Path, output: Path) -> list[float]:
    return train_cross_encoder(encoder, EXAMPLES, ASKED, FOUND, output, training=TRAINING, cpu=True)


def test_a_cross_encoder_learns_to_rank_positives_first(tiny_model: Path, tmp_path: Path) -> None:
    encoder = made(BertModel, tiny_model, tmp_path / "encoder", initializer_range=0.1)
    losses = trained(encoder, tmp_path / "one")
    assert len(losses) == 80
    assert np.mean(losses[-3:]) < 0.3 * np.mean(losses[:3])
    teacher = CrossEncoder(tmp_path / "one", ON_CPU)
    assert all(scores.argmax() == 0 for scores in teacher(QUESTIONS))
    assert trained(encoder, tmp_path / "two") == losses
    assert CrossEncoder(tmp_path / "two").identity == teacher.identity
    with pytest.raises(ConfigError, match="is there already"):
        trained(encoder, tmp_path / "one")


def test_a_cross_encoder_computes_in_what_is_asked_for(tiny_model: Path, tmp_path: Path) -> None:
    once = CrossEncoderTraining(steps=1, batch=2, negatives=1, max_length=24, precision="bf16")
    assert train_cross_encoder(tiny_model, EXAMPLES, ASKED, FOUND, tmp_path / "made", training=once)
    assert CrossEncoderTraining(precision="bf16").in_bf16(cpu=True)
    assert not CrossEncoderTraining(precision="fp32").in_bf16(cpu=False)
    assert not CrossEncoderTraining().in_bf16(cpu=True)


def test_a_cross_encoder_wants_negatives(encoder: Path, tmp_path: Path) -> None:
    few = TrainingExamples.of(Example(each.query_id, each.positives, ()) for each in EXAMPLES)
    with pytest.raises(ConfigError, match="0 negatives, and 2 are to be drawn"):
        train_cross_encoder(encoder, few, ASKED, FOUND, tmp_path / "none", training=TRAINING, cpu=True)


def test_a_cross_encoder_begins_as_an_encoder(tiny_model: Path, tmp_path: Path) -> None:
    """A masked-LM checkpoint has one, without a pooler; of an encoder's own weights none is made up."""
    once = CrossEncoderTraining(steps=1, batch=2, negatives=1, max_length=24, layers=1)
    train_cross_encoder(tiny_model, EXAMPLES, ASKED, FOUND, tmp_path / "made", training=once, cpu=True)
    assert len(BertForSequenceClassification.from_pretrained(tmp_path / "made").bert.encoder.layer) == 1
    with pytest.raises(EncoderError, match=r"not an encoder: .* lacks \(bert\.encoder\.layer\.2\."):
        more = replace(once, layers=3)
        train_cross_encoder(tiny_model, EXAMPLES, ASKED, FOUND, tmp_path / "more", training=more, cpu=True)
    with pytest.raises(EncoderError, match="not a sequence classifier"):
        CrossEncoder(tiny_model, ON_CPU)
