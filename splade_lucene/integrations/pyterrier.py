"""PyTerrier transformers: encode, index and retrieve in its pipelines.

    indexer = SpladeIndexer("indexes/mine", "default")
    indexer.index([{"docno": "d1", "text": "a brown fox"}])
    pipeline = SpladeQueryEncoder("default") >> SpladeRetriever("indexes/mine") % 10
    pipeline.search("what jumps over dogs?")

Needs `pip install splade-lucene[pyterrier]`. PyTerrier's names stand where its frames are read or made: `qid` is our
query_id, `docno` our doc_id, `toks` and `query_toks` are weights {term: weight}. None of its Java is started; where
Terrier itself is wanted beside these, it needs a process of its own, as a process has one JVM.

Law: a pipeline finds what `Searcher` finds, in the same order.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    import pandas as pd
    import pyterrier as pt
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("PyTerrier is not installed: pip install 'splade-lucene[pyterrier]'") from error

from splade_lucene.datasets import check_unique
from splade_lucene.encoding.encoder import load_encoder
from splade_lucene.encoding.options import Side
from splade_lucene.errors import FormatError
from splade_lucene.runs import Hits, strictly_decreasing
from splade_lucene.vectors import Encoder, TermVectors

if TYPE_CHECKING:  # at run time they would start a JVM that encoders do not need
    from splade_lucene.lucene.build import IndexOptions
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.lucene.searcher import Searcher

BATCH_SIZE = 1_000  # documents encoded at a time: enough that texts of like length find each other


class SpladeQueryEncoder(pt.Transformer):
    """Adds `query_toks`, the weights of `query`.

    Args:
        encoder: an encoder, or the name of a model that `load_encoder` knows.
    """

    def __init__(self, encoder: Encoder | str | Path) -> None:
        self.encoder = _encoder(encoder, "queries")

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Queries, or results, whose `query` is the same for many documents and encoded once."""
        pt.validate.columns(inp, includes=["query"], context=self)
        texts = _texts(inp["query"].unique().tolist(), where="query")
        toks = dict(zip(texts, _toks(self.encoder, texts), strict=True))
        return inp.assign(query_toks=inp["query"].map(toks).astype(object))


class SpladeDocumentEncoder(pt.Transformer):
    """Adds `toks`, the weights of a document's text: for a `SpladeIndexer`, and for the indexers of other engines.

    Args:
        encoder: an encoder, or the name of a model that `load_encoder` knows.
        fields: what of a document is its text, joined by spaces; `("title", "text")` for BEIR.
    """

    batch_size = BATCH_SIZE  # PyTerrier's pipelines ask for it

    def __init__(self, encoder: Encoder | str | Path, *, fields: Sequence[str] = ("text",)) -> None:
        self.encoder = _encoder(encoder, "documents")
        self.fields = tuple(fields)

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Documents, or results with their texts."""
        pt.validate.columns(inp, includes=list(self.fields), context=self)
        texts = [_text(document, self.fields) for document in inp.to_dict(orient="records")]
        return inp.assign(toks=pd.Series(_toks(self.encoder, texts), inp.index, dtype=object))


class SpladeIndexer(pt.Indexer):
    """Writes documents as an `ImpactIndex`.

    Args:
        path: the index's folder.
        encoder: makes the weights, of `fields`, and is remembered by the index. Without one, `toks` are the weights.
        options: how the index is built; `quantizer` has the scale.
        fields: what of a document is its text, joined by spaces.
    """

    def __init__(
        self,
        path: Path | str,
        encoder: Encoder | str | Path | None = None,
        *,
        options: "IndexOptions | None" = None,
        fields: Sequence[str] = ("text",),
    ) -> None:
        self.path = Path(path)
        self.encoder = _encoder(encoder, "documents") if encoder is not None else None
        self.options = options
        self.fields = tuple(fields)

    def index_inputs(self) -> list[list[str]]:
        """The columns that are read."""
        return [["docno", *(self.fields if self.encoder is not None else ("toks",))]]

    def index(self, iter: Iterable[Mapping[str, Any]], **_: Any) -> "ImpactIndex":
        """Build the index of documents {"docno": …, "text": …}, streamed, and open it.

        Raises:
            FormatError: a document lacks a field, or a docno stands there twice. IndexExistsError: there is an index,
                and the options do not say to overwrite it.
        """
        from splade_lucene.lucene.index import ImpactIndex

        identity = self.encoder.identity if self.encoder is not None else None
        return ImpactIndex.build(self.path, self._vectors(iter), self.options, encoder=identity)

    def _vectors(self, documents: Iterable[Mapping[str, Any]]) -> Iterator[TermVectors]:
        for batch in batched(documents, BATCH_SIZE):
            docnos = [str(_field(document, "docno")) for document in batch]
            if self.encoder is not None:
                yield self.encoder.encode([_text(document, self.fields) for document in batch], ids=docnos)
            else:
                yield _rows(docnos, [_field(document, "toks") for document in batch], where="toks")


class SpladeRetriever(pt.Transformer):
    """Finds the best documents of queries, exactly unless the searcher's options say otherwise.

    Of `query_toks`, where there are some; else of `query`, if the searcher has an encoder. Given results instead of
    queries, it scores their documents anew, as the operands of `**` do; a document that shares no term with its query,
    or is not in the index, gets 0. Scores are those of our run files: they decrease strictly as float32, so that
    evaluators, which sort anew, see the order of the hits.

    Args:
        searcher: a searcher, which says how to search, or an index, or its folder.
        num_results: how many documents a query may find.
        threads: how many work at a time; all cores where not given.
    """

    def __init__(
        self,
        searcher: "Searcher | ImpactIndex | Path | str",
        *,
        num_results: int = 1000,
        threads: int | None = None,
    ) -> None:
        from splade_lucene.lucene.searcher import Searcher

        self.searcher = searcher if isinstance(searcher, Searcher) else Searcher(searcher)
        self.num_results = num_results
        self.threads = threads

    def fuse_rank_cutoff(self, k: int) -> "SpladeRetriever":
        """What `% k` makes of it: no more is searched than is kept."""
        return SpladeRetriever(self.searcher, num_results=min(k, self.num_results), threads=self.threads)

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Queries → results with `docno`, `score` and `rank`, best first; results → the same with new scores and ranks.

        Raises:
            FormatError: a qid stands there twice among queries.
        """
        with pt.validate.any(inp, context=self) as wanted:
            wanted.columns(includes=["qid", "query_toks"], mode="weights")
            if self.searcher.encoder is not None:
                wanted.columns(includes=["qid", "query"], mode="texts")
        return self._score(inp) if "docno" in inp.columns else self._retrieve(inp)

    def _retrieve(self, queries: pd.DataFrame) -> pd.DataFrame:
        run = self.searcher.search_vectors(self._vectors(queries), self.num_results, threads=self.threads)
        hits = list(run.values())
        found = queries.drop(columns=["score", "rank"], errors="ignore")
        found = found.iloc[np.repeat(np.arange(len(hits)), [len(each) for each in hits])].reset_index(drop=True)
        return found.assign(
            docno=pd.Series([doc_id for each in hits for doc_id in each.doc_ids], dtype=str),
            score=np.concatenate([np.zeros(0), *map(_scores, hits)]),
            rank=np.concatenate([np.zeros(0, np.int64), *(np.arange(len(each)) for each in hits)]),
        )

    def _score(self, results: pd.DataFrame) -> pd.DataFrame:
        queries = results.drop_duplicates("qid")
        vectors = self._vectors(queries)
        scores: dict[tuple[str, str], float] = {}
        docnos = results["docno"].astype(str)
        candidates_of = docnos.groupby(results["qid"])
        for row, qid in enumerate(queries["qid"]):
            candidates = candidates_of.get_group(qid).unique().tolist()
            hits = self.searcher.search_vectors(
                vectors.select([row]),
                len(candidates),
                filter=self.searcher.index.filter(doc_ids=candidates),
                threads=self.threads,
            )[vectors.ids[row]]
            scores |= {(qid, docno): score for docno, score in zip(hits.doc_ids, _scores(hits).tolist(), strict=True)}
        pairs = zip(results["qid"], docnos, strict=True)
        return pt.model.add_ranks(results.assign(score=[scores.get(pair, 0.0) for pair in pairs]))

    def _vectors(self, queries: pd.DataFrame) -> TermVectors:
        qids = queries["qid"].astype(str).tolist()
        if "query_toks" in queries.columns:
            return _rows(qids, queries["query_toks"].tolist(), where="query_toks")
        check_unique(qids, where="queries")
        return self.searcher.encode(dict(zip(qids, _texts(queries["query"].tolist(), where="query"), strict=True)))


def _encoder(given: Encoder | str | Path, side: Side) -> Encoder:
    return load_encoder(given, side=side) if isinstance(given, str | Path) else given


def _toks(encoder: Encoder, texts: Sequence[str]) -> list[dict[str, float]]:
    """The weights of each text."""
    vectors = encoder.encode(texts)
    return [vectors.row(number) for number in range(len(vectors))]


def _rows(ids: Sequence[str], toks: Sequence[Any], *, where: str) -> TermVectors:
    check_unique(ids, where=where)
    for row_id, each in zip(ids, toks, strict=True):
        if not isinstance(each, Mapping):
            raise FormatError(f"{where} of {row_id!r}: weights {{term: weight}} were expected, found {each!r}")
    return TermVectors.from_rows(dict(zip(ids, toks, strict=True)))


def _text(document: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The fields of a document, joined, as `Doc.default_text` joins title and text."""
    values = [_field(document, field) for field in fields]
    return " ".join(_texts(values, where=f"the document {document.get('docno')!r}")).strip()


def _texts(values: Iterable[Any], *, where: str) -> list[str]:
    texts = list(values)
    if wrong := [value for value in texts if not isinstance(value, str)]:
        raise FormatError(f"{where}: a text was expected, found {wrong[0]!r}")
    return texts


def _field(document: Mapping[str, Any], name: str) -> Any:
    if name not in document:
        raise FormatError(f"the document {document.get('docno')!r} has no {name!r}; it has {', '.join(document)}")
    return document[name]


def _scores(hits: Hits) -> Any:
    return strictly_decreasing(hits.scores).astype(np.float64)
