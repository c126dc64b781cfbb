"""What users have, read into `TrainingExamples`: judgments, published training sets, files of their own.

What can be read, by the name of its format:

* `qrels`: judgments of relevance, an INPUT as `read_qrels` takes it; positives alone.
* `triples`: `query_id<TAB>positive<TAB>negative`, ids (MS MARCO's qidpidtriples.train.full.2.tsv).
* `text-triples`: the same with texts in the place of ids (MS MARCO's triples.train.small.tsv).
* `scored-triples`: `positive's score<TAB>negative's score<TAB>query_id<TAB>positive<TAB>negative` (neural-ranking-kd).
* `hard-negatives`: `{"qid": 1, "pos": [2], "neg": {"bm25": [3, 4]}}` a line (msmarco-hard-negatives.jsonl), with the
  pickle of cross-encoder scores that belongs to it, or without.
* `jsonl`: `{"query_id": …, "positives": […], "negatives": […], "scores": […]}` a line, or `query` in the place of
  `query_id` and texts in the place of ids.
* `parquet`: what `TrainingExamples.write` has written, as it is.

All but the last may be gzipped. Imports neither torch nor a JVM. Laws: what is malformed is an error with file and
line; what is left out by a rule is counted; a query stands there once, its documents in the order of the file.
"""

import gzip
import hashlib
import json
import pickle
import struct
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from math import nan
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
import pyarrow as pa

from splade_lucene.datasets import check_ids, field, read_qrels
from splade_lucene.errors import ConfigError, FormatError
from splade_lucene.files import read_json_lines, read_lines, shown, writing_text
from splade_lucene.training.examples import SCORES, TrainingExamples

Format = Literal["qrels", "triples", "text-triples", "scored-triples", "hard-negatives", "jsonl", "parquet"]

CLASHING = "negatives that are positives of the same query, and count as these"
DIFFERING = "documents with several scores, whose mean counts"
NO_POSITIVE = "queries without a positive"
TOO_LOW = "judgments below the relevance asked for"
UNSCORED = "documents without a score"


def read_examples(
    source: str,
    format: Format,
    *,
    relevance: int = 1,
    scores: Path | None = None,
    teacher: str = "teacher",
    texts: Path | None = None,
) -> tuple[TrainingExamples, Counter[str]]:
    """The examples in a file of this format, and what was left out by which rule, counted.

    A document that stands there several times for a query counts once, with the mean of its scores; as a positive,
    where it is a negative, too. Where there are scores, documents without one are left out; queries without a positive
    always. Of a folder in BEIR layout, qrels/train.tsv is read. Texts get ids that are made of them. Memory: 13 bytes
    for each document of a line, beside the ids; the pickle, which is read whole, takes about 100 bytes a score.

    Args:
        source: the file; for `qrels` any INPUT.
        format: what it is.
        relevance: of `qrels`, from where on a document is a positive.
        scores: of `hard-negatives`, the pickle {query_id: {doc_id: score}}.
        teacher: what scores are called: the column `scores.TEACHER`.
        texts: for texts in the place of ids, a folder in which corpus.jsonl and queries.jsonl are written.

    Raises:
        FormatError: a line is malformed, the pickle holds something else, or no example is left.
        ConfigError: `texts` is missing or has no use, or `scores` has none.
    """
    if format not in get_args(Format):
        raise ValueError(f"format must be one of {', '.join(get_args(Format))}, not {format!r}")
    if scores is not None and format != "hard-negatives":
        raise ConfigError(f"a file of scores belongs to hard-negatives; {format} has none beside it")
    if texts is not None and format not in ("text-triples", "jsonl"):
        raise ConfigError(f"{format} names ids, and no texts are to be written to {texts}; leave that out")
    if format == "parquet":
        return TrainingExamples.read(Path(source)), Counter()
    pairs = _Pairs()
    counts: Counter[str] = Counter()
    with _Texts(texts) as named:
        if format == "qrels":
            _read_qrels(source, relevance, pairs, counts)
        elif format == "hard-negatives":
            _read_hard_negatives(Path(source), _read_scores(scores) if scores else None, pairs)
        elif format == "jsonl":
            _read_jsonl(Path(source), pairs, named)
        else:
            _READERS[format](Path(source), pairs, named)
        if texts is not None and not named.used:
            raise ConfigError(f"{source} names ids, and no texts are to be written to {texts}; leave that out")
        examples = pairs.examples(teacher, counts)
        if scores is not None and not examples.teachers:
            raise FormatError(f"{scores} has no score of any document in {source}")
        if not len(examples):
            raise FormatError(f"{source}: no example is left ({said(counts) or 'it has no positive'})")
    return examples, counts


def said(counts: Mapping[str, int]) -> str:
    """What was left out, in a line."""
    return "; ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def within_folder(source: str, name: str) -> str:
    """The file of a folder in BEIR layout, gzipped or not; any other INPUT is as it is."""
    if not (folder := Path(source)).is_dir():
        return source
    return str(next((each for each in (folder / name, folder / f"{name}.gz") if each.is_file()), folder / name))


class _Pairs:
    """Queries and documents that belong together, in columns; every id is held once."""

    def __init__(self) -> None:
        self._queries: dict[str, int] = {}
        self._documents: dict[str, int] = {}
        self._query, self._document = array("i"), array("i")
        self._positive, self._score = array("b"), array("f")

    def add(self, query_id: str, doc_id: str, positive: bool, score: float = nan, *, where: str) -> None:
        """One more.

        Raises:
            FormatError: an id can be none.
        """
        for column, numbers, given in (
            (self._query, self._queries, query_id),
            (self._document, self._documents, doc_id),
        ):
            if given not in numbers:
                check_ids([given], where=where)
                numbers[given] = len(numbers)
            column.append(numbers[given])
        self._positive.append(positive)
        self._score.append(score)

    def examples(self, teacher: str, counts: Counter[str]) -> TrainingExamples:
        """Grouped by query, in the order of what was added."""
        query, document = (np.array(column, dtype=np.int64) for column in (self._query, self._document))
        positive, score = np.array(self._positive, dtype=bool), np.array(self._score, dtype=np.float32)
        if not len(query):
            return TrainingExamples.of([])
        # One group for each query and document, `starts` where it begins, `first` where it was met first.
        key = query * len(self._documents) + document
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        first = order[starts]
        query, document = query[first], document[first]
        sizes = np.diff(starts, append=len(order))
        positives = np.add.reduceat(positive[order], starts, dtype=np.int64)
        counts[CLASHING] += int(((positives > 0) & (positives < sizes)).sum())
        positive = positives > 0
        scored = bool(np.isfinite(score).any())
        if scored:
            score, differ = _means(score[order], starts)
            counts[DIFFERING] += differ
            kept = np.isfinite(score)
            counts[UNSCORED] += int((~kept).sum())
        else:
            kept = np.ones(len(first), dtype=bool)
        has_positive = np.bincount(query[kept & positive], minlength=len(self._queries)) > 0
        counts[NO_POSITIVE] += len(self._queries) - int(has_positive.sum())
        rows = np.flatnonzero(kept & has_positive[query])
        rows = rows[np.lexsort((first[rows], ~positive[rows], query[rows]))]
        query, document, positive = query[rows], document[rows], positive[rows]
        query_ids, doc_ids = pa.array(list(self._queries), pa.string()), pa.array(list(self._documents), pa.string())
        present = np.flatnonzero(has_positive)

        def lists(values: pa.Array, of: Any) -> pa.ListArray:
            lengths = np.bincount(of, minlength=len(self._queries))[present]
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
            return pa.ListArray.from_arrays(pa.array(offsets), values)

        columns = {
            "query_id": query_ids.take(pa.array(present)),
            "positives": lists(doc_ids.take(pa.array(document[positive])), query[positive]),
            "negatives": lists(doc_ids.take(pa.array(document[~positive])), query[~positive]),
        }
        if scored:
            columns[f"{SCORES}{teacher}"] = lists(pa.array(score[rows]), query)
        counts += Counter()  # drops what was not met
        return TrainingExamples(pa.table(columns))


def _means(score: Any, starts: Any) -> tuple[Any, int]:
    """The mean of each group's scores, NaN where it has none, and how many groups differ."""
    there = np.isfinite(score)
    counts = np.add.reduceat(there, starts, dtype=np.int64)
    sums = np.add.reduceat(np.where(there, score, 0).astype(np.float64), starts)
    means = np.divide(sums, counts, out=np.full(len(starts), nan), where=counts > 0).astype(np.float32)
    lowest = np.minimum.reduceat(np.where(there, score, np.inf), starts)
    highest = np.maximum.reduceat(np.where(there, score, -np.inf), starts)
    return means, int((lowest < highest).sum())


class _Texts:
    """Gives texts ids that are made of them, and writes both: corpus.jsonl and queries.jsonl, which appear whole."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: dict[str, IO[str]] = {}
        self._seen: dict[str, set[str]] = {}
        self._open = ExitStack()

    def __enter__(self) -> "_Texts":
        self._open.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    @property
    def used(self) -> bool:
        """Whether there was a text."""
        return bool(self._files)

    def query(self, text: str, *, where: str) -> str:
        """The query_id of a text."""
        return self._id(text, "queries.jsonl", where)

    def document(self, text: str, *, where: str) -> str:
        """The doc_id of a text."""
        return self._id(text, "corpus.jsonl", where)

    def _id(self, text: str, name: str, where: str) -> str:
        if self._folder is None:
            raise ConfigError(f"{where}: texts stand there in the place of ids: say in which folder to write them")
        text = text.strip()
        if not text:
            raise FormatError(f"{where}: a text is empty")
        made = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]
        if name not in self._files:
            self._files[name] = self._open.enter_context(writing_text(self._folder / name))
            self._seen[name] = set()
        if made not in self._seen[name]:
            self._seen[name].add(made)
            self._files[name].write(json.dumps({"_id": made, "title": "", "text": text}) + "\n")
        return made


def _read_qrels(source: str, relevance: int, pairs: _Pairs, counts: Counter[str]) -> None:
    source = within_folder(source, "qrels/train.tsv")
    for query_id, doc_id, judged in read_qrels(source):
        if judged >= relevance:
            pairs.add(query_id, doc_id, True, where=source)
        else:
            counts[TOO_LOW] += 1


def _columns(path: Path, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """(where it stands, columns) of a file with tabs."""
    for number, line in read_lines(path):
        columns = line.split("\t")
        if len(columns) != len(names):
            raise FormatError(
                f"{path}:{number}: {len(names)} tab-separated columns ({', '.join(names)}) were expected, found "
                f"{len(columns)}: {shown(line)}"
            )
        yield f"{path}:{number}", columns


def _read_triples(path: Path, pairs: _Pairs, _: _Texts) -> None:
    for where, (query_id, positive, negative) in _columns(path, ("query_id", "positive", "negative")):
        pairs.add(query_id, positive, True, where=where)
        pairs.add(query_id, negative, False, where=where)


def _read_text_triples(path: Path, pairs: _Pairs, named: _Texts) -> None:
    for where, (query, positive, negative) in _columns(path, ("query", "positive", "negative")):
        query_id = named.query(query, where=where)
        pairs.add(query_id, named.document(positive, where=where), True, where=where)
        pairs.add(query_id, named.document(negative, where=where), False, where=where)


def _read_scored_triples(path: Path, pairs: _Pairs, _: _Texts) -> None:
    names = ("score of the positive", "score of the negative", "query_id", "positive", "negative")
    for where, (high, low, query_id, positive, negative) in _columns(path, names):
        pairs.add(query_id, positive, True, _number(high, where), where=where)
        pairs.add(query_id, negative, False, _number(low, where), where=where)


def _number(given: object, where: str) -> float:
    """A score: finite, also as float32."""
    try:
        if isinstance(given, (int, float, str)) and not isinstance(given, bool) and abs(score := float(given)) < 3.4e38:
            return score
    except (ValueError, OverflowError):
        pass
    raise FormatError(f"{where}: the score {shown(str(given))!r} is not a finite number")


_READERS: dict[str, Callable[[Path, _Pairs, _Texts], None]] = {
    "triples": _read_triples,
    "text-triples": _read_text_triples,
    "scored-triples": _read_scored_triples,
}


def _read_hard_negatives(path: Path, scores: Mapping[str, Any] | None, pairs: _Pairs) -> None:
    for where, record in read_json_lines(path):
        query_id = field(record, ("qid",), where=where)
        systems = record.get("neg")
        if not isinstance(systems, dict):
            raise FormatError(f"{where}: 'neg' must be an object, system → ids; it is {shown(json.dumps(systems))}")
        scored = {} if scores is None else _by_name(scores.get(query_id, {}), f"the scores of query {query_id}")
        negatives = dict.fromkeys(each for ids in systems.values() for each in _listed(ids, "neg", where))
        for positive, ids in (True, _listed(record.get("pos"), "pos", where)), (False, negatives):
            for doc_id in ids:
                score = scored.get(doc_id)
                known = nan if score is None else _number(score, f"query {query_id}, document {doc_id}")
                pairs.add(query_id, doc_id, positive, known, where=where)


def _listed(given: Any, name: str, where: str) -> list[str]:
    """Strings or whole numbers of a list, or a single one, as strings."""
    return [field({name: each}, (name,), where=where) for each in (given if isinstance(given, list) else [given])]


def _read_jsonl(path: Path, pairs: _Pairs, named: _Texts) -> None:
    scored = None
    for where, record in read_json_lines(path):
        by_text = "query" in record
        if by_text and "query_id" in record:
            raise FormatError(f"{where}: give `query_id` and ids, or `query` and texts, not both")
        given = field(record, ("query", "query_id"), where=where)
        query_id = named.query(given, where=where) if by_text else given
        documents: list[tuple[str, bool]] = []
        for positive, names in (True, ("positives", "positive")), (False, ("negatives", "negative")):
            name = next((each for each in names if each in record), None)
            for each in _listed(record[name], name, where) if name else ():
                documents.append((named.document(each, where=where) if by_text else each, positive))
        scores = record.get("scores")
        scored = scores is not None if scored is None else scored
        if scored != (scores is not None):
            raise FormatError(f"{where}: some lines have scores and some have not; give all of them, or none")
        if scored and (not isinstance(scores, list) or len(scores) != len(documents)):
            raise FormatError(
                f"{where}: 'scores' must be a list of {len(documents)} numbers, the positives' and then the negatives'"
            )
        for (doc_id, positive), score in zip(documents, scores or [nan] * len(documents), strict=True):
            pairs.add(query_id, doc_id, positive, _number(score, where) if scored else nan, where=where)


# Pickled scores


def _read_scores(path: Path) -> dict[str, Any]:
    """{query_id: {doc_id: score}} from a pickle that can make nothing but dicts, lists, texts and numbers.

    Raises:
        FormatError: it is damaged, or asks for anything else to be made: a pickle can run whatever program it names.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            found = _Harmless(file).load()
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no such file") from error
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except Exception as error:  # what a damaged pickle raises depends on where it is damaged
        raise FormatError(f"{path} is not a pickle that can be read ({type(error).__name__}: {error})") from error
    return _by_name(found, str(path))


def _by_name(given: Any, where: str) -> dict[str, Any]:
    """With keys as strings; published files have numbers."""
    if not isinstance(given, dict):
        raise FormatError(f"{where}: a dict was expected, found {type(given).__name__}")
    return {str(key): value for key, value in given.items()}


class _Harmless(pickle.Unpickler):
    """Makes no object of any class; of numpy's scalars it makes numbers, without numpy."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "dtype"):
            return _Dtype
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "scalar":
            return _scalar
        raise FormatError(f"the pickle wants {module}.{name}; only dicts and numbers are read")


class _Dtype:
    """What a pickle says of a numpy scalar's type."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code
        self.order = "<"

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.order = state[1]


def _scalar(dtype: _Dtype, raw: bytes) -> float:
    codes = {"f2": "e", "f4": "f", "f8": "d"}
    if not isinstance(dtype, _Dtype) or dtype.code not in codes or dtype.order not in ("<", "|"):
        raise FormatError("the pickle holds scalars of numpy that are no numbers")
    return float(struct.unpack(f"<{codes[dtype.code]}", raw)[0])
