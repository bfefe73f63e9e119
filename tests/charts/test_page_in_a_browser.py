"""A report in a real browser, from a desktop's width to a phone's and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.charts.viewers.browser import Watched, browser
from unweave.charts import Page, Picture, Section, page_html, small_multiples


def test_panels_are_drawn_at_every_width_they_are_resized_to(tmp_path: Path):
    titles = {"title": "t", "x_title": "key", "y_title": "query", "colour_title": "attention"}
    panels = [(f"layer {layer}", np.arange(16.0).reshape(4, 4)) for layer in range(2)]
    picture = Picture(small_multiples(panels, **titles), "two panels", "two panels")
    html = page_html(Page("p", "", "", [Section("s", "s", [picture])]))
    with browser() as opened:
        watched = Watched(opened.new_page(viewport={"width": 1000, "height": 800}))
        page = watched.show(html, tmp_path)
        for width in (600, 400, 320, 430, 900):
            page.set_viewport_size({"width": width, "height": 800})
            drawn = f"document.querySelector('#plot-1 .main-svg')?.clientWidth <= {width - 32}"
            page.wait_for_function(drawn)
            page.evaluate(
                "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
            )
            assert page.locator("#plot-1 .notice").count() == 0, f"not drawn at {width} pixels"
            assert page.locator("#plot-1 .heatmaplayer image, #plot-1 .hm").count() > 0
        watched.assert_quiet()
