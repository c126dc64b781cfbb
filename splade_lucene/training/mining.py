"""Hard negatives: documents that a search finds for a query and that do not answer it.

Pure over runs, whoever made them: an encoder of ours, BM25, or another program. Imports neither torch nor a JVM. Laws:
a query's negatives follow from its own positives and hits, the texts of these, the options and the seed, whatever other
queries there are; none of them is a positive; whatever is left out is counted.
"""

import hashlib
import re
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from splade_lucene.errors import ConfigError
from splade_lucene.runs import Run
from splade_lucene.training.examples import SCORES, Example, TrainingExamples
from splade_lucene.training.readers import said

FOUND_BY = "found_by"  # the column: for each negative, which miners found it
TEXTS_IN_MEMORY = 100_000  # whose words are kept, as documents are found for many queries


class Texts(Protocol):
    """doc_id → text; an id that is unknown is an error."""

    def __getitem__(self, doc_id: str, /) -> str: ...


@dataclass(frozen=True)
class Mining:
    """Which hits become negatives.

    negatives: so many of each query at most; miners take turns, each with a hit chosen by chance. ranks: the first and
    the last rank, counted from 1, that hits are taken from; hits above are too often answers that nobody judged.
    consistent: keep a positive only if a miner finds it among its first so many; the others are no negatives either.
    jaccard: leave out hits that share so large a part of their words with a positive, |A ∩ B| / |A ∪ B| of the sets of
    words; hits with all words of a positive in the same order are left out wherever texts are known. Words are runs of
    letters and digits, without regard to case (NFKC, casefolded). at_least: leave out queries with fewer negatives.

    Raises:
        ValueError: a number is out of its range.

    References:
        Consistency: Geng et al., arXiv:2411.04403, section 5 (the first 10).
    """

    negatives: int = 30
    ranks: tuple[int, int] = (10, 100)
    consistent: int | None = None
    jaccard: float | None = None
    at_least: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        first, last = self.ranks
        if not 1 <= first <= last:
            raise ValueError(f"ranks must be 1 <= first <= last, not {first} and {last}")
        if not 0 <= self.at_least <= self.negatives or self.negatives < 1:
            raise ValueError(
                f"{self.negatives} negatives, {self.at_least} at least: 1 and 0 are the least, in this order"
            )
        if self.consistent is not None and self.consistent < 1:
            raise ValueError(f"consistent must be at least 1, not {self.consistent}")
        if self.jaccard is not None and not 0 < self.jaccard <= 1:
            raise ValueError(f"jaccard must be above 0 and at most 1, not {self.jaccard}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")

    @property
    def depth(self) -> int:
        """How many hits of each query it looks at."""
        return max(self.ranks[1], self.consistent or 0)


def mine(
    positives: Mapping[str, Sequence[str]],
    miners: Mapping[str, Run],
    options: Mining | None = None,
    *,
    texts: Texts | None = None,
) -> tuple[TrainingExamples, Counter[str]]:
    """Examples with hard negatives, and what was left out by which rule, counted.

    Beside the columns of all examples there is `found_by`: for each negative, the miners that found it.

    Args:
        positives: query_id → documents that answer it.
        miners: name → its run, with `options.depth` hits of each query.
        options: which hits become negatives.
        texts: of documents; without them, no hit is left out for its text.

    Raises:
        ConfigError: no query is left, or a document has no text.
    """
    options = options or Mining()
    counts: Counter[str] = Counter()
    like = _Likeness(texts, options.jaccard) if texts is not None else None
    mined = [
        (example, found_by)
        for query_id, documents in positives.items()
        for example, found_by in _mined(query_id, dict.fromkeys(documents), miners, options, like, counts)
    ]
    if not mined:
        raise ConfigError(f"no query is left to learn from: {said(counts) or 'there was none'}")
    examples = TrainingExamples.of(example for example, _ in mined)
    counts += Counter()  # drops what was not met
    found = pa.array([found_by for _, found_by in mined], pa.list_(pa.list_(pa.string())))
    return TrainingExamples(examples.table.append_column(FOUND_BY, found)), counts


def _mined(
    query_id: str,
    positives: dict[str, None],
    miners: Mapping[str, Run],
    options: Mining,
    like: "_Likeness | None",
    counts: Counter[str],
) -> Iterator[tuple[Example, list[list[str]]]]:
    """The example of a query and who found its negatives, or nothing."""
    hits = {name: run[query_id].doc_ids if query_id in run else [] for name, run in miners.items()}
    for name, doc_ids in hits.items():
        counts[f"queries for which {name} found nothing"] += not doc_ids
    kept = list(positives)
    if options.consistent is not None:
        top = {doc_id for doc_ids in hits.values() for doc_id in doc_ids[: options.consistent]}
        kept = [doc_id for doc_id in positives if doc_id in top]
        counts[f"positives that are among no miner's first {options.consistent}"] += len(positives) - len(kept)
    if not kept:
        counts["queries without a positive"] += 1
        return
    first, last = options.ranks
    windows = {name: doc_ids[first - 1 : last] for name, doc_ids in hits.items()}
    found_by: dict[str, list[str]] = {}
    for name, doc_ids in windows.items():
        for doc_id in doc_ids:
            found_by.setdefault(doc_id, []).append(name)
    alike = like.beside(positives) if like else lambda _: None
    for doc_id in list(found_by):
        if reason := "hits that are positives" if doc_id in positives else alike(doc_id):
            counts[reason] += 1
            del found_by[doc_id]
    chosen = _in_turns(query_id, windows, found_by, options)
    if len(chosen) < options.at_least:
        counts[f"queries with fewer than {options.at_least} negatives"] += 1
        return
    yield Example(query_id, tuple(kept), tuple(chosen)), [found_by[doc_id] for doc_id in chosen]


def _in_turns(
    query_id: str, windows: Mapping[str, list[str]], allowed: Mapping[str, object], options: Mining
) -> list[str]:
    """The negatives: each miner in turn gives one that nobody has given yet, by chance."""
    digest = int.from_bytes(hashlib.sha256(query_id.encode("utf-8", "surrogatepass")).digest()[:8])
    chance = np.random.default_rng((options.seed, digest))
    shuffled = ([doc_ids[place] for place in chance.permutation(len(doc_ids))] for doc_ids in windows.values())
    queues = deque(iter([doc_id for doc_id in doc_ids if doc_id in allowed]) for doc_ids in shuffled)
    chosen: dict[str, None] = {}
    while queues and len(chosen) < options.negatives:
        queue = queues.popleft()
        if (doc_id := next((each for each in queue if each not in chosen), None)) is not None:
            chosen[doc_id] = None
            queues.append(queue)
    return list(chosen)


class _Likeness:
    """Says why a document is no negative beside the positives of a query, by its words."""

    def __init__(self, texts: Texts, jaccard: float | None) -> None:
        self._jaccard = jaccard

        @lru_cache(TEXTS_IN_MEMORY)
        def words(doc_id: str) -> tuple[str, frozenset[str]]:
            found = words_of(texts[doc_id])
            return " ".join(found), frozenset(found)

        self._words = words

    def beside(self, positives: Iterable[str]) -> Callable[[str], str | None]:
        """doc_id → the reason, or None."""
        others = [self._words(each) for each in positives]
        same = {text for text, _ in others}

        def reason(doc_id: str) -> str | None:
            text, words = self._words(doc_id)
            if text in same:
                return "hits with the same words as a positive"
            if self._jaccard and any(share(words, other, self._jaccard) for _, other in others):
                return f"hits that share {self._jaccard:.0%} of their words with a positive"
            return None

        return reason


def share(some: frozenset[str], others: frozenset[str], part: float) -> bool:
    """Whether |A ∩ B| / |A ∪ B| is so large a part; two that have no words share all of them."""
    fewer, more = sorted((len(some), len(others)))
    if fewer < part * more:  # all of the fewer would not do
        return False
    common = len(some & others)
    return common >= part * (fewer + more - common)


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, without regard to case."""
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())


def with_margin(examples: TrainingExamples, teacher: str, margin: float) -> tuple[TrainingExamples, Counter[str]]:
    """Without negatives that a teacher takes for answers: score(negative) > min score(positives) − margin.

    Queries that lose all their negatives are left out. What goes is counted.

    Raises:
        ConfigError: the teacher has scored nothing, or no query is left.
    """
    if teacher not in examples.teachers:
        there = ", ".join(examples.teachers) or "none"
        raise ConfigError(f"the examples have no scores of {teacher}; they have {there}")
    table = examples.table
    lengths = {name: pc.list_value_length(table[name]).to_numpy() for name in ("positives", "negatives")}
    sizes = lengths["positives"] + lengths["negatives"]
    row = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.cumsum(sizes) - sizes
    is_positive = np.arange(len(row)) - starts[row] < lengths["positives"][row]
    score = pc.list_flatten(table[f"{SCORES}{teacher}"]).to_numpy().astype(np.float64)
    lowest = np.minimum.reduceat(np.where(is_positive, score, np.inf), starts) if len(row) else score
    keep = is_positive | (score <= lowest[row] - margin)
    for name in table.column_names:
        if pa.types.is_list(table.schema.field(name).type) and name != "positives":
            of_negatives = not name.startswith(SCORES)
            each = keep[~is_positive] if of_negatives else keep
            rows = row[~is_positive] if of_negatives else row
            offsets = np.concatenate([[0], np.cumsum(np.bincount(rows[each], minlength=len(sizes)))])
            values = pc.list_flatten(table[name]).combine_chunks().filter(pa.array(each))
            column = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values)
            table = table.set_column(table.column_names.index(name), name, column)
    lost = (lengths["negatives"] > 0) & (pc.list_value_length(table["negatives"]).to_numpy() == 0)
    counts = Counter(
        {
            f"negatives that {teacher} scores less than {margin:g} below a positive": int((~keep).sum()),
            "queries without a negative then": int(lost.sum()),
        }
    )
    if lost.all():
        raise ConfigError(f"no query is left to learn from: {said(counts)}")
    return TrainingExamples(table.filter(pa.array(~lost))), +counts
