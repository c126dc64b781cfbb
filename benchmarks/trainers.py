"""The trainers that `benchmarks.training` compares, each in an interpreter of its own.

    python -m benchmarks.trainers TRAINER WORK     trains; WORK is a JSON file that holds a `Work`

It replies with a line before the first step and after each one, and waits for a line on standard input each time. Law:
all trainers see the same texts in the same order, cut alike; their networks, optimizers and losses are the same.
"""

import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from transformers import Trainer, TrainerCallback, TrainingArguments

from benchmarks.encoders import peak_mb
from splade_lucene.datasets import Doc, Query
from splade_lucene.training.examples import Draws, Example, TextStore, TrainingExamples

TEACHER = "made"
FLOPS_WEIGHT = 1e-3  # of both sides


@dataclass(frozen=True)
class Work:
    """What is trained, and on what.

    Attributes:
        model: a masked-LM folder without dropout, whose chances the trainers would draw in different orders.
        loss: `info_nce` over the positives of the batch, or `margin_mse` with one negative; FLOPS is added to both.
        batch: queries.
        steps: optimizer steps.
        max_length: tokens of a text.
        device: `cpu` or `cuda`.
        queries, documents: texts; the documents of query i are i and, its negative, i + len(queries).
    """

    model: str
    loss: Literal["info_nce", "margin_mse"]
    batch: int
    steps: int
    max_length: int
    device: str
    queries: list[str]
    documents: list[str]

    def draws(self) -> Draws:
        """What every trainer sees, in this order; the teacher's scores are made up."""
        margin = self.loss == "margin_mse"
        chance = np.random.default_rng(0)
        examples = TrainingExamples.of(
            Example(
                str(number),
                (str(number),),
                (str(number + len(self.queries)),) if margin else (),
                {TEACHER: chance.normal(10, 3, 2).astype(np.float32)} if margin else {},
            )
            for number in range(len(self.queries))
        )
        return Draws(examples, self.steps * self.batch, self.batch, int(margin), (TEACHER,) if margin else ())

    def arguments(self, kind: type[TrainingArguments], **others: Any) -> Any:
        """What transformers is told; a loss is logged at every step."""
        return kind(
            output_dir=str(Path(self.model).parent / "unused"),
            max_steps=self.steps,
            per_device_train_batch_size=self.batch,
            learning_rate=2e-5,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=self.device == "cpu",
            dataloader_pin_memory=self.device == "cuda",
            **others,
        )


def ours(work: Work) -> Trainer:
    """SpladeTrainer. Special terms keep their weights here, as sentence-transformers keeps them."""
    from splade_lucene.training.losses import InfoNce, MarginMse
    from splade_lucene.training.regularizers import Flops
    from splade_lucene.training.student import load_student
    from splade_lucene.training.teachers import Ensemble
    from splade_lucene.training.trainer import Collator, Objective, SpladeTrainer

    student = load_student(work.model, max_length={"documents": work.max_length, "queries": work.max_length})
    student.documents.kept.fill_(1.0)
    margin = work.loss == "margin_mse"
    objective = Objective(
        losses=(MarginMse() if margin else InfoNce(),),
        queries=(Flops(weight=FLOPS_WEIGHT, reduction="joint"),),
        documents=(Flops(weight=FLOPS_WEIGHT, reduction="joint"),),
        teachers=Ensemble(teachers=(TEACHER,), normalise=False) if margin else None,
    )
    collator = Collator(
        student,
        TextStore((Query(str(number), text) for number, text in enumerate(work.queries)), "query"),
        TextStore((Doc(str(number), "", text) for number, text in enumerate(work.documents)), "document"),
    )
    return SpladeTrainer(student, objective, work.arguments(TrainingArguments), work.draws(), collator)


def sentence_transformers(work: Work) -> Trainer:
    """SparseEncoderTrainer with SpladeLoss, in the order of our draws and with λ from the first step on."""
    from datasets import Dataset
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sparse_encoder import SparseEncoderTrainer, SparseEncoderTrainingArguments, losses
    from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import SpladeRegularizerWeightSchedulerCallback
    from torch.utils.data import SequentialSampler

    model = SparseEncoder(work.model, device=work.device)
    model.max_seq_length = work.max_length
    margin = work.loss == "margin_mse"
    draws = list(work.draws())
    columns: dict[str, list[Any]] = {"query": [work.queries[int(draw.query_id)] for draw in draws]}
    for place in range(1 + margin):
        columns[f"document{place}"] = [work.documents[int(draw.candidates[place])] for draw in draws]
    if margin:
        columns["label"] = [float(draw.scores[0, 0] - draw.scores[0, 1]) for draw in draws]
    ranking = losses.SparseMarginMSELoss(model) if margin else losses.SparseMultipleNegativesRankingLoss(model)
    trainer = SparseEncoderTrainer(
        model=model,
        args=work.arguments(
            SparseEncoderTrainingArguments,
            batch_sampler=lambda seen, **settings: DefaultBatchSampler(
                SequentialSampler(seen), settings["batch_size"], settings["drop_last"]
            ),
        ),
        train_dataset=Dataset.from_dict(columns),
        loss=losses.SpladeLoss(
            model, ranking, document_regularizer_weight=FLOPS_WEIGHT, query_regularizer_weight=FLOPS_WEIGHT
        ),
    )
    trainer.remove_callback(SpladeRegularizerWeightSchedulerCallback)
    return trainer


TRAINERS: Mapping[str, Callable[[Work], Trainer]] = {
    "sentence-transformers": sentence_transformers,
    "ours": ours,
}


class Turns(TrainerCallback):
    """Says [loss, seconds, CPU seconds, peak MB] after each step, and waits for its turn before each."""

    def __init__(self, device: str, reply: Callable[[object], None]) -> None:
        self._device = device
        self._reply = reply
        self._began = (0.0, 0.0)

    def _wait(self) -> None:
        sys.stdin.readline()
        self._began = (time.perf_counter(), time.process_time())

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ready."""
        self._reply(peak_mb(self._device))
        self._wait()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """A step is done: reading its loss has waited for the device."""
        if "loss" in logs:
            wall, cpu = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
            self._reply([float(logs["loss"]), wall, cpu, peak_mb(self._device)])
            self._wait()


def main() -> None:
    """One trainer in an interpreter of its own."""
    parser = ArgumentParser("benchmarks.trainers")
    parser.add_argument("trainer", choices=list(TRAINERS))
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    replies = os.fdopen(os.dup(1), "w")  # what trainers print goes to standard error
    os.dup2(2, 1)

    def reply(value: object) -> None:
        print(json.dumps(value), file=replies, flush=True)

    work = Work(**json.loads(arguments.work.read_text(encoding="utf-8")))
    trainer = TRAINERS[arguments.trainer](work)
    trainer.add_callback(Turns(work.device, reply))
    trainer.train()


if __name__ == "__main__":
    main()
