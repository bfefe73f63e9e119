"""A head that learns to look two back, at four checkpoints: `python docs/pictures/dynamics.py`."""

from __future__ import annotations

import tempfile

from screenshot import screenshot

from unweave import HookedTransformer, HookedTransformerConfig
from unweave.explore import over_checkpoints
from unweave.tasks import KBack
from unweave.training import TrainConfig, train

task = KBack(k=2, d_vocab=20, n_ctx=12)
model = HookedTransformer(
    HookedTransformerConfig(n_layers=1, d_model=32, d_head=32, d_vocab=20, n_ctx=12, act_fn="relu", seed=0)
)
with tempfile.TemporaryDirectory() as folder:
    config = TrainConfig(steps=400, batch_size=64, lr=3e-3, checkpoint_at=(0,), checkpoint_per_decade=4)
    train(model, task, config, folder)
    found = over_checkpoints(folder, "attention-0.0")
    figure = found.plot("Attention of head 0.0 over training, on held-out sequences of the task two-back")
    page = found.report(f"{tempfile.gettempdir()}/dynamics.html")
    losses = over_checkpoints(folder, "loss-by-position")
    losses.report(f"{tempfile.gettempdir()}/losses.html")
    over_checkpoints(folder, lambda model: model.W_U.norm()).report(f"{tempfile.gettempdir()}/norm.html")
screenshot(figure, "dynamics", width=820, height=760)
