"""The viewers as a reader uses them: a real browser points, clicks and types, and reads what they say."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Page, expect

from tests.charts.viewers.browser import Watched, browser
from tests.charts.viewers.samples import (
    ALL,
    HOSTILE,
    TOKENS,
    attention,
    coloured,
    lens,
    patterns,
    predictions,
)
from unweave.charts import Page as Report
from unweave.charts import Section, View, attention_patterns, page_html


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def watched(chromium: Browser) -> Generator[Watched]:
    context = chromium.new_context(viewport={"width": 1000, "height": 900}, color_scheme="light")
    seen = Watched(context.new_page())
    yield seen
    context.close()
    seen.assert_quiet()


def background(page: Page, selector: str = ".viewer") -> str:
    return page.locator(selector).first.evaluate("node => getComputedStyle(node).backgroundColor")


def test_pointing_at_a_token_reads_its_value(watched: Watched, tmp_path: Path):
    page = watched.show(coloured().html(), tmp_path)
    page.locator(".piece").nth(2).hover()
    expect(page.get_by_role("status")).to_have_text("position 2, ·cat — first: 2 (activation)")
    page.get_by_role("combobox", name="Feature").select_option("second")
    expect(page.get_by_role("status")).to_have_text("position 2, ·cat — second: 20 (activation)")
    assert page.locator("pre").is_visible() is False, "the plain text gives way"


def test_a_click_holds_a_token_and_escape_lets_go(watched: Watched, tmp_path: Path):
    page = watched.show(coloured().html(), tmp_path)
    pieces = page.locator(".piece")
    pieces.nth(1).click()
    pieces.nth(2).hover()
    expect(page.get_by_role("status")).to_contain_text("The — first: −1.25")
    expect(pieces.nth(1)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    pieces.nth(4).hover()
    expect(page.get_by_role("status")).to_contain_text("0.125")


def test_tokens_are_reached_by_keyboard(watched: Watched, tmp_path: Path):
    page = watched.show(coloured().html(), tmp_path)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    expect(page.get_by_role("status")).to_contain_text("position 5, 猫 — first: −0.5")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("status")).to_contain_text("position 4")


def test_colours_follow_the_sign_and_gaps_stay_plain(watched: Watched, tmp_path: Path):
    page = watched.show(coloured().html(), tmp_path)
    colours = page.locator(".piece").evaluate_all("nodes => nodes.map(node => node.style.backgroundColor)")
    assert colours[3] == "", "NaN has no colour"
    rgb = [[int(part) for part in one[4:-1].split(",")] if one else [] for one in colours]
    assert rgb[2] == [0x63, 0x2C, 0x00], "the greatest is the last colour"
    assert rgb[1][2] > rgb[1][0], "below zero is blue"


def test_a_cell_of_a_pattern_reads_its_value(watched: Watched, tmp_path: Path):
    page = watched.show(attention().html(), tmp_path)
    page.locator(".thumb").nth(1).click()
    page.locator(".thumb").nth(2).hover()
    expect(page.locator(".head")).to_have_text("H1")  # the click holds it
    canvas = page.locator(".matrix canvas")
    canvas.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.get_by_role("status")).to_have_text("query 2 ·cat → key 1 The — H1 0.75")
    page.keyboard.press("Enter")
    page.locator(".piece").nth(4).hover()
    expect(page.get_by_role("status")).to_have_text("query 2 ·cat → key 1 The — H1 0.75 (held)")


def test_pointing_within_a_pattern_finds_the_cell_under_the_pointer(watched: Watched, tmp_path: Path):
    page = watched.show(attention().html(), tmp_path)
    box = page.locator(".matrix canvas").bounding_box()
    assert box is not None
    cell = 26
    # From the lower right corner, wherever the labels end: the last query and the key before its own.
    page.mouse.move(box["x"] + box["width"] - 2 - 1.5 * cell, box["y"] + box["height"] - 2 - 0.5 * cell)
    expect(page.get_by_role("status")).to_contain_text("query 5 猫 → key 4")
    page.mouse.move(box["x"] + box["width"] - 2 - 0.5 * cell, box["y"] + box["height"] - 2 - 1.5 * cell)
    expect(page.get_by_role("status")).to_contain_text("query 4")
    expect(page.get_by_role("status")).to_contain_text("masked")


def test_a_tokens_keys_and_its_queries(watched: Watched, tmp_path: Path):
    page = watched.show(attention().html(), tmp_path)
    page.locator(".thumb").nth(1).click()
    page.locator(".piece").nth(2).click()
    expect(page.locator(".bars li").first).to_have_text("1 The0.75")
    page.get_by_label("A token's").select_option("queries (who looks at it)")
    page.locator(".piece").nth(2).click()
    expect(page.locator(".bars li").first).to_have_text("3 ↵0.75")


def test_two_heads_are_compared(watched: Watched, tmp_path: Path):
    page = watched.show(attention().html(), tmp_path)
    page.locator(".thumb").nth(0).click()
    page.get_by_role("button", name="Compare").click()
    page.locator(".thumb").nth(2).click()
    expect(page.locator(".head")).to_have_text(["A: H0", "B: H2", "B − A"])
    canvas = page.locator(".matrix canvas").first
    canvas.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    expect(page.get_by_role("status")).to_have_text(
        "query 3 ↵ → key 0 <bos> — A: H0 0.25 — B: H2 0.25 — B − A 0"
    )
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("status")).to_contain_text("A: H0 0 — B: H2 0.75 — B − A 0.75")


def test_two_prompts_are_compared(watched: Watched, tmp_path: Path):
    viewer = attention_patterns(
        [TOKENS, TOKENS[:4]], [patterns(), patterns(n=4)], prompt_names=["clean", "other"]
    )
    page = watched.show(viewer.html(), tmp_path)
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".head select").nth(0)).to_have_value("0")
    expect(page.locator(".head select").nth(1)).to_have_value("1")
    assert page.locator(".head").count() == 2, "prompts of two lengths have no difference"
    assert page.locator(".text").nth(1).locator(".piece").count() == 4


def test_the_lens_tells_the_likeliest(watched: Watched, tmp_path: Path):
    page = watched.show(lens().html(), tmp_path)
    cells = page.get_by_role("gridcell")
    cells.nth(7).hover()
    expect(page.get_by_role("status")).to_have_text(
        "stage final_post, after position 1, The — entropy 1 nats"
    )
    expect(page.locator(".bars .figure")).to_have_text(["0.75", "0.125"])
    expect(page.locator(".bars .token").nth(1)).to_have_text(HOSTILE.replace(" ", "·"))
    cells.nth(7).click()
    cells.nth(0).hover()
    expect(page.get_by_role("status")).to_contain_text("final_post")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("status")).to_contain_text("stage 0_pre, after position 1")
    page.get_by_label("Colour by").select_option("entropy (nats)")
    expect(page.locator(".what")).to_have_text("entropy (nats)")


def test_predictions_tell_log_probability_and_rank(watched: Watched, tmp_path: Path):
    page = watched.show(predictions().html(), tmp_path)
    page.locator(".piece").nth(1).hover()
    expect(page.get_by_role("status")).to_contain_text(
        "log-probability −1.386 nats (probability 0.25), rank 1"
    )
    expect(page.locator(".bars .marked")).to_have_text("The−1.386")
    page.locator(".piece").nth(0).hover()
    expect(page.get_by_role("status")).to_contain_text("nothing before it predicts it")


@pytest.mark.parametrize(
    ("attributes", "dark"),
    [
        ('data-jp-theme-light="false"', True),
        ('data-jp-theme-light="true"', False),
        ('class="vscode-dark"', True),
        ('class="vscode-light"', False),
        ('class="vscode-high-contrast"', True),
        ('style="background: #111"', True),
        ('style="background: #fff"', False),
        ("", None),
    ],
)
@pytest.mark.parametrize("system", ["light", "dark"])
def test_it_takes_the_notebooks_theme(
    watched: Watched, tmp_path: Path, attributes: str, dark: bool | None, system
):
    watched.page.emulate_media(color_scheme=system)
    page = watched.show(f"<!doctype html><body {attributes}>{coloured().html()}</body>", tmp_path)
    wanted = (system == "dark") if dark is None else dark
    assert background(page) == ("rgb(20, 23, 28)" if wanted else "rgb(255, 255, 255)")


def test_it_follows_a_change_of_theme(watched: Watched, tmp_path: Path):
    page = watched.show(f"<!doctype html><html theme=dark><body>{coloured().html()}</body></html>", tmp_path)
    assert background(page) == "rgb(20, 23, 28)"
    before = background(page, ".piece")
    page.evaluate("document.documentElement.setAttribute('theme', 'light')")
    expect(page.locator(".viewer")).to_have_attribute("data-dark", "false")
    assert background(page) == "rgb(255, 255, 255)"
    assert background(page, ".piece") != before


def test_many_on_one_page_keep_apart_and_fit_a_phone(watched: Watched, tmp_path: Path):
    html = "".join(make().html() for make in [*ALL.values(), coloured])
    watched.page.set_viewport_size({"width": 360, "height": 800})
    page = watched.show(f"<!doctype html><meta name=viewport content='width=device-width'>{html}", tmp_path)
    assert page.locator(".viewer").count() == 5
    first, second = page.get_by_role("region", name="Features").all()
    first.locator(".piece").nth(1).click()
    expect(second.get_by_role("status")).to_contain_text("Point at a token")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("window.hacked") is None


def test_it_draws_in_a_sandboxed_frame(watched: Watched, tmp_path: Path):
    coloured().save(tmp_path / "inner.html")
    page = watched.show(
        '<iframe sandbox="allow-scripts" src="inner.html" width=600 height=400></iframe>', tmp_path
    )
    frame = page.frame_locator("iframe")
    frame.locator(".piece").nth(2).hover()
    expect(frame.get_by_role("status")).to_contain_text("first: 2 ")


def test_a_report_page_holds_and_themes_it(watched: Watched, tmp_path: Path):
    report = Report("p", "", "", [Section("s", "s", [View(coloured(), "caption")])])
    page = watched.show(page_html(report), tmp_path)
    assert background(page) == "rgb(255, 255, 255)"
    page.locator("#page_theme").click()
    expect(page.locator(".viewer")).to_have_attribute("data-dark", "true")


def test_without_scripts_the_text_stands(chromium: Browser, tmp_path: Path):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    path = coloured().save(tmp_path / "view.html")
    page.goto(path.as_uri())
    assert "·cat" in page.locator("pre").inner_text()
    context.close()


NOTEBOOK = """
from tests.charts.viewers.samples import attention, coloured
from IPython.display import display
display(attention())
coloured()
"""


@pytest.mark.filterwarnings("default")  # of the notebook's own machinery
def test_a_saved_notebook_needs_no_kernel(watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tests.repository import ROOT

    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'src'}")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK, id="one")])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    saved = nbformat.reads(nbformat.writes(notebook), as_version=4)
    assert [set(output["data"]) for output in saved.cells[0].outputs] == [{"text/plain", "text/html"}] * 2
    html, _ = HTMLExporter(template_name="lab").from_notebook_node(saved)
    # The template itself asks for MathJax and require.js; the viewers do without.
    watched.page.route("http*://**", lambda route: route.abort())
    page = watched.show(html, tmp_path)
    assert page.locator(".viewer").count() == 2
    page.locator(".viewer").nth(1).locator(".piece").nth(2).hover()
    expect(page.locator(".viewer").nth(1).get_by_role("status")).to_contain_text("first: 2 (activation)")
    asked = [url for url in watched.asked if url.startswith("http")]
    assert all("mathjax" in url.lower() or "require" in url for url in asked), asked
    watched.asked.clear()
    watched.errors.clear()
