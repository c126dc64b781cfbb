"""What the integration tests share: real vectors, and the command line in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.quantization import Quantizer
from splade_lucene.vector_files import read_vectors
from splade_lucene.vectors import ImpactVectors, TermVectors
from tests.helpers import ROOT

SHARED = ROOT.parent / "shared" / "data"
NFCORPUS = SHARED / "splade-v3-nfcorpus"
PROGRAM = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'splade-lucene'; from splade_lucene.cli import main; main()",
]
PATIENCE = 120  # seconds until a process that hangs fails its test; says nothing about speed


def shared(*parts: str) -> Path:
    """A file or folder of the shared data; the test skips where they are missing."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not there: see the data's README")
    return path


def nfcorpus_documents(batch_size: int = 500) -> list[TermVectors]:
    """Real SPLADE-v3 impacts of the 3,633 documents of NFCorpus, in batches."""
    return list(read_vectors(shared("splade-v3-nfcorpus", "docs.jsonl.gz"), batch_size=batch_size))


def nfcorpus_queries() -> ImpactVectors:
    """And of its 323 queries."""
    (queries,) = read_vectors(shared("splade-v3-nfcorpus", "queries.tsv.gz"))
    return Quantizer(1)(queries)


def environment(**changes: str | None) -> dict[str, str]:
    """This process's environment as it was before our JVM named its Java there; None takes a variable out."""
    from splade_lucene.lucene import jvm  # not above: tests/conftest.py says why

    given = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}
    given.pop("PYTHONDONTWRITEBYTECODE", None)  # importing torch would take seconds each time
    if jvm.running_java().origin != "JAVA_HOME":
        given.pop("JAVA_HOME", None)
    for name, value in changes.items():
        if value is None:
            given.pop(name, None)
        else:
            given[name] = value
    return given


def splade_lucene(*arguments: object, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own, with these changes to the environment."""
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment(**changes))


def python(code: str, *arguments: object, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Run a piece of Python in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment(**changes))


def clean(said: str) -> bool:
    """Whether a person is spared the traces of Python and of Java."""
    return not any(sign in said for sign in ("Traceback", "\tat ", "    at ", "Exception in thread", "hs_err"))


def fails(finished: Any, *said: str) -> None:
    """The command failed, said all of this and nothing about its insides; stdout is empty."""
    assert (finished.code, finished.out) == (1, ""), finished.err
    assert clean(finished.err)
    for each in said:
        assert each in finished.err
