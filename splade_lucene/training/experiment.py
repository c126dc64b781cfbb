"""A training run as a configuration: who learns, from which examples, towards what, and how it is watched.

Imports torch, as losses do. Law: whatever can be known to be wrong without data or a network is an error here.
"""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from splade_lucene.config import Config
from splade_lucene.encoding.options import Side
from splade_lucene.evaluation.measures import measure_names
from splade_lucene.training.losses import InfoNce, Loss
from splade_lucene.training.readers import Format
from splade_lucene.training.regularizers import IdfFlops, Regularizer
from splade_lucene.training.teachers import Ensemble

OF_THE_DOCUMENTS = "documents"  # an idf that is counted in them


class MaxLength(Config):
    """Tokens of a text, [CLS] and [SEP] included. One network for both sides is kept with the documents' length."""

    documents: Annotated[int, Field(ge=3)] = 256
    queries: Annotated[int, Field(ge=3)] = 256

    def by_side(self) -> dict[Side, int]:
        """As students take it."""
        return {"documents": self.documents, "queries": self.queries}


class QueryNetwork(Config):
    """A network of their own for queries."""

    model: str


class StudentSettings(Config):
    """Who learns.

    documents: the masked-LM or SPLADE checkpoint that it begins as, a folder or a hub name. queries: `same` network,
    {model: another one}, the experiment's `idf` looked up, or `binary`, each term of a query weighing 1; learn_table:
    whether what is looked up is learned, too. layers: how many of the networks' lower layers are kept. random: begin
    with random weights, and take the networks' shape and tokenizer alone from their checkpoints. dropout:
    whether they learn with the dropout that their checkpoints name. pooling and activation: where the checkpoint does
    not say; max and log1p_relu where neither does.
    """

    documents: str
    # Told apart first, so that what is wrong in a mapping is not said of the word, too.
    queries: Annotated[
        Annotated[Literal["same", "idf", "binary"], Tag("word")] | Annotated[QueryNetwork, Tag("mapping")],
        Discriminator(lambda given: "mapping" if isinstance(given, (dict, QueryNetwork)) else "word"),
    ] = "same"
    learn_table: bool = False
    layers: PositiveInt | None = None
    random: bool = False
    dropout: bool = True
    pooling: Literal["max", "sum"] | None = None
    activation: Literal["log1p_relu", "log1p_log1p_relu"] | None = None
    max_length: MaxLength = MaxLength()

    @model_validator(mode="after")
    def _a_table_is_there_to_be_learned(self) -> Self:
        if self.learn_table and not self.inference_free:
            raise ValueError("learn_table is for queries that are looked up: idf or binary")
        return self

    @property
    def inference_free(self) -> bool:
        """Whether queries are looked up in a table."""
        return self.queries in ("idf", "binary")


class TextSources(Config):
    """Where the texts are that the examples name: INPUTs, several where one does not have them all."""

    documents: tuple[str, ...] = Field(min_length=1)
    queries: tuple[str, ...] = Field(min_length=1)


class ExampleSource(Config):
    """What is learned from: a Parquet file, as `mine` writes it, or what others publish, as `read_examples` takes it.

    scores: of hard-negatives, their pickle. teacher: what scores are called that have no name. relevance: of qrels,
    from where on a document is a positive. texts: where there are texts in the place of ids, a folder to write them to.
    """

    source: str
    format: Literal["parquet"] | Format = "parquet"
    scores: str | None = None
    teacher: str = "teacher"
    relevance: int = 1
    texts: str | None = None


class ObjectiveSettings(Config):
    """What is minimised: losses, and regularizers of both sides times λ(t), each times its own weight.

    teachers: how the scores of several become one; where a loss learns from a teacher. warmup_steps: T of
    λ(t) = min(1, (t/T)²). target_terms: how many terms a document shall have in the mean; where given, the documents'
    λ follows it.
    """

    losses: tuple[Loss, ...] = Field(min_length=1)
    teachers: Ensemble | None = None
    queries: tuple[Regularizer, ...] = ()
    documents: tuple[Regularizer, ...] = ()
    warmup_steps: NonNegativeInt = 0
    target_terms: PositiveInt | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for what in ("losses", "queries", "documents"):
            names = Counter(each.name for each in getattr(self, what))
            if twice := [name for name, count in names.items() if count > 1]:
                raise ValueError(f"{what}: {twice[0]} stands there twice")
        taught = [each.name for each in self.losses if not isinstance(each, InfoNce)]
        if taught and self.teachers is None:
            raise ValueError(f"{taught[0]} learns from a teacher: name the scores in objective.teachers")
        if self.teachers is not None and not taught:
            raise ValueError("teachers are given, and no loss learns from them")
        if self.target_terms is not None and not self.documents:
            raise ValueError("target_terms sets the λ of the documents' regularizers, and there are none")
        return self


class Optimization(Config):
    """How it is minimised.

    steps: of the optimizer. batch: queries that a device sees at a time; their candidates are negatives of each other.
    accumulation: batches of one step. negatives: of each query, drawn anew each time. schedule: of the learning rate,
    after warmup_steps in which it grows. decay_all: weight decay also for biases and LayerNorm. max_grad_norm: 0 leaves
    gradients as they are. precision: what networks compute in; weights, losses and regularizers are float32.
    """

    steps: PositiveInt
    batch: PositiveInt
    accumulation: PositiveInt = 1
    negatives: NonNegativeInt = 0
    learning_rate: PositiveFloat = 2e-5
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_steps: NonNegativeInt = 0
    weight_decay: NonNegativeFloat = 0.01
    decay_all: bool = False
    max_grad_norm: NonNegativeFloat = 1.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    seed: NonNegativeInt = 0


class ValidationSettings(Config):
    """How good the student is, by retrieval in a sample that is always the same.

    documents, queries, qrels: INPUTs. every: so many steps, and before the first and after the last. sample_queries: so
    many of the judged queries, all where not given. sample_documents: so many documents beside those that are judged
    for these queries; all where not given. measures: the first one chooses the model that is kept. seed: of the sample,
    which so is that of other runs.
    """

    documents: str
    queries: str
    qrels: str
    every: PositiveInt
    sample_queries: PositiveInt | None = None
    sample_documents: NonNegativeInt | None = None
    measures: tuple[str, ...] = Field(("nDCG@10", "RR@10"), min_length=1)
    seed: NonNegativeInt = 0

    @field_validator("measures")
    @classmethod
    def _one_name_each(cls, measures: tuple[str, ...]) -> tuple[str, ...]:
        for each in measures:
            if measure_names(each) != [each]:
                raise ValueError(f"{each!r}: name each measure by itself")
        return measures


class TrainingExperiment(Config):
    """A training run.

    examples: from all of these sources, which have the same teachers. idf: what `idf` queries and idf_flops know of
    terms: a file (idf.json), a model whose queries are looked up, or `documents`, in which it is then counted.
    checkpoint_every: so many steps; as often as is validated where not given, or ten times. log_every: so many steps.
    """

    student: StudentSettings
    texts: TextSources
    examples: tuple[ExampleSource, ...] = Field(min_length=1)
    idf: str | None = None
    objective: ObjectiveSettings
    optimization: Optimization
    validation: ValidationSettings | None = None
    checkpoint_every: PositiveInt | None = None
    log_every: PositiveInt = 10

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        objective, student = self.objective, self.student
        by_idf = [each for each in (*objective.queries, *objective.documents) if isinstance(each, IdfFlops)]
        if by_idf and student.queries == "idf":
            raise ValueError("idf in the queries and idf_flops are the same thing twice: take one of them")
        if self.idf is None and (by_idf or student.queries == "idf"):
            raise ValueError("an idf is wanted, and none is named: give the key idf")
        if self.idf is not None and not (by_idf or student.queries == "idf"):
            raise ValueError("idf is given, and neither queries nor idf_flops use it")
        if student.inference_free and not student.learn_table and objective.queries:
            raise ValueError("objective.queries: queries are looked up and do not change; nothing makes them sparser")
        self._check_candidates()
        if self.validation is not None and self.validation.every % self.save_every:
            raise ValueError(
                f"validation.every is {self.validation.every}, no multiple of checkpoint_every, {self.save_every}: a "
                "model that validates best must have a checkpoint"
            )
        return self

    def _check_candidates(self) -> None:
        """Every loss needs something to tell from the positive."""
        others = self.optimization.batch > 1
        for loss in self.objective.losses:
            has_others = others and isinstance(loss, InfoNce) and loss.negatives in ("own_and_positives", "everything")
            if not self.optimization.negatives and not has_others:
                raise ValueError(f"{loss.name} has nothing to tell from a positive: optimization.negatives is 0")

    @property
    def save_every(self) -> int:
        """Steps from checkpoint to checkpoint."""
        each_tenth = max(1, self.optimization.steps // 10)
        return self.checkpoint_every or (self.validation.every if self.validation else each_tenth)
