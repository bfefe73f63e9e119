"""Direct effect against ablation: a planted backup is seen, and a head without one is not accused."""

from __future__ import annotations

import pytest
import torch

from tests.model.small import assert_equal_to, small_model, small_tokens
from tests.planted.loaded import exact
from unweave.analysis import direct_logit_attribution, self_repair
from unweave.core.errors import InputError


def effects(name: str, component: str) -> list[float]:
    loaded = exact(name)
    assert loaded.contrast is not None
    tokens, at = loaded.contrast.clean, loaded.contrast.position
    answer = int(loaded.algorithm(tokens)[0, at])
    wrong = next(t for t in range(1, 5) if t != answer)
    return self_repair(loaded.model, tokens, answer, wrong, pos=at).sel(component=component).values.tolist()


def test_a_backup_repairs_all_of_it():
    direct, total, repair = effects("backup", "L0H0")
    assert direct == pytest.approx(10.0)
    assert total == pytest.approx(0.0, abs=1e-6)
    assert repair == pytest.approx(direct)
    loaded = exact("backup")
    assert loaded.contrast is not None
    clean = loaded.contrast.clean
    found = self_repair(loaded.model, clean, 3, 1, pos=loaded.contrast.position)
    # Whoever takes the share for importance believes that all hangs on this head.
    share = direct_logit_attribution(loaded.model, clean, 3, 1, pos=loaded.contrast.position, by="head")
    assert_equal_to(
        1e-9, share.sel(component="L0H0").values, found.sel(effect="direct", component="L0H0").values
    )
    if found.sel(effect="direct", component="L0H0").values.abs() > 1:
        assert any("L0H0" in text and "self-repair" in text for text in found.warnings)


def test_without_a_backup_nothing_is_repaired():
    direct, total, repair = effects("previous-token", "L0H0")
    assert direct == pytest.approx(10.0)
    assert total == pytest.approx(10.0)
    assert repair == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_the_last_mlp_is_repaired_by_the_norm_alone(kind: str):
    """Nothing comes after it but the final norm: total is the same change, normed anew."""
    model, tokens = small_model(dtype="float64", act_fn="gelu"), small_tokens(5)
    found = self_repair(model, tokens, 3, 4, kind=kind, pos=-2)
    cache = model.run_with_cache(tokens)[1]
    final, written = cache["resid_post", 1][:, -2], cache["mlp_out", 1][:, -2]
    change = written - (written.mean(0) if kind == "mean" else 0.0)
    direction = model.W_U[:, 3] - model.W_U[:, 4]

    def read(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(-1, keepdim=True)) / scale * model.ln_final.w @ direction

    def scale(x: torch.Tensor) -> torch.Tensor:
        return (x.var(-1, correction=0, keepdim=True) + model.cfg.eps).sqrt()

    direct = read(change, scale(final))
    total = read(final, scale(final)) - read(final - change, scale(final - change))
    assert found.per_sample is not None
    last = found.sel(component="1_mlp_out").per_sample
    assert_equal_to(1e-9, last, torch.stack([direct, total, direct - total]).detach())
    # An earlier part's total has later parts' reactions in it: it isn't the direct one.
    early = found.sel(component="L0H0").values
    assert (early[0] - early[1]).abs() > 1e-3


def test_what_is_refused():
    with pytest.raises(InputError, match="kind"):
        self_repair(small_model(), small_tokens(), 1, 2, kind="resample")
