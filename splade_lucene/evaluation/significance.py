"""Whether a difference between two runs is more than chance: paired tests, an interval, an effect size, the queries.

Everything is paired: two values of each query, a run's and a baseline's, become one difference. May import `errors` and
`measures`. Laws: swapping run and baseline turns all differences around and leaves the p-values as they are; equal runs
have p = 1; the order of queries says nothing; a seed decides the numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splade_lucene.errors import FormatError
from splade_lucene.evaluation.measures import Evaluation

PerQuery = Mapping[str, Mapping[str, float]]
"""Measure → query_id → value."""

CONFIDENCE = 0.95
SAMPLES = 10_000
ROUNDING = 1e-12  # two sums of the same numbers in another order differ by less
_CELLS = 2**22  # numbers in memory at once: samples times queries


@dataclass(frozen=True)
class Comparison:
    """A run against a baseline on one measure, over the same queries.

    queries: how many. mean, baseline_mean: over them. difference: mean of (run - baseline). low, high: where the
    difference lies with 95 % confidence. t_test_p, randomization_p: two-sided. effect_size: the difference in standard
    deviations of the queries' differences (Cohen's d_z); infinite where all queries differ by the same.
    better_queries, worse_queries, equal_queries: how many are above, below and at the baseline's value. differences:
    query_id → difference.
    """

    measure: str
    queries: int
    mean: float
    baseline_mean: float
    difference: float
    low: float
    high: float
    t_test_p: float
    randomization_p: float
    effect_size: float
    better_queries: int
    worse_queries: int
    equal_queries: int
    differences: Mapping[str, float]

    def summary(self) -> dict[str, Any]:
        """What a program wants of it: all but the single queries; None for an effect size that is infinite."""
        said = asdict(self)
        del said["differences"]
        return said | {"effect_size": self.effect_size if np.isfinite(self.effect_size) else None}


def compare(
    run: Evaluation | PerQuery, baseline: Evaluation | PerQuery, *, seed: int = 0, samples: int = SAMPLES
) -> list[Comparison]:
    """Compare two runs query by query, for each measure of the first.

    Args:
        run: the values of each query, as an evaluation has them.
        baseline: the same of the other run; it may have more measures.
        seed: of the resampling. Every measure starts from it, so that none changes another's numbers.
        samples: of the randomization test, where not all sign flips can be tried, and of the bootstrap.

    The interval is the bootstrap's percentile interval. With fewer than two queries there is nothing to test: p is 1.

    Raises:
        FormatError: the two are of other queries or measures, have no query, or a value is not finite.

    References:
        Smucker, Allan and Carterette, CIKM 2007 (t-test, randomization and bootstrap agree; others do not); Sakai,
        Evaluating evaluation metrics based on the bootstrap, SIGIR 2006, and Statistical reform in information
        retrieval?, SIGIR Forum 48(1), 2014 (intervals and effect sizes beside p-values).
    """
    ours, theirs = (given.per_query if isinstance(given, Evaluation) else given for given in (run, baseline))
    return [
        _compared(measure, *_paired(measure, values, theirs), seed=seed, samples=samples)
        for measure, values in ours.items()
    ]


def _paired(
    measure: str, ours: Mapping[str, float], baseline: PerQuery
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """The queries in the order of their ids, and both values of each."""
    if measure not in baseline:
        raise FormatError(f"the baseline was not evaluated with {measure}, but with {', '.join(baseline) or 'nothing'}")
    theirs = baseline[measure]
    if other := ours.keys() ^ theirs.keys():
        query_id = min(other)
        raise FormatError(
            f"{measure}: {len(other)} queries were evaluated for one of run and baseline only, {query_id!r} for "
            f"{'the run' if query_id in ours else 'the baseline'}; evaluate both against the same qrels"
        )
    if not ours:
        raise FormatError(f"{measure}: there is no query to compare")
    query_ids = sorted(ours)
    both = [np.array([values[query_id] for query_id in query_ids], dtype=np.float64) for values in (ours, theirs)]
    for values in both:
        if not np.isfinite(values).all():
            query_id = query_ids[int(np.argmin(np.isfinite(values)))]
            raise FormatError(f"{measure} of query {query_id!r} is not a finite number")
    return query_ids, both[0], both[1]


def _compared(
    measure: str,
    query_ids: list[str],
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    *,
    seed: int,
    samples: int,
) -> Comparison:
    differences = ours - theirs
    differences[np.abs(differences) < ROUNDING] = 0
    mean = float(differences.mean())
    effect_size = _effect_size(differences)
    low, high = _interval(differences, seed=seed, samples=samples)
    return Comparison(
        measure=measure,
        queries=len(query_ids),
        mean=float(ours.mean()),
        baseline_mean=float(theirs.mean()),
        difference=mean,
        low=low,
        high=high,
        t_test_p=_t_test(effect_size, len(query_ids)),
        randomization_p=_randomization_test(differences, seed=seed, samples=samples),
        effect_size=effect_size,
        better_queries=int((differences > 0).sum()),
        worse_queries=int((differences < 0).sum()),
        equal_queries=int((differences == 0).sum()),
        differences=dict(zip(query_ids, differences.tolist(), strict=True)),
    )


def _effect_size(differences: NDArray[np.float64]) -> float:
    """Cohen's d_z: mean(d) / sd(d), with n - 1 in the standard deviation."""
    mean = float(differences.mean())
    if np.ptp(differences) < ROUNDING:
        return float(np.copysign(np.inf, mean)) if mean else 0.0
    return mean / float(differences.std(ddof=1))


def _t_test(effect_size: float, queries: int) -> float:
    """Two-sided p of Student's paired t = sqrt(n) d_z, with n - 1 degrees of freedom."""
    from scipy.special import stdtr

    return 2 * float(stdtr(queries - 1, -np.sqrt(queries) * abs(effect_size))) if queries > 1 else 1.0


def _randomization_test(differences: NDArray[np.float64], *, seed: int, samples: int) -> float:
    """Two-sided p of the paired randomization test: how often signs drawn at random give a sum as far from 0.

    With no more sign flips than samples all are tried, and p is exact. Otherwise p = (b + 1) / (m + 1) for b of m
    samples, which no number of samples makes too small (Davison and Hinkley 1997, section 4.2). A query that does not
    differ has no sign. scipy's `permutation_test` gives the same; it takes ten times as long on 7,000 queries.
    """
    differing = differences[differences != 0]
    queries = len(differing)
    least = abs(differing.sum()) - ROUNDING * np.abs(differing).sum()  # the same sum in another order counts
    exact = queries < 63 and 2**queries <= samples
    wanted = 2**queries if exact else samples
    random = np.random.default_rng(seed)
    rows = max(1, _CELLS // max(1, queries))
    as_far = 0
    for start in range(0, wanted, rows):
        count = min(rows, wanted - start)
        if exact:
            minus = np.arange(start, start + count)[:, None] >> np.arange(queries) & 1
        else:
            minus = random.integers(0, 2, (count, queries), dtype=np.int8)
        as_far += int((np.abs((1 - 2 * minus) @ differing) >= least).sum())
    return as_far / wanted if exact else (as_far + 1) / (wanted + 1)


def _interval(differences: NDArray[np.float64], *, seed: int, samples: int) -> tuple[float, float]:
    """The bootstrap's percentile interval of the mean difference; a point where no query differs from another."""
    from scipy.stats import bootstrap

    if np.ptp(differences) < ROUNDING:
        return float(differences.mean()), float(differences.mean())
    found = bootstrap(
        (differences,),
        np.mean,
        n_resamples=samples,
        batch=max(1, _CELLS // len(differences)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several tests, one a data set, say: p'_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).

    To call a test significant where its adjusted p is below .05 errs once or more in at most 5 % of all such families
    of tests, however they depend on each other.

    Args:
        p_values: of the tests that make one family.

    Returns:
        The adjusted ones, in the order given.

    Raises:
        ValueError: a p-value is not between 0 and 1.

    References:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6(2), 1979.
    """
    given = np.array(p_values, dtype=np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"a p-value is between 0 and 1: {list(p_values)}")
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1)
    return [float(each) for each in adjusted]


def wins_and_losses(comparison: Comparison, most: int) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """The queries that changed most: (query_id, difference) of those that gained and of those that lost.

    At most `most` of each, the largest change first, ties by query_id.
    """
    changed = sorted(comparison.differences.items(), key=lambda each: (-abs(each[1]), each[0]))
    wins = [each for each in changed if each[1] > 0]
    losses = [each for each in changed if each[1] < 0]
    return wins[:most], losses[:most]
