"""A dictionary trained on a planted model: what it found, and which feature matters: `python docs/pictures/features.py`."""

from __future__ import annotations

import sys

import torch
from screenshot import screenshot

import unweave
from unweave import charts, features

SITE = "blocks.0.hook_resid_post"
planted = unweave.planted.load("induction")
_, cache = planted.model.run_with_cache(planted.inputs(5), names_filter=SITE)
# Without BOS, whose activation is like no other.
activations = cache[SITE][:, 1:].flatten(0, 1)
trained = features.train(
    activations, 16, l1=0.3, steps=1500, batch_size=256, lr=3e-3, hook_name=SITE
).dictionary

kinds = ("indices", "tokens", "previous")
names = [
    name for name in planted.basis if name.split(":")[0] in kinds and name not in ("indices:0", "tokens:bos")
]
# Exactly one of each kind is there, so that only what tells it from the others can be found.
truth = torch.eye(len(planted.basis))[[planted.basis.index(name) for name in names]]
for kind in kinds:
    rows = [row for row, name in enumerate(names) if name.startswith(kind)]
    truth[rows] -= truth[rows].mean(0)

cosines = features.similarity(truth, trained).values
order = list(dict.fromkeys(cosines.argmax(1).tolist()))
order += [feature for feature in range(16) if feature not in order]
figure = charts.heatmap(
    cosines[:, order].numpy(),
    title=f"What is planted and what was found: mean max cosine {features.mean_max_cosine(truth, trained):.2f}",
    x_title="feature of the dictionary",
    y_title="direction of the model",
    colour_title="cosine",
    diverging=True,
    limits=(-1, 1),
    x=[str(feature) for feature in order],
    y=names,
)
sys.stdout.write(f"{screenshot(figure, 'features-recovered', 900, 640)}\n")

contrast = planted.contrast
assert contrast is not None
right, wrong = (
    int(planted.read(planted.model(run))[0, contrast.position])
    for run in (contrast.clean, contrast.corrupted)
)
metric = unweave.LogitDifference(right, wrong, pos=contrast.position)
result = features.patch(planted.model, contrast.corrupted, contrast.clean, trained, metric, normalise=True)
labels = [
    str(feature) if feature == "error" else f"{feature} ({names[int(cosines[:, int(feature)].argmax())]})"
    for feature in result.coords["feature"]
]
figure = charts.bars(
    labels,
    result.values.numpy(),
    title="Each feature set to what it is in 1 2 3 1, in a run over 4 2 3 1",
    x_title="logit difference restored (1: all of it)",
    y_title="feature, and what it is nearest to",
)
sys.stdout.write(f"{screenshot(figure, 'features-patched', 900, 480)}\n")
