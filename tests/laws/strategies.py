"""Random ids, terms, collections and queries for the laws."""

from collections.abc import Mapping

from hypothesis import strategies as st

from splade_lucene.datasets import id_problem
from splade_lucene.quantization import MAX_IMPACT

# Ids and terms that have broken search engines; of the last two, bytes and UTF-16 units give another order.
ODD = [
    *("0", "10", "2", "9", "a", "A", "ab", '"', "\\", "{", "null", "##ing"),
    *("\u00e9", "e\u0301", "ß", "٣", "\ufffd", "\uffff", "😀"),
]

ids = st.one_of(st.sampled_from(ODD), st.text(min_size=1, max_size=6).filter(lambda given: id_problem(given) is None))
terms = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
repeatable_terms = terms.filter(lambda term: len(term.split()) == 1 and term == term.strip())

small_impacts = st.integers(1, 4)  # so that ties abound
any_impacts = st.one_of(small_impacts, st.integers(MAX_IMPACT - 4, MAX_IMPACT), st.integers(1, MAX_IMPACT))
float_weights = st.floats(0, 2**100, width=32)

Documents = Mapping[str, Mapping[str, int]]


@st.composite
def collections(
    draw: st.DrawFn,
    *,
    max_documents: int = 40,
    impacts: st.SearchStrategy[int] = small_impacts,
    terms: st.SearchStrategy[str] = terms,
) -> tuple[Documents, Documents]:
    """(documents, queries), both {id: {term: impact}}, over at most 12 terms; a query may have others too."""
    vocabulary = draw(st.lists(terms, min_size=1, max_size=12, unique=True))
    some = st.lists(st.sampled_from(vocabulary), max_size=8, unique=True)
    rows = some.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, impacts)))
    size = draw(st.integers(0, max_documents))
    documents = draw(st.dictionaries(ids, rows, min_size=size, max_size=size))
    asked = st.dictionaries(st.one_of(st.sampled_from(vocabulary), terms), impacts, max_size=8)
    queries = draw(st.lists(asked, min_size=1, max_size=4))
    return documents, {f"q{number}": query for number, query in enumerate(queries)}
