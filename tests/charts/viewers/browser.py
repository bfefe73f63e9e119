"""A headless Chromium for tests that hover, click and type; they are skipped where there is none.

UNWEAVE_REQUIRE_BROWSER=1 makes a missing browser a failure; UNWEAVE_BROWSER names another one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt install chromium)"


def executable() -> str | None:
    return os.environ.get("UNWEAVE_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Generator[Browser]:
    path = executable()
    if path is None:
        if os.environ.get("UNWEAVE_REQUIRE_BROWSER"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


class Watched:
    """A page, with all that it asked of a network and all the errors of its scripts."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def show(self, html: str, folder: Path) -> Page:
        path = folder / "shown.html"
        path.write_text(html, encoding="utf-8")
        self.page.goto(path.as_uri())
        return self.page

    def assert_quiet(self) -> None:
        assert self.errors == []
        assert [url for url in self.asked if not url.startswith(("file:", "data:", "about:", "blob:"))] == []
