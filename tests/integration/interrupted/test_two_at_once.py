"""Two that write, or one that writes and one that reads: neither does harm to the other."""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splade_lucene.lucene.build import IndexOptions
from splade_lucene.lucene.index import ImpactIndex
from splade_lucene.quantization import Quantizer
from tests.helpers import weights
from tests.integration.support import PATIENCE, python

pytestmark = pytest.mark.jvm

Cli = Callable[..., Any]


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
path, blocks = sys.argv[1:]
documents = [TermVectors.from_rows({"d1": {"word": 1}})]
ImpactIndex.build(path, documents, IndexOptions(Quantizer(1), blocks=blocks != "none")).close()
with ImpactIndex.writer(path) as writer:  # what Java needs is loaded now
    writer.update(documents)
for name in os.listdir(path):
    if blocks == "lost" and name.startswith(("blocks", "ranks")):
        os.remove(os.path.join(path, name))
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


@pytest.mark.parametrize("blocks", ["there", "lost", "none"])
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
