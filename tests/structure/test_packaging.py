"""The wheel and the sdist hold what a user needs and nothing else, and what the code imports is declared."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

import splade_lucene

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "splade_lucene"
NOT_SHIPPED = {"__pycache__"}


def source_files(pattern: str) -> set[str]:
    """Names, as the wheel has them, of the package's files that match a glob pattern."""
    files = (path for path in PACKAGE.rglob(pattern) if path.is_file() and not NOT_SHIPPED & set(path.parts))
    return {path.relative_to(ROOT).as_posix() for path in files}


def build(kind: str, tree: Path, target: Path) -> Path:
    """Build a wheel or an sdist of a tree, with the packages that are here and no network."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(target), str(tree)]
    result = subprocess.run(command, cwd=target.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, built from a copy, because setuptools writes into the tree that it builds."""
    folder = tmp_path_factory.mktemp("sdist")
    for name in ("splade_lucene", "tests", "tools"):
        shutil.copytree(ROOT / name, folder / "tree" / name, ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "tree")
    return build("sdist", folder / "tree", folder / "built")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the unpacked sdist alone, so that the sdist is complete if the wheel is."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder / "built")


@pytest.fixture(scope="module")
def wheel_files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def read_from(wheel: Path, suffix: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(f".dist-info/{suffix}"))
        return archive.read(name).decode()


@pytest.fixture(scope="module")
def wheel_metadata(wheel: Path) -> Message:
    return Parser().parsestr(read_from(wheel, "METADATA"))


@pytest.mark.parametrize(
    "pattern", ["*.py", "py.typed", "lucene/java/*.jar", "lucene/java/**/*.java", "default_model/*", "demo/*.*"]
)
def test_the_wheel_has_every_file_of_the_package(wheel_files: set[str], pattern: str) -> None:
    expected = source_files(pattern)
    assert expected, f"the source tree has no {pattern}"
    assert expected <= wheel_files


def test_the_wheel_has_nothing_else(wheel_files: set[str]) -> None:
    others = {name for name in wheel_files if not name.startswith("splade_lucene/")}
    assert {name.split("/")[0] for name in others} == {f"splade_lucene-{splade_lucene.__version__}.dist-info"}
    assert wheel_files - others == source_files("*")


def test_the_sdist_has_no_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        folders = {
            member.name.split("/")[1] for member in archive if "/" in member.name.rstrip("/") and member.isfile()
        }
    assert not folders & {"tests", "benchmarks", "notebooks"}
    assert {"splade_lucene", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"} <= folders


def test_the_metadata_says_what_this_is(wheel_metadata: Message) -> None:
    assert wheel_metadata["Name"] == "splade-lucene"
    assert wheel_metadata["Version"] == splade_lucene.__version__
    assert wheel_metadata["Requires-Python"] == ">=3.12"
    assert wheel_metadata["License-Expression"] == "Apache-2.0"
    assert wheel_metadata["License-File"] == "LICENSE"
    assert wheel_metadata.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"bench", "notebooks", "pyterrier", "test", "train"} == set(wheel_metadata.get_all("Provides-Extra", []))


def test_the_command_is_declared(wheel: Path) -> None:
    scripts = configparser.ConfigParser()
    scripts.read_string(read_from(wheel, "entry_points.txt"))
    assert dict(scripts["console_scripts"]) == {"splade-lucene": "splade_lucene.cli:main"}


def test_the_wheel_works_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """Unpacked in a folder of its own, with the source tree out of sight, the command answers."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    program = "import sys; from splade_lucene import cli; print(cli.__file__, file=sys.stderr); cli.main()"
    command = [sys.executable, "-c", program, "--help"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(result.stderr.strip()).is_relative_to(tmp_path)
    assert "demo" in result.stdout


def test_pyproject_has_the_build_system_and_nothing_else() -> None:
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())) == {"build-system"}


def third_party_imports(folder: Path) -> set[str]:
    """Top-level names of the modules that a folder's sources import, less the standard library's and our own."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"splade_lucene"}


def declared(section: str, key: str) -> set[str]:
    """The packages that an option of setup.cfg lists, in their normal spelling."""
    config = configparser.RawConfigParser()
    config.read(ROOT / "setup.cfg")
    names = (re.match(r"[\w.-]+", line) for line in config[section][key].splitlines() if line)
    return {normal(name[0]) for name in names if name}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_that_the_code_imports_is_declared() -> None:
    """What another package brings along may be gone with its next release."""
    packages = metadata.packages_distributions()
    wanted = {
        module: {normal(name) for name in packages.get(module, [module])} for module in third_party_imports(PACKAGE)
    }
    given = declared("options", "install_requires")
    given |= declared("options.extras_require", "pyterrier") | declared("options.extras_require", "train")
    assert {module for module, names in wanted.items() if not names & given} == set()
