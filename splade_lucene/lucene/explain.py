"""Which terms made a score, and what each of them gave.

Law: the contributions sum to the score of the search, exactly.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from splade_lucene.errors import SearchError
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.vectors import Encoder


@dataclass(frozen=True)
class Contribution:
    """What one shared term gave: `score = query_impact * document_impact`.

    typed: the term stands in the query's text; otherwise the model added it (an expansion). written: the same for the
    document's text. None: the text is not known.
    """

    term: str
    query_impact: int
    document_impact: int
    typed: bool | None
    written: bool | None

    @property
    def score(self) -> int:
        """This term's part of the document's score."""
        return self.query_impact * self.document_impact


@dataclass(frozen=True)
class Explanation:
    """The score of one document for one query, term by term, largest part first."""

    doc_id: str
    contributions: tuple[Contribution, ...]
    missed: tuple[str, ...]  # query terms that the document lacks, heaviest first

    @property
    def score(self) -> int:
        """The document's score: the sum of the parts."""
        return sum(each.score for each in self.contributions)


def explain(
    index: ImpactIndex,
    query: Mapping[str, int],
    doc_id: str,
    *,
    query_terms: Collection[str] | None = None,
    encoder: Encoder | None = None,
) -> Explanation:
    """Take a score apart.

    Args:
        index: where the document is.
        query: the query's impacts.
        doc_id: the document.
        query_terms: the terms that stand in the query's text, where it is known.
        encoder: reads the stored text of the document, if the index has it, to tell its expansions.

    Raises:
        SearchError: there is no such document.
    """
    impacts = index.impacts(doc_id, list(query))
    if impacts is None:
        raise SearchError(f"{index.path} holds no document {doc_id!r}")
    text = index.text(doc_id) if encoder is not None else None
    written = set(encoder.terms_in(text)) if encoder is not None and text is not None else None
    shared = [
        Contribution(
            term,
            impact,
            impacts[term],
            typed=None if query_terms is None else term in query_terms,
            written=None if written is None else term in written,
        )
        for term, impact in query.items()
        if impacts[term]
    ]
    missed = sorted((term for term in query if not impacts[term]), key=lambda term: (-query[term], term))
    return Explanation(doc_id, tuple(sorted(shared, key=lambda part: (-part.score, part.term))), tuple(missed))
