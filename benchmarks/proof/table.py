"""What came out of a proof: a row for each run, and for each claim whether it held."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from benchmarks.proof.plan import Claim, Plan
from benchmarks.report import Figure, Report, Row
from splade_lucene.evaluation.results import Result
from splade_lucene.evaluation.significance import Comparison, compare, holm

MEASURE = "nDCG@10"
SIGNIFICANT = 0.05

PerQuery = Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """A run, tested: for each seed its results, one a collection; the first seed may have more of them."""

    seeds: Sequence[Sequence[Result]]

    def by_seed(self, collections: Sequence[str]) -> list[float]:
        """The mean over these collections, of each seed's model that was tested on all of them."""
        means = []
        for results in self.seeds:
            values = {each.collection: each.measures[MEASURE] for each in results}
            if values.keys() >= set(collections):
                means.append(fmean(values[name] for name in collections))
        return means

    def cost(self, name: str, collections: Sequence[str]) -> float:
        """A mean of `Cost`, over these collections and seeds."""
        there = (each for results in self.seeds for each in results if each.collection in collections)
        return fmean(getattr(each.cost, name) for each in there)

    def per_query(self, collections: Sequence[str]) -> PerQuery:
        """Collection and query → its mean over seeds."""
        values: dict[str, list[float]] = {}
        for results in self.seeds:
            for each in (each for each in results if each.collection in collections):
                for query_id, value in each.per_query[MEASURE].items():
                    values.setdefault(f"{each.collection} {query_id}", []).append(value)
        return {query: fmean(found) for query, found in values.items()}


def names(collections: Sequence[str]) -> list[str]:
    """What collections are called in results, where a plan may name a folder."""
    return [Path(each).name for each in collections]


def measured(plan: Plan, folder: Path) -> dict[str, Measured]:
    """The runs of a plan of which there are results, of all seeds that are done."""
    found = {}
    for step in plan.trainings:
        homes = {seed: folder / "beir" / step.run(seed) / step.run(seed) for seed in step.seeds}
        seeds = [results for seed, home in homes.items() if (results := _results(plan.tested_on(step, seed), home))]
        if seeds:
            found[step.train] = Measured(seeds)
    return found


def _results(collections: Sequence[str], folder: Path) -> list[Result]:
    """One a collection; none where one is not there yet."""
    files = [folder / name / "result.json" for name in names(collections)]
    return [Result.read(file) for file in files] if all(file.is_file() for file in files) else []


def report(name: str, plan: Plan, folder: Path) -> Report:
    """The table, the claims below it.

    Raises:
        FormatError: a result cannot be read.
    """
    runs = measured(plan, folder)
    here, elsewhere = names(plan.collections), names(plan.elsewhere)
    optimization = plan.training.optimization
    judged = {each.collection: float(len(each.queries)) for run in runs.values() for each in run.seeds[0]}
    return Report(
        f"proof {name}",
        machine={"cores": os.cpu_count()},
        collection={f"queries of {name}": judged[name] for name in [*here, *elsewhere] if name in judged},
        settings={
            "steps": float(optimization.steps),
            "queries a step": float(optimization.batch),
            "layers": float(plan.training.student.layers or 0) or "all",
            "tokens": float(plan.training.student.max_length.documents),
            "precision": optimization.precision,
        },
        rows=[_row(run, found, here, elsewhere) for run, found in runs.items()] or [{"run": "none is done"}],
        notes=[
            f"{MEASURE}: means over seeds, ± their standard deviation; {', '.join(elsewhere) or 'nothing'} with the "
            f"first seed alone. Of {', '.join(here)}: terms of a document and of a query that have an impact; postings "
            "that a query costs.",
            *(f"{' and '.join(here)}: {line}" for line in verdicts(plan.claims, runs, here)),
            *(f"elsewhere: {line}" for line in verdicts(plan.claims, runs, elsewhere)),
        ],
    )


def _row(name: str, found: Measured, here: Sequence[str], elsewhere: Sequence[str]) -> Row:
    def mean(some: Sequence[str]) -> Figure:
        values = found.by_seed(some)
        if not values:
            return None
        return f"{fmean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")

    return {
        "run": name,
        "seeds": float(len(found.seeds)),
        "mean": mean(here),
        **{each: f"{fmean(found.by_seed([each])):.4f}" for each in here},
        "elsewhere": mean(elsewhere) if elsewhere else None,
        **{each: f"{fmean(values):.4f}" if (values := found.by_seed([each])) else None for each in elsewhere},
        "terms d": found.cost("postings_per_document", here),
        "terms q": found.cost("terms_per_query", here),
        "postings": found.cost("expected_postings", here),
    }


def verdicts(claims: Sequence[Claim], runs: Mapping[str, Measured], collections: Sequence[str]) -> list[str]:
    """For each claim whether it held: over the queries of these collections, p adjusted over the claims (Holm)."""
    there = {name for name, run in runs.items() if collections and run.by_seed(collections)}
    tried = [(claim, *_tried(claim, runs, collections)) for claim in claims if {*claim.better, *claim.than} <= there]
    adjusted = iter(holm([found.randomization_p for _, found, _ in tried if found]))
    return [_verdict(claim, found, next(adjusted) if found else 1.0, how) for claim, found, how in tried]


def _tried(claim: Claim, runs: Mapping[str, Measured], collections: Sequence[str]) -> tuple[Comparison | None, str]:
    """The comparison and at how many postings; or none, and why."""
    sides = [[runs[name] for name in names] for names in (claim.better, claim.than)]
    curve, single = sorted(sides, key=len, reverse=True)
    how = ""
    if len(curve) > 1:
        postings = single[0].cost("expected_postings", collections)
        reached = sorted(each.cost("expected_postings", collections) for each in curve)
        if not reached[0] <= postings <= reached[-1]:
            return None, f"{postings:,.0f} postings are outside of the curve's {reached[0]:,.0f} to {reached[-1]:,.0f}"
        how = f" at {postings:,.0f} postings"
    better, than = (
        at_equal_postings(side, postings, collections) if len(side) > 1 else side[0].per_query(collections)
        for side in sides
    )
    [found] = compare({MEASURE: better}, {MEASURE: than})
    return found, how


def at_equal_postings(curve: Sequence[Measured], postings: float, collections: Sequence[str]) -> PerQuery:
    """Each query's value at so many expected postings: between the two nearest points, linear in the logarithm."""
    points = sorted(curve, key=lambda each: each.cost("expected_postings", collections))
    costs = [each.cost("expected_postings", collections) for each in points]
    right = min(max(int(np.searchsorted(costs, postings)), 1), len(points) - 1)
    part = float(np.log(postings / costs[right - 1]) / np.log(costs[right] / costs[right - 1]))
    low, high = (point.per_query(collections) for point in points[right - 1 : right + 1])
    return {query: (1 - part) * value + part * high[query] for query, value in low.items()}


def _verdict(claim: Claim, found: Comparison | None, p: float, how: str) -> str:
    better, than = (" … ".join(dict.fromkeys((side[0], side[-1]))) for side in (claim.better, claim.than))
    pair = f"{claim.says} ({better}, {than})"
    if found is None:
        return f"not to be said: {pair}: {how}"
    told = "held" if found.difference > 0 else "the opposite held"
    verdict = told if p < SIGNIFICANT else "not told apart"
    return (
        f"{verdict}: {pair}{how}: {found.mean:.4f} and {found.baseline_mean:.4f}, {found.difference:+.4f} "
        f"[{found.low:+.4f}, {found.high:+.4f}], p {p:.4f}, {found.better_queries} queries better and "
        f"{found.worse_queries} worse"
    )
