from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from tests.charts.html_reader import Reader
from tests.core.unchecked import as_users_run
from unweave.charts import (
    Cards,
    ClaimCard,
    Page,
    Picture,
    Section,
    Table,
    Text,
    heatmap,
    lines,
    page_html,
    write_page,
)
from unweave.core.errors import InputError

BAD = "<script>alert('x')</script><img src=http://evil.example/a onerror=alert(1)>\"'&"


def claim(verdict: str = "supported", text: str = "words", id: str = "C1") -> ClaimCard:
    return ClaimCard(
        id=id,
        title=text,
        statement=text,
        rivals=[text, "another account"],
        prediction=text,
        threshold=text,
        measured=[(text, "1.5", "1.4 to 1.6", "nats")],
        controls=[("control", "0.1", "", "")],
        verdict=verdict,  # pyright: ignore[reportArgumentType]
        reason=text,
    )


def page(text: str = "words") -> Page:
    loss = lines({text: ([1, 2], [3, 4])}, title=text, x_title=text, y_title=text)
    pattern = heatmap([[1.0]], title=text, x_title=text, y_title=text, colour_title=text)
    table = Table(
        columns=[text, "effect", "verdict"],
        rows=[[text, -0.123456, "refuted"], [None, 3, "inconclusive"]],
        caption=text,
        kinds=["text", "number", "verdict"],
    )
    return Page(
        title=text,
        subtitle=text,
        summary=f"**{text}**\n\nSee [claims](#claims) and [code](https://example.org/repo).",
        sections=[
            Section(text, "results", [Text(text), Cards([(text, "94 %", text)]), table]),
            Section("Pictures", "pictures", [Picture(loss, text, text), Picture(pattern, text, "a pattern")]),
            Section("Claims", "claims", [claim(text=text)]),
        ],
        footer=text,
    )


def without_plotly(html: str) -> str:
    assert html.count(get_plotlyjs()) == 1
    return html.replace(get_plotlyjs(), "")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(page_html(page()))


def test_the_page_is_in_order(reader: Reader):
    [root] = reader.all("html")
    assert root.attributes["lang"] == "en"
    assert [one.text for one in reader.all("title")] == ["words"]
    levels = [int(one.tag[1]) for one in reader.elements if re.fullmatch(r"h[1-6]", one.tag)]
    assert levels == [1, 2, 2, 2, 3]
    ids = [one.attributes["id"] for one in reader.elements if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    assert all(one.attributes["aria-labelledby"] in ids for one in reader.all("section"))


def test_the_contents_lead_to_every_section(reader: Reader):
    [contents] = reader.all("nav")
    assert contents.words == "Contents words Pictures Claims"
    ids = {one.attributes.get("id") for one in reader.elements}
    inner = [one.attributes["href"] for one in reader.all("a") if one.attributes["href"].startswith("#")]
    assert {link[1:] for link in inner} <= ids
    assert {"#results", "#pictures", "#claims"} <= set(inner)


def test_pictures_say_what_they_show(reader: Reader):
    plots = reader.all("div", role="img")
    assert [plot.attributes["aria-label"] for plot in plots] == ["words", "a pattern"]
    titles = [one.words for one in reader.all("p", class_="figure-title")]
    assert titles == ["Figure 1 words", "Figure 2 words"]
    assert [one.text.strip() for one in reader.all("figcaption")] == ["words", "words"]
    inside = [one for one in reader.all("noscript") if "figure" in one.path]
    assert [one.text for one in inside] == ["words", "a pattern"]


def test_the_figures_hold_the_data(reader: Reader):
    assert reader.figure(1)["data"][0]["y"] == [3, 4]
    assert reader.figure(2)["data"][0]["z"] == [[1]]


def test_a_verdict_is_a_word_and_a_symbol(reader: Reader):
    words = [
        one.text for one in reader.all("span") if (one.attributes.get("class") or "").startswith("badge")
    ]
    assert words == ["✗ refuted", "? inconclusive", "✓ supported"]


@pytest.mark.parametrize(("verdict", "badge"), [("supported", "✓"), ("refuted", "✗"), ("inconclusive", "?")])
def test_a_claim_shows_all_it_rests_on(verdict: str, badge: str):
    card = ClaimCard(
        "C2", "the title", "the statement", ["rival one", "rival two"], "the prediction", "the threshold",
        [("effect", "3.4", "3.3 to 3.5", "nats")], [("control", "0.1", "", "")], verdict, "the reason",
    )  # fmt: skip
    [article] = Reader(page_html(Page("p", "", "", [Section("s", "s", [card])]))).all("article")
    assert article.attributes["id"] == "claim-c2"
    assert article.words == (
        f"C2 the title {badge} {verdict} the statement "
        "Rival accounts rival one rival two Prediction the prediction Threshold the threshold "
        "Quantity Value Interval Unit "
        "Measured effect 3.4 3.3 to 3.5 nats Controls control 0.1 — — "
        f"Why {verdict}: the reason"
    )


def test_a_claim_tells_its_control_and_what_was_amended():
    plain = page_html(Page("p", "", "", [Section("s", "s", [claim()])]))
    told = replace(claim(), control_design="a shift", amended="the `threshold`")
    [article] = Reader(page_html(Page("p", "", "", [Section("s", "s", [told])]))).all("article")
    assert "Threshold words Control a shift Amended the threshold Quantity" in article.words
    assert "Amended" not in plain


def test_a_table_is_labelled_without_markup():
    table = Table(["a"], [["b"]], "More [below](#s), with **care** & `code`.")
    [box] = Reader(page_html(Page("p", "", "", [Section("s", "s", [table])]))).all("div", role="region")
    assert box.attributes["aria-label"] == "More below, with care & code."


def test_cells_are_written_by_kind(reader: Reader):
    cells = [
        (one.attributes["class"], one.text.strip()) for one in reader.all("td") if one.attributes.get("class")
    ]
    assert cells[:6] == [
        ("text", "words"),
        ("number", "−0.1235"),
        ("verdict", "✗ refuted"),
        ("text", "—"),
        ("number", "3"),
        ("verdict", "? inconclusive"),
    ]


def test_no_text_becomes_markup():
    html = page_html(page(BAD))
    reader = Reader(html)
    assert "<script>alert" not in without_plotly(html)
    assert reader.all("img") == []
    assert all(not name.startswith("on") for one in reader.elements for name in one.attributes)
    [heading] = reader.all("h1")
    assert heading.text == BAD
    assert reader.all("div", role="img")[0].attributes["aria-label"] == BAD
    assert len(reader.all("script")) == len(Reader(page_html(page())).all("script"))


def test_the_page_fetches_nothing():
    html = without_plotly(page_html(page()))
    reader = Reader(html)
    for element in reader.elements:
        assert "src" not in element.attributes
        assert "srcset" not in element.attributes
        if element.tag != "a":
            assert "href" not in element.attributes
    assert reader.all("link") == []
    [style] = reader.all("style")
    assert "@import" not in style.text
    assert "url(" not in style.text
    addresses = set(re.findall(r"https?://[^\s\"'<]+", html))
    assert addresses == {"https://example.org/repo"}
    [policy] = reader.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy.attributes["content"].startswith("default-src 'none';")
    assert "http" not in policy.attributes["content"]


def test_no_button_sends_data_away():
    script = Reader(page_html(page())).all("script")[-1].text
    assert "showSendToCloud: false" in script
    assert 'plotlyServerURL: ""' in script


def test_plotly_is_there_once_and_only_for_figures():
    html = page_html(page())
    assert html.count(get_plotlyjs()) == 1
    assert len(re.findall(r"plotly\.js v\d", html)) == 1
    assert len(page_html(Page("p", "", "", [Section("s", "s", [Text("t")])]))) < 40_000


def test_the_same_page_gives_the_same_bytes(tmp_path: Path):
    first = write_page(page(), tmp_path / "new" / "a.html")
    second = write_page(page(), str(tmp_path / "b.html"))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_text(encoding="utf-8") == page_html(page())
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["a.html"]


def test_one_picture_may_stand_twice():
    picture = Picture(go.Figure(), "c", "a")
    reader = Reader(page_html(Page("p", "", "", [Section("s", "s", [picture, picture])])))
    assert [one.attributes["id"] for one in reader.all("figure")] == ["figure-1", "figure-2"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: Section("Results", "The Results", []),
            "wanted an anchor of lower-case letters.*got 'The Results'",
        ),
        (lambda: Picture(go.Figure(), "c", " "), "wanted a picture's alt text; got ' '; say in a sentence"),
        (
            lambda: Table(["a", "b"], [[1]], "c"),
            r"wanted rows of 2 cells \(a, b\); got 1 in row 0; give one cell",
        ),
        (
            lambda: Table(["a"], [], "c", kinds=["text", "text"]),
            "wanted 1 column kinds out of text, number, verdict",
        ),
        (
            lambda: Table(["a"], [["maybe"]], "c", kinds=["verdict"]),
            "wanted a verdict: supported, refuted, inconc",
        ),
        (
            lambda: claim("likely"),
            "wanted a verdict: supported, refuted, inconclusive; got 'likely'; write the word",
        ),
        (
            lambda: Page("p", "", "", [Section("s", "s", [claim()]), Section("t", "claim-c1", [])]),
            "wanted anchors and claim ids that differ; got claim-c1 more than once",
        ),
        (
            lambda: Page("p", "", "", [Section("s", "figure-1", [Picture(go.Figure(), "c", "a")])]),
            "wanted anchors and claim ids that differ; got figure-1 more than once",
        ),
    ],
)
def test_a_page_that_makes_no_sense_is_refused(build, message: str):
    with as_users_run(), pytest.raises(InputError, match=f"^{message}"):
        build()


def test_a_link_to_a_script_is_refused():
    with pytest.raises(InputError, match="got 'javascript:alert'"):
        page_html(Page("p", "", "[x](javascript:alert)", []))
