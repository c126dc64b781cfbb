"""Measures of a run against qrels, by `ir_measures`.

May import `errors`, `datasets` and `runs`. Laws: every judged query counts, one that found nothing as 0; a run is
evaluated in the order in which it was written; the result depends neither on the order of queries nor on which measures
are asked for together.
"""

import ast
import difflib
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from splade_lucene.datasets import Qrel
from splade_lucene.errors import ConfigError, FormatError
from splade_lucene.runs import Hits, Run

DEFAULT_MEASURES = ("nDCG@10", "R@100", "RR@10")
MAX_RELEVANCE = 10_000  # trec_eval keeps an array as long as the highest relevance on its stack, and ends the process
MAX_EXPONENT = 13  # 2^13 - 1 is still a gain that trec_eval can count

# Those of ir_measures' providers that compute here, without another program and with what the package comes with, in
# ir_measures' own order.
_PROVIDERS = ("pytrec_eval", "compat", "judged", "msmarco")
_ELSEWHERE = {  # the others → why not here
    "cwl_eval": "ir_measures computes it with the package cwl-eval alone, which does not come with this one",
    "pyndeval": "it takes judgments for each subtopic of a query, which qrels here do not have",
    "gdeval": "ir_measures starts Perl for it, another program",
    "accuracy": "it has no value for queries whose hits are all relevant, or none of them",
}
_RANGES = {"beta": (0.001, 1_000), "cutoff": (1, 1_000_000), "p": (0, 1), "recall": (0, 1), "rel": (1, MAX_RELEVANCE)}
_TOTALS = ("NumQ", "NumRel", "NumRelRet", "NumRet")  # counts, which trec_eval sums
_OF_QRELS = ("NumQ", "NumRel")  # do not depend on what was found


@dataclass(frozen=True)
class Evaluation:
    """Measures of one run.

    per_query: measure → query_id → value, for every judged query. unjudged_queries: in the run, but not in the qrels;
    they do not count. missing_queries: judged, but without a hit; they count as 0. judged_hits: how many hits of judged
    queries are judged themselves.
    """

    per_query: Mapping[str, Mapping[str, float]]
    unjudged_queries: int
    missing_queries: int
    judged_hits: int = 0

    @property
    def measures(self) -> dict[str, float]:
        """Measure → mean over the judged queries; of counts (NumRet and its like) the sum, as trec_eval says it."""
        return {
            name: float((np.sum if name.partition("(")[0] in _TOTALS else np.mean)(list(values.values())))
            for name, values in self.per_query.items()
        }

    def summary(self) -> dict[str, Any]:
        """What a program wants of it."""
        return {
            "measures": self.measures,
            "queries": len(next(iter(self.per_query.values()))),
            "missing_queries": self.missing_queries,
            "unjudged_queries": self.unjudged_queries,
            "judged_hits": self.judged_hits,
        }


def measure_names(listed: str) -> list[str]:
    """The names in a list with commas; a comma within parentheses parts nothing: `P(rel=2,judged_only=True)@5`."""
    return [name.strip() for name in re.split(r",(?![^()]*\))", listed)]


def evaluate(
    run: Run, qrels: Iterable[Qrel], measures: Sequence[str] = DEFAULT_MEASURES, *, name: str = "the run"
) -> Evaluation:
    """Evaluate a run.

    Args:
        run: query_id → hits, best first: their order counts, scores do not.
        qrels: the judgments. A relevance of 0 or below is not relevant. A judgment that stands there twice counts once.
            A judged document that the run, or the whole collection, does not have is one that was not found.
        measures: names as ir_measures and the field write them: `nDCG@10`, `R@100`, `RR@10`, `AP`, `P(rel=2)@5`,
            `Judged@10`, `nDCG(dcg='exp-log2')@20`, …: all of ir_measures that run without another program or package.
        name: of the run, for messages.

    Raises:
        ConfigError: a measure is unknown, or not computed here. FormatError: there are no judgments, two contradict
            each other, one is beyond what trec_eval counts; the run has none of their queries, finds a document twice
            or has a score that is not finite.
    """
    parsed = {each: _parse(each) for each in measures}
    if not parsed:
        raise ConfigError("no measure was asked for")
    judged = _by_query(qrels)
    if not judged:
        raise FormatError("the qrels hold no judgment")
    if run and not judged.keys() & run.keys():
        raise FormatError(
            f"{name} and the qrels share no query: it has {next(iter(run))!r}, the qrels have {min(judged)!r}"
        )
    ranks = {query_id: _ranks(query_id, run[query_id], name) for query_id in judged if run.get(query_id)}
    groups: dict[tuple[object, ...], dict[Any, list[str]]] = {}
    for each, measure in parsed.items():
        groups.setdefault(_group(measure), {}).setdefault(_with_gains(measure, judged), []).append(each)

    values = {each: dict.fromkeys(sorted(judged), 0.0) for each in measures}
    for (provider, *_), group in groups.items():
        for metric in _calculate(str(provider), list(group), judged, ranks):
            for each in group[metric.measure]:
                values[each][metric.query_id] = float(metric.value)
    return Evaluation(
        values,
        unjudged_queries=len(run.keys() - judged.keys()),
        missing_queries=len(judged) - len(ranks),
        judged_hits=sum(len(judged[query_id].keys() & found.keys()) for query_id, found in ranks.items()),
    )


def _by_query(qrels: Iterable[Qrel]) -> dict[str, dict[str, int]]:
    """query_id → doc_id → relevance."""
    grouped: dict[str, dict[str, int]] = {}
    for query_id, doc_id, given in qrels:
        relevance = operator.index(given)  # pytrec_eval wants Python's own int
        if abs(relevance) > MAX_RELEVANCE:
            raise FormatError(
                f"query {query_id} judges document {doc_id} as {relevance}; a relevance is at most {MAX_RELEVANCE:,}, "
                f"and at least -{MAX_RELEVANCE:,}"
            )
        other = grouped.setdefault(query_id, {}).setdefault(doc_id, relevance)
        if other != relevance:
            raise FormatError(
                f"query {query_id} judges document {doc_id} twice, as {other} and as {relevance}; keep one of the two"
            )
    for query_id, judged in grouped.items():
        if max(judged.values()) < 0:  # pytrec_eval reads past its arrays for these; nothing is relevant either way
            grouped[query_id] = dict.fromkeys(judged, 0)
    return grouped


def _ranks(query_id: str, hits: Hits, name: str) -> dict[str, int]:
    """doc_id → a score that tells the order, and leaves no ties for evaluators to break."""
    ranks = dict(zip(hits.doc_ids, range(len(hits), 0, -1), strict=True))
    if len(ranks) < len(hits):
        twice = next(doc_id for place, doc_id in enumerate(hits.doc_ids) if ranks[doc_id] != len(hits) - place)
        raise FormatError(f"query {query_id} of {name} finds document {twice} twice")
    if not np.isfinite(hits.scores).all():
        raise FormatError(f"query {query_id} of {name}: a score is not finite")
    return ranks


def _calculate(
    provider: str, measures: list[Any], judged: Mapping[str, Mapping[str, int]], ranks: Mapping[str, Mapping[str, int]]
) -> Iterable[Any]:
    """What the provider says of queries that found something; of the others only what does not depend on that."""
    import ir_measures

    of_qrels = {measure for measure in measures if measure.NAME in _OF_QRELS}
    missing: dict[str, dict[str, int]] = {query_id: {} for query_id in judged.keys() - ranks.keys() if of_qrels}
    for metric in ir_measures.providers.registry[provider].iter_calc(measures, judged, {**ranks, **missing}):
        if metric.query_id in ranks or metric.measure in of_qrels:
            yield metric


def _group(measure: Any) -> tuple[object, ...]:
    """Measures of one group may go to their provider together.

    pytrec_eval's provider lets measures of different parameters (gains, relevance, judged_only) share one call whose
    parameters are those of the first, and measures of one name overwrite each other there.
    """
    parameters = sorted((name, repr(value)) for name, value in measure.params.items() if name != measure.AT_PARAM)
    return (_provider(measure), *parameters)


def _with_gains(measure: Any, judged: Mapping[str, Mapping[str, int]]) -> Any:
    """The measure with the gain of each relevance, 2^relevance - 1, where it is nDCG(dcg='exp-log2').

    trec_eval has no such measure, but counts any gains.
    """
    if not _is_exponential(measure):
        return measure
    grades = {grade for of in judged.values() for grade in of.values() if grade > 0}
    if grades and max(grades) > MAX_EXPONENT:
        raise FormatError(
            f"a document is judged as {max(grades)}: {measure} counts 2^relevance - 1, up to a relevance of "
            f"{MAX_EXPONENT}; use nDCG with `gains`"
        )
    return measure(dcg="log2", gains={grade: 2**grade - 1 for grade in grades})


def _is_exponential(measure: Any) -> bool:
    return bool(measure.params.get("dcg") == "exp-log2")


def _provider(measure: Any) -> str | None:
    """The first provider that computes the measure here."""
    import ir_measures

    asked = measure(dcg="log2") if _is_exponential(measure) else measure
    return next((name for name in _PROVIDERS if ir_measures.providers.registry[name].supports(asked)), None)


def _parse(name: str) -> Any:
    """The measure of a name, for example `nDCG@10` or `AP(rel=2)@100`.

    ir_measures' own parser needs an `ast` that Python 3.14 dropped, and lets through what ends the process.
    """
    import ir_measures

    known = ir_measures.measures.registry
    try:
        word, given, at = _parts(name)
        measure = known[word]
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        folded = {each.lower(): each for each in reversed(known)}
        near = difflib.get_close_matches(re.split(r"[\W_]", name, maxsplit=1)[0].lower(), folded, n=1)
        hint = f"; did you mean {folded[near[0]]}?" if near else ""
        raise ConfigError(
            f"{name[:80]!r} is not a measure; write it as nDCG@10, R@100, RR@10, AP or P(rel=2)@5{hint}"
        ) from error
    if why := _elsewhere(measure):
        raise ConfigError(f"{name!r} is not computed here: {why}")
    try:
        for parameter, value in [*given, *((measure.AT_PARAM, value) for value in at)]:
            measure = measure(**{parameter: _checked(measure, parameter, value)})
        needed = [each for each, of in measure.SUPPORTED_PARAMS.items() if of.required and each not in measure.params]
        if needed:
            raise ValueError(f"{word} needs a {needed[0]}, written after an @")
        if "gains" in measure.params and "dcg" in measure.params:
            raise ValueError("it has either gains or a dcg")
        measure.validate_params()
        if _provider(measure) is None:
            raise ValueError(f"nothing computes {word} with these parameters")
    except (AssertionError, ValueError) as error:
        raise ConfigError(f"{name!r} is not a measure: {error}") from error
    return measure


def _elsewhere(measure: Any) -> str | None:
    """Why no provider here has the measure, whatever its parameters; None where one has."""
    import ir_measures

    having = [
        name
        for name, provider in ir_measures.providers.registry.items()
        if any(each.NAME == measure.NAME for each in provider.SUPPORTED_MEASURES)
    ]
    if not having or set(having) & set(_PROVIDERS):
        return None
    return next((why for name, why in _ELSEWHERE.items() if name in having), f"ir_measures asks {having[0]} for it")


def _parts(name: str) -> tuple[str, list[tuple[str, Any]], list[Any]]:
    """("P", [("rel", 2)], [5]) of `P(rel=2)@5`; raises what Python's parser raises, or ValueError."""
    if len(name) > 200:
        raise ValueError("too long")
    tree, at, parameters = ast.parse(name.strip(), mode="eval").body, [], []
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.MatMult):
        at = [ast.literal_eval(tree.right)]
        tree = tree.left
    if isinstance(tree, ast.Call) and not tree.args:
        parameters = [(each.arg or "**", ast.literal_eval(each.value)) for each in tree.keywords]
        tree = tree.func
    if not isinstance(tree, ast.Name):
        raise ValueError("no name")
    return tree.id, parameters, at


def _checked(measure: Any, parameter: str, value: Any) -> Any:
    """The value as its measure wants it; raises ValueError for what would be ignored, or end the process."""
    if parameter in measure.params and parameter == measure.AT_PARAM:
        raise ValueError(f"{parameter} stands there twice")
    info = measure.SUPPORTED_PARAMS.get(parameter)
    if info is None:
        raise ValueError(f"it has no {parameter!r}; it has {', '.join(measure.SUPPORTED_PARAMS) or 'no parameters'}")
    if info.dtype is float and type(value) is int:
        value = float(value)
    if type(value) is not info.dtype:
        raise ValueError(f"{parameter}={value!r} is no {info.dtype.__name__}")
    if parameter in _RANGES:
        low, high = _RANGES[parameter]
        if not low <= value <= high:
            raise ValueError(f"{parameter}={value} is not from {low:,} to {high:,}")
    if parameter == "recall" and round(value, 2) != value:
        raise ValueError(f"{parameter}={value} has more than the two decimals that trec_eval reads")
    if parameter == "gains" and not all(
        type(each) is int and abs(each) <= MAX_RELEVANCE for pair in value.items() for each in pair
    ):
        raise ValueError(f"{parameter}={value} does not map whole numbers to whole numbers up to {MAX_RELEVANCE:,}")
    return value
