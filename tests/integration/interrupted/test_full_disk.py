"""A full disk leaves what was there before: a limit on the size of files makes writing fail in the same place."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.lucene.index import ImpactIndex
from tests.integration.interrupted.processes import expect_old
from tests.integration.support import PATIENCE, clean

pytestmark = pytest.mark.jvm

Cli = Callable[..., Any]


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
