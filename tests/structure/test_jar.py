"""The committed jar is what its sources give, byte for byte."""

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers import ROOT


@pytest.fixture(scope="module")
def build_jar() -> ModuleType:
    """`tools/build_jar.py`, which is no package."""
    spec = importlib.util.spec_from_file_location("build_jar", ROOT / "tools" / "build_jar.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_jar_is_built_from_these_sources(build_jar: ModuleType, tmp_path: Path) -> None:
    version = build_jar.built_with()
    javac = build_jar.find_javac(version)
    if javac is None:
        pytest.skip(f"the jar was built by JDK {version}, which is not on this machine")
    build_jar.build(javac, tmp_path / "built.jar")
    assert (tmp_path / "built.jar").read_bytes() == build_jar.JAR.read_bytes(), "run `make jar` and commit the jar"


def test_every_source_has_its_class_and_every_class_its_source(build_jar: ModuleType) -> None:
    sources = {f"splade_lucene/{source.stem}" for source in (build_jar.JAVA / "splade_lucene").glob("*.java")}
    with zipfile.ZipFile(build_jar.JAR) as jar:
        classes = {name.removesuffix(".class") for name in jar.namelist() if name.endswith(".class")}
    assert sources == {name.partition("$")[0] for name in classes}
    assert sources <= classes


def test_the_jar_depends_on_nothing_but_its_content(build_jar: ModuleType) -> None:
    with zipfile.ZipFile(build_jar.JAR) as jar:
        entries = jar.infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    names = [entry.filename for entry in entries]
    assert names == ["META-INF/MANIFEST.MF", *sorted(names[1:])]
