"""kill -9 in a build leaves the old index or the new one, whole, and the next build works."""

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.vector_folders import VectorFolder
from tests.integration.interrupted.processes import has_file, has_thread, needs_proc, wait_for, wait_for_or_end

pytestmark = [pytest.mark.jvm, needs_proc]

Cli = Callable[..., Any]


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
