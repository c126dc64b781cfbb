"""The trainer: `transformers.Trainer` with what sparse encoders need. Imports torch and transformers.

What it adds: losses and regularizers added up by their weights, λ that grows with the optimizer's steps, a monitor of
sparsity that stops a collapse, validation by retrieval, and checkpoints that are models. Laws: a run that is stopped
and goes on from its checkpoint ends with the same bits as one that was not stopped; a checkpoint that was not written
to its end is none.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from splade_lucene.errors import ConfigError, TrainingError
from splade_lucene.files import replacing
from splade_lucene.training.examples import Draw, Draws, TextStore
from splade_lucene.training.losses import BatchScores, Loss
from splade_lucene.training.regularizers import (
    L1,
    DfFlops,
    Flops,
    IdfFlops,
    TermStatistics,
    flops,
    mean_over_processes,
    quadratic,
)
from splade_lucene.training.student import Student, Texts
from splade_lucene.training.teachers import Ensemble

Regularizers = Sequence[Flops | IdfFlops | DfFlops | L1]
WINDOW = 100  # steps over which dead and always-on terms are counted
COLLAPSED_STEPS = 10  # in a row without any weight, after which nothing brings them back
STATE = "splade_lucene_state.pt"  # of a checkpoint; written last, so that what has it is whole


@dataclass(frozen=True)
class Objective:
    """L = Σ weight · loss + λ(t) (Σ weight · regularizer(queries) + Σ weight · regularizer(documents)).

    teachers: how the scores of several become one; None where no loss wants any. warmup_steps: T of `quadratic`.
    statistics: what regularizers know of terms. target_terms: how many non-zeros a document shall have in the mean;
    where given, the documents' λ follows it (`Controller`).
    """

    losses: Sequence[Loss]
    queries: Regularizers = ()
    documents: Regularizers = ()
    teachers: Ensemble | None = None
    warmup_steps: int = 0
    statistics: TermStatistics = field(default_factory=TermStatistics)
    target_terms: int | None = None


class Collator:
    """Draws → tensors: token ids of both sides, teachers' scores (J, B, M), and who is known to be no negative."""

    def __init__(self, student: Student, queries: TextStore, documents: TextStore) -> None:
        self._tokenizers = student.tokenizers
        self._queries = queries
        self._documents = documents

    def __call__(self, draws: list[Draw]) -> dict[str, Any]:
        """B draws of M candidates each."""
        queries = [self._queries[draw.query_id] for draw in draws]
        documents = [self._documents[doc_id] for draw in draws for doc_id in draw.candidates]
        known = [[[doc_id in draw.positives for doc_id in other.candidates] for other in draws] for draw in draws]
        return {
            "queries": padded(self._tokenizers["queries"], queries),
            "documents": padded(self._tokenizers["documents"], documents),
            "scores": torch.stack([torch.from_numpy(draw.scores) for draw in draws], dim=1),
            "known": torch.from_numpy(np.array(known)),  # torch reads nested lists many times slower than numpy
        }


def padded(tokenizer: Any, texts: Sequence[str]) -> Texts:
    """Token ids and mask of texts."""
    rows = [each.ids for each in tokenizer(texts)]
    longest = max(1, *map(len, rows))  # an empty query that is looked up has no token at all
    ids = np.array([row + [tokenizer.pad_id] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([[len(row)] for row in rows])
    return Texts(input_ids=torch.from_numpy(ids), attention_mask=(torch.arange(longest) < lengths).long())


class Controller:
    """λ that follows a target: after each step factor ← factor · (n / target)^rate, within [1/limit, limit].

    n is the mean number of non-zeros of a document in the step; more than wanted make λ grow, fewer make it shrink.
    """

    def __init__(self, target: int, *, rate: float = 0.01, limit: float = 1e4) -> None:
        self.target = target
        self.rate = rate
        self.limit = limit
        self.factor = 1.0

    def step(self, non_zeros: float) -> None:
        """See what the step's documents had."""
        self.factor *= (max(non_zeros, 1.0) / self.target) ** self.rate
        self.factor = min(max(self.factor, 1 / self.limit), self.limit)


class Monitor:
    """What the weights look like: the means since the last report, and terms over the last steps, of all processes.

    Raises:
        TrainingError: the loss is not finite, or the weights of one side have all been 0 for some steps.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._began = time.perf_counter()
        self._seen: deque[Tensor] = deque(maxlen=WINDOW)
        self._empty = 0

    def see(self, queries: Tensor, documents: Tensor, losses: Mapping[str, Tensor], step: int) -> float:
        """Look at a step's weights, (B, V) and (B, M, V); returns the mean number of a document's non-zeros."""
        flat = documents.flatten(0, 1)
        query_share, share = (mean_over_processes(each.sign().mean(dim=0)) for each in (queries, flat))  # (V,)
        seen = {name: loss.detach() for name, loss in losses.items()}
        seen |= {"query_terms": query_share.sum(), "document_terms": share.sum()}
        seen |= {"query_flops": flops(queries), "document_flops": flops(flat)}
        report = dict(zip(seen, torch.stack(list(seen.values())).tolist(), strict=True))  # waits for the device once
        for name in losses:
            if not math.isfinite(report[name]):
                raise TrainingError(
                    f"step {step}: {name} is {report[name]}; a smaller learning rate, gradients that are cut "
                    "(max_grad_norm) or bf16 in place of fp16 may help"
                )
        query_terms, non_zeros = report["query_terms"], report["document_terms"]
        self._empty = self._empty + 1 if min(non_zeros, query_terms) == 0 else 0
        if self._empty == COLLAPSED_STEPS:
            side = "queries" if query_terms == 0 else "documents"
            raise TrainingError(
                f"step {step}: the weights of all {side} have been 0 for {COLLAPSED_STEPS} steps, and weights of 0 "
                "learn nothing: λ is too large, or grows too early. Make the regularizer's weight smaller or its "
                "warmup_steps larger; each published λ belongs to its loss, batch size and reduction"
            )
        for name, value in report.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps += 1
        self._seen.append(share)
        return float(non_zeros)

    def document_share(self) -> Tensor | None:
        """(V,) the share of the last steps' documents that had each term."""
        return torch.stack(list(self._seen)).mean(dim=0) if self._seen else None

    def report(self) -> dict[str, float]:
        """The means since the last report; dead_terms and always_on_terms are shares of the vocabulary."""
        means = {name: total / self._steps for name, total in self._sums.items()} if self._steps else {}
        if self._steps:
            means["batches_per_second"] = self._steps / (time.perf_counter() - self._began)
        share = self.document_share()
        if share is not None:
            means |= {
                "dead_terms": float((share == 0).float().mean()),
                "always_on_terms": float((share > 0.5).float().mean()),
            }
        self._sums, self._steps = {}, 0
        self.go_on()
        return means

    def go_on(self) -> None:
        """Begin to measure the time anew: what passed until now was no training."""
        self._began = time.perf_counter()


Validate = Callable[[Student], dict[str, float]]


class SpladeTrainer(Trainer):
    """Trains a student.

    Args:
        student: what is changed.
        objective: what is minimised.
        arguments: transformers' own; `train_batch_size` is queries.
        draws: what is seen, in its order.
        collator: texts of both sides.
        validate: measures of the student as it is, each name as `evaluate` writes it.

    Raises:
        TrainingError: as `Monitor`.
    """

    def __init__(
        self,
        student: Student,
        objective: Objective,
        arguments: TrainingArguments,
        draws: Draws,
        collator: Collator,
        validate: Validate | None = None,
        *,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self.objective: Objective = objective
        self.monitor = Monitor()
        self.controller = Controller(objective.target_terms) if objective.target_terms else None
        self._validate = validate
        self.draws = draws
        super().__init__(
            model=student,
            args=arguments,
            train_dataset=draws,
            eval_dataset=[] if validate else None,
            data_collator=collator,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)  # stdout is for results

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.draws)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The objective on one batch."""
        queries, documents = model(inputs["queries"], inputs["documents"])
        with torch.autocast(queries.device.type, enabled=False):
            parts = self.parts(queries.float(), documents.float(), inputs["scores"], inputs["known"])
            total = torch.stack(list(parts.values())).sum()
        non_zeros = self.monitor.see(queries.detach(), documents.detach(), parts, self.state.global_step + 1)
        if self.controller:
            self.controller.step(non_zeros)
        return (total, {"queries": queries, "documents": documents}) if return_outputs else total

    def parts(self, queries: Tensor, documents: Tensor, scores: Tensor, known: Tensor) -> dict[str, Tensor]:
        """What is added up, by name: (B, V), (B, M, V), (J, B, M) and (B, B, M) → scalars."""
        objective = self.objective
        student = torch.einsum("iv,jmv->ijm", queries, documents)
        taught = objective.teachers(scores) if objective.teachers and len(scores) else None
        batch = BatchScores(student, taught, known)
        parts = {f"loss_{loss.name}": loss.weight * loss(batch) for loss in objective.losses}
        scale = quadratic(self.state.global_step + 1, objective.warmup_steps)
        statistics = objective.statistics
        if statistics.document_share is None and any(isinstance(each, DfFlops) for each in objective.documents):
            share = self.monitor.document_share()
            first = (documents.detach() > 0).float().mean(dim=(0, 1))  # before anything was seen
            statistics = TermStatistics(statistics.idf, first if share is None else share)
        following = self.controller.factor if self.controller else 1.0
        for side, weights, each_of, factor in (
            ("query", queries.unsqueeze(1), objective.queries, scale),
            ("document", documents, objective.documents, scale * following),
        ):
            for each in each_of:
                cost = each(weights, statistics)
                parts[f"{side}_{each.name}"] = factor * each.weight * cost
        return parts

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what the monitor has seen."""
        if "loss" in logs:
            logs |= {name: round(value, 6) for name, value in self.monitor.report().items()}
            logs["lambda"] = quadratic(self.state.global_step, self.objective.warmup_steps)
            if self.controller:
                logs["lambda"] *= self.controller.factor
        super().log(logs, start_time)

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Validate by retrieval, on the first process; the others are told."""
        assert self._validate is not None
        student: Any = self.accelerator.unwrap_model(self.model)
        told: list[Any] = [self._validate(student) if self.is_world_process_zero() else None]
        if distributed.is_available() and distributed.is_initialized():
            distributed.broadcast_object_list(told)
        measured = {f"{metric_key_prefix}_{name}": value for name, value in told[0].items()}
        self.log(measured)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, measured)
        self.monitor.go_on()
        return measured

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if self.args.should_save:
            folder = Path(output_dir or str(self.args.output_dir))
            folder.mkdir(parents=True, exist_ok=True)
            student: Any = self.accelerator.unwrap_model(self.model)
            student.save(folder)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            folder = checkpoint_folder(Path(str(self.args.output_dir)), self.state.global_step)
            with replacing(folder / STATE) as part:
                torch.save(self._own_state(), part)

    def _own_state(self) -> dict[str, Any]:
        return {
            "factor": self.controller.factor if self.controller else 1.0,
            "seen": list(self.monitor._seen),
            "empty": self.monitor._empty,
            "examples": self.draws.examples.fingerprint,
        }

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        own = torch.load(folder / STATE, map_location=self.args.device, weights_only=True)
        if own["examples"] != self.draws.examples.fingerprint:
            raise ConfigError(f"the examples are not those that {folder} has learned from; restore them, or begin anew")
        student: Any = self.accelerator.unwrap_model(model or self.model)
        student.load(folder)
        if self.controller:
            self.controller.factor = own["factor"]
        self.monitor._seen.extend(own["seen"])
        self.monitor._empty = own["empty"]


def checkpoint_folder(folder: Path, step: int) -> Path:
    """The folder of the checkpoint of a step."""
    return folder / f"{PREFIX_CHECKPOINT_DIR}-{step}"


def whole_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints that were written to their end, oldest first."""
    whole = [state.parent for state in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{STATE}")]
    return sorted(whole, key=lambda each: int(each.name.rpartition("-")[2]))
