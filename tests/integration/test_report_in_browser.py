"""The report's page in a real browser: light, dark, on a phone and on paper, without network and without complaint."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from splade_lucene.evaluation.report import write_report
from tests.browser import Browser, BrowserError, find
from tests.demo_results import BASELINE, HOSTILE, demo_results

PROGRAM = find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium on the PATH: apt-get install chromium"),
]
PHONE = 375  # pixels
BACKGROUND = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write_report(demo_results(), folder, baseline=BASELINE, now=datetime(2025, 7, 3)).resolve()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    assert PROGRAM is not None
    try:
        opened = Browser(PROGRAM, tmp_path / "profile")
    except BrowserError as error:
        pytest.skip(str(error))
    with opened:
        yield opened


@pytest.mark.parametrize("width", [1280, PHONE])
def test_it_asks_nobody_and_complains_of_nothing(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    requested = {event["request"]["url"] for event in browser.said("Network.requestWillBeSent")}
    assert requested == {page.as_uri()}
    assert not browser.said("Runtime.exceptionThrown")
    assert not browser.said("Runtime.consoleAPICalled")
    assert not browser.said("Log.entryAdded")
    assert browser.run("document.title") != "taken"
    assert HOSTILE in browser.run("document.body.textContent")


@pytest.mark.parametrize("opened", [False, True], ids=["folded", "unfolded"])
def test_a_phone_does_not_scroll_sideways(browser: Browser, page: Path, opened: bool) -> None:
    browser.open(page, width=PHONE)
    if opened:
        browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.run("document.documentElement.scrollWidth") <= PHONE


def test_dark_and_light(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert min(browser.run(BACKGROUND)) > 200
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert max(browser.run(BACKGROUND)) < 60


def test_paper_is_white_and_hides_nothing(browser: Browser, page: Path) -> None:
    browser.open(page, dark=True, media="print")
    assert min(browser.run(BACKGROUND)) > 200
    assert browser.ask("Page.printToPDF")["data"]
    hidden = browser.run(
        "[...document.querySelectorAll('details')].filter(each => !each.open && "
        "getComputedStyle(each, '::details-content').contentVisibility === 'hidden').length"
    )
    assert hidden == 0


def test_the_measure_can_be_switched(browser: Browser, page: Path) -> None:
    browser.open(page)
    shown: Callable[[], list[str]] = lambda: browser.run(  # noqa: E731
        "[...document.querySelectorAll('#quality h3')].filter(each => each.offsetParent).map(each => each.textContent)"
    )
    assert shown() == ["nDCG@10"]
    browser.run("[...document.querySelectorAll('.switch button')].find(each => each.textContent === 'R@100').click()")
    assert shown() == ["R@100"]
