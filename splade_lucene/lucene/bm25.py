"""What a search by BM25 asks for and what that costs; `ImpactIndex.search_texts` is the search."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from splade_lucene.lucene import jvm
from splade_lucene.lucene.handover import BM25
from splade_lucene.lucene.index import ImpactIndex


def stems(text: str) -> list[str]:
    """The terms that BM25 makes of a text, in order: Anserini's English analysis, Porter's stems without stopwords."""
    with jvm.calling("BM25"):
        analyzer = jvm.java_class("io.anserini.analysis.DefaultEnglishAnalyzer").newDefaultInstance()
        return [str(stem) for stem in jvm.java_class("io.anserini.analysis.AnalyzerUtils").analyze(analyzer, text)]


def text_postings(index: ImpactIndex) -> int:
    """How many postings the texts of an index have."""
    with _reading(index) as reader:
        return int(reader.getSumDocFreq(BM25))


def text_frequencies(index: ImpactIndex, stems: Sequence[str]) -> list[int]:
    """df(t): in how many texts each stem stands, in the order of the stems."""
    with _reading(index) as reader:
        term_of, utf8 = map(jvm.java_class, ("org.apache.lucene.index.Term", "org.apache.lucene.util.BytesRef"))
        return [int(reader.docFreq(term_of(BM25, utf8(stem.encode("utf-8", "replace"))))) for stem in stems]


@contextmanager
def _reading(index: ImpactIndex) -> Iterator[Any]:
    """Lucene's own reader of an index."""
    with jvm.calling(index.path):
        reader = jvm.java_class("io.anserini.index.IndexReaderUtils").getReader(str(index.path))
        try:
            yield reader
        finally:
            reader.close()
