"""The presets are what the page says they are."""

from __future__ import annotations

from unweave.experiments.no_position.original import original
from unweave.experiments.no_position.presets import PRESETS, TASK, model_config


def test_notebook_is_the_original_exactly():
    theirs, ours = original(), PRESETS["notebook"].training
    model, optimizer = theirs["model"], theirs["optimizer"]
    for name in ("lr", "weight_decay", "max_grad_norm", "batch_size", "steps"):
        assert getattr(ours, name) == optimizer[name], name
    assert list(ours.betas) == optimizer["betas"]
    assert [ours.schedule(step) for step in (0, 50, 100, 4000)] == [0.0, 0.5, 1.0, 1.0]
    cfg = model_config(2, seed=0).to_dict()
    for name in (
        "n_layers",
        "d_model",
        "n_heads",
        "d_head",
        "d_mlp",
        "d_vocab",
        "n_ctx",
        "act_fn",
        "normalization_type",
    ):
        assert cfg[name] == model[name], name
    assert cfg["positional_embedding_type"] == "none"
    assert (TASK.d_vocab, TASK.n_ctx) == (model["d_vocab"], model["n_ctx"])


def test_uncorrected_differs_by_its_schedule_alone():
    notebook, uncorrected = (PRESETS[name].training.to_dict() for name in ("notebook", "uncorrected"))
    growing = {"name": "Ramp", "steps": 100}
    assert uncorrected.pop("schedule") == {
        "name": "Larger",
        "first": growing,
        "second": {"name": "Constant", "value": 1.0},
    }
    assert notebook.pop("schedule") == {"name": "LinearWarmup", "steps": 100}
    assert uncorrected == notebook
    schedule = PRESETS["uncorrected"].training.schedule
    assert [schedule(step) for step in (0, 50, 100, 150, 4000)] == [1.0, 1.0, 1.0, 1.5, 40.0]


def test_quick_is_quick():
    quick = PRESETS["quick"].training
    assert (quick.lr, quick.steps, quick.batch_size) == (1e-3, 1000, 256)
