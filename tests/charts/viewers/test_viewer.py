from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.charts.html_reader import Reader
from tests.charts.viewers.samples import ALL, HOSTILE, TOKENS, N, attention, coloured, patterns
from tests.core.unchecked import as_users_run
from unweave.charts import (
    Page,
    Section,
    View,
    ViewerSizeWarning,
    attention_patterns,
    colored_tokens,
    logit_lens_table,
    page_html,
    token_predictions,
)
from unweave.charts.viewers.visible import label, visible
from unweave.core.errors import InputError


def data_of(html: str) -> dict:
    [line] = [line for line in html.splitlines() if line.startswith("const DATA = ")]
    return json.loads(line.removeprefix("const DATA = ").removesuffix(";"))


@pytest.mark.parametrize("name", ALL)
def test_a_viewer_is_one_host_with_its_text_and_one_script(name: str):
    viewer = ALL[name]()
    reader = Reader(viewer.html())
    assert [one.tag for one in reader.elements] == ["div", "pre", "p", "small", "script"]
    assert reader.all("pre")[0].text == viewer.text == repr(viewer)
    assert "trust this notebook" in reader.all("small")[0].text


@pytest.mark.parametrize("name", ALL)
def test_a_viewer_names_no_address(name: str):
    assert not re.search(r"https?:|//[a-z]|src=[\"']|@import|url\(", ALL[name]().html().replace(HOSTILE, ""))


@pytest.mark.parametrize("name", ALL)
def test_the_same_numbers_give_the_same_html_and_others_another_key(name: str):
    assert ALL[name]().html() == ALL[name]().html()
    keys = {re.search('data-unweave-viewer="(.*?)"', make().html())[1] for make in ALL.values()}  # pyright: ignore[reportOptionalSubscript]
    assert len(keys) == len(ALL)


@pytest.mark.parametrize("name", ALL)
def test_notebooks_get_html_and_text(name: str):
    viewer = ALL[name]()
    bundle = viewer._repr_mimebundle_()
    assert bundle == {"text/plain": viewer.text, "text/html": viewer._repr_html_()}


def test_hostile_tokens_end_no_script_and_open_no_element():
    for make in ALL.values():
        html = make().html()
        assert html.count("<script>") == html.count("</script>") == 1
        assert "<img" not in html
        assert "<!--" not in html


def test_it_saves_a_page_that_allows_no_network(tmp_path: Path):
    path = coloured().save(tmp_path / "view.html")
    reader = Reader(path.read_text(encoding="utf-8").removeprefix("<!doctype html>\n"))
    assert reader.all("title")[0].text == "Features"
    [policy] = reader.all("meta", http_equiv="Content-Security-Policy") or [
        one for one in reader.all("meta") if one.attributes.get("http-equiv")
    ]
    assert (policy.attributes["content"] or "").startswith("default-src 'none'")
    assert coloured().html() in path.read_text(encoding="utf-8")


def test_a_report_page_holds_it():
    html = page_html(Page("p", "", "", [Section("s", "s", [View(attention(), "Look at **H1**.")])]))
    assert attention().html() in html
    assert [one.text for one in Reader(html).all("figcaption")] == ["Look at H1."]


def test_attention_travels_as_the_lower_triangles_in_float16():
    data = data_of(attention().html())
    [prompt] = data["prompts"]
    assert prompt["causal"]
    halves = np.frombuffer(base64.b64decode(prompt["values"]["f16"]), "<f2") * prompt["values"]["by"]
    rows, columns = np.tril_indices(N)
    np.testing.assert_allclose(halves, patterns()[:, rows, columns].ravel(), rtol=1e-3)
    assert data["heads"] == ["H0", "H1", "H2"]
    assert data["limits"] == [0, 1]


def test_attention_that_looks_ahead_travels_whole():
    [prompt] = data_of(attention_patterns(TOKENS, np.full((1, N, N), 1 / N)).html())["prompts"]
    assert not prompt["causal"]
    assert prompt["values"]["n"] == N * N


def test_layers_name_heads_and_scores_diverge():
    data = data_of(attention_patterns(TOKENS, patterns(4).reshape(2, 2, N, N) - 0.5).html())
    assert data["heads"] == ["L0H0", "L0H1", "L1H0", "L1H1"]
    assert data["across"] == 2
    assert data["diverging"]
    assert data["limits"] == [-0.5, 0.5]


def test_tensors_with_gradients_and_of_16_bits_are_taken():
    values = torch.tensor([0.5, 1.5], dtype=torch.bfloat16, requires_grad=True)
    assert data_of(colored_tokens(["a", "b"], values).html())["texts"][0]["values"] == [[0.5, 1.5]]


def test_values_keep_six_digits_and_gaps():
    [text] = data_of(coloured().html())["texts"]
    assert text["values"][0] == [0.5, -1.25, 2, None, 0.125, -0.5]
    assert text["breaks"] == [3]
    assert data_of(coloured().html())["limits"] == [[-2, 2], [-50, 50]]


def test_many_values_travel_packed():
    values = np.arange(5000.0)
    [text] = data_of(colored_tokens(["a"] * 5000, values).html())["texts"]
    halves = np.frombuffer(base64.b64decode(text["values"][0]["f16"]), "<f2").astype(float)
    np.testing.assert_allclose(halves * text["values"][0]["by"], values, atol=5000 / 2000)


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" the", "·the"),
        ("\n\n", "↵↵"),
        ("\t", "⇥"),
        ("", "∅"),
        ("·", "<U+00B7>"),
        ("a\u200bb", "a<U+200B>b"),
        ("\u202eabc", "<U+202E>abc"),
        ("\u0301", "◌\u0301"),
        ("\ud800", "�"),
        ("猫", "猫"),
        ("\x00", "<U+0000>"),
        ("\xa0", "<U+00A0>"),
    ],
)
def test_every_token_can_be_seen(token: str, shown: str):
    assert visible(token) == shown


def test_names_keep_their_blanks():
    assert label("the old head") == "the old head"


def test_the_plain_text_tells_the_numbers():
    assert repr(attention()).splitlines()[3] == "  H2: 1 from 1 The to 0 <bos>"
    assert "   2  ·cat                  2" in repr(coloured())


def test_a_large_viewer_warns_and_a_larger_one_is_refused():
    n = 250
    tokens = [str(at) for at in range(n)]
    full = np.full((16, n, n), 1 / n)
    with pytest.warns(ViewerSizeWarning, match=r"this viewer has 2\.7 MB.*\.save\(path\)"):
        attention_patterns(tokens, full)
    with pytest.raises(
        InputError,
        match=r"^wanted a viewer of at most 1 MB; got 2\.7 MB; pass fewer heads.*or raise max_mb$",
    ):
        attention_patterns(tokens, full, max_mb=1)


CHANCES = np.full((1, 2, 1), 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: attention_patterns(["a"], patterns()),
            "wanted one of tokens for each of 6 positions; got 1; pass the tokens that",
        ),
        (
            lambda: attention_patterns(TOKENS, patterns()[None, None]),
            r"wanted patterns \[head, query, key\] or \[layer, head, query, key\], not empty; got shape \(1, 1, 3, 6, 6\)",
        ),
        (
            lambda: attention_patterns(TOKENS, patterns()[:, :2]),
            "wanted as many keys as queries; got 2 queries, 6 keys",
        ),
        (
            lambda: attention_patterns([TOKENS, TOKENS], [patterns()]),
            "wanted patterns for each of 2 prompts; got 1",
        ),
        (
            lambda: attention_patterns([TOKENS, TOKENS], [patterns(), patterns(2)]),
            "wanted the same layers and heads for every prompt",
        ),
        (
            lambda: attention_patterns(TOKENS, patterns(), head_names=["a"]),
            "wanted one of head_names for each of 3 heads; got 1",
        ),
        (
            lambda: attention_patterns(TOKENS, patterns(), title=" "),
            "wanted a title; got ' '; say what is seen",
        ),
        (
            lambda: colored_tokens(["a"], [np.inf]),
            "wanted values finite, with NaN only where there is none; got 1 infinite",
        ),
        (lambda: colored_tokens(["a", "b"], [1.0]), "wanted one of tokens for each of 1 positions; got 2"),
        (lambda: colored_tokens(["a"], [1.0], limits=(1, 0)), r"wanted limits \(low, high\) with low < high"),
        (
            lambda: colored_tokens(["a"], [1.0], diverging=True, limits=(0, 1)),
            r"wanted limits \(-m, m\) for a diverging scale",
        ),
        (
            lambda: logit_lens_table(["a", "b"], [[["x"], ["y"]]], 3 * CHANCES, stages=["s"]),
            "wanted probabilities from 0 to 1, the likeliest first; got 2 outside; take",
        ),
        (
            lambda: logit_lens_table(["a", "b"], [[["x"]]], CHANCES, stages=["s"]),
            r"wanted top_tokens \[1 stages\]\[2 positions\]",
        ),
        (
            lambda: logit_lens_table(["a", "b"], [[["x"], ["y"]]], CHANCES, stages=["s"], entropy=[[1.0]]),
            r"wanted entropy \[stage, pos\] of shape \(1, 2\)",
        ),
        (
            lambda: token_predictions(["a", "b"], [-1.0], [0, 1], [["a"]], [[-1.0]]),
            "wanted one entry for each token after the first; got log_probs of 1, ranks of 2",
        ),
        (
            lambda: token_predictions(["a", "b"], [1.0], [0], [["a"]], [[-1.0]]),
            "wanted log-probabilities, at most zero; got 1; take",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(make, message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        make()


def test_token_ids_are_refused_with_the_way_to_strings():
    with as_users_run(), pytest.raises(InputError, match=r"as a list of strings.*model\.to_str_tokens"):
        colored_tokens([1, 2], [1.0, 2.0])  # pyright: ignore[reportArgumentType]
    with as_users_run(), pytest.raises(InputError, match="as a list of strings"):
        colored_tokens("ab", [1.0, 2.0])
