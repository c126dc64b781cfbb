"""All engines that `benchmarks.engines` compares, and the indexes that they search.

Law: importing this module imports no engine; each imports its own libraries when it is built or opened, so that a
process pays for one engine alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from benchmarks.peer import Feed, Peer
from benchmarks.peer_data import Asked
from benchmarks.peer_lucene import AnseriniBm25, Lucene, LuceneBm25, Pyserini, index_texts, index_with_anserini
from benchmarks.peer_matrices import NumbaDots, SemanticSearch, save_columns, save_tensor
from benchmarks.peer_native import (
    Bmp,
    ImpactIndexMaxScore,
    Pisa,
    Seismic,
    bmp_queries,
    index_with_bmp,
    index_with_impact_index,
    index_with_pisa,
    index_with_seismic,
)
from benchmarks.peer_ours import Ours, OursFromText, OursInTwoSteps, index_with_ours
from splade_lucene.vectors import ImpactVectors


@dataclass(frozen=True)
class Index:
    """What some engines search.

    build: writes it to a path where nothing is, with so many threads at most. ordered: documents are given in the order
    that our own reordering has found, for engines whose authors recommend such an order.
    """

    build: Callable[[Feed, Path, int], None]
    ordered: bool = False


INDEXES: Mapping[str, Index] = {
    "anserini": Index(index_with_anserini),
    "pisa": Index(index_with_pisa),
    "pisa-ordered": Index(index_with_pisa, ordered=True),
    "bmp-8": Index(partial(index_with_bmp, block=8)),
    "bmp-8-ordered": Index(partial(index_with_bmp, block=8), ordered=True),
    "bmp-32": Index(partial(index_with_bmp, block=32)),
    "bmp-32-ordered": Index(partial(index_with_bmp, block=32), ordered=True),
    "impact-index": Index(partial(index_with_impact_index, reorder=False)),
    "impact-index-reordered": Index(partial(index_with_impact_index, reorder=True)),
    "seismic": Index(index_with_seismic),
    "numba": Index(save_columns),
    "sentence-transformers": Index(save_tensor),
    "ours": Index(partial(index_with_ours, reorder=False)),
    "ours-reordered": Index(partial(index_with_ours, reorder=True)),
    "ours-first-pass": Index(partial(index_with_ours, reorder=True, first_pass_doc_terms=128)),
    "bm25": Index(index_texts),
}


@dataclass(frozen=True)
class Engine:
    """One row of the table.

    Attributes:
        label: what the row is called.
        index: the name of the index that it searches.
        open: opens that.
        module: what must be installed.
        answers: whether they must be those of brute force, may come short of them, or have scores of their own.
        rounds: what it makes of queries before it searches, where that is not what was asked.
        texts: it is asked with texts, so that it needs some.
    """

    label: str
    index: str
    open: Callable[[Path, Asked], Peer]
    module: str = "splade_lucene"
    answers: Literal["exact", "approximate", "others"] = "exact"
    rounds: Callable[[ImpactVectors], ImpactVectors] | None = None
    texts: bool = False


def _pisa(label: str, algorithm: str, index: str = "pisa") -> Engine:
    return Engine(f"PISA {label}", index, partial(Pisa, algorithm=algorithm), "pyterrier_pisa")


def _bmp(block: int, *, ordered: bool = False) -> Engine:
    label, index = (", our order", "-ordered") if ordered else ("", "")
    return Engine(f"bmp, blocks of {block}{label}", f"bmp-{block}{index}", Bmp, "bmp", rounds=bmp_queries)


ENGINES: Mapping[str, Engine] = {
    "pyserini": Engine("Pyserini LuceneImpactSearcher", "anserini", Pyserini),
    "lucene": Engine("Lucene BooleanQuery (MaxScore)", "anserini", Lucene),
    "pisa-maxscore": _pisa("MaxScore", "maxscore"),
    "pisa-block-max-maxscore": _pisa("block-max MaxScore", "block_max_maxscore"),
    "pisa-block-max-wand": _pisa("block-max WAND", "block_max_wand"),
    "pisa-exhaustive": _pisa("term at a time, exhaustive", "ranked_or_taat"),
    "pisa-maxscore-ordered": _pisa("MaxScore, our order", "maxscore", "pisa-ordered"),
    "pisa-block-max-maxscore-ordered": _pisa("block-max MaxScore, our order", "block_max_maxscore", "pisa-ordered"),
    "bmp-8": _bmp(8),
    "bmp-32": _bmp(32),
    "bmp-8-ordered": _bmp(8, ordered=True),
    "bmp-32-ordered": _bmp(32, ordered=True),
    "impact-index": Engine("impact-index MaxScore", "impact-index", ImpactIndexMaxScore, "impact_index"),
    "impact-index-reordered": Engine(
        "impact-index MaxScore, reordered", "impact-index-reordered", ImpactIndexMaxScore, "impact_index"
    ),
    "seismic": Engine("Seismic", "seismic", Seismic, "seismic", answers="approximate"),
    "numba": Engine("numba dot products (naver's way)", "numba", NumbaDots, "numba"),
    "sentence-transformers": Engine(
        "sentence-transformers semantic_search", "sentence-transformers", SemanticSearch, "sentence_transformers"
    ),
    "ours": Engine("ours, exact", "ours", Ours),
    "ours-reordered": Engine("ours, exact, reordered", "ours-reordered", Ours),
    "ours-two-steps": Engine("ours, two steps, reordered", "ours-reordered", OursInTwoSteps, answers="approximate"),
    "ours-two-steps-pruned": Engine(
        "ours, two steps, pruned, reordered", "ours-first-pass", OursInTwoSteps, answers="approximate"
    ),
    "bm25-anserini": Engine("BM25 of texts, Anserini", "bm25", AnseriniBm25, answers="others", texts=True),
    "bm25": Engine("BM25 of texts, Lucene IndexSearcher", "bm25", LuceneBm25, answers="others", texts=True),
    "ours-text": Engine("ours, exact, inference-free, from texts", "ours", OursFromText, texts=True),
}
