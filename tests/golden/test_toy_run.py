"""The toy corpus' TREC run: ids of any kind, ties, an empty document, a query that finds nothing."""

from collections.abc import Callable

from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.lucene.searcher import Searcher
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import run_lines
from tests.helpers import weights


def test_the_run_of_the_toy_corpus(toy_index: ImpactIndex, golden: Callable[[str, str], None]) -> None:
    queries = {
        "all": {"the": 1},
        "weighted": {"fish": 10, "sea": 3, "cat": 2},
        "ties": {"moon": 2, "black": 1, "water": 7},
        "nothing": {"submarine": 4},
    }
    run = Searcher(toy_index, quantizer=Quantizer(1)).search_vectors(weights(queries))
    golden("toy.run", "".join(run_lines(run)))
