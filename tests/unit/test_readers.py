"""Published training examples, each in its own format."""

import gzip
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_lucene.datasets import read_documents, read_queries
from splade_lucene.errors import ConfigError, FormatError
from splade_lucene.training.examples import TextStore, TrainingExamples
from splade_lucene.training.readers import CLASHING, DIFFERING, NO_POSITIVE, TOO_LOW, UNSCORED, Format, read_examples

TRIPLES = "400296\t1540783\t3518497\n662731\t193249\t2975302\n400296\t1540783\t7214\n"
SCORED = (
    "11.6016\t-4.0859\t400296\t1540783\t3518497\n"
    "10.4219\t-8.1563\t662731\t193249\t2975302\n"
    "11.6016\t2.5\t400296\t1540783\t7214\n"
)
TEXT_TRIPLES = (
    "is a little caffeine ok during pregnancy\tWe don't know a lot about caffeine.\tIt is safe to use it.\n"
    "what fruit is native to australia\tPassiflora herbertiana.\tThe kola nut.\n"
    "is a little caffeine ok during pregnancy\tWe don't know a lot about caffeine.\tThe kola nut.\n"
)
HARD_NEGATIVES = (
    '{"qid": 867436, "pos": [5238393], "neg": {"bm25": [2942565, 6154920], "msmarco-MiniLM-L-6-v3": [6154920, 11]}}\n'
    '{"qid": 5, "pos": [7, 8], "neg": {"bm25": [9]}}\n'
)


def rows(examples: TrainingExamples) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(each.query_id, each.positives, each.negatives) for each in examples]


def read(
    folder: Path, name: str, text: str, format: Format, **settings: Any
) -> tuple[TrainingExamples, dict[str, int]]:
    """What a file with this text says."""
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(text.encode()))
    else:
        (folder / name).write_text(text, encoding="utf-8")
    examples, counts = read_examples(str(folder / name), format, **settings)
    return examples, dict(counts)


def test_qrels(tmp_path: Path) -> None:
    text = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t1\nq2\td1\t0\nq3\td3\t1\n"
    examples, counts = read(tmp_path, "train.tsv", text, "qrels")
    assert (rows(examples), counts) == ([("q1", ("d1", "d2"), ()), ("q3", ("d3",), ())], {TOO_LOW: 1})
    examples, counts = read(tmp_path, "train.tsv", text, "qrels", relevance=2)
    assert (rows(examples), counts) == ([("q1", ("d1",), ())], {TOO_LOW: 3})
    with pytest.raises(FormatError, match=r"train\.tsv: no example is left \(4 judgments below"):
        read_examples(str(tmp_path / "train.tsv"), "qrels", relevance=3)


def test_a_folder_has_qrels_to_train_with(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("q1\td1\t1\n")
    with pytest.raises(FormatError, match=r"qrels/train\.tsv: no such file"):
        read_examples(str(tmp_path), "qrels")
    read(tmp_path, "qrels/train.tsv.gz", "q2\td2\t1\n", "qrels")
    assert rows(read_examples(str(tmp_path), "qrels")[0]) == [("q2", ("d2",), ())]


@pytest.mark.parametrize("name", ["qidpidtriples.train.full.2.tsv", "qidpidtriples.train.full.2.tsv.gz"])
def test_triples(name: str, tmp_path: Path) -> None:
    examples, counts = read(tmp_path, name, TRIPLES, "triples")
    assert rows(examples) == [
        ("400296", ("1540783",), ("3518497", "7214")),
        ("662731", ("193249",), ("2975302",)),
    ]
    assert (examples.teachers, counts) == ([], {})


def test_scored_triples(tmp_path: Path) -> None:
    examples, counts = read(tmp_path, "scores.tsv", SCORED, "scored-triples", teacher="ensemble")
    assert rows(examples) == rows(read(tmp_path, "triples.tsv", TRIPLES, "triples")[0])
    assert examples[0].scores["ensemble"].tolist() == np.float32([11.6016, -4.0859, 2.5]).tolist()
    assert counts == {}


def test_a_document_with_several_scores_has_their_mean(tmp_path: Path) -> None:
    text = "4\t1\tq\tp\tn\n5\t1\tq\tp\tm\n"
    examples, counts = read(tmp_path, "scores.tsv", text, "scored-triples")
    assert (examples[0].scores["teacher"].tolist(), counts) == ([4.5, 1.0, 1.0], {DIFFERING: 1})


def test_a_negative_that_is_a_positive_is_none(tmp_path: Path) -> None:
    text = "q1\tp\tn\nq1\tn\tm\nq2\tn\tp\n"
    examples, counts = read(tmp_path, "triples.tsv", text, "triples")
    assert rows(examples) == [("q1", ("p", "n"), ("m",)), ("q2", ("n",), ("p",))]
    assert counts == {CLASHING: 1}


def test_texts_in_the_place_of_ids(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    examples, counts = read(tmp_path, "triples.train.small.tsv", TEXT_TRIPLES, "text-triples", texts=texts)
    queries = TextStore(read_queries(str(texts / "queries.jsonl")), "query")
    documents = TextStore(read_documents(str(texts / "corpus.jsonl")), "document")
    assert (len(queries), len(documents), counts) == (2, 4, {})
    first = examples[0]
    assert queries[first.query_id] == "is a little caffeine ok during pregnancy"
    assert [documents[each] for each in (*first.positives, *first.negatives)] == [
        "We don't know a lot about caffeine.",
        "It is safe to use it.",
        "The kola nut.",
    ]
    assert first.negatives[1] == examples[1].negatives[0]


def test_texts_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"bad\.tsv:4: 3 tab-separated columns \(query, positive, negative\)"):
        read(tmp_path, "bad.tsv", TEXT_TRIPLES + "a query\n", "text-triples", texts=tmp_path / "texts")
    assert os.listdir(tmp_path / "texts") == []


def test_hard_negatives(tmp_path: Path) -> None:
    examples, counts = read(tmp_path, "msmarco-hard-negatives.jsonl.gz", HARD_NEGATIVES, "hard-negatives")
    assert rows(examples) == [("867436", ("5238393",), ("2942565", "6154920", "11")), ("5", ("7", "8"), ("9",))]
    assert (examples.teachers, counts) == ([], {})


SCORES = {867436: {5238393: 9.5, 2942565: 1.25, 6154920: -3.0}, 5: {9: 0.5}, 12: {1: 1}}


def as_float32(scores: dict[int, dict[int, float]]) -> dict[int, dict[int, Any]]:
    return {query: {doc: np.float32(score) for doc, score in each.items()} for query, each in scores.items()}


@pytest.mark.parametrize("scores", [SCORES, as_float32(SCORES)], ids=["floats", "numpy"])
def test_scores_of_hard_negatives(scores: Any, tmp_path: Path) -> None:
    file = tmp_path / "cross-encoder-ms-marco-MiniLM-L-6-v2-scores.pkl.gz"
    file.write_bytes(gzip.compress(pickle.dumps(scores)))
    examples, counts = read(tmp_path, "negatives.jsonl", HARD_NEGATIVES, "hard-negatives", scores=file, teacher="ce")
    assert rows(examples) == [("867436", ("5238393",), ("2942565", "6154920"))]
    assert examples[0].scores["ce"].tolist() == [9.5, 1.25, -3.0]
    assert counts == {UNSCORED: 3, NO_POSITIVE: 1}


class Runs:
    """Runs a program when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (pickle.dumps({1: Path("x")}), r"the pickle wants pathlib.*; only dicts and numbers are read"),
        (pickle.dumps({1: {2: np.complex64(1)}}), "scalars of numpy that are no numbers"),
        (pickle.dumps({1: {2: np.zeros(2)}}), r"the pickle wants numpy.*_reconstruct"),
        (pickle.dumps([1, 2]), "a dict was expected, found list"),
        (pickle.dumps({867436: [1]}), "the scores of query 867436: a dict was expected, found list"),
        (pickle.dumps({867436: {5238393: "high"}}), "query 867436, document 5238393: the score 'high' is not"),
        (pickle.dumps({867436: {5238393: float("nan")}}), "the score 'nan' is not a finite number"),
        (pickle.dumps({1: {2: 3.0}}), r"scores\.pkl has no score of any document in .*negatives\.jsonl"),
        (pickle.dumps(SCORES)[:-9], "is not a pickle that can be read"),
        (b"", "is not a pickle that can be read"),
    ],
)
def test_pickles_that_are_no_scores(content: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "scores.pkl").write_bytes(content)
    with pytest.raises(FormatError, match=complaint):
        read(tmp_path, "negatives.jsonl", HARD_NEGATIVES, "hard-negatives", scores=tmp_path / "scores.pkl")


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "scores.pkl").write_bytes(pickle.dumps(Runs(tmp_path / "was run")))
    with pytest.raises(FormatError, match=r"scores\.pkl: the pickle wants (posix|os|nt)\.mkdir"):
        read(tmp_path, "negatives.jsonl", HARD_NEGATIVES, "hard-negatives", scores=tmp_path / "scores.pkl")
    assert not (tmp_path / "was run").exists()


def jsonl(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_plain_jsonl(tmp_path: Path) -> None:
    text = jsonl(
        {"query_id": "q1", "positives": ["a", "b"], "negatives": ["c"], "scores": [3, 2, 1]},
        {"query_id": 2, "positive": 5, "negative": "c", "scores": [0.5, 0.25]},
        {"query_id": "q1", "positive": "a", "negatives": ["d"], "scores": [3, 0]},
    )
    examples, counts = read(tmp_path, "mine.jsonl", text, "jsonl")
    assert rows(examples) == [("q1", ("a", "b"), ("c", "d")), ("2", ("5",), ("c",))]
    assert [each.scores["teacher"].tolist() for each in examples] == [[3, 2, 1, 0], [0.5, 0.25]]
    assert counts == {}


def test_plain_jsonl_of_texts(tmp_path: Path) -> None:
    text = jsonl(
        {"query": "what?", "positive": "this", "negatives": ["that", " that "]}, {"query": "who", "positive": "we"}
    )
    examples, _ = read(tmp_path, "mine.jsonl", text, "jsonl", texts=tmp_path)
    assert [len(each.negatives) for each in examples] == [1, 0]
    assert {doc.text for doc in read_documents(str(tmp_path / "corpus.jsonl"))} == {"this", "that", "we"}


def test_examples_that_were_made_already(tmp_path: Path) -> None:
    examples, _ = read(tmp_path, "scores.tsv", SCORED, "scored-triples")
    examples.write(tmp_path / "examples.parquet")
    assert read_examples(str(tmp_path / "examples.parquet"), "parquet") == (examples, {})


@pytest.mark.parametrize(
    ("format", "text", "complaint"),
    [
        (
            "triples",
            "1\t2\n",
            r":1: 3 tab-separated columns \(query_id, positive, negative\) were expected, found 2: 1",
        ),
        ("triples", "1\t2\t\n", r":1: the id '' is empty"),
        ("triples", "1\t2\ta b\n", r":1: the id 'a b' holds white space"),
        ("scored-triples", "1\t2\t3\t4\t5\nhigh\t2\t3\t4\t6\n", r":2: the score 'high' is not a finite number"),
        ("scored-triples", "1\tinf\t3\t4\t5\n", r":1: the score 'inf' is not a finite number"),
        ("text-triples", "a\t \tc\n", r":1: a text is empty"),
        ("hard-negatives", '{"qid": 1, "pos": [2]}\n', r":1: 'neg' must be an object, system → ids; it is null"),
        ("hard-negatives", '{"qid": 1, "neg": {}}\n', r":1: 'pos' must be a string, not NoneType"),
        ("hard-negatives", '{"pos": [1], "neg": {}}\n', r":1: no field 'qid'; it has pos, neg"),
        ("hard-negatives", '{"qid": 1, "pos": [1.5], "neg": {}}\n', r":1: 'pos' must be a string, not float"),
        ("jsonl", '{"positive": "a"}\n', r":1: no field 'query' or 'query_id'; it has positive"),
        ("jsonl", '{"query": "a", "query_id": "b"}\n', r":1: give `query_id` and ids, or `query` and texts, not both"),
        ("jsonl", '{"query_id": 1, "positive": 2, "scores": []}\n', r":1: 'scores' must be a list of 1 numbers"),
        ("jsonl", '{"query_id": 1, "positive": 2, "scores": [NaN]}\n', r":1: the score 'nan' is not a finite number"),
        (
            "jsonl",
            '{"query_id": 1, "positive": 2, "scores": [1]}\n{"query_id": 1, "positive": 2}\n',
            r":2: some lines have scores and some have not",
        ),
        ("jsonl", '{"query_id": 1, "negative": 2}\n', r"no example is left \(1 queries without a positive\)"),
    ],
)
def test_what_is_malformed(format: Format, text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=complaint):
        read(tmp_path, "bad", text, format, texts=tmp_path / "texts" if format == "text-triples" else None)


def test_settings_without_use(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="triples names ids, and no texts are to be written to"):
        read(tmp_path, "triples.tsv", TRIPLES, "triples", texts=tmp_path / "texts")
    with pytest.raises(ConfigError, match=r"ids\.jsonl names ids, and no texts are to be written to"):
        read(tmp_path, "ids.jsonl", jsonl({"query_id": 1, "positive": 2}), "jsonl", texts=tmp_path / "texts")
    with pytest.raises(ConfigError, match=r"text\.tsv:1: texts stand there in the place of ids: say in which folder"):
        read(tmp_path, "text.tsv", TEXT_TRIPLES, "text-triples")
    with pytest.raises(ConfigError, match="scores belongs to hard-negatives"):
        read(tmp_path, "triples.tsv", TRIPLES, "triples", scores=tmp_path / "scores.pkl")
    with pytest.raises(ValueError, match="format must be one of qrels, triples"):
        read_examples("x", "pairs")  # type: ignore[arg-type]
