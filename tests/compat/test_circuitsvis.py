from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch

import unweave.compat.circuitsvis as cv
from unweave import charts
from unweave.core.errors import InputError

TOKENS = ["a", " b", "c"]
PATTERN = torch.tensor([[[1.0, 0, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5]]])


def test_its_names_give_the_viewers():
    shown = cv.attention.attention_patterns(tokens=TOKENS, attention=PATTERN, attention_head_names=["L0H0"])
    wanted = charts.attention_patterns(TOKENS, PATTERN, head_names=["L0H0"])
    assert str(shown) == shown._repr_html_() == shown.show_code() == wanted.html()
    assert str(cv.attention.attention_patterns(TOKENS, PATTERN[None], ["L0H0"])) == wanted.html()
    assert cv.attention.attention_pattern(TOKENS, PATTERN[0]).viewer.data["heads"] == ["attention"]
    multi = cv.tokens.colored_tokens_multi(TOKENS, torch.ones(3, 2), labels=["x", "y"])
    assert multi.viewer.data["features"] == ["x", "y"]


def test_limits_and_the_mask_are_honoured():
    heads = cv.attention.attention_heads(
        torch.ones(1, 3, 3), TOKENS, max_value=2, min_value=0, mask_upper_tri=True
    )
    assert heads.viewer.data["limits"] == [0, 2]
    assert heads.viewer.data["prompts"][0]["causal"]
    assert cv.tokens.colored_tokens(TOKENS, [1, 2, 3], min_value=-2).viewer.data["limits"] == [[-3, 3]]


def test_colours_are_said_to_be_ours():
    with pytest.warns(UserWarning, match="negative_color: Unweave's viewers keep their own colours"):
        cv.tokens.colored_tokens(TOKENS, [1, 2, 3], negative_color="red")


def test_log_probs_are_of_the_next_token():
    logits = torch.arange(12.0).reshape(1, 3, 4).cos().log_softmax(-1)
    shown = cv.logits.token_log_probs(torch.tensor([[0, 3, 1]]), logits, lambda token: f"t{token}", top_k=2)
    data = shown.viewer.data
    np.testing.assert_allclose(data["log_probs"], [logits[0, 0, 3], logits[0, 1, 1]], rtol=1e-5)
    assert data["tokens"] == ["t0", "t3", "t1"]


def test_the_door_opens_and_closes():
    assert "circuitsvis" not in sys.modules
    cv.install()
    cv.install()
    try:
        assert importlib.import_module("circuitsvis") is cv
        assert importlib.import_module("circuitsvis.attention") is cv.attention
    finally:
        cv.uninstall()
    cv.uninstall()
    assert not [name for name in sys.modules if name.partition(".")[0] == "circuitsvis"]


def test_the_real_package_wins(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "circuitsvis", torch)
    with pytest.raises(InputError, match="wanted a process without the real circuitsvis"):
        cv.install()
    assert sys.modules["circuitsvis"] is torch
