from __future__ import annotations

import pytest

from unweave.charts.inline import inline, paragraphs
from unweave.core.errors import InputError


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("**two heads** matter", "<strong>two heads</strong> matter"),
        ("`W_QK` and `**raw**`", "<code>W_QK</code> and <code>**raw**</code>"),
        ("[paper](https://arxiv.org/abs/1)", '<a href="https://arxiv.org/abs/1">paper</a>'),
        ("[below](#claims)", '<a href="#claims">below</a>'),
        ("[file](data/run.json)", '<a href="data/run.json">file</a>'),
        (
            "**`L1H2`** and **[x](#y)**",
            '<strong><code>L1H2</code></strong> and <strong><a href="#y">x</a></strong>',
        ),
        ("2 ** 3 and a*b", "2 ** 3 and a*b"),
        ("pattern[0](1)", 'pattern<a href="1">0</a>'),
        ("<b>bold</b> & 'quote'", "&lt;b&gt;bold&lt;/b&gt; &amp; &#39;quote&#39;"),
        ("`<script>`", "<code>&lt;script&gt;</code>"),
        ("**<i>**", "<strong>&lt;i&gt;</strong>"),
        ('[<i>](#"onclick=)', '<a href="#&#34;onclick=">&lt;i&gt;</a>'),
        ("`open", "`open"),
    ],
)
def test_bold_code_and_links_only(text: str, html: str):
    assert inline(text) == html


@pytest.mark.parametrize(
    "target", ["javascript:alert`1`", "JavaScript:x", "data:text/html,x", "//host/x", "vbscript:x"]
)
def test_links_to_scripts_are_refused(target: str):
    with pytest.raises(InputError) as caught:
        inline(f"see [this]({target})")
    assert str(caught.value) == (
        f"wanted a link to http(s), mailto, an #anchor or a relative path; got {target!r}; "
        "link to a page, or write the target as `code`"
    )


def test_blank_lines_part_paragraphs():
    assert paragraphs("one\n  line\n\n\n**two**\n") == ["one line", "<strong>two</strong>"]
    assert paragraphs(" \n ") == []
