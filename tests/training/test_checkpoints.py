from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.small import TASK, new_model, same_bits, short
from unweave.core.errors import InputError
from unweave.core.seeds import derive
from unweave.model.saved import load
from unweave.training import train
from unweave.training.checkpoints import list_checkpoints


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_there_is_one_every_few_steps_and_at_the_end(tmp_path: Path):
    run = train(new_model(), TASK, short(checkpoint_every=2), out=tmp_path)
    assert run.out == tmp_path
    assert names(tmp_path) == [
        "checkpoints",
        "held_out.jsonl",
        "history.jsonl",
        "model",
        "run.json",
        "times.jsonl",
    ]
    assert names(tmp_path / "checkpoints") == ["step-00000002", "step-00000004", "step-00000005"]
    assert [path.name for path in list_checkpoints(tmp_path / "checkpoints")] == names(
        tmp_path / "checkpoints"
    )


def test_each_is_the_model_after_that_many_steps(tmp_path: Path):
    run = train(new_model(), TASK, short(checkpoint_every=2), out=tmp_path)
    for step in (2, 4, 5):
        stopped_there = train(new_model(), TASK, short(steps=step)).model
        assert same_bits(load(tmp_path / "checkpoints" / f"step-{step:08d}"), stopped_there)
    assert same_bits(load(tmp_path / "model"), run.model)


def test_the_state_of_the_optimiser_lies_beside_it(tmp_path: Path):
    model = new_model(dtype="float64")
    train(model, TASK, short(steps=1, max_grad_norm=None), out=tmp_path)
    folder = tmp_path / "checkpoints" / "step-00000001"
    moments = load_file(folder / "optimizer.safetensors")
    # After one step the moments are (1 - beta) times the gradient and its square.
    model.zero_grad()
    batch = TASK.batch(8, derive(0, "train", 0))
    TASK.loss(model(batch.tokens), batch).backward()
    for index, parameter in enumerate(model.parameters()):
        torch.testing.assert_close(moments[f"{index}.exp_avg"], 0.1 * parameter.grad)
        torch.testing.assert_close(moments[f"{index}.exp_avg_sq"], 0.05 * parameter.grad**2)
        assert moments[f"{index}.step"].item() == 1


def test_the_step_and_the_config_lie_beside_it(tmp_path: Path):
    config = short(steps=3)
    train(new_model(), TASK, config, out=tmp_path)
    written = json.loads((tmp_path / "checkpoints" / "step-00000003" / "training.json").read_text())
    assert (written["step"], written["config"]) == (3, config.to_dict())
    assert written["surroundings"]["threads"] == torch.get_num_threads()


def test_a_failure_while_writing_leaves_the_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from unweave.training import checkpoints

    write = checkpoints.write_files

    def fail_later(model: object, folder: Path) -> None:
        write(model, folder)
        if "00000004" in folder.name:
            raise OSError("no space left")

    monkeypatch.setattr(checkpoints, "write_files", fail_later)
    with pytest.raises(OSError, match="no space"):
        train(new_model(), TASK, short(checkpoint_every=2), out=tmp_path)
    assert names(tmp_path / "checkpoints") == ["step-00000002"]
    assert load(tmp_path / "checkpoints" / "step-00000002").cfg.n_layers == 2


def test_what_an_earlier_longer_run_left_is_cleared(tmp_path: Path):
    train(new_model(), TASK, short(), out=tmp_path)
    (tmp_path / "notes.md").write_text("mine")
    (tmp_path / "checkpoints" / "best").mkdir()

    def stop(step: int) -> float:
        assert names(tmp_path / "checkpoints") == ["best"]
        assert not (tmp_path / "model").exists()
        return 1.0

    train(new_model(), TASK, short(steps=1, schedule=stop), out=tmp_path)
    assert names(tmp_path / "checkpoints") == ["best", "step-00000001"]
    assert (tmp_path / "notes.md").read_text() == "mine"


def test_a_model_folder_that_is_not_ours_is_refused_before_anything_happens(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").write_text("mine")
    (tmp_path / "history.jsonl").write_text("earlier")
    with pytest.raises(
        InputError, match=r"^wanted a new folder, or one that holds nothing but a saved model;"
    ):
        train(new_model(), TASK, short(), out=tmp_path)
    assert (tmp_path / "model" / "thesis.tex").read_text() == "mine"
    assert (tmp_path / "history.jsonl").read_text() == "earlier"


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError, match=r"^wanted a folder for the run; got .*/run, where run is a file;"):
        train(new_model(), TASK, short(), out=tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"
