"""The offline page: everything is there, nothing is fetched, and nothing recorded is taken for markup."""

import re
from pathlib import Path

from tests.recorder.exports.planted import Planted, example, journal_in, printed
from unweave.journal import Note, Prediction
from unweave.recorder.exports.colours import coloured, uncoloured
from unweave.recorder.exports.page import page

EVIL = '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">'


def test_the_page_holds_the_session(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        html = page(example(journal), head="abc123")
    assert html.index("the root is below 1.5") < html.index("root = math.sqrt(x)")
    for text in (
        "Prediction P1, 70%",
        "1.4142135623730951",
        "ZeroDivisionError",
        "took",
        "abc123",
        "why *that*?",
    ):
        assert text in html, text
    assert "private words" not in html
    assert "secret-host" not in html
    assert "/data/somebody" not in html
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html)


def test_nothing_recorded_is_markup(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        planted = Planted(journal, title=EVIL)
        planted.step(
            f"print({EVIL!r})",
            printed(EVIL),
            ("display", {"text/plain": EVIL, "text/html": EVIL}, {}),
            ("display", {"image/png": f'"{EVIL}'}, {}),
            ("display", {"image/svg+xml": f"<svg>{EVIL}</svg>"}, {}),
            (
                "display",
                {"application/vnd.plotly.v1+json": {"data": [], "layout": {"title": {"text": EVIL}}}},
                {},
            ),
            ("error", {}, {"error": {"name": EVIL, "value": EVIL, "traceback": [EVIL]}}),
            said=[Note(EVIL), Prediction(EVIL, 0.5)],
        )
        html = page(planted.session())
    assert "<script>window.hacked" not in html
    assert "<img src=x" not in html
    frames = re.findall(r"<iframe[^>]*>", html)
    assert len(frames) == 1
    assert 'sandbox="allow-scripts"' in frames[0]
    assert "allow-same-origin" not in html


def test_colours_become_classes_and_everything_else_goes():
    html = str(coloured("\x1b[1;31mred<b>\x1b[0m plain \x1b[38;5;196mx\x1b[39m\x1b]0;title\x07\x1b[2K"))
    assert html == '<span class="bold ink-red">red&lt;b&gt;</span> plain x'
    assert uncoloured("\x1b[31mred\x1b[0m\x1b[2K!") == "red!"


def test_times_are_those_of_the_session(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        planted = Planted(journal)
        planted.step("x = 1")
        html = page(planted.session())
    assert "took 1 ms" in html
    assert "0:00:0" in html
