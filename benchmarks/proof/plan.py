"""What a file in `conf/training/proof/` says: the training runs that a paper's claims are tried with, in small."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, NonNegativeInt, Tag, model_validator

from splade_lucene.config import Config, dump, load
from splade_lucene.errors import ConfigError
from splade_lucene.files import writing_text
from splade_lucene.training.experiment import TrainingExperiment


class Make(Config):
    """Something that runs need: a file or folder of the output, and the command that makes it.

    In the command {made} is the output, {pairs} the file of titles and texts, {minilm} all-MiniLM-L6-v2.
    """

    make: str
    by: str


class Train(Config):
    """A training run: its name, the settings in the place of the plan's `training`, once for each seed.

    elsewhere: whether the first seed's model is tested on the plan's other collections, too.
    """

    train: str
    settings: dict[str, Any] = Field(default_factory=dict)
    seeds: tuple[NonNegativeInt, ...] = Field((0,), min_length=1)
    elsewhere: bool = False

    def run(self, seed: int) -> str:
        """What a seed's run is called: its folder, and its model in results."""
        return f"{self.train}-{seed}"

    def overrides(self, seed: int) -> list[str]:
        """As `--set` takes them."""
        settings = {**self.settings, "optimization.seed": seed}
        return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


class Claim(Config):
    """What a paper says, tried: the run `better` has a higher nDCG@10 than the run `than`.

    On one side several runs that differ in λ may stand, a curve: what it gives at the expected postings of the other
    side is compared, between the two nearest of its points, by the logarithm of the postings.
    """

    says: str
    better: tuple[str, ...] = Field(min_length=1)
    than: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_curve_at_most(self) -> Self:
        if len(self.better) > 1 and len(self.than) > 1:
            raise ValueError("two curves have no postings to be compared at: name one run on one side")
        return self


class Plan(Config):
    """A proof: what all runs share, what they are tested on, what is done in its order, and what it is for.

    collections: all models are tested on them. elsewhere: collections that are nothing like what was learned from, for
    the runs that say so. curves: lines of the picture, each the runs that differ in λ alone.
    """

    training: TrainingExperiment
    collections: tuple[str, ...] = Field(min_length=1)
    elsewhere: tuple[str, ...] = ()
    steps: tuple[
        Annotated[
            Annotated[Make, Tag("a command")] | Annotated[Train, Tag("a run")],
            Discriminator(lambda given: "a command" if isinstance(given, Make) or "make" in given else "a run"),
        ],
        ...,
    ]
    claims: tuple[Claim, ...] = ()
    curves: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_what_is_there(self) -> Self:
        runs = [step.train for step in self.steps if isinstance(step, Train)]
        if twice := next((run for run in runs if runs.count(run) > 1), None):
            raise ValueError(f"two runs are called {twice}")
        named = [run for claim in self.claims for run in (*claim.better, *claim.than)]
        named += [run for curve in self.curves.values() for run in curve]
        if unknown := sorted(set(named) - set(runs)):
            raise ValueError(f"there is no run {unknown[0]}")
        return self

    def tested_on(self, step: Train, seed: int) -> tuple[str, ...]:
        """The collections of a seed's model."""
        return self.collections + (self.elsewhere if step.elsewhere and seed == step.seeds[0] else ())

    @property
    def trainings(self) -> list[Train]:
        """The runs alone."""
        return [step for step in self.steps if isinstance(step, Train)]


def read_plan(path: Path, folder: Path, only: Sequence[str] = ()) -> tuple[Plan, Path]:
    """A plan, each of its runs checked, and the file in the folder that has what they share.

    Args:
        path: the plan.
        folder: where it is carried out.
        only: runs that are wanted; all where none is named.

    Raises:
        ConfigError: the plan or a run is wrong, or there is no run of that name.
    """
    plan = load(path, Plan)
    if unknown := sorted(set(only) - {each.train for each in plan.trainings}):
        raise ConfigError(f"{path} has no run {unknown[0]}; it has {', '.join(each.train for each in plan.trainings)}")
    if only:
        kept = tuple(step for step in plan.steps if isinstance(step, Make) or step.train in only)
        plan = plan.model_copy(update={"steps": kept})
    folder.mkdir(parents=True, exist_ok=True)
    shared = folder / f"{path.stem}.yaml"
    with writing_text(shared) as file:
        file.write(dump(plan.training))
    for each in plan.trainings:
        for seed in each.seeds:
            load(shared, TrainingExperiment, each.overrides(seed))
    return plan, shared
