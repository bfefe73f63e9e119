"""LEACE against its defining property, and against the least change found in another way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to
from tests.planted.loaded import exact
from unweave import Site, intervene
from unweave.analysis.erasure import Eraser, erase, leace
from unweave.analysis.linear import fit_logistic, fit_ridge
from unweave.core.errors import InputError

N, D = 400, 6


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def concept_data(n_classes: int = 3) -> tuple[Tensor, Tensor]:
    """Correlated features of very different sizes, whose means depend on the class."""
    z = torch.arange(N) % n_classes
    mixed = normal(N, D) @ normal(D, D, seed=1) * torch.tensor([9.0, 3.0, 1.0, 0.5, 0.2, 0.05])
    return mixed + normal(n_classes, D, seed=2)[z] + 4.0, z


def crossed(x: Tensor, z: Tensor) -> Tensor:
    coded = torch.nn.functional.one_hot(z).double() if not z.is_floating_point() else z.reshape(len(z), -1)
    return (x - x.mean(0)).T @ (coded - coded.mean(0)) / len(x)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_no_covariance_is_left_and_no_probe_beats_a_constant(n_classes: int):
    x, z = concept_data(n_classes)
    eraser = leace(x, z)
    erased = eraser(x)
    assert crossed(x, z).abs().max() > 0.1
    assert crossed(erased, z).abs().max() < 1e-12
    assert eraser.rank == n_classes - 1
    # Of a convex loss without penalty, zero weights are then the optimum: the fit can't move from there.
    fitted = fit_logistic(erased, z, n_classes, penalty=0.0)
    assert (fitted.weight - fitted.weight.mean(1, keepdim=True)).abs().max() < 1e-5
    majority = (z == z.mode().values).double().mean()
    assert (fitted(erased).argmax(-1) == z).double().mean() <= majority + 1e-9
    assert (fit_logistic(x, z, n_classes)(x).argmax(-1) == z).double().mean() > majority + 0.1


def test_numbers_are_erased_too():
    x, y = concept_data()[0], normal(N, 2, seed=5)
    x = x + y @ normal(2, D, seed=6)
    erased = leace(x, y)(x)
    assert crossed(erased, y).abs().max() < 1e-12
    fitted = fit_ridge(erased, y, 1e-6)(erased)
    assert (fitted - y.mean(0)).abs().max() < 1e-6
    assert fit_ridge(x, y, 1e-6)(x).std() > 0.3


def test_no_projection_changes_less():
    """The least change in closed form by Lagrange's multipliers: x - S (S' C⁻¹ S)⁻¹ S' C⁻¹ (x - mean)."""
    x, z = concept_data()
    eraser, cross = leace(x, z), crossed(*concept_data())[:, :2]
    inverse = torch.linalg.inv((x - x.mean(0)).T @ (x - x.mean(0)) / N)
    wanted = cross @ torch.linalg.inv(cross.T @ inverse @ cross) @ cross.T @ inverse
    assert_equal_to(1e-9, eraser.removed, wanted)
    # The usual mistake projects the same directions out at right angles: that erases too, and changes more.
    q = torch.linalg.qr(cross).Q
    straight = x - (x - x.mean(0)) @ q @ q.T
    assert crossed(straight, z).abs().max() < 1e-12
    assert (straight - x).pow(2).mean() > 1.05 * (eraser(x) - x).pow(2).mean()
    # Another projects out the weights of a probe, which doesn't erase.
    weight = torch.linalg.qr(fit_logistic(x, z, 3).weight[:, :2]).Q
    nulled = x - (x - x.mean(0)) @ weight @ weight.T
    assert crossed(nulled, z).abs().max() > 0.01
    # And whitening the wrong way round (W P W⁺) doesn't either.
    assert crossed(x - (x - x.mean(0)) @ eraser.removed, z).abs().max() > 0.01


def test_it_is_a_projection_and_directions_without_variance_stay():
    x, z = concept_data()
    flat = torch.cat([x, torch.full((N, 1), 7.0, dtype=torch.float64), x[:, :1] * 2], 1)
    eraser = leace(flat, z)
    assert_equal_to(1e-8, eraser(eraser(flat)), eraser(flat))
    assert_equal_to(1e-12, eraser(flat)[:, 6], flat[:, 6])
    assert crossed(eraser(flat), z).abs().max() < 1e-9


def test_a_turned_basis_changes_nothing():
    x, z = concept_data()
    turned = torch.linalg.qr(normal(D, D, seed=3)).Q * torch.tensor([1.0, 2, 1, 5, 1, 0.3])
    assert_equal_to(1e-8, leace(x @ turned, z)(x @ turned), leace(x, z)(x) @ turned)


def test_saved_and_opened_again(tmp_path: Path):
    x, z = concept_data()
    eraser = leace(x, z)
    eraser.save(tmp_path / "eraser.safetensors")
    assert torch.equal(Eraser.load(tmp_path / "eraser.safetensors")(x), eraser(x))
    (tmp_path / "other").write_text("no")
    with pytest.raises(InputError, match="wanted an eraser in"):
        Eraser.load(tmp_path / "other")


def test_erasing_what_a_planted_head_moves_silences_it():
    """previous-token: the token that its head wrote is erased, and every position says one and the same."""
    loaded = exact("previous-token")
    tokens, site = loaded.inputs(4), Site("attn_out", 0, pos=slice(2, None))
    labels = tokens.roll(1, 1)
    found = erase(loaded.model, tokens, labels, site, held_out=0.4, draws=1)
    scores = {
        at: dict(
            zip(found.result.coords["score"], found.result.sel(activations=at).values.tolist(), strict=True)
        )
        for at in ("as they are", "erased")
    }
    assert scores["as they are"]["held-out"] == 1.0
    assert scores["erased"]["held-out"] <= scores["erased"]["majority"] + 0.1
    clean = loaded.model(tokens)[:, 2:]
    logits = intervene(loaded.model, tokens, found.intervention).logits[:, 2:]
    right = labels[:, 2:, None]
    assert clean.gather(-1, right).min() > 9.9
    assert (logits.argmax(-1) == labels[:, 2:]).double().mean() < 0.5
    # The tokens themselves, in other directions, are left alone.
    kept = intervene(loaded.model, tokens, found.eraser.at(Site("attn_out", 0, pos=slice(0, 1))))
    assert torch.equal(kept.logits[:, 2:], clean)


def test_it_says_where_it_was_made_from_little():
    loaded = exact("previous-token")
    tokens = loaded.inputs(2)
    found = erase(loaded.model, tokens, tokens[:, 1], Site("resid_post", 0, pos=2), draws=1)
    assert any("items in" in text and "can remain" in text for text in found.result.warnings)


def test_what_is_refused():
    x, z = concept_data()
    with pytest.raises(InputError, match="wanted a concept that varies"):
        leace(x, torch.zeros(N, dtype=torch.int64))
    with pytest.raises(InputError, match="wanted 400 classes"):
        leace(x, z[:5])
    loaded = exact("previous-token")
    tokens = loaded.inputs(2)
    with pytest.raises(InputError, match="wanted a whole site in one layer"):
        erase(loaded.model, tokens, tokens[:, 1], Site("resid_post", 0, neuron=[1, 2]))
