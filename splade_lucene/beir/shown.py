"""The worst and the best queries of a run, looked at: what they asked for, what they found and what they missed."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from splade_lucene.beir.engines import Engine
from splade_lucene.beir.source import Source
from splade_lucene.evaluation.results import ShownDocument, ShownQuery
from splade_lucene.runs import Hits, Run

WORST = BEST = 5  # queries
FOUND = 5  # documents of each
MISSED = 3
FIRST_HITS = 10  # a relevant document that is not among these was missed
LONGEST = 1_000  # characters of a document


def shown_queries(
    source: Source, run: Run, values: Mapping[str, float], engine: Engine | None
) -> tuple[ShownQuery, ...]:
    """The worst queries by a measure, worst first, then the best, best last; each once where there are few.

    Args:
        source: the collection.
        run: what was found.
        values: query_id → the measure.
        engine: what found it, which says why; None where that is not known.
    """
    ranked = sorted(values, key=lambda query_id: (values[query_id], query_id))
    chosen = ranked if len(ranked) <= WORST + BEST else [*ranked[:WORST], *ranked[-BEST:]]
    judged: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for qrel in source.judgments:
        judged[qrel.query_id][qrel.doc_id] = qrel.relevance
    hits = {query_id: run.get(query_id, Hits([], np.zeros(0))) for query_id in chosen}
    found = {query_id: hits[query_id].doc_ids[:FOUND] for query_id in chosen}
    missed = {
        query_id: _missed(judged[query_id], hits[query_id], source.collection.relevant_from) for query_id in chosen
    }
    texts = source.texts({doc_id for each in (found, missed) for doc_ids in each.values() for doc_id in doc_ids})
    shown = []
    for query_id in chosen:
        text = source.asked[query_id]
        look = _Look(text, hits[query_id], judged[query_id], texts, engine)
        shown.append(
            ShownQuery(
                query_id,
                text,
                values[query_id],
                engine.terms(text) if engine is not None else (),
                tuple(map(look.at, found[query_id])),
                tuple(map(look.at, missed[query_id])),
            )
        )
    return tuple(shown)


def _missed(judged: Mapping[str, int], hits: Hits, relevant_from: int) -> list[str]:
    """The most relevant of the documents that are not among the first hits."""
    first = set(hits.doc_ids[:FIRST_HITS])
    relevant = [doc_id for doc_id, relevance in judged.items() if relevance >= relevant_from and doc_id not in first]
    return sorted(relevant, key=lambda doc_id: (-judged[doc_id], doc_id))[:MISSED]


class _Look:
    """Looks at documents with the eyes of one query."""

    def __init__(
        self,
        text: str,
        hits: Hits,
        judged: Mapping[str, int],
        texts: Mapping[str, str],
        engine: Engine | None,
    ) -> None:
        self._text, self._judged, self._texts, self._engine = text, judged, texts, engine
        self._scores = {hit.doc_id: (rank, hit.score) for rank, hit in enumerate(hits, start=1)}

    def at(self, doc_id: str) -> ShownDocument:
        """The document; one that is judged and not in the collection has no text and scores 0."""
        rank, score = self._scores.get(doc_id, (None, 0.0))
        text = self._texts.get(doc_id)
        explained = self._engine.matches(self._text, doc_id, text) if self._engine and text is not None else None
        exact, matches = explained or (score, ())
        cut = text if text is None or len(text) <= LONGEST else f"{text[:LONGEST]}…"
        return ShownDocument(doc_id, cut or "", rank, self._judged.get(doc_id), exact, matches)
