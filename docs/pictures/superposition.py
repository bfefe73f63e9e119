"""Dimensions per feature, from a run: `python docs/pictures/superposition.py RUN_DIR`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from screenshot import screenshot

from unweave.experiments.superposition import pictures

results = json.loads((Path(sys.argv[1]) / "results.json").read_text(encoding="utf-8"))
screenshot(pictures.directions(results["five"]), "superposition-directions", width=620, height=560)
screenshot(pictures.dimensions_per_feature(results["many"]), "superposition-plateaus", width=900, height=480)
