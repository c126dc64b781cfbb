"""What is interrupted: `splade-lucene` in a process of its own, over vectors that keep it busy for a while."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from splade_lucene.quantization import Quantizer
from splade_lucene.vector_folders import Shard, VectorFolder
from splade_lucene.vectors import EncoderIdentity, TermVectors, Vocabulary
from tests.helpers import weights
from tests.integration.support import PROGRAM, environment

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
    from splade_lucene.lucene.build import IndexOptions  # not above: tests/conftest.py says why
    from splade_lucene.lucene.index import ImpactIndex

    path = tmp_path / "index"
    ImpactIndex.build(path, [weights({"old": {"word": 1}})], IndexOptions(Quantizer(1))).close()
    return path


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
