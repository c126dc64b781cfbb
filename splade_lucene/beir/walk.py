"""The walk from names to results: collection by collection, system by system, step by step.

Laws: a step whose inputs have not changed is not done again; one that was stopped at any moment is taken up by the same
command; what fails is said, and the rest goes on.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from splade_lucene.beir.cost import machine, search_and_measure
from splade_lucene.beir.engines import Engine
from splade_lucene.beir.records import read_record, record_of, write_record
from splade_lucene.beir.registry import Collection, parts_of
from splade_lucene.beir.shown import shown_queries
from splade_lucene.beir.source import Source, digest, located
from splade_lucene.beir.systems import GivenRuns, Keep, Place, SearchingSystem, System
from splade_lucene.datasets import Qrel
from splade_lucene.errors import FormatError, SpladeLuceneError
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.evaluation.results import Cost, Result
from splade_lucene.runs import Run, read_run, write_run

MEASURES = ("nDCG@10", "R@100", "R@1000", "RR@10", "AP")
_OF_TWO_GRADES = re.compile(r"(AP|Bpref|P|R|RR|Rprec|Success)(@\d+)?")
_FORMAT = 1  # of what is kept; results of another are made again


@dataclass(frozen=True)
class Plan:
    """What is measured. k: hits a query. measures: the first is the table's. keep: what stays of a system's work."""

    measures: tuple[str, ...] = MEASURES
    k: int = 1000
    keep: Keep = "all"


@dataclass(frozen=True)
class Failure:
    """What could not be done; system is None where the collection could not be had."""

    collection: str
    system: str | None
    message: str

    def __str__(self) -> str:
        return f"{self.collection}{f' · {self.system}' if self.system else ''}: {self.message}"


@dataclass(frozen=True)
class Outcome:
    """Results in the order of the collections, then of the systems, parts after their mean; and what failed."""

    results: tuple[Result, ...]
    failures: tuple[Failure, ...]


def walk(
    collections: Sequence[Collection], systems: Sequence[System], plan: Plan, place: Place, *, data: Path | None = None
) -> Outcome:
    """Measure every system on every collection.

    Args:
        collections: what to evaluate on.
        systems: what to evaluate.
        plan: what is measured.
        place: where work is kept.
        data: a data root, which is looked into before ir_datasets.

    Raises:
        ConfigError: a measure is unknown.
    """
    evaluate({}, [Qrel("q", "d", 1)], plan.measures)  # before anything takes hours
    going = _Walk(systems, plan, place)
    sources = [
        source for each in collections for part in parts_of(each) if (source := going.locate(part, data)) is not None
    ]
    left = Counter(source.corpus for source in sources)
    for source in sources:
        going.measure(source)
        left[source.corpus] -= 1
        if not left[source.corpus]:
            going.drop(source)
    results = [result for each in collections for system in systems for result in going.results_of(each, system)]
    return Outcome(tuple(results), tuple(going.failures))


@dataclass
class _Walk:
    """What has been measured so far, and what has failed."""

    systems: Sequence[System]
    plan: Plan
    place: Place
    done: dict[tuple[str, str], Result] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def locate(self, collection: Collection, data: Path | None) -> Source | None:
        """Where a collection is."""
        try:
            return located(collection, data)
        except SpladeLuceneError as error:
            self._fail(collection.name, None, error)
            return None

    def measure(self, source: Source) -> None:
        """All systems on one collection."""
        try:
            source.check()
        except (SpladeLuceneError, OSError) as error:
            self._fail(source.name, None, error)
            return
        for system in self.systems:
            try:
                self.done[source.name, system.name] = self._result(system, source)
            except (SpladeLuceneError, OSError) as error:
                self._fail(source.name, system.name, error)

    def drop(self, source: Source) -> None:
        """Remove what is not to be kept of the documents; where a system failed, all stays for the next try."""
        for system in self.systems:
            if isinstance(system, SearchingSystem) and (source.name, system.name) in self.done:
                system.drop(source, self.plan.keep)

    def results_of(self, collection: Collection, system: System) -> list[Result]:
        """The result of a system on a collection, and after a mean its parts'; none where it has failed."""
        parts = [self.done.get((part.name, system.name)) for part in parts_of(collection)]
        there = [part for part in parts if part is not None]
        if not collection.parts or not there:
            return there
        if len(there) < len(parts):
            missing = len(parts) - len(there)
            problem = FormatError(f"no mean: {missing} of its {len(parts)} parts failed")
            self._fail(collection.name, system.name, problem)
            return there
        mean = mean_of_parts(collection, there)
        mean.write(self.place.home(system.name, collection.name) / "result.json")
        return [mean, *there]

    def _fail(self, collection: str, system: str | None, error: Exception) -> None:
        self.failures.append(Failure(collection, system, str(error)))
        self.place.say(f"failed: {self.failures[-1]}")

    def _result(self, system: System, source: Source) -> Result:
        """The result of a system on a collection, read where it is there."""
        run_key = digest((_FORMAT, system.run_key(source, self.plan.k)))
        rules = source.collection.settings()
        key = digest((run_key, source.judged_digest, self.plan.measures, sorted(rules.items())))
        file = self.place.home(system.name, source.name) / "result.json"
        if (there := _read_result(file)) is not None and there.settings.get("inputs") == key:
            self.place.say(f"{source.name} · {system.name}: the result was there already")
            return there
        if isinstance(system, SearchingSystem):
            result = self._searched(system, source, run_key)
        elif isinstance(system, GivenRuns):
            result = self._evaluated(system, source, source.cleaned(system.read(source), self.plan.k))
        else:
            raise TypeError(f"{type(system).__name__} neither searches nor has runs")
        result = replace(result, settings={**result.settings, "inputs": key})
        result.write(file)
        return result

    def _searched(self, system: SearchingSystem, source: Source, run_key: str) -> Result:
        """Search where the run is not there yet, and evaluate it."""
        file = self.place.home(system.name, source.name) / "run.trec.gz"
        facts = read_record(record_of(file))
        if facts is not None and facts.get("key") == run_key and file.is_file():
            self.place.say(f"{source.name} · {system.name}: the run was there already")
            run: Run = read_run(file) if facts["hits"] else {}
            cost, on = Cost(**facts["cost"]), facts["machine"]
            # Where the index was not kept, nothing explains the run any more.
            with system.open(source) if system.built(source) else nullcontext() as engine:
                return self._evaluated(system, source, run, engine, cost, on)
        record_of(file).unlink(missing_ok=True)  # from here on, the run that is there is not the one that is wanted
        with system.open(source) as engine:
            found, cost = search_and_measure(engine, source.asked, source.depth(self.plan.k), self.place.threads)
            run, on = source.cleaned(found, self.plan.k), machine()
            write_run(file, run, tag=system.name.replace(" ", "-"))
            hits = sum(map(len, run.values()))
            write_record(record_of(file), {"key": run_key, "hits": hits, "cost": asdict(cost), "machine": on})
            self.place.say(f"{source.name} · {system.name}: {len(source.asked):,} queries asked, {hits:,} hits")
            return self._evaluated(system, source, run, engine, cost, on)

    def _evaluated(
        self,
        system: System,
        source: Source,
        run: Run,
        engine: Engine | None = None,
        cost: Cost | None = None,
        machine: Mapping[str, str] | None = None,
    ) -> Result:
        """The measures of a run, under the names that they were asked for by, and what is worth a look."""
        names = {name: measured_as(name, source.collection.relevant_from) for name in self.plan.measures}
        evaluation = evaluate(run, source.judgments, list(names.values()))
        per_query = {name: evaluation.per_query[exact] for name, exact in names.items()}
        return Result(
            collection=source.name,
            system=system.name,
            settings={**system.settings(), "k": self.plan.k, **source.collection.settings()},
            measures={name: evaluation.measures[exact] for name, exact in names.items()},
            per_query=per_query,
            queries=source.asked,
            missing_queries=evaluation.missing_queries,
            unjudged_queries=evaluation.unjudged_queries,
            cost=cost,
            machine=machine or {},
            shown=shown_queries(source, run, per_query[self.plan.measures[0]], engine),
        )


def measured_as(name: str, relevant_from: int) -> str:
    """The measure that a name means in a collection: those of two grades count from its own grade on."""
    found = _OF_TWO_GRADES.fullmatch(name)
    if found is None or relevant_from == 1:
        return name
    return f"{found[1]}(rel={relevant_from}){found[2] or ''}"


def mean_of_parts(collection: Collection, parts: Sequence[Result]) -> Result:
    """The macro mean: every part counts alike, however many queries it has."""
    first = parts[0]
    return replace(
        first,
        collection=collection.name,
        settings={name: value for name, value in first.settings.items() if name != "inputs"},
        measures={name: float(np.mean([part.measures[name] for part in parts])) for name in first.measures},
        per_query={},
        queries={},
        missing_queries=sum(part.missing_queries for part in parts),
        unjudged_queries=sum(part.unjudged_queries for part in parts),
        cost=None,
        shown=(),
        parts=tuple(part.collection for part in parts),
    )


def _read_result(file: Path) -> Result | None:
    """A result, where one is there that can be read."""
    try:
        return Result.read(file) if file.is_file() else None
    except FormatError:  # damaged, or of another version: it is made again
        return None
