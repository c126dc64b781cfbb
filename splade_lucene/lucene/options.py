"""SearchOptions: how a search is made, exact unless told otherwise."""

from dataclasses import dataclass, fields

from splade_lucene.errors import SearchError
from splade_lucene.pruning import Pruning


@dataclass(frozen=True)
class SearchOptions:
    """How an index is searched. With none of these given, hits and scores equal brute force.

    skip: use the block files beside the index to read fewer postings; the hits are the same without.
    query_terms: ask only for so many of a query's terms, those of largest impact; min_query_impact: only for those of
    at least so much. Hits then have scores of these terms alone.
    first_pass_terms: search in two steps (2404.13357): so many of a query's terms of largest impact find candidates,
    which all of its terms then score; a hit that is found has its full score. They find them among the terms that the
    block files keep apart (`IndexOptions.first_pass_doc_terms`), where these do. rescore: how many candidates, k at
    least.
    time_budget_ms, max_postings: what one query may cost. It then looks where most can be expected first, and answers
    with what it has when the limit is reached: `Hits.cut` says that it was. The limit is looked at after every 8,192
    documents (32,768 without block files), so that a search may go beyond it by what these take.

    Raises:
        SearchError: a number is below 1, or rescore is given without first_pass_terms.
    """

    skip: bool = True
    query_terms: int | None = None
    min_query_impact: int | None = None
    first_pass_terms: int | None = None
    rescore: int | None = None
    time_budget_ms: int | None = None
    max_postings: int | None = None

    def __post_init__(self) -> None:
        for each in fields(self)[1:]:
            value = getattr(self, each.name)
            if value is not None and value < 1:
                raise SearchError(f"{each.name} must be at least 1, not {value}")
        if self.rescore is not None and self.first_pass_terms is None:
            raise SearchError("rescore says how many candidates a first pass finds: give first_pass_terms, too")

    @property
    def pruning(self) -> Pruning:
        """What is asked of a query."""
        return Pruning(top_terms=self.query_terms, min_impact=self.min_query_impact)

    @property
    def limited(self) -> bool:
        """Whether a search may be cut."""
        return self.time_budget_ms is not None or self.max_postings is not None
