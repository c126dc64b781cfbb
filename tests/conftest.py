"""Fixtures and options that all tests share."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from splade_lucene.errors import JvmError
from splade_lucene.quantization import Quantizer
from tests.helpers import ROOT, weights

# Nothing here may start the JVM at import: this file is read before pytest installs its faulthandler, which would take
# SIGSEGV from the JVM, and the JVM lives on catching its own.
if TYPE_CHECKING:
    from splade_lucene.lucene.index import ImpactIndex

# A shell that starts the suite in the background lets it ignore SIGINT, and so would what the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["HF_HUB_OFFLINE"] = "1"  # no test reaches for a model hub by mistake

# No deadline: how long an example takes says nothing about the code.
settings.register_profile(
    "splade-lucene", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("splade-lucene")


# Options


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("splade-lucene")
    group.addoption(
        "--allowed-skips", type=Path, metavar="FILE", help="fail if a test skips that no line of FILE names"
    )
    group.addoption("--update-golden", action="store_true", help="write the golden files anew, for the diff's reader")


def pytest_configure(config: pytest.Config) -> None:
    if file := config.getoption("--allowed-skips"):
        config.pluginmanager.register(AllowedSkips(file), "allowed-skips")


class AllowedSkips:
    """Fails the session for a skip that FILE does not name: a node id, or a shell pattern of them, begins each line."""

    def __init__(self, file: Path) -> None:
        self.file = file
        if not file.is_file():
            raise pytest.UsageError(f"--allowed-skips: {file} is not there")
        lines = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
        self.allowed = [words[0] for words in lines if words and not words[0].startswith("#")]
        self.refused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        name = report.nodeid
        if report.skipped and not any(name == each or fnmatchcase(name, each) for each in self.allowed):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.refused.append(f"{name}   {reason}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.refused:
            terminalreporter.section(f"skipped, and not named in {self.file}", red=True)
            for line in sorted(self.refused):
                terminalreporter.line(line)


# Java


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses an index needs a JVM."""
    for item in items:
        if "toy_index" in getattr(item, "fixturenames", ()):
            item.add_marker("jvm")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("jvm"):
        from splade_lucene.lucene import jvm

        try:
            jvm.start()
        except JvmError as error:
            pytest.skip(f"no Java: {error}")


# Fixtures


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random masked-LM: BERT of 2 layers over 64 terms, always the same."""
    from tests.checkpoints import make_bert  # imports torch

    return make_bert(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def toy_corpus() -> dict[str, str]:
    """Twelve documents {doc_id: text}: one is empty, two are alike, the order of ids is not that of numbers."""
    return {
        "d1": "the black cat sleeps in the sun",
        "d2": "a brown fox jumps over the black dog",
        "d9": "the dog and the cat eat fish",
        "d10": "small birds fly over the blue lake",
        "d11": "rain and snow and cold wind",
        "d12": "the red boat on the green river",
        "é": "a white cloud in the blue sky",
        "twin-a": "the moon is on the water",
        "twin-b": "the moon is on the water",
        "empty": "",
        "fish": "fish fish fish swim in the sea",
        "last": "walking for a day in the stone garden",
    }


@pytest.fixture(scope="session")
def toy_rows(toy_corpus: dict[str, str]) -> dict[str, Counter[str]]:
    """The toy corpus as impacts: how often each word stands there."""
    return {doc_id: Counter(text.split()) for doc_id, text in toy_corpus.items()}


@pytest.fixture(scope="session")
def toy_index(
    toy_corpus: dict[str, str], toy_rows: dict[str, Counter[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator["ImpactIndex"]:
    """The toy corpus in Lucene, with its texts."""
    from splade_lucene.lucene.build import IndexOptions
    from splade_lucene.lucene.index import ImpactIndex

    options = IndexOptions(quantizer=Quantizer(1), threads=1)
    path = tmp_path_factory.mktemp("indexes") / "toy"
    with ImpactIndex.build(path, [weights(toy_rows)], options, texts=toy_corpus.items()) as index:
        yield index


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with `tests/golden/NAME`, or write it there when `--update-golden` is given."""

    def check(name: str, found: str) -> None:
        file = ROOT / "tests" / "golden" / name
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(found, encoding="utf-8")
        assert found == file.read_text(encoding="utf-8"), f"if this is as it should be: pytest --update-golden {name}"

    return check
