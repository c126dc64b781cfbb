"""The encoding benchmark on a tiny checkpoint: engines agree, wrong ones are refused, every column is filled."""

from pathlib import Path

import pytest

from benchmarks import encode
from benchmarks.encoders import ENGINES, Loaded, prepare
from benchmarks.texts import Texts, choose
from splade_lucene.encoding.tokenizer import Tokenizer
from tests.checkpoints import make_bert
from tests.helpers import WORDS, tiny_backend

SENTENCE = " ".join(WORDS[1:20])
TEXTS = Texts("words", [SENTENCE, "sun", ""], 9.0, {8: ["red fox"]}, {8: ["blue boat"], 16: ["a cold lake", "rain"]})
NETWORKS = ("naver", "torch", "torch-bf16")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_bert(folder / "checkpoint")
    prepare(folder, ["idf", *NETWORKS])
    return folder


def loaded(models: Path, *names: str) -> dict[str, Loaded]:
    return {name: ENGINES[name].load(models / ENGINES[name].model) for name in names}


def test_engines_agree_with_sentence_transformers(models: Path) -> None:
    pytest.importorskip("sentence_transformers")
    found = encode.agreement(loaded(models, encode.REFERENCE, *NETWORKS, "idf"), TEXTS.mixed)
    differences = {name: figures["largest difference"] for name, figures in found.items()}
    assert differences.pop("idf") is None
    assert differences.pop("torch-bf16") != 0
    assert all(isinstance(each, float) and each < 1e-4 for each in differences.values())


def test_an_engine_with_other_vectors_is_not_measured(models: Path, tmp_path: Path) -> None:
    engines = loaded(models, "naver")
    make_bert(tmp_path / "checkpoint", hidden_act="relu")
    with pytest.raises(SystemExit, match=r"ours, torch fp32: a weight differs by"):
        encode.agreement({encode.REFERENCE: engines["naver"], **loaded(tmp_path, "torch")}, TEXTS.mixed)


def test_each_engine_has_its_figures(models: Path) -> None:
    found = encode.speeds(loaded(models, "naver", "torch", "idf"), TEXTS, 1)
    queries = {f"ms {size} {each}" for size in TEXTS.queries for each in ("p50", "p99")} | {"times at 16"}
    assert found["torch"].keys() == queries | {"docs/s 8", "docs/s mixed", "times", "by CPU"}
    assert found["idf"].keys() == queries
    assert found["naver"]["times"] == 1


def test_memory_and_start_are_those_of_a_process_of_its_own(models: Path) -> None:
    (figures,) = encode.memory_and_start(["idf"], models, TEXTS, 1).values()
    assert figures.keys() == {"peak MB", "cold start s"}
    assert figures["peak MB"] is None  # it encodes no documents


def test_an_engine_that_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)IdfEncoder.* failed:.*ModelNotFoundError"):
        encode.memory_and_start(["idf"], tmp_path, TEXTS, 1)


def test_texts_have_the_lengths_that_they_are_asked_for() -> None:
    tokenizer = Tokenizer(tiny_backend(), 256)
    texts = choose(None, 8, 3, tokenizer)
    assert texts == choose(None, 8, 3, tokenizer)
    assert len(texts.mixed) == 8
    for sizes, count in ((texts.documents, 2), (texts.queries, 3)):
        for size, of_size in sizes.items():
            assert [len(tokens.ids) for tokens in tokenizer(of_size)] == [size] * count
