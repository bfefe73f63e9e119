"""A figure as a PNG, by a headless Chromium: what the pictures of the pages are made with."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parents[1] / "images"


def screenshot(figure: Any, name: str, width: int = 900, height: int = 480) -> Path:
    """Write `docs/images/NAME.png`."""
    target = IMAGES / f"{name}.png"
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        figure.update_layout(width=width, height=height, paper_bgcolor="white", plot_bgcolor="white")
        body = figure.to_html(include_plotlyjs=True, full_html=True, config={"displayModeBar": False})
        page.write_text(body.replace("<body>", '<body style="margin:0;background:white">'), encoding="utf-8")
        command = [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(
                f"--user-data-dir={folder}/profile",
                f"--screenshot={target}",
                f"--window-size={width},{height}",
            ),
            *("--virtual-time-budget=5000", page.as_uri()),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    return target
