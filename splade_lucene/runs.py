"""Hits, runs, the one order of hits, and TREC run files.

May import `errors`, `files` and `datasets`. Laws: hits are ordered by score descending, then doc_id ascending as bytes
(Anserini's order, also at the cut); the scores in a run file decrease strictly as float32, so that every evaluator,
whatever it does with ties, sees the order that was written; `read(write(run))` has the same doc_ids and order for
every query that found something.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from splade_lucene.datasets import check_ids, document_of
from splade_lucene.errors import FormatError, SearchError
from splade_lucene.files import read_lines, shown, writing_text


class Hit(NamedTuple):
    """A found document. The score of a search is a whole number: sum of query impact times document impact."""

    doc_id: str
    score: float


class Hits(Sequence[Hit]):
    """The hits of one query, best first, in two columns: `doc_ids` (list) and `scores` (int64 or float64 array).

    postings_read: how many postings the search read for them; None where that was not counted. cut: it ran to a limit
    that it was given, so that there may be better hits.
    """

    def __init__(
        self, doc_ids: list[str], scores: NDArray[Any], *, postings_read: int | None = None, cut: bool = False
    ) -> None:
        self.doc_ids = doc_ids
        self.scores = scores
        self.postings_read = postings_read
        self.cut = cut

    def __len__(self) -> int:
        return len(self.doc_ids)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> "Hits": ...
    def __getitem__(self, index: int | slice) -> "Hit | Hits":
        if isinstance(index, slice):
            return Hits(self.doc_ids[index], self.scores[index], postings_read=self.postings_read, cut=self.cut)
        return Hit(self.doc_ids[index], self.scores[index].item())

    def __iter__(self) -> Iterator[Hit]:
        return map(Hit, self.doc_ids, self.scores.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hits) and self.doc_ids == other.doc_ids and np.array_equal(self.scores, other.scores)

    def __repr__(self) -> str:
        return f"Hits({list(self[:3])!r}{', …' if len(self) > 3 else ''})"


_MAX_SCORE = float(np.finfo(np.float32).max)

Run = Mapping[str, Hits]
"""query_id → hits; a query that found nothing has empty hits."""


def ranked(scores: Mapping[str, float], k: int | None = None) -> list[Hit]:
    """The one order: score descending, then doc_id ascending as UTF-8 bytes; the best k."""
    order = sorted(scores.items(), key=lambda hit: (-hit[1], hit[0].encode()))
    return [Hit(*hit) for hit in order[:k]]


def fold_passages(passages: Hits, k: int, *, all_known: bool) -> Hits | None:
    """The k best documents by their best passage, in the one order; None where these hits do not decide them.

    Args:
        passages: the best passages, best first.
        k: how many documents.
        all_known: whether there are no more passages that share a term with the query.

    A passage that is not here scores at most what the last one scores: documents above that are sure.
    """
    best: dict[str, float] = {}
    for doc_id, score in zip(map(document_of, passages.doc_ids), passages.scores.tolist(), strict=True):
        best.setdefault(doc_id, score)
    if not all_known:
        bar = passages.scores[-1].item()
        best = {doc_id: score for doc_id, score in best.items() if score > bar}
        if len(best) < k:
            return None
    folded = ranked(best, k)
    return Hits(
        [hit.doc_id for hit in folded],
        np.array([hit.score for hit in folded], dtype=passages.scores.dtype),
        postings_read=passages.postings_read,
        cut=passages.cut,
    )


def strictly_decreasing(scores: NDArray[Any]) -> NDArray[np.float32]:
    """float32 scores that decrease strictly: s'_i = min(s_i, nextafter(s'_(i-1), -inf)).

    Raises:
        SearchError: a score is not finite.
    """
    lowered = scores.astype(np.float32)
    if not np.isfinite(lowered).all():
        raise SearchError("a score of the run is not a finite float32")
    if np.all(np.diff(lowered) < 0):
        return lowered
    below = np.float32(-np.inf)
    for position in range(1, len(lowered)):
        lowered[position] = min(lowered[position], np.nextafter(lowered[position - 1], below))
    return lowered


def write_run(path: Path, run: Run, *, tag: str = "splade-lucene") -> None:
    """Write a TREC run, `query_id Q0 doc_id rank score tag`; the file appears whole or not at all."""
    with writing_text(path) as file:
        file.writelines(run_lines(run, tag=tag))


def run_lines(run: Run, *, tag: str = "splade-lucene") -> Iterator[str]:
    """The lines of a TREC run."""
    for query_id, hits in run.items():
        scores = strictly_decreasing(hits.scores)
        for rank, (doc_id, score) in enumerate(zip(hits.doc_ids, scores, strict=True), start=1):
            yield f"{query_id} Q0 {doc_id} {rank} {_shortest(score)} {tag}\n"


def _shortest(score: np.float32) -> str:
    """The shortest decimal that reads back as this float32, without an exponent."""
    return np.format_float_positional(score, unique=True, trim="-")


def read_run(path: Path) -> dict[str, Hits]:
    """Read a TREC run in the order that trec_eval gives it: score descending, ties by doc_id descending.

    The rank column and the order of the lines are ignored, as every evaluator does, and scores are float32, as in
    trec_eval. A run of ours has no ties. Columns are parted by spaces, tabs or both.

    Raises:
        FormatError: naming file and line: a wrong number of columns, a score that is not a finite number, a document
            that a query finds twice.
    """
    found: dict[str, dict[str, float]] = {}
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        columns = line.split(maxsplit=6)  # no more, or a file on one line would become millions of strings
        if len(columns) != 6:
            count = "more" if len(columns) > 6 else len(columns)
            raise FormatError(
                f"{where}: 6 columns (query_id Q0 doc_id rank score tag) wanted, found {count}: {shown(line)}"
            )
        query_id, _, doc_id, _, score, _ = columns
        check_ids((query_id, doc_id), where=where)
        hits = found.setdefault(query_id, {})
        if doc_id in hits:
            raise FormatError(f"{where}: query {shown(query_id)} finds document {shown(doc_id)} twice")
        try:
            hits[doc_id] = float(score)
        except ValueError as error:
            raise FormatError(f"{where}: the score {shown(score)!r} is not a number") from error
        if not abs(hits[doc_id]) <= _MAX_SCORE:  # nor is NaN
            raise FormatError(f"{where}: the score {shown(score)!r} is not a finite float32")
    run = {}
    for query_id, hits in found.items():
        scores = np.array(list(hits.values()), dtype=np.float32).astype(np.float64)
        order = sorted(zip(scores.tolist(), hits, strict=True), key=lambda hit: (hit[0], hit[1].encode()), reverse=True)
        run[query_id] = Hits([doc_id for _, doc_id in order], np.array([score for score, _ in order]))
    return run
