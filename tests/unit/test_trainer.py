"""The trainer on tiny networks: it learns, it goes on where it stopped, it says why it stops."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from splade_lucene.datasets import Doc, Query
from splade_lucene.encoding.encoder import load_encoder
from splade_lucene.errors import TrainingError
from splade_lucene.training.examples import Draws, Example, TextStore, TrainingExamples
from splade_lucene.training.losses import InfoNce, KlDivergence, MarginMse
from splade_lucene.training.regularizers import L1, Flops
from splade_lucene.training.student import Student, load_student
from splade_lucene.training.teachers import Ensemble
from splade_lucene.training.trainer import Collator, Controller, Monitor, Objective, SpladeTrainer
from tests.helpers import WORDS

pytestmark = pytest.mark.slow
BATCH, NEGATIVES = 4, 2
DOCUMENTS = {f"d{number}": " ".join(WORDS[number % 40 : number % 40 + 6]) for number in range(40)}
QUERIES = {f"q{number}": " ".join(WORDS[number : number + 2]) for number in range(32)}
EXAMPLES = TrainingExamples.of(
    Example(
        f"q{number}",
        (f"d{number}",),
        tuple(f"d{(number + 11 + away) % 40}" for away in range(5)),
        {"dense": np.linspace(1, 0, 6, dtype=np.float32), "sparse": np.linspace(30, 5, 6, dtype=np.float32)},
    )
    for number in range(32)
)
LEARNING = Objective(losses=(InfoNce(),))


def trainer(
    student: Student, folder: Path, objective: Objective = LEARNING, *, steps: int = 12, **arguments: Any
) -> SpladeTrainer:
    settings: dict[str, Any] = {
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "lr_scheduler_type": "constant",
    }
    teachers = objective.teachers.teachers if objective.teachers else ()
    each = arguments.get("gradient_accumulation_steps", 1) * BATCH
    return SpladeTrainer(
        student,
        objective,
        TrainingArguments(str(folder), max_steps=steps, per_device_train_batch_size=BATCH, **(settings | arguments)),
        Draws(EXAMPLES, steps * each, each, NEGATIVES, teachers, seed=3),
        Collator(
            student,
            TextStore((Query(*item) for item in QUERIES.items()), "query"),
            TextStore((Doc(doc_id, "", text) for doc_id, text in DOCUMENTS.items()), "document"),
        ),
    )


@pytest.fixture
def student(tiny_model: Path) -> Callable[[], Student]:
    def made() -> Student:
        torch.manual_seed(5)
        return load_student(tiny_model, max_length={"documents": 16, "queries": 8})

    return made


def history(made: SpladeTrainer, name: str) -> list[float]:
    return [each[name] for each in made.state.log_history if name in each]


def test_it_learns(student: Callable[[], Student], tmp_path: Path) -> None:
    made = trainer(student(), tmp_path, steps=60)
    made.train()
    losses = history(made, "loss_info_nce")
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


@pytest.mark.parametrize(
    "objective",
    [
        Objective(
            losses=(KlDivergence(), MarginMse(weight=0.05)),
            documents=(Flops(weight=1e-3),),
            queries=(L1(weight=1e-3),),
            teachers=Ensemble(teachers=("dense", "sparse"), scale=10),
            warmup_steps=8,
        ),
        Objective(losses=(InfoNce(),), documents=(Flops(weight=1e-2),), target_terms=8),
    ],
    ids=["distilled", "with a target"],
)
def test_a_run_that_goes_on_ends_with_the_same_bits(
    student: Callable[[], Student], tmp_path: Path, objective: Objective
) -> None:
    whole = trainer(student(), tmp_path / "whole", objective)
    whole.train()
    trainer(student(), tmp_path / "parts", objective, save_strategy="steps", save_steps=5).train()
    rest = trainer(student(), tmp_path / "parts", objective)
    rest.train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-5"))
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, rest.model.state_dict()[name]), name
    assert history(whole, "loss")[5:] == history(rest, "loss")[5:]


def test_a_checkpoint_is_a_model(student: Callable[[], Student], tmp_path: Path) -> None:
    made = trainer(student(), tmp_path, steps=2, save_strategy="steps", save_steps=2)
    made.train()
    texts = list(DOCUMENTS.values())[:5]
    learned: Student = made.model  # type: ignore[assignment]
    assert load_encoder(tmp_path / "checkpoint-2").encode(texts) == learned.encoder("documents").encode(texts)


def test_lambda_follows_the_optimizers_steps(student: Callable[[], Student], tmp_path: Path) -> None:
    objective = Objective(losses=(InfoNce(),), documents=(Flops(weight=1.0),), warmup_steps=4)
    made = trainer(student(), tmp_path, objective, steps=6, gradient_accumulation_steps=2)
    made.train()
    assert history(made, "lambda") == pytest.approx([(step / 4) ** 2 for step in (1, 2, 3)] + [1, 1, 1])


def test_sparsity_pays(student: Callable[[], Student], tmp_path: Path) -> None:
    terms = []
    for weight in (1e-6, 1.0):
        made = trainer(student(), tmp_path, Objective((InfoNce(),), documents=(Flops(weight=weight),)), steps=30)
        made.train()
        terms.append(history(made, "document_terms")[-1])
    assert terms[1] < 0.8 * terms[0]


def test_a_collapse_is_explained(student: Callable[[], Student], tmp_path: Path) -> None:
    objective = Objective(losses=(InfoNce(),), documents=(L1(weight=1e4),), queries=(L1(weight=1e4),))
    with pytest.raises(TrainingError, match="have been 0 for 10 steps, and weights of 0 learn nothing: λ is too large"):
        trainer(student(), tmp_path, objective, steps=200, learning_rate=1e-2, max_grad_norm=0).train()


def test_a_loss_that_is_no_number_stops() -> None:
    with pytest.raises(TrainingError, match="step 7: loss_kl is nan"):
        Monitor().see(torch.ones(2, 3), torch.ones(2, 2, 3), {"loss_kl": torch.tensor(math.nan)}, 7)


def test_what_the_monitor_counts() -> None:
    monitor = Monitor()
    queries, documents = torch.tensor([[1.0, 0, 0]]), torch.tensor([[[1.0, 0, 2], [3, 0, 0]]])
    assert monitor.see(queries, documents, {"loss": torch.tensor(2.0)}, 1) == 1.5
    report = monitor.report()
    assert report["document_flops"] == 5
    assert (report["query_terms"], report["document_terms"]) == (1, 1.5)
    assert (report["dead_terms"], report["always_on_terms"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert monitor.report().keys() == {"dead_terms", "always_on_terms"}


def test_lambda_that_follows_a_target() -> None:
    controller = Controller(100, rate=0.5)
    controller.step(400)
    assert controller.factor == 2
    controller.step(25)
    assert controller.factor == 1
    for _ in range(100):
        controller.step(1e6)
    assert controller.factor == controller.limit
