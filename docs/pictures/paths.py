"""Each sender by each receiver of the induction model: `python docs/pictures/paths.py`."""

from __future__ import annotations

from screenshot import screenshot

import unweave
from unweave import LogitDifference, charts, paths

planted = unweave.planted.load("induction", decoys=1)
contrast = planted.contrast
assert contrast is not None
result = paths.path_patching(
    planted.model,
    contrast.clean,
    contrast.corrupted,
    LogitDifference(right=2, wrong=0, pos=contrast.position),
    receivers=paths.every_receiver(planted.model),
)
told = {node: step.partition(" = ")[0] for node, step in planted.steps.items() if node.startswith("a")}
figure = charts.heatmap(
    result.effect.numpy(),
    x=list(result.coords["receiver"]),
    y=[f"{name} ({told[name]})" if name in told else name for name in result.coords["sender"]],
    title="Path patching of the induction model: who tells whom",
    x_title="receiver",
    y_title="sender",
    colour_title="change of the logit difference",
    diverging=True,
)
screenshot(figure, "paths", width=980, height=460)
