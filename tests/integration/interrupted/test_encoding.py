"""Ctrl-C and kill -9 while encoding: the same command goes on, and its vectors are those of an undisturbed one."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from splade_lucene.vector_folders import VectorFolder
from tests.helpers import WORDS, tiny_backend
from tests.integration.interrupted.processes import has_file, interrupt, needs_proc, wait_for, wait_for_or_end
from tests.integration.support import PATIENCE, splade_lucene

pytestmark = [pytest.mark.jvm, needs_proc]


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
