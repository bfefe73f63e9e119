"""Learning dynamics on checkpoints whose weights are known by hand, and on a run of the loop."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from unweave.cli.main import main
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.explore import Dynamics, measures, over_checkpoints
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.tasks import KBack
from unweave.training import TrainConfig, train
from unweave.training.checkpoints import list_checkpoints, write_checkpoint
from unweave.training.history import History, StepRecord, open_history
from unweave.training.processes import Processes
from unweave.training.run_file import write_run_file
from unweave.training.surroundings import Surroundings

TASK = KBack(k=1, d_vocab=6, n_ctx=5)
STEPS = (0, 2, 10, 100)


def new_model() -> HookedTransformer:
    return HookedTransformer(
        HookedTransformerConfig(
            n_layers=2, n_heads=2, d_model=8, d_head=4, d_vocab=6, n_ctx=5, act_fn="relu", seed=3
        )
    )


@pytest.fixture(scope="module")
def interpolated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose unembedding is (1 + step) times what it began with; only written, never trained."""
    folder, model, config = tmp_path_factory.mktemp("run"), new_model(), TrainConfig(steps=100, batch_size=2)
    first = model.W_U.detach().clone()
    optimizer = torch.optim.AdamW(model.parameters())
    here = Surroundings.here(torch.device("cpu"), Processes())
    # Written in another order than that of their steps.
    for step in sorted(STEPS, key=lambda step: (step + 3) % 7):
        with torch.no_grad():
            model.unembed.W_U.copy_((1 + step) * first)
        write_checkpoint(folder / "checkpoints", model, optimizer, config, step, here)
    write_run_file(folder, model, TASK, config)
    with open_history(folder) as history:
        _fill(history)
    return folder


def _fill(history: History) -> None:
    for step in range(100):
        # One spike, of which the place is known.
        history.add(StepRecord(step, 8.0 if step == 60 else 2.0, 0.0, 1e-3, 1.0))


def unembedding_norm(model: HookedTransformer) -> float:
    return model.W_U.norm().item()


def test_numbers_stand_at_the_steps_they_were_measured_at(interpolated: Path):
    one = new_model().W_U.norm().item()
    found = over_checkpoints(interpolated, unembedding_norm)
    expected = torch.tensor([(1 + step) * one for step in STEPS])
    assert found.steps == STEPS
    assert found.result.dims == ("step",)
    torch.testing.assert_close(found.result.values, expected)
    # Two plausible mistakes give other answers: names sorted as text without their zeros, and order of writing.
    as_text = sorted(STEPS, key=str)
    as_written = sorted(STEPS, key=lambda step: (step + 3) % 7)
    for order in (as_text, as_written):
        wrong = torch.tensor([(1 + step) * one for step in order])
        assert not torch.allclose(wrong, found.result.values)
    assert [spike.step for spike in found.spikes] == [60]
    assert found.result.provenance["metric"] == "unembedding norm"
    frame = found.to_frame()
    assert frame["step"].tolist() == list(STEPS)
    # Before the first step there is no loss; after 2 steps the last is that of step 1.
    assert math.isnan(frame["loss"][0]) and frame["loss"][1:].tolist() == [2.0, 2.0, 2.0]


def test_arrays_and_results_keep_their_shape_and_labels(interpolated: Path, tmp_path: Path):
    rows = over_checkpoints(interpolated, lambda model: model.W_U[:2, :3], steps=[100, 2])
    assert (rows.result.dims, rows.steps) == (("step", "dim 0", "dim 1"), (2, 100))
    first = new_model().W_U[:2, :3].detach()
    torch.testing.assert_close(rows.result.values, torch.stack([3 * first, 101 * first]))

    def labelled(model: HookedTransformer) -> Result:
        return Result(
            model.W_U.norm(dim=0).detach(),
            ("word",),
            {"word": tuple("abcdef")},
            "norm",
            warnings=("careful",),
        )

    words = over_checkpoints(interpolated, labelled)
    assert words.result.coords["word"] == tuple("abcdef") and words.result.unit == "norm"
    assert words.result.warnings == ("careful",)
    torch.testing.assert_close(
        words.sel(word="c").result.values,
        torch.tensor([1.0, 3.0, 11.0, 101.0]) * new_model().W_U[:, 2].norm().item(),
    )
    words.save(tmp_path / "saved")
    again = Dynamics.load(tmp_path / "saved")
    assert again.result.coords == words.result.coords and again.history == words.history
    torch.testing.assert_close(again.result.values, words.result.values)
    with pytest.raises(InputError, match=r"^wanted labels of the measure; got a step; dynamics.result.sel"):
        words.sel(step=2)
    with pytest.raises(InputError, match=r"^wanted a whole folder of learning dynamics in "):
        Dynamics.load(tmp_path)


def test_what_does_not_fit_is_refused(interpolated: Path, tmp_path: Path):
    def refused(
        sentence: str, measure: Any = unembedding_norm, run: Path = interpolated, **more: Any
    ) -> None:
        with pytest.raises(InputError) as raised:
            over_checkpoints(run, measure, **more)
        assert str(raised.value).startswith(sentence)

    refused("wanted the folder of a run; got ", run=tmp_path)
    refused(
        f"wanted steps after which there is a checkpoint in {interpolated}: 0, 2, 10, 100; got 3, 50; ",
        steps=[50, 2, 3],
    )
    refused("wanted steps after which there is a checkpoint", steps=[])
    refused(
        "wanted a number, an array or a Result from the measure 'names'; got list; return one of these",
        measure=names,
    )
    refused(
        "wanted a measure among loss-by-position, head-kinds, weight-norms, attention-LAYER.HEAD; got 'weight-norm'; ",
        measure="weight-norm",
    )
    refused(
        "wanted a head of layers 0 to 1, heads 0 to 1; got 2.0; name it as LAYER.HEAD",
        measure="attention-2.0",
    )

    def grows(model: HookedTransformer) -> torch.Tensor:
        return torch.zeros(1 + (model.W_U.norm() > 50 * new_model().W_U.norm()).int().item())

    refused(
        "wanted at every checkpoint the same labels: {'dim 0': (0,)}; got {'dim 0': (0, 1)} at step-00000100",
        measure=grows,
    )
    shutil.copytree(interpolated, tmp_path / "torn")
    weights = list_checkpoints(tmp_path / "torn" / "checkpoints")[1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    refused("wanted a whole checkpoint in ", run=tmp_path / "torn")


def names(model: HookedTransformer) -> list[str]:
    return [name for name, _ in model.named_parameters()]


def test_the_ready_measures_are_what_they_say(tmp_path: Path):
    config = TrainConfig(
        steps=4,
        batch_size=4,
        lr=0.05,
        checkpoint_every=None,
        checkpoint_at=(0,),
        evaluate_every=4,
        evaluate_size=256,
    )
    run = train(new_model(), TASK, config, tmp_path / "run")
    losses = over_checkpoints(tmp_path / "run", "loss-by-position")
    # On the same held-out sequences as the run's own: every position is asked at equally often but the first.
    batch = TASK.held_out(256, config.seed)
    asked = (batch.targets >= 0).sum(0)
    weighted = (losses.result.values[-1] * asked[asked > 0]).sum() / asked.sum()
    assert weighted.item() == pytest.approx(run.history.held_out[-1].loss, rel=1e-5)
    assert losses.result.unit == "nats" and losses.steps == (0, 4)
    assert losses.result.values[1].mean() < losses.result.values[0].mean()

    norms = over_checkpoints(tmp_path / "run", "weight-norms", steps=[0]).sel(weight="unembed.W_U")
    assert norms.result.values.item() == pytest.approx(new_model().W_U.norm().item(), rel=1e-6)

    tokens = batch.tokens[:3]
    pattern = over_checkpoints(tmp_path / "run", measures.attention_pattern(1, 0, tokens))
    _, cache = run.model.run_with_cache(tokens)
    torch.testing.assert_close(pattern.result.values[1], cache["pattern", 1][:, 0].mean(0))
    torch.testing.assert_close(pattern.result.values.sum(-1), torch.ones(2, 5))
    assert pattern.result.dims == ("step", "query", "key")
    # The other head, or another layer, is another pattern.
    assert not torch.allclose(pattern.result.values[1], cache["pattern", 1][:, 1].mean(0), atol=1e-3)


def test_the_slider_shows_each_steps_own_values_and_the_loss_at_that_step(interpolated: Path, tmp_path: Path):
    found = over_checkpoints(interpolated, lambda model: model.W_U[:3, :3])
    figure = found.plot("Unembedding")
    n = len(STEPS)
    slider = figure.layout.sliders[0]
    assert [step.label for step in slider.steps] == [str(step) for step in STEPS]
    for index, step in enumerate(slider.steps):
        seen = [trace for trace, on in zip(figure.data, step.args[0]["visible"], strict=True) if on]
        # What was measured at that step, the line at it, the loss curve and its spike.
        assert len(seen) == 4
        torch.testing.assert_close(torch.tensor(seen[0].z, dtype=torch.float32), found.result.values[index])
        assert list(seen[1].x) == [STEPS[index]] * 2
        assert list(seen[2].y) == [record.loss for record in found.history]
        assert list(seen[3].x) == [60]
    # It begins at the last, and so do the traces.
    assert slider.active == n - 1
    assert [trace.visible for trace in figure.data[: 2 * n]] == 2 * ([False] * (n - 1) + [True])
    page = found.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert (
        '"sliders":[{' in page
        and "after step " in page
        and "http" not in page.split("<body>")[1].split("<script>")[0]
    )

    curve = over_checkpoints(interpolated, unembedding_norm).plot()
    assert list(curve.data[0].x) == list(STEPS) and not curve.layout.sliders
    assert curve.layout.xaxis.matches == "x2"
    assert json.loads(curve.to_json())["layout"]["yaxis2"]["type"] == "log"
    with pytest.raises(
        InputError, match=r"^wanted a number, a row or a matrix a step; got 3 dimensions a step"
    ):
        over_checkpoints(interpolated, lambda model: model.W_Q.flatten(0, 1)).plot()


def test_the_command_line_writes_a_page(
    interpolated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "norms.html"
    assert main(["dynamics", str(interpolated), "--measure", "weight-norms", "--out", str(page)]) == 0
    assert capsys.readouterr().out == f"4 checkpoints: {page}\n"
    assert "Weight norms over training" in page.read_text(encoding="utf-8")
    assert main(["dynamics", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: wanted the folder of a run; got ")
