"""The two lenses on a trained model: `python docs/pictures/lens.py`."""

from __future__ import annotations

import torch
from induction_model import repeated, trained
from screenshot import screenshot

from unweave import charts, lens

found = lens.tuned_lens(trained(), repeated(400, torch.Generator().manual_seed(5)), steps=400, lr=3e-3).result
low, high = found.interval
figure = charts.bars(
    ["before layer 0", "before layer 1"],
    {f"{name} lens": found.sel(lens=name).values.numpy() for name in ("logit", "tuned")},
    errors={
        f"{name} lens": (low[:, n].numpy(), high[:, n].numpy()) for n, name in enumerate(("logit", "tuned"))
    },
    title="How far each lens is from what the model will say, on held-out sequences",
    x_title="KL(model || lens) (nats a token, 95% interval over sequences)",
    y_title="stage",
)
screenshot(figure, "lens", height=380)
