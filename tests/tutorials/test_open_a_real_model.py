"""The tutorial runs from top to bottom, with the tiny model that it trains where the hub is not there."""

from __future__ import annotations

import re

import pytest

from tests.repository import ROOT

pytest.importorskip("transformers")
nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")


def test_the_tutorial_runs_and_shows_something_real(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(ROOT / "docs/tutorials/open_a_real_model.ipynb", as_version=4)
    nbformat.validate(notebook)
    nbclient.NotebookClient(notebook, timeout=300).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "".join(output.get("text", "") for output in outputs)
    assert float(re.search(r"John ([\d.]+)%, Mary", said)[1]) > 90
    figures = [output for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
    assert len(figures) == 3
    for figure in figures:
        assert figure["data"]["application/vnd.plotly.v1+json"]["layout"]["title"]["text"]
    whole, without = (float(found) for found in re.findall(r": (-?[\d.]+) nats for John over Mary", said))
    # The head that writes the most matters when it is taken away.
    assert without < whole - 0.5
