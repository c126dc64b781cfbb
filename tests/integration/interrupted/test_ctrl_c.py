"""Ctrl-C leaves what was there before, and the next run works."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.lucene.index import ImpactIndex
from tests.integration.interrupted.processes import (
    Phase,
    expect_old,
    has_file,
    has_thread,
    interrupt,
    needs_proc,
    wait_for,
)

pytestmark = [pytest.mark.jvm, needs_proc]

Cli = Callable[..., Any]


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
