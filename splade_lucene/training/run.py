"""A training run from its configuration to a finished model, in a folder that knows how far it is.

    experiment.yaml    the configuration, defaults included
    log.jsonl          a line for each report of the training and each validation
    checkpoints/       what a run that was stopped goes on from, the last and the best; gone when it is finished
    tensorboard/       where TensorBoard is installed
    model/             the model that validated best, or the last one: there when the run is finished

Imports torch and transformers. Laws: the same command, run again after it was stopped at any moment, goes on and ends
with the model that it would have ended with on the same machine; another configuration in the same folder is refused.
What is wrong with configuration, examples and texts is said before a network is loaded.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback, is_tensorboard_available

from splade_lucene.config import dump, load
from splade_lucene.datasets import Doc, Query, read_documents, read_qrels, read_queries
from splade_lucene.encoding.table_encoder import IdfEncoder
from splade_lucene.errors import ConfigError, EncoderError
from splade_lucene.files import read_json_lines, writing_text
from splade_lucene.quantization import Quantizer
from splade_lucene.training.examples import Draws, TextStore, TrainingExamples
from splade_lucene.training.experiment import OF_THE_DOCUMENTS, ExampleSource, QueryNetwork, TrainingExperiment
from splade_lucene.training.idf import binary_queries, counted_idf, read_idf
from splade_lucene.training.readers import read_examples, said, within_folder
from splade_lucene.training.regularizers import IdfFlops, TermStatistics, quadratic
from splade_lucene.training.student import Student, load_student
from splade_lucene.training.trainer import (
    Collator,
    Objective,
    SpladeTrainer,
    checkpoint_folder,
    whole_checkpoints,
)
from splade_lucene.training.validation import Sample, Search, Validation

EXPERIMENT, LOG, CHECKPOINTS, TENSORBOARD, MODEL = "experiment.yaml", "log.jsonl", "checkpoints", "tensorboard", "model"
EVAL = "eval_"  # with which transformers begins the names of measures

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Opens a progress bar of a description and a total; what it gives is called with each number done."""


@dataclass(frozen=True)
class Surroundings:
    """What a run is given from outside.

    search: for validation. say: takes a line for a person. progress: shows how far it is. data: a folder; what the
    configuration names is looked for in it, too.
    """

    search: Search
    say: Callable[[str], None]
    progress: Progress
    data: Path | None = None

    def found(self, name: str) -> str:
        """A name of the configuration, in the data folder if it is there."""
        inside = self.data / name if self.data is not None else None
        return str(inside) if inside is not None and inside.exists() else name


@dataclass(frozen=True)
class Outcome:
    """A finished run: its model, the step it is of, and what was measured at each validation; 0 is before the first."""

    model: Path
    step: int
    validations: Mapping[int, Mapping[str, float]]


def train(experiment: TrainingExperiment, output: Path, outside: Surroundings, *, overwrite: bool = False) -> Outcome:
    """Train as the experiment says; go on where an earlier call was stopped, or give its outcome where it was not.

    Raises:
        ConfigError: the folder holds another experiment, or something else; the experiment does not fit its data.
        FormatError: examples or texts are malformed. EncoderError: a model cannot be loaded, or sides do not fit.
        TrainingError: the loss is no number, or all weights have become 0.
    """
    arguments = _arguments(experiment, output)
    with arguments.main_process_first(local=False):
        if arguments.should_save:
            _claim(experiment, output, overwrite=overwrite)
    if (output / MODEL).is_dir():
        outside.say(f"{output}: this run is finished; nothing was done")
        return _outcome(experiment, output)
    draws, queries, documents = _data(experiment, outside, arguments.world_size)
    validation = _validation(experiment, outside)
    table = _query_table(experiment, outside)
    student = _student(experiment, table, outside)
    trainer = SpladeTrainer(
        student,
        _objective(experiment, table, student, arguments.device),
        arguments,
        draws,
        Collator(student, queries, documents),
        (lambda learning: validation(learning.encoder)) if validation else None,
    )
    if experiment.optimization.decay_all:
        changed = [parameter for parameter in student.parameters() if parameter.requires_grad]
        trainer.optimizer = torch.optim.AdamW(changed, lr=arguments.learning_rate, weight_decay=arguments.weight_decay)
    _learn(trainer, output, outside)
    if arguments.should_save:
        best = trainer.state.best_global_step or trainer.state.global_step
        student.load(checkpoint_folder(output / CHECKPOINTS, best))
        part = output / f".{MODEL}.part"
        shutil.rmtree(part, ignore_errors=True)
        student.save(part)
        part.rename(output / MODEL)
        shutil.rmtree(output / CHECKPOINTS)
    trainer.accelerator.wait_for_everyone()
    return _outcome(experiment, output)


def _learn(trainer: SpladeTrainer, output: Path, outside: Surroundings) -> None:
    """Run all steps that are not done yet."""
    checkpoints = whole_checkpoints(output / CHECKPOINTS)
    trainer.args.eval_on_start = trainer.args.eval_strategy == "steps" and not checkpoints
    if is_tensorboard_available():
        board = TensorBoardCallback()
        board.logging_dir = str(output / TENSORBOARD)
        trainer.add_callback(board)
    if checkpoints:
        outside.say(f"going on after step {checkpoints[-1].name.rpartition('-')[2]}")
    if not trainer.args.should_save:
        trainer.train(resume_from_checkpoint=str(checkpoints[-1]) if checkpoints else None)
        return
    with outside.progress("training", trainer.args.max_steps) as advance:
        trainer.add_callback(Journal(output, outside.say, advance))
        trainer.train(resume_from_checkpoint=str(checkpoints[-1]) if checkpoints else None)


class Journal(TrainerCallback):
    """Writes the log, says what was seen, moves the progress bar, and drops checkpoints that nobody needs any more."""

    def __init__(self, output: Path, say: Callable[[str], None], advance: Callable[[int], None]) -> None:
        self._log = output / LOG
        self._checkpoints = output / CHECKPOINTS
        self._say = say
        self._advance = advance

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the log as the checkpoint knows it: what was done after it will be done again."""
        with writing_text(self._log) as file:
            file.writelines(f"{json.dumps(line)}\n" for each in state.log_history if (line := _line(each)))
        self._advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One step more."""
        self._advance(1)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Add a line."""
        if line := _line(state.log_history[-1]):
            with self._log.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(line)}\n")
            self._say(_shown(line))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the checkpoint just written and the best one."""
        kept = {checkpoint_folder(self._checkpoints, step) for step in (state.global_step, state.best_global_step or 0)}
        for other in self._checkpoints.iterdir():
            if other not in kept:
                shutil.rmtree(other)


def _line(logged: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the log has of a record of transformers': training and validation, not the summary at its end."""
    values = {name: value if math.isfinite(value) else None for name, value in logged.items() if name != "epoch"}
    step = values.pop("step")
    measured = {name.removeprefix(EVAL): value for name, value in values.items() if name.startswith(EVAL)}
    if measured:
        return {"step": step, "validation": measured}
    return {"step": step, **values} if "loss" in values else None


def _shown(line: Mapping[str, Any]) -> str:
    """A line of the log for a person."""
    return f"step {line['step']}: " + ", ".join(
        f"{name} {value:.4g}" if value is not None else f"{name} not finite"
        for name, value in line.get("validation", line).items()
        if name != "step" and not name.endswith(("_flops", "_on_terms", "grad_norm"))
    )


def _outcome(experiment: TrainingExperiment, output: Path) -> Outcome:
    """What the log of a finished run says."""
    if experiment.validation is None:
        return Outcome(output / MODEL, experiment.optimization.steps, {})
    asked = experiment.validation.measures
    validations = {
        line["step"]: {name: found[name] for name in (*asked, *sorted(found.keys() - set(asked)))}
        for _, line in read_json_lines(output / LOG)
        if (found := line.get("validation"))
    }
    best = max(filter(None, validations), key=lambda step: validations[step][asked[0]])  # the first of equal ones
    return Outcome(output / MODEL, best, validations)


def _arguments(experiment: TrainingExperiment, output: Path) -> TrainingArguments:
    """As transformers takes them; processes that were started together know each other from here on."""
    settings, validation = experiment.optimization, experiment.validation
    if settings.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("optimization.precision: fp16 is for GPUs, and there is none here; bf16 or fp32")
    arguments = TrainingArguments(
        str(output / CHECKPOINTS),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=settings.precision == "bf16",
        fp16=settings.precision == "fp16",
        use_cpu=not torch.accelerator.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=settings.seed,
        logging_steps=experiment.log_every,
        save_steps=experiment.save_every,
        eval_strategy="steps" if validation else "no",
        eval_steps=validation.every if validation else None,
        metric_for_best_model=validation.measures[0] if validation else None,
        greater_is_better=True,
        report_to="none",
        disable_tqdm=True,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # several GPUs are for several processes (torchrun), where batches stay what they are
    return arguments


def _claim(experiment: TrainingExperiment, output: Path, *, overwrite: bool) -> None:
    """Make the folder this experiment's; one whose run has not learned anything yet may become another's.

    Raises:
        ConfigError: it is another's, or something else is in it.
    """
    file = output / EXPERIMENT
    ours = (EXPERIMENT, LOG, CHECKPOINTS, TENSORBOARD, MODEL, f".{MODEL}.part")
    if overwrite and file.is_file():
        for name in reversed(ours):
            path = output / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    whole = whole_checkpoints(output / CHECKPOINTS)
    if file.is_file():
        there = load(file, TrainingExperiment)
        if there != experiment and (whole or (output / MODEL).is_dir()):
            raise ConfigError(
                f"{output} holds a run of another experiment ({_difference(there, experiment)}); name another folder, "
                "or say --overwrite to lose it"
            )
    elif output.is_dir() and any(output.iterdir()):
        raise ConfigError(f"{output} is not empty, and holds no training run; name another folder")
    if (output / MODEL).is_dir():
        whole = []  # a finished run needs none
    with writing_text(file) as text:
        text.write(dump(experiment))
    for other in (output / CHECKPOINTS).glob("*"):
        if other not in whole:
            shutil.rmtree(other)  # its writer was killed, or did not come to that


def _difference(there: TrainingExperiment, here: TrainingExperiment) -> str:
    """The settings in which two experiments differ."""
    flat_there, flat_here = (dict(_flat(each.model_dump(mode="json"))) for each in (there, here))
    keys = [key for key in {**flat_there, **flat_here} if flat_there.get(key) != flat_here.get(key)]
    told = [f"{key}: {flat_there.get(key)!r} there, {flat_here.get(key)!r} here" for key in keys]
    return "; ".join(told[:4]) + (f"; {len(told) - 4} more" if len(told) > 4 else "")


def _flat(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(key.path, value) of all that is no mapping."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _flat(value, f"{path}.{key}" if path else key)
    else:
        yield path, content


def _data(experiment: TrainingExperiment, outside: Surroundings, processes: int) -> tuple[Draws, TextStore, TextStore]:
    """What is drawn, and the texts of queries and of documents."""
    settings, teachers = experiment.optimization, experiment.objective.teachers
    examples = TrainingExamples.joined([_examples(source, outside) for source in experiment.examples])
    a_step = settings.batch * settings.accumulation * processes
    names = teachers.teachers if teachers else ()
    draws = Draws(examples, settings.steps * a_step, a_step, settings.negatives, names, settings.seed)
    asked, named = set(examples.table["query_id"].to_pylist()), examples.documents()
    texts = experiment.texts
    asking = tuple(
        within_folder(outside.found(source), "queries.jsonl") for source in texts.queries
    )  # all, judged or not
    queries = TextStore(_read(asking, read_queries, outside), "query", asked)
    queries.check(asked)
    documents = TextStore(_read(texts.documents, read_documents, outside), "document", named)
    documents.check(named)
    outside.say(f"{len(examples):,} examples, {len(queries):,} queries, {len(documents):,} documents")
    _mind_lambda(experiment, outside)
    return draws, queries, documents


def _examples(source: ExampleSource, outside: Surroundings) -> TrainingExamples:
    found = outside.found(source.source)
    if source.format == "parquet":
        return TrainingExamples.read(Path(found))
    examples, left_out = read_examples(
        found,
        source.format,
        relevance=source.relevance,
        scores=None if source.scores is None else Path(outside.found(source.scores)),
        teacher=source.teacher,
        texts=None if source.texts is None else Path(source.texts),
    )
    if left_out:
        outside.say(f"{source.source}: left out {said(left_out)}")
    return examples


def _mind_lambda(experiment: TrainingExperiment, outside: Surroundings) -> None:
    steps, warmup = experiment.optimization.steps, experiment.objective.warmup_steps
    if warmup > steps:
        share = quadratic(steps, warmup)
        outside.say(f"λ grows for {warmup:,} steps, the run has {steps:,}: it will reach {share:.1%} of its weight")


def _read[Record: (Doc, Query)](
    sources: tuple[str, ...], reader: Callable[[str], Iterator[Record]], outside: Surroundings
) -> Iterator[Record]:
    return chain.from_iterable(reader(outside.found(source)) for source in sources)


def _validation(experiment: TrainingExperiment, outside: Surroundings) -> Validation | None:
    settings = experiment.validation
    if settings is None:
        return None
    sample = Sample.draw(
        read_documents(outside.found(settings.documents)),
        read_queries(outside.found(settings.queries)),
        read_qrels(outside.found(settings.qrels)),
        most_queries=settings.sample_queries,
        most_others=settings.sample_documents,
        seed=settings.seed,
    )
    outside.say(f"validated with {len(sample.queries):,} queries and {len(sample.documents):,} documents")
    return Validation(sample, outside.search, settings.measures, Quantizer())


def _query_table(experiment: TrainingExperiment, outside: Surroundings) -> IdfEncoder | None:
    """The table of the experiment's idf, or of binary queries."""
    student = experiment.student
    model, length = outside.found(student.documents), student.max_length
    if experiment.idf == OF_THE_DOCUMENTS:
        texts = (doc.default_text() for doc in _read(experiment.texts.documents, read_documents, outside))
        return counted_idf(model, length.documents, texts)
    if experiment.idf is not None:
        return read_idf(outside.found(experiment.idf), model, length.queries)
    return binary_queries(model, length.queries) if student.queries == "binary" else None


def _student(experiment: TrainingExperiment, table: IdfEncoder | None, outside: Surroundings) -> Student:
    settings = experiment.student
    queries: Any = table if settings.inference_free else None
    if isinstance(settings.queries, QueryNetwork):
        queries = outside.found(settings.queries.model)
    torch.manual_seed(experiment.optimization.seed)
    student = load_student(
        outside.found(settings.documents),
        queries,
        max_length=settings.max_length.by_side(),
        layers=settings.layers,
        random=settings.random,
        pooling=settings.pooling,
        activation=settings.activation,
        learned_table=settings.learn_table,
        dropout=settings.dropout,
    )
    terms = student.tokenizers["documents"].vocabulary
    if table is not None and table.vocabulary.fingerprint != terms.fingerprint:
        raise EncoderError(f"the idf is of other terms than {settings.documents} has: they are of different models")
    return student


def _objective(
    experiment: TrainingExperiment, table: IdfEncoder | None, student: Student, device: torch.device
) -> Objective:
    settings = experiment.objective
    idf = None
    if table is not None and any(isinstance(each, IdfFlops) for each in (*settings.queries, *settings.documents)):
        idf = torch.ones(student.documents.decoder.out_features)  # also of terms that never weigh anything
        idf[: len(table.table)] = torch.from_numpy(np.where(table.table > 0, table.table, 1.0))
    return Objective(
        losses=settings.losses,
        queries=settings.queries,
        documents=settings.documents,
        teachers=settings.teachers,
        warmup_steps=settings.warmup_steps,
        statistics=TermStatistics(idf=None if idf is None else idf.to(device)),
        target_terms=settings.target_terms,
    )
