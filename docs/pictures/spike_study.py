"""The spikes of a finished study, by cell: `python docs/pictures/spike_study.py STUDY_DIR`.

STUDY_DIR is what `unweave run spike-study --preset reduced --out STUDY_DIR` wrote, in an hour or less.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from screenshot import screenshot

from unweave.experiments.spike_study import pictures

results = json.loads((Path(sys.argv[1]) / "results.json").read_text(encoding="utf-8"))
screenshot(pictures.rates(results["cells"], results["frozen"]), "spike-study", height=460)
