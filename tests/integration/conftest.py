"""Fixtures of the integration tests."""

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest

from splade_lucene.cli import main
from splade_lucene.quantization import Quantizer
from splade_lucene.vectors import ImpactVectors, TermVectors
from tests.integration import support

if TYPE_CHECKING:  # tests/conftest.py says why no conftest imports this room
    from splade_lucene.lucene.index import ImpactIndex


class Finished(NamedTuple):
    """What a command left: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """`splade-lucene` in this process, whose JVM runs already: `cli("search", "--index", path)`."""

    def call(*arguments: object) -> Finished:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["splade-lucene", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return Finished(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def nfcorpus_documents() -> list[TermVectors]:
    return support.nfcorpus_documents()


@pytest.fixture(scope="session")
def nfcorpus_queries() -> ImpactVectors:
    return support.nfcorpus_queries()


@pytest.fixture(scope="session")
def nfcorpus_index(
    nfcorpus_documents: list[TermVectors], tmp_path_factory: pytest.TempPathFactory
) -> Iterator["ImpactIndex"]:
    """The documents in Lucene, by the plain road: one thread, one segment."""
    from splade_lucene.lucene.build import IndexOptions
    from splade_lucene.lucene.index import ImpactIndex

    path = tmp_path_factory.mktemp("indexes") / "nfcorpus"
    with ImpactIndex.build(path, nfcorpus_documents, IndexOptions(Quantizer(1), threads=1)) as index:
        yield index
