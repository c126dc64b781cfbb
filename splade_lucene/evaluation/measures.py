"""Measures of a run against qrels, by `ir_measures`, and the paired test between two runs.

May import `errors`, `datasets` and `runs`. Laws: every judged query counts, one that found nothing as 0; a run is
evaluated in the order in which it was written; the result does not depend on the order of queries.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from splade_lucene.datasets import Qrel
from splade_lucene.errors import ConfigError, FormatError
from splade_lucene.runs import Run, strictly_decreasing

DEFAULT_MEASURES = ("nDCG@10", "R@100", "RR@10")
COMPUTABLE = frozenset(("AP", "Bpref", "P", "R", "RR", "Rprec", "Success", "infAP", "nDCG"))  # what pytrec_eval has
_MEASURE = re.compile(r"(?P<measure>\w+)(\(rel=(?P<rel>[1-9]\d*)\))?(@(?P<cutoff>[1-9]\d*))?")


@dataclass(frozen=True)
class Evaluation:
    """Measures of one run.

    per_query: measure → query_id → value, for every judged query. unjudged_queries: in the run, but not in the qrels;
    they do not count. missing_queries: judged, but without a hit; they count as 0.
    """

    per_query: Mapping[str, Mapping[str, float]]
    unjudged_queries: int
    missing_queries: int

    @property
    def measures(self) -> dict[str, float]:
        """Measure → mean over the judged queries."""
        return {name: float(np.mean(list(values.values()))) for name, values in self.per_query.items()}

    def summary(self) -> dict[str, Any]:
        """What a program wants of it."""
        return {
            "measures": self.measures,
            "queries": len(next(iter(self.per_query.values()))),
            "missing_queries": self.missing_queries,
            "unjudged_queries": self.unjudged_queries,
        }


def evaluate(run: Run, qrels: Iterable[Qrel], measures: Sequence[str] = DEFAULT_MEASURES) -> Evaluation:
    """Evaluate a run.

    Args:
        run: query_id → hits.
        qrels: the judgments.
        measures: names as ir_measures and the field write them: `nDCG@10`, `R@100`, `RR@10`, `AP`.

    Raises:
        ConfigError: a measure is unknown. FormatError: there are no judgments, or the run has none of their queries.
    """
    parsed = {_parse(name): name for name in measures}
    judgments = list(qrels)
    judged = {qrel.query_id for qrel in judgments}
    if not judged:
        raise FormatError("the qrels hold no judgment")
    if run and not judged & run.keys():
        raise FormatError(
            f"the run and the qrels share no query: the run has {next(iter(run))!r}, the qrels {min(judged)!r}"
        )
    scored = {
        query_id: dict(zip(hits.doc_ids, strictly_decreasing(hits.scores).tolist(), strict=True))
        for query_id, hits in run.items()
        if query_id in judged
    }
    import ir_measures

    per_query: dict[str, dict[str, float]] = {name: dict.fromkeys(sorted(judged), 0.0) for name in parsed.values()}
    for metric in ir_measures.iter_calc(list(parsed), _by_query(judgments), scored):
        per_query[parsed[metric.measure]][metric.query_id] = metric.value
    found = sum(1 for query_id in judged if query_id in run and len(run[query_id]))
    return Evaluation(per_query, len(run.keys() - judged), len(judged) - found)


def _parse(name: str) -> Any:
    """The measure of a name, for example `nDCG@10` or `AP(rel=2)@100`.

    ir_measures' own parser reaches measures that start other programs, and needs an `ast` that Python 3.14 dropped.
    """
    import ir_measures

    found = _MEASURE.fullmatch(name)
    if found is None or found["measure"] not in COMPUTABLE:
        raise ConfigError(f"{name!r} is not a measure; write it as nDCG@10, R@100, RR@10, AP or P(rel=2)@5")
    measure = getattr(ir_measures, found["measure"])
    try:
        if found["rel"]:
            measure = measure(rel=int(found["rel"]))
        if found["cutoff"]:
            measure = measure @ int(found["cutoff"])
        measure.validate_params()
    except (AssertionError, KeyError) as error:
        raise ConfigError(f"{name!r} is not a measure: {found['measure']} takes other parameters") from error
    return measure


def _by_query(qrels: Iterable[Qrel]) -> dict[str, dict[str, int]]:
    """query_id → doc_id → relevance, without the queries that have negative judgments alone.

    Nothing is relevant to those, so they count as 0; pytrec_eval reads past its arrays for them.
    """
    grouped: dict[str, dict[str, int]] = {}
    for qrel in qrels:
        grouped.setdefault(qrel.query_id, {})[qrel.doc_id] = qrel.relevance
    return {query_id: judged for query_id, judged in grouped.items() if max(judged.values()) >= 0}


@dataclass(frozen=True)
class Comparison:
    """A run against a baseline on one measure, over the same queries.

    difference: mean of (run - baseline). p_value: two-sided paired t-test; 1 where no query differs.
    """

    measure: str
    difference: float
    p_value: float
    better_queries: int
    worse_queries: int


def compare(run: Evaluation, baseline: Evaluation) -> list[Comparison]:
    """Compare two evaluations against the same qrels, measure by measure."""
    from scipy.stats import ttest_rel

    comparisons = []
    for measure, values in run.per_query.items():
        ours = np.array(list(values.values()))
        theirs = np.array([baseline.per_query[measure][query_id] for query_id in values])
        differences = ours - theirs
        differ = len(ours) > 1 and bool(np.any(differences != differences[0]))
        p_value = float(ttest_rel(ours, theirs).pvalue) if differ else float(not differences.any() or len(ours) < 2)
        comparisons.append(
            Comparison(
                measure, float(differences.mean()), p_value, int((differences > 0).sum()), int((differences < 0).sum())
            )
        )
    return comparisons
