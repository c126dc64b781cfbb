"""Reports in all their forms: the same numbers everywhere, text that stays text, and nothing where nothing is."""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from splade_lucene.errors import ConfigError
from splade_lucene.evaluation.report import charts, forms, grids, write_report
from splade_lucene.evaluation.report.tables import Tables, tabulate
from splade_lucene.evaluation.results import Result
from splade_lucene.evaluation.significance import holm
from splade_lucene.inspection import inspect_vectors
from tests.demo_results import BASELINE, HOSTILE, MISSING, demo_results, sweep
from tests.helpers import weights

WHEN = datetime(2025, 7, 3, 14, 5)


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return demo_results()


@pytest.fixture(scope="module")
def tables(results: list[Result]) -> Tables:
    return tabulate(results, BASELINE)


@pytest.fixture(scope="module")
def folder(results: list[Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report")
    write_report(results, made, baseline=BASELINE, title="A title", now=WHEN)
    return made


class Page(HTMLParser):
    """What a page shows, its elements, and where they point."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "srcset", "action")]

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def read(folder: Path, ending: str) -> str:
    return (folder / f"report.{ending}").read_text(encoding="utf-8")


def test_every_form_has_every_number(folder: Path, tables: Tables) -> None:
    page = Page(read(folder, "html")).text
    for grid in forms.grids(tables):
        for row in grid.rows:
            for entry in row:
                assert forms._markdown_entry(entry) in read(folder, "md")
                assert forms._latex_entry(entry) in read(folder, "tex")
        if not grid.title.startswith("Costs"):
            assert all(entry.text in page for row in grid.rows for entry in row if entry.text[:1].isdigit())


def test_the_csv_has_the_numbers_in_full(folder: Path, results: list[Result]) -> None:
    rows = list(csv.DictReader(io.StringIO(read(folder, "csv"))))
    expected = {
        (result.collection, result.system, measure): value
        for result in results
        for measure, value in result.measures.items()
    }
    assert {(row["collection"], row["system"], row["measure"]): float(row["value"]) for row in rows} == expected
    for row in rows:
        result = next(each for each in results if (each.collection, each.system) == (row["collection"], row["system"]))
        assert json.loads(row["settings"]) == result.settings
        assert result.cost is not None
        assert float(row["search_ms_p99"]) == result.cost.search.p99
        assert bool(row["difference"]) == (row["system"] != BASELINE)


def test_significance_is_adjusted_over_the_collections(tables: Tables) -> None:
    for quality in tables.qualities:
        for column in tables.columns[1:]:
            cells = [cell for row in quality.rows if (cell := row.cells[column.number])]
            raw = [cell.comparison.randomization_p for cell in cells if cell.comparison]
            assert [cell.p_value for cell in cells] == holm(raw)
            for cell in cells:
                assert cell.p_value is not None
                assert cell.mark == ("‡" if cell.p_value < 0.01 else "†" if cell.p_value < 0.05 else "")


def test_a_mean_is_over_what_all_systems_have(tables: Tables, results: list[Result]) -> None:
    quality = tables.qualities[0]
    assert quality.mean is not None and quality.mean.cells[0] is not None
    complete = {result.collection for result in results} - {MISSING[0]}
    of_baseline = [
        each.measures["nDCG@10"] for each in results if each.system == BASELINE and each.collection in complete
    ]
    assert quality.mean.cells[0].value == pytest.approx(sum(of_baseline) / len(of_baseline))
    assert MISSING[0] in quality.mean_note


def test_what_is_missing_is_a_dash(folder: Path) -> None:
    line = next(line for line in read(folder, "md").splitlines() if line.startswith(f"| {MISSING[0]} "))
    assert line.rstrip(" |").endswith(grids.MISSING)


def test_text_stays_text(folder: Path) -> None:
    html = read(folder, "html")
    assert HOSTILE in " ".join(Page(html).text.split())
    assert Page(html).elements.count("script") == 1  # the page's own
    assert "<script>document" not in html
    assert r"\textbackslash{}input" in forms._latex_text(HOSTILE)
    assert forms._latex_text("a_b 50% & #1 {x} ~^") == r"a\_b 50\% \& \#1 \{x\} \textasciitilde{}\textasciicircum{}"
    assert forms._markdown_text("a|b `c` *d*") == r"a\|b \`c\` \*d\*"


def test_the_page_asks_nobody_for_anything(folder: Path) -> None:
    page = Page(read(folder, "html"))
    assert not {"link", "iframe", "img", "object", "embed"} & set(page.elements)
    assert all(link.startswith(("#", "https://")) for link in page.links)  # sources of published numbers, to be clicked
    style = re.search(r"<style>(.*?)</style>", read(folder, "html"), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1] and "@import" not in style[1]


def test_title_and_time(folder: Path) -> None:
    for ending in ("html", "md"):
        assert "A title" in read(folder, ending)
    for ending in ("html", "md", "tex"):
        assert "2025-07-03 14:05" in read(folder, ending)


def test_the_same_results_give_the_same_bytes(folder: Path, results: list[Result], tmp_path: Path) -> None:
    write_report(results, tmp_path, baseline=BASELINE, title="A title", now=WHEN)
    for ending in ("html", "md", "tex", "csv"):
        assert read(tmp_path, ending) == read(folder, ending)


@pytest.mark.parametrize(
    "some",
    [
        [],
        demo_results()[:1],
        [replace(demo_results()[1], cost=None, shown=(), machine={})],
        [replace(demo_results()[0], per_query={}, queries={})],
        sweep(),
        sweep((100,)),
    ],
    ids=["none", "one", "no costs", "no queries", "settings", "one setting"],
)
def test_there_is_always_a_page(some: list[Result], tmp_path: Path) -> None:
    page = write_report(some, tmp_path, now=WHEN)
    assert page == tmp_path / "report.html"
    assert "nan" not in Page(read(tmp_path, "html")).words
    for ending in ("html", "md", "tex", "csv"):
        assert read(tmp_path, ending)


def test_settings_of_one_system_have_their_columns() -> None:
    labels = [column.label for column in tabulate(sweep(), BASELINE).columns]
    assert labels == ["bm25", "default (scale 10)", "default (scale 25)", "default (scale 100)"]


def test_a_baseline_that_is_not_there(results: list[Result]) -> None:
    with pytest.raises(ConfigError, match="the baseline 'dense' is none of bm25, naver/splade-v3, default"):
        tabulate(results, "dense")
    with pytest.raises(ConfigError, match=r"the baseline 'default' is several: default \(scale 10\)"):
        tabulate(sweep(), "default")


def test_two_results_of_one_place(results: list[Result]) -> None:
    with pytest.raises(ConfigError, match="two results are of bm25 on nfcorpus"):
        tabulate([results[0], results[0]])


def test_parts_stand_behind_their_whole_and_do_not_count_twice(results: list[Result]) -> None:
    whole = replace(results[0], collection="forums", per_query={}, parts=("android", "gis"), measures={"nDCG@10": 0.5})
    parts = [
        replace(results[0], collection=name, measures={"nDCG@10": value})
        for name, value in (("android", 0.4), ("gis", 0.6))
    ]
    tables = tabulate([parts[0], whole, parts[1], replace(results[0], measures={"nDCG@10": 0.1})])
    assert tables.collections == ("forums", "android", "gis", "nfcorpus")
    assert tables.qualities[0].mean is not None and tables.qualities[0].mean.cells[0] is not None
    assert tables.qualities[0].mean.cells[0].value == pytest.approx(0.3)


def test_a_model_is_looked_into(results: list[Result], tmp_path: Path) -> None:
    rows = weights({"a": {"<marquee>": 1.5, "other": 0.25}, "b": {"other": 2.0}})
    write_report(results[:1], tmp_path, inspections=[inspect_vectors([rows], "vectors & <more>")], now=WHEN)
    page = Page(read(tmp_path, "html"))
    assert "vectors & <more>" in page.text
    assert "marquee" not in page.elements


@pytest.mark.parametrize("values", [(3.0, 15_000.0), (1.0, 1.1), (5.0, 5.0), (0.2, 900_000.0)])
def test_ticks_have_room(values: tuple[float, float]) -> None:
    across = charts.axis(values, logarithmic=True)
    places = [across.place(tick) for tick in across.ticks]
    assert all(0 <= place <= 1 for place in [*places, *map(across.place, values)])
    assert all(second - first >= 0.15 for first, second in pairwise(places))
