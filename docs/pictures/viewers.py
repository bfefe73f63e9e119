"""The viewers of a small trained induction model, as a browser draws them: `python docs/pictures/viewers.py`."""

from __future__ import annotations

import shutil
import string
import tempfile
from pathlib import Path

import torch
from induction_model import repeated, trained
from playwright.sync_api import Page, sync_playwright
from screenshot import IMAGES

from unweave import analysis, charts

WORDS = ["<bos>", *(f" {letter}" for letter in string.ascii_letters)]
model = trained()
tokens = repeated(1, torch.Generator().manual_seed(5), length=10)[0]
_, cache = model.run_with_cache(tokens)
norms = torch.stack([cache["resid_post", layer][0].norm(dim=-1) for layer in range(2)], dim=-1)

VIEWS = {
    "attention": analysis.view_attention(
        model, tokens, vocabulary=WORDS, title="An induction model on ten letters, twice"
    ),
    "tokens": charts.colored_tokens(
        [WORDS[token] for token in tokens],
        norms,
        features=["resid_post of layer 0", "resid_post of layer 1"],
        title="How large the residual stream is",
        unit="norm",
    ),
    "lens": analysis.view_logit_lens(
        model, tokens, incl_mid=True, vocabulary=WORDS, title="Its logit lens on the same prompt"
    ),
    "predictions": analysis.view_predictions(
        model,
        tokens,
        top_k=5,
        vocabulary=WORDS,
        title="How likely each letter was: surprising once, then not",
    ),
}


def touch(page: Page, name: str) -> None:
    """What a reader would click."""
    if name == "attention":
        page.locator(".thumb").nth(6).click()
        page.locator(".piece").nth(14).click()
    elif name == "lens":
        page.get_by_role("gridcell").nth(3 * len(tokens) + 14).click()
    else:
        page.locator(".piece").nth(14).click()


with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
    browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    for name, scheme in [*((name, "light") for name in VIEWS), ("attention", "dark")]:
        page = browser.new_page(viewport={"width": 900, "height": 500}, color_scheme=scheme)
        page.goto(VIEWS[name].save(Path(folder) / "view.html").as_uri())
        touch(page, name)
        file = f"viewer-{name}{'-dark' if scheme == 'dark' else ''}.png"
        page.locator(".viewer").screenshot(path=IMAGES / file)
    browser.close()
