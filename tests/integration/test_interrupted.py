"""Ctrl-C, kill -9, a full disk, two at once: what was there before stays whole, and the next run works.

Real processes, signalled when they are in the phase that is meant: its threads' names or its files tell.
"""

import json
import os
import random
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import Shard, VectorFolder
from splade_lucene.vectors import EncoderIdentity, TermVectors, Vocabulary
from tests.helpers import WORDS, tiny_backend, weights
from tests.integration.support import PATIENCE, PROGRAM, clean, environment, python, splade_lucene

pytestmark = [
    pytest.mark.jvm,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="a process's phases are read from Linux's /proc"),
]

Cli = Callable[..., Any]
Phase = Callable[[int], bool]

VOCABULARY = Vocabulary(f"t{number}" for number in range(20_000))


def folder_of_vectors(path: Path, shards: int, rows: int, terms: int) -> Path:
    """As `encode` writes it: impacts from 1 to 9 at random."""
    chance = np.random.default_rng(17)
    identity = EncoderIdentity("chance", "0", VOCABULARY.fingerprint, 256, "none")
    folder = VectorFolder(path, identity, "nowhere", rows)
    folder.write_vocabulary(VOCABULARY)
    written = []
    for number in range(shards):
        ascending = chance.integers(1, len(VOCABULARY) // terms, size=(rows, terms)).cumsum(axis=1)
        vectors = TermVectors(
            [f"{number}-{row}" for row in range(rows)],
            np.arange(0, rows * terms + 1, terms),
            ascending.astype(np.int32).reshape(-1),
            VOCABULARY,
            chance.integers(1, 10, rows * terms).astype(np.float32),
        )
        folder.write_shard(f"{number}.parquet", vectors)
        written.append(Shard(f"{number}.parquet", rows, "", 0, 0))
    replace(folder, shards=tuple(written), complete=True).save()
    return path


@pytest.fixture(scope="session")
def many_documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_vectors(tmp_path_factory.mktemp("vectors") / "many", shards=4, rows=2_000, terms=150)


@pytest.fixture(scope="session")
def some_documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_vectors(tmp_path_factory.mktemp("vectors") / "some", shards=20, rows=100, terms=150)


@pytest.fixture
def old_index(tmp_path: Path) -> Path:
    path = tmp_path / "index"
    ImpactIndex.build(path, [weights({"old": {"word": 1}})], IndexOptions(Quantizer(1))).close()
    return path


def expect_old(path: Path) -> None:
    """The old index is there, whole, and nothing else is beside or in it."""
    with ImpactIndex(path) as index:
        index.check()
        assert (len(index), index.postings("word")) == (1, {"old": 1})
    names = {file.name.split(".")[0].split("_Lucene")[0].split("-")[0] for file in path.iterdir()}
    assert names == {"_0", "segments_1", "write", "blocks"}
    assert len(list(path.glob("blocks-*"))) == 1
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []


# Processes


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Those that a test started; none outlives it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def begin(processes: list[subprocess.Popen[str]]) -> Callable[..., subprocess.Popen[str]]:
    """`splade-lucene` in a process of its own, under way."""

    def start(*arguments: object, limit: int | None = None) -> subprocess.Popen[str]:
        def limited() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Python 3.12 keeps bytecode that the limit has cut off, and every later process stumbles on it.
            env=environment(PYTHONDONTWRITEBYTECODE="1" if limit is not None else None),
            preexec_fn=limited,  # only for this: the JVM of this process is not used between fork and exec
        )
        processes.append(process)
        return process

    return start


def has_thread(name: str) -> Phase:
    """A phase in which a process has a thread whose name begins so."""

    def there(process: int) -> bool:
        for file in Path(f"/proc/{process}/task").glob("*/comm"):
            try:
                if file.read_text().startswith(name):
                    return True
            except OSError:  # the thread has ended since
                continue
        return False

    return there


def has_file(folder: Path, pattern: str) -> Phase:
    """A phase in which there is such a file."""
    return lambda process: any(folder.glob(pattern))


def wait_for(process: subprocess.Popen[str], phase: Phase) -> None:
    end = time.monotonic() + PATIENCE
    while not phase(process.pid):
        assert process.poll() is None, f"it ended before that phase: {process.communicate()}"
        assert time.monotonic() < end, "that phase does not come"
        time.sleep(0.002)


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C: the process ends with 130 and says nothing of its insides."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, ""), err
    assert clean(err)


# Ctrl-C


@pytest.mark.parametrize(
    ("form", "phase"),
    [
        ("impacts", has_thread("splade-lucene-w")),
        ("impacts", has_thread("splade-lucene-j")),
        ("impacts", has_thread("Lucene Merge")),
        ("repeat", None),
        ("repeat", has_thread("pool-")),
        ("repeat", has_thread("Lucene Merge")),
    ],
    ids=["writing", "flushing", "merging", "repeat-texts", "repeat-writing", "repeat-merging"],
)
def test_ctrl_c_while_indexing_leaves_the_old_index(
    form: str,
    phase: Phase | None,
    begin: Callable[..., subprocess.Popen[str]],
    cli: Cli,
    old_index: Path,
    many_documents: Path,
    some_documents: Path,
) -> None:
    vectors = many_documents if form == "impacts" else some_documents
    options = ("--index", old_index, "--scale", 1, "--form", form, "--threads", 2, "--overwrite")
    process = begin("index", "--vectors", vectors, *options)
    wait_for(process, phase or has_file(old_index.parent, ".index.*/collection/*"))
    interrupt(process)
    expect_old(old_index)
    again = old_index.parent / "again.jsonl"
    again.write_text('{"id": "new", "vector": {"word": 2}}\n')
    assert cli("index", "--vectors", again, *options).code == 0
    with ImpactIndex(old_index) as index:
        assert index.postings("word") == {"new": 2}


@pytest.mark.parametrize("verb", ["append", "update"])
def test_ctrl_c_while_changing_leaves_the_old_index(
    verb: str, begin: Callable[..., subprocess.Popen[str]], cli: Cli, old_index: Path, many_documents: Path
) -> None:
    process = begin(verb, "--index", old_index, "--vectors", many_documents, "--scale", 1, "--threads", 2)
    wait_for(process, has_thread("splade-lucene-w"))
    interrupt(process)
    expect_old(old_index)
    again = old_index.parent / "again.jsonl"
    again.write_text('{"id": "new", "vector": {"word": 2}}\n')
    assert cli(verb, "--index", old_index, "--vectors", again).code == 0
    with ImpactIndex(old_index) as index:
        assert index.postings("word") == {"old": 1, "new": 2}


def test_ctrl_c_while_indexing_anew_leaves_nothing(
    begin: Callable[..., subprocess.Popen[str]], many_documents: Path, tmp_path: Path
) -> None:
    process = begin("index", "--vectors", many_documents, "--index", tmp_path / "new", "--scale", 1)
    wait_for(process, has_thread("Lucene Merge"))
    interrupt(process)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_searching_writes_no_run(
    begin: Callable[..., subprocess.Popen[str]], cli: Cli, some_documents: Path, many_documents: Path, tmp_path: Path
) -> None:
    assert cli("index", "--vectors", some_documents, "--index", tmp_path / "i", "--scale", 1).code == 0
    search = ("search", "--index", tmp_path / "i", "--scale", 1, "--threads", 2, "--run", tmp_path / "x.run")
    process = begin(*search, "--query-vectors", many_documents)
    wait_for(process, has_thread("splade-lucene-w"))
    interrupt(process)
    assert [file.name for file in tmp_path.iterdir()] == ["i"]
    (tmp_path / "q.tsv").write_text("q1\tt5\n")
    assert cli(*search, "--query-vectors", tmp_path / "q.tsv").code == 0


def test_ctrl_c_while_encoding_and_then_the_same_again(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    text = "learned sparse retrieval turns a text into weighted terms of a vocabulary, number "
    corpus.write_text("".join(json.dumps({"_id": f"d{n}", "text": text + str(n)}) + "\n" for n in range(600)))
    encode = ("encode", "--model", "default", "--input", corpus, "--output", tmp_path / "v")
    process = begin(*encode)
    wait_for(process, has_file(tmp_path / "v", "vectors.json"))
    interrupt(process)
    assert not VectorFolder.open(tmp_path / "v").complete
    again = splade_lucene(*encode)
    assert (again.returncode, again.stdout) == (0, f"{tmp_path / 'v'}: 600 vectors in 1 shards\n")
    (vectors,) = VectorFolder.open(tmp_path / "v").read()
    assert list(vectors.ids) == [f"d{n}" for n in range(600)]


# kill -9


def test_a_build_that_is_killed_leaves_the_old_index_or_the_new_one(
    begin: Callable[..., subprocess.Popen[str]], old_index: Path, many_documents: Path, cli: Cli
) -> None:
    command = ("index", "--vectors", many_documents, "--index", old_index, "--scale", 1, "--overwrite", "--threads", 2)
    new = VectorFolder.open(many_documents).documents
    chance = random.Random(17)
    writing, merging = has_thread("splade-lucene-w"), has_thread("Lucene Merge")
    committing = has_file(old_index, "pending_segments_*")
    for phase, longest in ((writing, 0.5), (merging, 0.1), (merging, 0.5), (committing, 0.0)):
        process = begin(*command)
        wait_for_or_end(process, phase)
        time.sleep(chance.uniform(0, longest))
        process.kill()
        process.communicate()
        with ImpactIndex(old_index) as index:
            index.check()
            assert len(index) in (1, new)
            assert index.manifest is not None and index.manifest.documents == len(index)
    assert cli(*command).code == 0
    with ImpactIndex(old_index) as index:
        assert len(index) == new
    assert len({file.name.split("_Lucene")[0].split(".")[0] for file in old_index.glob("_*")}) == 1  # one segment


def wait_for_or_end(process: subprocess.Popen[str], phase: Phase) -> None:
    """Wait for a phase that may be over before it is seen."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and not phase(process.pid):
        assert time.monotonic() < end, "it hangs"


def test_a_first_build_that_is_killed_is_no_index_and_is_in_nobodys_way(
    begin: Callable[..., subprocess.Popen[str]], many_documents: Path, tmp_path: Path, cli: Cli
) -> None:
    process = begin("index", "--vectors", many_documents, "--index", tmp_path / "new", "--scale", 1)
    wait_for(process, has_file(tmp_path / "new", "_*"))
    process.kill()
    process.communicate()
    (tmp_path / "q.tsv").write_text("q1\tword\n")
    search = ("search", "--index", tmp_path / "new", "--query-vectors", tmp_path / "q.tsv")
    failed = cli(*search)
    assert (failed.code, "no finished index" in failed.err) == (1, True)
    (tmp_path / "v.jsonl").write_text('{"id": "d1", "vector": {"word": 2}}\n')
    assert cli("index", "--vectors", tmp_path / "v.jsonl", "--index", tmp_path / "new", "--scale", 1).code == 0
    assert cli(*search).out == "q1 Q0 d1 1 2 splade-lucene\n"
    assert len({file.name[:2] for file in (tmp_path / "new").glob("_*")}) == 1  # what the killed one wrote is gone


@pytest.fixture(scope="session")
def table_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose queries are looked up, so that encoding them takes no network."""
    folder = tmp_path_factory.mktemp("models") / "table"
    folder.mkdir()
    tiny_backend().save(str(folder / "tokenizer.json"))
    (folder / "idf.json").write_text(json.dumps({word: len(word) / 4 for word in WORDS}))
    return folder


@pytest.fixture(scope="session")
def many_queries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough for 20 shards."""
    file = tmp_path_factory.mktemp("texts") / "queries.tsv"
    chance = random.Random(17)
    file.write_text("".join(f"q{n}\t{' '.join(chance.choices(WORDS, k=9))}\n" for n in range(20 * 2_048 - 99)))
    return file


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def children(process: int) -> list[int]:
    return [int(each) for file in Path(f"/proc/{process}/task").glob("*/children") for each in file.read_text().split()]


def wait_for_the_end_of(workers: list[int]) -> None:
    """They end with their parent, however that ended."""
    end = time.monotonic() + PATIENCE
    while not all(map(is_over, workers)):
        assert time.monotonic() < end, "a worker outlives its parent"
        time.sleep(0.01)


def is_over(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("options", [(), ("--shard", "2/3"), ("--device", "cpu,cpu")], ids=["whole", "part", "workers"])
def test_an_encoding_that_is_killed_goes_on_and_equals_an_undisturbed_one(
    options: tuple[str, ...],
    begin: Callable[..., subprocess.Popen[str]],
    table_model: Path,
    many_queries: Path,
    tmp_path: Path,
) -> None:
    encode = ("encode", "--model", table_model, "--side", "queries", "--input", many_queries, *options, "--output")
    undisturbed = splade_lucene(*encode, tmp_path / "undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr
    chance = random.Random(23)
    stopped = 0
    for phase in ("vectors.json", "*.parquet", "shard-00007.parquet", "shard-00011.parquet"):
        process = begin(*encode, tmp_path / "out")
        wait_for_or_end(process, has_file(tmp_path / "out", f"**/{phase}"))
        time.sleep(chance.uniform(0, 0.02))
        workers = children(process.pid) if process.poll() is None else []
        process.kill()
        process.communicate()
        stopped += process.returncode == -signal.SIGKILL
        wait_for_the_end_of(workers)
    assert stopped >= 2
    again = splade_lucene(*encode, tmp_path / "out")
    assert (again.returncode, again.stdout) == (0, undisturbed.stdout.replace("undisturbed", "out"))
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_ctrl_c_ends_the_workers_too(
    begin: Callable[..., subprocess.Popen[str]], table_model: Path, many_queries: Path, tmp_path: Path
) -> None:
    encode = ("--model", table_model, "--side", "queries", "--input", many_queries, "--output", tmp_path / "out")
    process = begin("encode", *encode, "--device", "cpu,cpu")
    wait_for(process, has_file(tmp_path / "out", "**/*.parquet"))
    workers = children(process.pid)
    interrupt(process)
    assert workers
    wait_for_the_end_of(workers)


# A full disk: a limit on the size of files makes writing fail in the same place


@pytest.mark.parametrize(
    ("form", "limit"),
    [("impacts", 300_000), ("repeat", 50_000), ("repeat", 300_000)],
    ids=["impacts", "repeat-texts", "repeat-writing"],
)
def test_a_disk_that_is_full_while_indexing(
    form: str, limit: int, begin: Callable[..., subprocess.Popen[str]], old_index: Path, some_documents: Path
) -> None:
    options = ("--index", old_index, "--scale", 1, "--form", form, "--overwrite")
    process = begin("index", "--vectors", some_documents, *options, limit=limit)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (1, "")
    assert "File too large" in err and str(old_index.parent) in err
    assert clean(err)
    expect_old(old_index)


@pytest.mark.parametrize("verb", ["append", "update"])
def test_a_disk_that_is_full_while_changing(
    verb: str, begin: Callable[..., subprocess.Popen[str]], cli: Cli, old_index: Path, some_documents: Path
) -> None:
    change = (verb, "--index", old_index, "--vectors", some_documents)
    process = begin(*change, limit=300_000)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (1, "")
    assert f"{old_index} could not be read or written (File too large); is the disk full?" in err
    assert clean(err)
    expect_old(old_index)
    assert cli(*change).code == 0
    with ImpactIndex(old_index) as index:
        assert len(index) == 2_001


def test_a_disk_that_is_full_while_indexing_anew(
    begin: Callable[..., subprocess.Popen[str]], some_documents: Path, tmp_path: Path
) -> None:
    process = begin("index", "--vectors", some_documents, "--index", tmp_path / "new", "--scale", 1, limit=100_000)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "new could not be read or written (File too large); is the disk full?" in err
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_while_a_run_or_vectors_are_written(
    begin: Callable[..., subprocess.Popen[str]], cli: Cli, some_documents: Path, tmp_path: Path
) -> None:
    assert cli("index", "--vectors", some_documents, "--index", tmp_path / "i", "--scale", 1).code == 0
    (tmp_path / "q.tsv").write_text("q1\tt5 t6 t7 t8 t9 t10 t11 t12\n")
    (tmp_path / "x.run").write_text("q1 Q0 d1 1 2 old\n")
    search = ("search", "--index", tmp_path / "i", "--query-vectors", tmp_path / "q.tsv", "--run", tmp_path / "x.run")
    encode = ("encode", "--model", "default", "--input", tmp_path / "q.tsv", "--output", tmp_path / "v")
    for command, file in ((search, "x.run"), (encode, "vectors.json")):
        process = begin(*command, limit=500)
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (1, "")
        assert f"{file}: File too large" in err
        assert clean(err)
    assert (tmp_path / "x.run").read_text() == "q1 Q0 d1 1 2 old\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["i", "q.tsv", "v", "x.run"]
    assert cli(*encode).code == 0


# Two at once


def test_of_two_that_write_one_index_the_second_is_refused_and_the_first_finishes(
    begin: Callable[..., subprocess.Popen[str]], cli: Cli, tmp_path: Path
) -> None:
    pipe, other = tmp_path / "pipe.jsonl", tmp_path / "other.jsonl"
    os.mkfifo(pipe)
    other.write_text('{"id": "d2", "vector": {"word": 2}}\n')
    first = begin("index", "--vectors", pipe, "--index", tmp_path / "i", "--scale", 1)
    with pipe.open("w") as vectors:  # opens when the first process reads, and then it holds the lock
        vectors.write('{"id": "d1", "vector": {"word": 1}}\n')
        vectors.flush()
        second = cli("index", "--vectors", other, "--index", tmp_path / "i", "--overwrite")
        assert (second.code, second.out) == (1, "")
        assert f"{tmp_path / 'i'} is being written by another process; wait until it is done" in second.err
    out, err = first.communicate(timeout=PATIENCE)
    assert (first.returncode, out) == (0, f"{tmp_path / 'i'}: 1 documents, 1 postings, 1 segments\n"), err
    with ImpactIndex(tmp_path / "i") as index:
        assert index.postings("word") == {"d1": 1}


@pytest.mark.parametrize("verb", ["append", "update"])
def test_while_one_changes_an_index_no_other_does(
    verb: str, begin: Callable[..., subprocess.Popen[str]], cli: Cli, old_index: Path, tmp_path: Path
) -> None:
    pipe, other = tmp_path / "pipe.jsonl", tmp_path / "other.jsonl"
    os.mkfifo(pipe)
    other.write_text('{"id": "d2", "vector": {"word": 2}}\n')
    first = begin(verb, "--vectors", pipe, "--index", old_index)
    with pipe.open("w") as vectors:
        vectors.write('{"id": "d1", "vector": {"word": 1}}\n')
        vectors.flush()
        given = ("--index", old_index, "--vectors", other)
        for change in (("append", *given), ("update", *given), ("index", *given, "--overwrite")):
            second = cli(*change)
            assert (second.code, second.out) == (1, "")
            assert f"{old_index} is being written by another process" in second.err
        assert cli("delete", "--index", old_index, "--ids", "old").code == 1
        assert cli("merge", "--index", old_index).code == 1
    out, err = first.communicate(timeout=PATIENCE)
    assert (first.returncode, out.startswith(f"{old_index}: 2 documents, 2 postings, ")) == (0, True), err


READ_ONLY = """
import os, sys
from splade_lucene import ImpactIndex, IndexOptions, Quantizer, Searcher, SpladeLuceneError, TermVectors
path = sys.argv[1]
documents = [TermVectors.from_rows({"d1": {"word": 1}})]
ImpactIndex.build(path, documents, IndexOptions(Quantizer(1), blocks=sys.argv[2] == "blocks")).close()
with ImpactIndex.writer(path) as writer:  # what Java needs is loaded now
    writer.update(documents)
os.chmod(path, 0o555)
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)  # root may write everywhere
print(list(Searcher(path).search({"word": 1})))
for change in (lambda: ImpactIndex.writer(path), lambda: ImpactIndex.build(path, [], IndexOptions(overwrite=True))):
    try:
        change()
    except SpladeLuceneError as error:
        print(type(error).__name__, error)
print(list(Searcher(path).search({"word": 1})))
"""


@pytest.mark.parametrize("blocks", ["blocks", "none"])
def test_a_read_only_folder_is_searched_and_not_changed(blocks: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        os.chmod(folder, 0o755)
        path = Path(folder, "index")
        said = python(READ_ONLY, path, blocks)
        os.chmod(path, 0o755)
    found, *refused, again = said.stdout.splitlines()
    assert found == again == "[Hit(doc_id='d1', score=100)]", said.stderr
    assert [each.startswith(f"ImpactIndexError {path} may not be read or written") for each in refused] == [True, True]


def test_a_reader_keeps_its_index_while_it_is_replaced(old_index: Path) -> None:
    with ImpactIndex(old_index) as reader:
        new = [weights({"new": {"word": 2}})]
        ImpactIndex.build(old_index, new, IndexOptions(Quantizer(1), overwrite=True)).close()
        assert reader.postings("word") == {"old": 1}
    with ImpactIndex(old_index) as reader:
        assert reader.postings("word") == {"new": 2}
