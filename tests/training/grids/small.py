"""A grid whose runs take a moment each."""

from __future__ import annotations

from typing import Any


def values(steps: int = 6, **training: Any) -> dict[str, Any]:
    return {
        "base": {
            "task": {"name": "k-back", "k": 1, "d_vocab": 6, "n_ctx": 5},
            "model": {"n_layers": 1, "d_model": 8, "d_head": 8, "act_fn": "relu"},
            "training": {
                "steps": steps,
                "batch_size": 4,
                "checkpoint_every": 5,
                "evaluate_every": 50,
                "evaluate_size": 4,
                **training,
            },
        },
        "axes": {"training.lr": [0.01, 0.02]},
        "seeds": [0, 1],
    }
