"""An ensemble's members are the runs that each would be by itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from tests.training.small import TASK, new_model, same_bits, short
from unweave.cli.main import main
from unweave.core.errors import InputError
from unweave.core.hook_point import HookPoint
from unweave.model.saved import load
from unweave.tasks import Batch, Brackets, Induction, MarkovChains, ModularArithmetic
from unweave.training import (
    Constant,
    Cosine,
    LinearWarmup,
    Product,
    RunConfig,
    TrainingDiverged,
    train,
    train_ensemble,
)
from unweave.training.checkpoints import list_checkpoints
from unweave.training.ensembles import loop, step
from unweave.training.ensembles.adamw import StackedAdamW
from unweave.training.ensembles.stack import no_fallback
from unweave.training.history import read_held_out, read_history
from unweave.training.progress import Progress


def run_of(seed: int = 0, fields: dict[str, Any] | None = None, **training: Any) -> RunConfig:
    cfg = new_model(**{"n_layers": 1, **(fields or {}), "seed": seed}).cfg
    return RunConfig(TASK, cfg, short(**{"seed": seed, "steps": 8, **training}))


def unlike(fields: dict[str, Any] | None = None, **shared: Any) -> list[RunConfig]:
    """Three runs that differ in all that members may differ in; clipping bites in the first two."""
    return [
        run_of(0, fields, **shared, lr=3e-2, max_grad_norm=0.3, schedule=Product(LinearWarmup(3), Cosine(8))),
        run_of(
            5, fields, **shared, betas=(0.5, 0.9), weight_decay=0.9, max_grad_norm=0.1, schedule=Constant()
        ),
        run_of(9, fields, **shared, lr=3e-3, eps=1e-3, weight_decay=0.0, max_grad_norm=None),
    ]


def solo_losses(runs: Sequence[RunConfig]) -> Tensor:
    histories = [train(run.build(), run.task, run.training).history for run in runs]
    return torch.tensor([[record.loss for record in history] for history in histories], dtype=torch.float64)


def apart(runs: Sequence[RunConfig]) -> float:
    """How far an ensemble's losses are from those of its runs one by one, of the largest."""
    wanted = solo_losses(runs)
    return float((train_ensemble(runs).losses - wanted).abs().max() / wanted.abs().max())


SHAPES: dict[str, dict[str, Any]] = {
    "attention only, no norm": {"attn_only": True, "normalization_type": None, "n_layers": 2},
    "learned positions, LN": {"positional_embedding_type": "standard"},
    "rotary, RMS, gated MLP": {
        "positional_embedding_type": "rotary", "normalization_type": "RMS", "gated_mlp": True, "act_fn": "silu",
    },
    "ALiBi, LNPre, two layers": {"positional_embedding_type": "alibi", "normalization_type": "LNPre", "n_layers": 2},
    "T5's bias, RMSPre": {
        "positional_embedding_type": "relative_positional_bias", "normalization_type": "RMSPre",
        "relative_attention_num_buckets": 4, "relative_attention_max_distance": 5,
    },
    "sinusoidal, tied": {"positional_embedding_type": "sinusoidal", "tie_word_embeddings": True},
    "shortformer, norms after": {"positional_embedding_type": "shortformer", "norm_position": "after"},
    "grouped keys, a norm on queries and keys": {"n_key_value_heads": 1, "use_qk_norm": True},
    "soft-caps": {"attn_scores_soft_cap": 2.0, "output_logits_soft_cap": 3.0, "logit_multiplier": 2.0},
    "a window, parallel, biases off": {
        "use_local_attn": True, "window_size": 3, "attn_types": ["local"], "parallel_attn_mlp": True,
        "without_biases": ["b_Q", "b_U"],
    },
    "norms on the stream, SoLU": {"norm_position": "stream", "act_fn": "solu_ln"},
}  # fmt: skip


@pytest.mark.parametrize("fields", SHAPES.values(), ids=SHAPES.keys())
def test_each_member_has_the_losses_of_its_run_by_itself(fields: dict[str, Any]):
    assert apart(unlike(fields)) <= 1e-4


def test_in_float64_the_whole_record_and_the_weights_are_those_of_the_runs_by_themselves():
    runs = unlike({"dtype": "float64"}, evaluate_every=3, evaluate_size=20)
    ensemble = train_ensemble(runs)
    for run, member in zip(runs, ensemble, strict=True):
        alone = train(run.build(), run.task, run.training)
        for got, wanted in zip(member.history, alone.history, strict=True):
            assert vars(got) == pytest.approx(vars(wanted), rel=1e-9)
        assert [vars(held) for held in member.history.held_out] == [
            pytest.approx(vars(held), rel=1e-6) for held in alone.history.held_out
        ]
        assert [held.step for held in member.history.held_out] == [3, 6, 8]
        for name, weight in alone.model.named_parameters():
            # The gradient of keys' biases is zero but for noise, which Adam makes into steps.
            scale = 1e-3 if name.endswith("b_K") else float(weight.detach().abs().max())
            got = member.model.get_parameter(name)
            assert (got - weight).abs().max() <= 1e-7 * scale, name


def test_products_in_bf16_are_those_of_the_runs_by_themselves_but_for_their_roundings():
    # Of three digits that bf16 has: biases are added before rounding in one, after it in the other.
    runs = unlike({"d_model": 32}, precision="bf16")
    assert apart([replace(run, training=replace(run.training, steps=1)) for run in runs]) <= 1e-4
    assert apart(runs) <= 1e-2


@pytest.mark.parametrize(
    "tasks",
    [
        [Induction(d_vocab=16, n_ctx=10)] * 2,
        # Each with a part of its own set aside, and its own table of chances.
        [ModularArithmetic(p=5, split_seed=seed) for seed in (0, 1)],
        [MarkovChains(d_vocab=3, n_ctx=8)] * 2,
    ],
    ids=["targets that are ignored", "a split of one's own", "chains"],
)
def test_other_tasks(tasks: list[Any]):
    runs: list[RunConfig] = []
    for seed, task in enumerate(tasks):
        sizes = {"d_vocab": task.d_vocab, "d_vocab_out": task.d_vocab_out, "n_ctx": task.n_ctx}
        runs.append(RunConfig(task, new_model(n_layers=1, seed=seed, **sizes).cfg, short(seed=seed)))
    assert apart(runs) <= 1e-4


# Mistakes that are easily made: each must show in the losses.


def clipped_together(self: StackedAdamW, gradient: Tensor) -> Tensor:
    norm = gradient.norm()
    gradient.mul_((self._most / (norm + 1e-6)).clamp_max_(1.0))
    return norm.expand(len(gradient))


def one_rate(self: StackedAdamW, gradient: Tensor, lrs: Sequence[float]) -> None:
    RIGHT(self, gradient, [lrs[0]] * len(lrs))


def coupled_decay(self: StackedAdamW, gradient: Tensor, lrs: Sequence[float]) -> None:
    decays = torch.tensor([config.weight_decay for config in self.configs])[:, None]
    self.configs = tuple(replace(config, weight_decay=0.0) for config in self.configs)
    RIGHT(self, gradient + decays * self.weights, lrs)


def drawn_once(runs: Sequence[RunConfig], step: int, device: torch.device) -> Batch:
    return DRAWN([runs[0]] * len(runs), step, device)


RIGHT, DRAWN = StackedAdamW.step, step.drawn


@pytest.mark.parametrize(
    ("owner", "name", "mistaken"),
    [
        (StackedAdamW, "clip", clipped_together),
        (StackedAdamW, "step", one_rate),
        (StackedAdamW, "step", coupled_decay),
        (loop, "drawn", drawn_once),
    ],
    ids=["clipped by the norm of all", "one learning rate", "decay in the gradient", "one stream of data"],
)
def test_a_mistake_shows(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, mistaken: object):
    monkeypatch.setattr(owner, name, mistaken)
    assert apart(unlike()) > 1e-3


def test_nothing_is_run_in_a_loop_over_members():
    query = torch.randn(2, 3, 1, 4, 8)
    with no_fallback(), pytest.raises(RuntimeError, match="vmap fallback"):
        vmap(lambda q: F.scaled_dot_product_attention(q, q, q))(query)
    # The switch is put back as it was.
    with pytest.warns(UserWarning, match="performance drop"):
        vmap(lambda q: F.scaled_dot_product_attention(q, q, q))(query)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"num_experts": 2, "experts_per_token": 1, "gated_mlp": True}, "vmap"),
        ({"act_fn": lambda x: F.dropout(x, 0.1)}, "random"),
        ({"act_fn": lambda x: F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None])[:, 0]}, "fallback"),
    ],
    ids=["experts", "dropout", "no rule for batches"],
)  # fmt: skip
def test_what_cannot_be_batched_is_refused(fields: dict[str, Any], sentence: str):
    with pytest.raises(
        InputError,
        match=rf"^wanted a model whose every operation torch.func can batch .*{sentence}.*one by one",
    ):
        train_ensemble([run_of(seed, fields) for seed in (0, 1)])


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            run_of(1, {"d_model": 24, "n_heads": 2}),
            "wanted members of one shape: model's d_model 16, model's d_mlp 64 as in member 0; got model's d_model 24, "
            "model's d_mlp 96 in member 1; train each shape as an ensemble of its own; members may differ in model's "
            "init_mode, initializer_range, seed; training's betas, ",
        ),
        (run_of(1, steps=9), "wanted members of one shape: training's steps 8 as in member 0; got training's steps 9"),
        (run_of(1, batch_size=9), "wanted members of one shape: training's batch_size 8 as in member 0"),
        (run_of(1, precision="bf16"), "wanted members of one shape: training's precision 'fp32' as in member 0"),
        (
            RunConfig(Brackets(length=4), new_model(d_vocab=4, d_vocab_out=2).cfg, short(steps=8)),
            "wanted members of one shape: task's name 'previous-token', task's d_vocab 12",
        ),
    ],
)  # fmt: skip
def test_other_shapes_are_refused_with_the_fields_that_differ(other: RunConfig, sentence: str):
    with pytest.raises(InputError) as raised:
        train_ensemble([run_of(), other])
    assert str(raised.value).startswith(sentence)


def test_what_is_no_ensemble_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"^wanted at least one RunConfig; got none; write RunConfig\(task"):
        train_ensemble([])
    with pytest.raises(InputError, match=r"^wanted accumulate=1 in an ensemble, .*got 2; set a smaller"):
        train_ensemble([run_of(accumulate=2)])
    with pytest.raises(InputError, match=r"^wanted a model with d_vocab = d_vocab_out = 12"):
        train_ensemble([run_of(0, {"d_vocab": 13, "d_vocab_out": 13})])
    with pytest.raises(InputError, match=r"got 3 and seed=None; set seed in HookedTransformerConfig"):
        RunConfig(TASK, new_model(seed=None).cfg, short()).over_seeds(3)


def test_members_are_ordinary_runs(tmp_path: Path):
    runs = run_of(0, checkpoint_every=4, evaluate_every=4).over_seeds(2)
    ensemble = train_ensemble(runs, out=tmp_path)
    assert len(ensemble) == 2 and ensemble.losses.shape == (2, 8) and not ensemble.diverged
    for member, run in zip(ensemble, runs, strict=True):
        folder = member.out
        assert folder is not None
        assert RunConfig.read(folder) == run
        assert read_history(folder / "history.jsonl") == list(member.history)
        assert read_held_out(folder / "held_out.jsonl") == member.history.held_out
        assert Progress.read(folder).done
        assert main(["watch", str(folder)]) == 0
        # It warns that five steps of warmup and three more are few, or of nothing.
        assert main(["doctor", str(folder)]) in (0, 1)
        opened = load(folder / "model")
        assert same_bits(opened, member.model)
        logits, cache = opened.run_with_cache(TASK.batch(2, 0).tokens)
        assert logits.shape == (2, 6, 12) and cache["pattern", 0].shape == (2, 2, 6, 6)
        steps = list_checkpoints(folder / "checkpoints")
        assert [path.name for path in steps] == ["step-00000004", "step-00000008"]
        assert same_bits(load(steps[1]), opened) and not same_bits(load(steps[0]), opened)


def test_a_member_goes_on_by_itself_where_told_that_roundings_differ(tmp_path: Path):
    run = run_of(0, checkpoint_every=4)
    train_ensemble(run.over_seeds(2), out=tmp_path)
    longer, folder = replace(run.training, steps=12), tmp_path / "member-0"
    with pytest.raises(
        InputError,
        match=r"^wanted members 2, .*got members 1; train 2 at once: train_ensemble, unweave train --seeds 2",
    ):
        train(run.build(), TASK, longer, out=folder, resume=True)
    alone = train(run.build(), TASK, longer, out=folder, resume=True, exact=False)
    wanted = train(run.build(), TASK, longer)
    # Its optimiser went with it.
    assert [r.loss for r in alone.history] == pytest.approx([r.loss for r in wanted.history], rel=1e-4)


def test_resumed_it_is_to_the_bit_the_ensemble_that_nothing_stopped(tmp_path: Path):
    runs = unlike(steps=5, checkpoint_every=2, checkpoint_at=(0,), evaluate_every=2)[:2]
    whole = train_ensemble(runs, out=tmp_path / "whole")
    cut = tmp_path / "cut"
    train_ensemble(runs, out=cut)
    for folder in sorted(cut.glob("member-*")):
        checkpoints = list_checkpoints(folder / "checkpoints")
        # As if it was killed between two members' checkpoints: the last that all have is step 2's.
        for path in checkpoints[3 if folder.name == "member-0" else 2 :]:
            (path / "hashes.json").unlink()
            path.rename(path.with_name("." + path.name + ".part"))
    resumed = train_ensemble(runs, out=cut, resume=True)
    for one, two, folder in zip(whole, resumed, sorted(cut.glob("member-*")), strict=True):
        assert same_bits(one.model, two.model)
        for name in ("history.jsonl", "held_out.jsonl", "run.json", "model/model.safetensors"):
            assert (folder / name).read_bytes() == (tmp_path / "whole" / folder.name / name).read_bytes()


def test_with_other_members_it_is_not_resumed(tmp_path: Path):
    runs = run_of().over_seeds(3)
    train_ensemble(runs, out=tmp_path)
    with pytest.raises(
        InputError, match=r"^wanted a folder for an ensemble of 2; got .*member-2 is another run"
    ):
        train_ensemble(runs[:2], out=tmp_path, resume=True)
    with pytest.raises(
        InputError, match=r"^wanted training's seed 0, with which the run in this folder was begun"
    ):
        train_ensemble(run_of(1).over_seeds(3), out=tmp_path, resume=True)


def test_one_that_diverges_stops_and_the_others_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    wild = run_of(0, lr=1.0, schedule=lambda step: 1e37 if step == 1 else 1.0)
    calm = run_of(1, schedule=LinearWarmup(3))
    with caplog.at_level(logging.WARNING, logger="unweave"):
        ensemble = train_ensemble([wild, calm], out=tmp_path)
    assert list(ensemble.diverged) == [0]
    assert "lower the learning rate, or clip gradients" in ensemble.diverged[0]
    assert "member 0 stopped at step" in caplog.text
    assert 1 <= len(ensemble[0].history) < 8 and len(ensemble[1].history) == 8
    assert bool(ensemble.losses[0].isnan().any()) and not bool(ensemble.losses[1].isnan().any())
    assert not (tmp_path / "member-0" / "model").exists() and (tmp_path / "member-1" / "model").exists()
    assert ensemble.losses[1].tolist() == pytest.approx(solo_losses([calm])[0].tolist(), rel=1e-4)
    with pytest.raises(TrainingDiverged, match=r"^no member is left: in the last the (loss|gradient)"):
        train_ensemble([wild, wild])


def test_one_whose_held_out_loss_is_no_number_stops_and_the_others_go_on():
    wild = run_of(0, lr=1e20, schedule=Constant(), evaluate_every=1, evaluate_size=8)
    calm = run_of(1, schedule=LinearWarmup(3), evaluate_every=1, evaluate_size=8)
    ensemble = train_ensemble([wild, calm])
    assert list(ensemble.diverged) == [0]
    assert "the held-out loss became" in ensemble.diverged[0]
    assert len(ensemble[1].history) == 8


def test_resuming_without_a_common_checkpoint_loses_nobodys_work(tmp_path: Path):
    wild = run_of(0, lr=1.0, schedule=lambda step: 1e37 if step == 1 else 1.0)
    calm = run_of(1, schedule=LinearWarmup(3))
    train_ensemble([wild, calm], out=tmp_path)
    held = (tmp_path / "member-1" / "history.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"checkpoint that every member has.*none in member-0"):
        train_ensemble([wild, calm], out=tmp_path, resume=True)
    assert (tmp_path / "member-1" / "history.jsonl").read_bytes() == held
    assert (tmp_path / "member-1" / "model").exists()


def test_ctrl_c_keeps_every_member(tmp_path: Path):
    import signal

    def stopping(step: int) -> float:
        if step == 2:
            signal.raise_signal(signal.SIGINT)
        return 1.0

    with pytest.raises(KeyboardInterrupt, match=r"^stopped after 3 of 8 steps; the models so far are in "):
        train_ensemble([run_of(0, schedule=stopping), run_of(1)], out=tmp_path)
    for number in (0, 1):
        assert [p.name for p in list_checkpoints(tmp_path / f"member-{number}" / "checkpoints")] == [
            "step-00000003"
        ]


def test_hooks_that_edit_work_under_vmap():
    models = [new_model(seed=seed) for seed in (0, 1)]
    tokens = TASK.batch(3, 0).tokens

    def halved(z: Tensor, *, hook: HookPoint) -> Tensor:
        return z * 0.5

    wanted = [model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", halved)]) for model in models]
    weights, buffers = stack_module_state(models)
    with models[0].hooks(fwd_hooks=[("blocks.0.attn.hook_z", halved)]), no_fallback():
        got = vmap(lambda w, b: functional_call(models[0], (w, b), (tokens,)))(weights, buffers)
    for one, two in zip(got, wanted, strict=True):
        assert (one - two).abs().max() <= 1e-5 * two.abs().max()


def test_weights_of_the_config_are_left_to_the_members():
    # Each begins as its config says, and the global random state is left alone.
    before = torch.get_rng_state()
    ensemble = train_ensemble(run_of(3, steps=1, schedule=lambda step: 0.0).over_seeds(2))
    assert same_bits(ensemble[1].model, new_model(n_layers=1, seed=4))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_command_trains_seeds_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    import json

    path, out = tmp_path / "config.json", tmp_path / "out"
    path.write_text(json.dumps(run_of(2, steps=3).to_dict()))
    assert main(["train", str(path), "--out", str(out), "--seeds", "2"]) == 0
    assert capsys.readouterr().out.count("nats after 3 steps") == 2
    assert RunConfig.read(out / "member-1").training.seed == 3
    assert main(["train", str(path), "--out", str(out), "--seeds", "2"]) == 2
    assert "which holds a run; add --resume" in capsys.readouterr().err
    assert main(["train", str(path), "--out", str(out), "--seeds", "2", "--resume"]) == 0
    assert main(["train", str(path), "--out", str(tmp_path / "b"), "--seeds", "2", "--track", "wandb"]) == 2
    assert "wanted no --track with --seeds" in capsys.readouterr().err
