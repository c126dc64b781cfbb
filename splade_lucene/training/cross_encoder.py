"""Training a cross-encoder, to be a teacher: a sequence classifier of one logit. Imports torch and transformers."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import SequentialSampler
from transformers import (
    AutoModelForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from splade_lucene.encoding.encoder import find_model
from splade_lucene.encoding.torch_encoder import load_fast_tokenizer
from splade_lucene.errors import ConfigError, TrainingError
from splade_lucene.training.attention import plain_attention
from splade_lucene.training.examples import Draw, Draws, TextStore, TrainingExamples
from splade_lucene.training.teaching_networks import load_network


@dataclass(frozen=True)
class CrossEncoderTraining:
    """How a cross-encoder is trained.

    steps: of the optimizer. batch: queries a step. negatives: of each query, drawn anew each time. learning_rate: at
    its height, after a tenth of the steps; it falls to 0. max_length: tokens of a pair. layers: how many of the lower
    ones are kept; all where None.
    """

    steps: int = 300
    batch: int = 8
    negatives: int = 7
    learning_rate: float = 5e-5
    max_length: int = 256
    layers: int | None = None
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def in_bf16(self, *, cpu: bool) -> bool:
        """Whether the network computes in bfloat16."""
        on_gpu = not cpu and torch.cuda.is_available()
        return self.precision == "bf16" or (self.precision == "auto" and on_gpu and torch.cuda.is_bf16_supported())


def train_cross_encoder(
    start: str | Path,
    examples: TrainingExamples,
    queries: TextStore,
    documents: TextStore,
    output: Path,
    *,
    training: CrossEncoderTraining | None = None,
    cpu: bool = False,
    progress: Callable[[int], None] = lambda count: None,
) -> list[float]:
    """Train a cross-encoder that begins as an encoder: L = −log softmax of the positive among its query's candidates.

    Args:
        start: the encoder, a folder or a hub name; the classifier's head begins at random.
        examples: what is learned.
        queries: their texts.
        documents: their texts.
        output: a folder, which appears whole: a checkpoint of transformers, a `CrossEncoder`.
        training: how.
        cpu: leave a GPU alone.
        progress: called after each step.

    Returns:
        The loss of each step.

    Raises:
        ConfigError: the folder is there; too few examples or negatives; an id without text. TrainingError: the loss is
            not finite. ModelNotFoundError, EncoderError: the encoder cannot be read.
    """
    training = training or CrossEncoderTraining()
    if output.exists():
        raise ConfigError(f"{output} is there already; name another folder")
    draws = Draws(examples, training.steps * training.batch, training.batch, training.negatives, seed=training.seed)
    queries.check(examples.table["query_id"].to_pylist())
    documents.check(examples.documents())
    folder, _ = find_model(start)
    tokenizer = load_fast_tokenizer(folder)
    tokenizer.model_max_length = training.max_length
    part = output.with_name(f".{output.name}.part")
    layers = {} if training.layers is None else {"num_hidden_layers": training.layers}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)  # decides the head
        network = load_network(
            AutoModelForSequenceClassification, folder, "an encoder", new_head=True, num_labels=1, **layers
        )
    learner = _Learner(
        network,
        TrainingArguments(
            str(part),
            max_steps=training.steps,
            per_device_train_batch_size=training.batch,
            learning_rate=training.learning_rate,
            warmup_steps=training.steps // 10,
            weight_decay=0.01,
            seed=training.seed,
            bf16=training.in_bf16(cpu=cpu),
            use_cpu=cpu or not torch.accelerator.is_available(),
            dataloader_pin_memory=not cpu and torch.cuda.is_available(),
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        data_collator=lambda some: _collate(some, tokenizer, queries, documents),
        train_dataset=draws,
        callbacks=[_Steps(progress)],
    )
    learner.remove_callback(PrinterCallback)  # stdout is for results
    with plain_attention(network):
        learner.train()
    shutil.rmtree(part, ignore_errors=True)  # what a killed run left
    network.save_pretrained(part)
    tokenizer.save_pretrained(part)
    part.rename(output)
    return learner.losses


def _collate(draws: list[Draw], tokenizer: Any, queries: TextStore, documents: TextStore) -> dict[str, Tensor]:
    """B draws of M candidates → tokens of B·M pairs."""
    asked = [queries[draw.query_id] for draw in draws for _ in draw.candidates]
    texts = [documents[doc_id] for draw in draws for doc_id in draw.candidates]
    return dict(tokenizer(asked, texts, truncation="longest_first", padding=True, return_tensors="pt"))


class _Learner(Trainer):
    def __init__(self, *given: Any, **named: Any) -> None:
        self.losses: list[float] = []
        super().__init__(*given, **named)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        draws: Any = self.train_dataset
        return SequentialSampler(draws)  # they are in their order already

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The positive stands first among its query's candidates."""
        output = model(**inputs)
        draws: Any = self.train_dataset
        scores = output.logits.float().view(-1, 1 + draws.negatives)  # (B, M)
        loss = cross_entropy(scores, scores.new_zeros(len(scores), dtype=torch.long))
        if not torch.isfinite(loss):
            raise TrainingError(f"step {self.state.global_step + 1}: the loss is {loss.item()}; learn more slowly")
        self.losses.append(loss.item())
        return (loss, output) if return_outputs else loss


class _Steps(TrainerCallback):
    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One more."""
        self._progress(1)
