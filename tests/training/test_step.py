"""Five steps against the loop that anyone would write: full logits, LambdaLR, torch's own AdamW."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.training.small import TASK, new_model, short
from unweave.core.seeds import derive
from unweave.model.transformer import HookedTransformer
from unweave.training import TrainConfig, train


def naive(model: HookedTransformer, config: TrainConfig) -> dict[str, list[float]]:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, betas=(0.9, 0.95), weight_decay=0.1, fused=False, foreach=False
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / 3, 1))
    rows: dict[str, list[float]] = {"loss": [], "accuracy": [], "lr": [], "grad_norm": []}
    for step in range(config.steps):
        tokens = TASK.batch(config.batch_size, derive(config.seed, "train", step)).tokens
        logits, targets = model(tokens)[:, 1:].reshape(-1, 12), tokens[:, :-1].reshape(-1)
        loss = F.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm or float("inf"))
        rows["loss"].append(loss.item())
        rows["accuracy"].append((logits.argmax(1) == targets).double().mean().item())
        rows["lr"].append(scheduler.get_last_lr()[0])
        rows["grad_norm"].append(norm.item())
        optimizer.step()
        scheduler.step()
    return rows


# In float64, since the keys' biases, whose gradient is zero but for noise, follow the noise.
@pytest.mark.parametrize("max_grad_norm", [0.5, None])
@pytest.mark.parametrize(("positions", "norm"), [("none", "LN"), ("standard", None)])
def test_history_and_parameters(max_grad_norm: float | None, positions: str, norm: str | None):
    fields = {"dtype": "float64", "positional_embedding_type": positions, "normalization_type": norm}
    theirs, ours, config = new_model(**fields), new_model(**fields), short(max_grad_norm=max_grad_norm)
    wanted = naive(theirs, config)
    assert min(wanted["grad_norm"]) > 0.5, "the clipping must bite"
    run = train(ours, TASK, config)
    assert run.model is ours
    assert [record.step for record in run.history] == [0, 1, 2, 3, 4]
    for field, values in wanted.items():
        assert [getattr(record, field) for record in run.history] == pytest.approx(values, rel=1e-5), field
    for name, parameter in theirs.named_parameters():
        got = dict(ours.named_parameters())[name]
        scale = 1e-3 if name.endswith("b_K") else parameter.abs().max()
        assert (got - parameter).abs().max() <= 1e-5 * scale, name


@pytest.mark.parametrize(
    "fields", [{"output_logits_soft_cap": 1.0}, {"logit_multiplier": 3.0}, {"tie_word_embeddings": True}]
)
def test_what_is_done_to_logits_is_trained_through(fields: dict[str, object]):
    config = short()
    wanted = naive(new_model(dtype="float64", **fields), config)
    history = train(new_model(dtype="float64", **fields), TASK, config).history
    for name in ("loss", "accuracy", "grad_norm"):
        assert [getattr(record, name) for record in history] == pytest.approx(wanted[name], rel=1e-5), name


def test_losses_in_float32():
    config = short(steps=10)
    wanted = naive(new_model(), config)["loss"]
    got = [record.loss for record in train(new_model(), TASK, config).history]
    assert got == pytest.approx(wanted, rel=1e-5)


def test_the_first_step_of_a_warmup_moves_nothing():
    model, before = new_model(), new_model()
    train(model, TASK, short(steps=1))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))


def test_hooks_of_the_user_are_on_while_it_trains():
    model, seen = new_model(), []
    model.hook_dict["blocks.1.hook_resid_post"].add_hook(lambda x, hook: seen.append(x.shape))
    train(model, TASK, short(steps=2))
    assert seen == [(8, 6, 16)] * 2
