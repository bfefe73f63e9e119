"""Direct and total effects in a trained model: `python docs/pictures/direct_logits.py`."""

from __future__ import annotations

import torch
from induction_model import repeated, trained
from screenshot import screenshot

from unweave import analysis, charts

tokens = repeated(64, torch.Generator().manual_seed(6))
right, at = tokens[:, 9], 24
found = analysis.self_repair(trained(), tokens, right, right % 39 + 1, kind="mean", pos=at)
low, high = found.interval
names = {"direct": 0, "total": 1}
figure = charts.bars(
    [str(label) for label in found.coords["component"]],
    {name: found.values[n].numpy() for name, n in names.items()},
    errors={name: (low[n].numpy(), high[n].numpy()) for name, n in names.items()},
    title="What each part adds to the answer, and what is lost without it",
    x_title="fall of the logit difference (logits, 95% interval)",
    y_title="part",
)
screenshot(figure, "direct-logit-attribution", height=620)
