"""The training benchmark on a tiny network: both trainers compute the same losses, and every column is filled."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import training
from benchmarks.trainers import TRAINERS, Work
from tests.checkpoints import make_bert
from tests.helpers import WORDS

pytest.importorskip("sentence_transformers")
pytestmark = pytest.mark.slow
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
TEXTS = [" ".join(WORDS[number : number + 5]) for number in range(12)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("models") / "still", max_position_embeddings=160, **STILL)


@pytest.mark.parametrize("loss", training.LABELS)
def test_both_trainers_compute_the_same_losses(model: Path, loss: Any) -> None:
    work = Work(str(model), loss, 4, 3, 16, "cpu", TEXTS[:6], TEXTS)
    seen = {}
    for name, made in TRAINERS.items():
        trainer = made(work)
        trainer.train()
        seen[name] = [each["loss"] for each in trainer.state.log_history if "loss" in each]
    assert len(seen["ours"]) == 3
    assert seen["ours"] == pytest.approx(seen["sentence-transformers"], rel=training.TOLERANCE)


def test_trainers_with_other_losses_are_not_measured() -> None:
    training.check({"one": 2.0, "other": 2.001})
    with pytest.raises(SystemExit, match=r"losses differ: {'one': 2\.0, 'other': 2\.1}"):
        training.check({"one": 2.0, "other": 2.1})


def test_they_take_their_turns(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "EXAMPLES", 4)
    options = ["--model", str(model), "--losses", "margin_mse", "--batches", "4", "--repeats", "1", "--json"]
    monkeypatch.setattr("sys.argv", ["training", *options])
    training.main()
    peer, ours = json.loads(capsys.readouterr().out)["rows"]
    assert peer["training"] == "MarginMSE, 1 negative + FLOPS, 4 queries: sentence-transformers"
    assert (peer["times"], peer["times less"]) == (1, 1)
    assert ours.keys() == peer.keys()
    assert ours["last loss"] != ours["first loss"]
    assert 0 < ours["before MB"] <= ours["peak MB"]
