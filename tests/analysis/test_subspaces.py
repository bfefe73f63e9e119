"""Subspace patching on a model that is made so that the illusion happens, and on one where it doesn't."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.analysis.models import assert_equal, put, random_model, random_tokens, zeroed_model
from unweave.analysis.subspaces import patch_subspace
from unweave.core.errors import InputError
from unweave.engine.metrics import LogitDifference
from unweave.engine.site import Site
from unweave.model.transformer import HookedTransformer

POST = Site("post", layer=0, pos=-1)
BASE, SOURCE = torch.tensor([[0, 1]]), torch.tensor([[0, 2]])
METRIC = LogitDifference(right=1, wrong=0)


def with_a_dormant_direction() -> HookedTransformer:
    """Three neurons at token 1 | 2: one that tells them apart and that nothing reads (0 | 4), one that is read and always
    1, one that tells them apart and is read (3 | 2).
    """
    model = zeroed_model(n_layers=1, d_model=4, d_head=2, n_heads=1, d_mlp=3, d_vocab=3, n_ctx=2)
    put(
        model,
        embed__W_E=[[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]],
        blocks__0__mlp__W_in=[[0, 0, 3], [4, 0, 2], [0, 0, 0], [0, 0, 0]],
        blocks__0__mlp__b_in=[0, 1, 0],
        blocks__0__mlp__W_out=[[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        unembed__W_U=[[0, 0, 0], [0, 0, 0], [0, 10, 0], [0, 5, 0]],
    )
    return model


def effects(direction: Tensor) -> tuple[dict[str, float], tuple[str, ...], dict[str, float]]:
    found = patch_subspace(with_a_dormant_direction(), BASE, SOURCE, POST, direction.double(), METRIC)
    told = {name: found.provenance[name] for name in ("unread share", "moved share")}
    return dict(zip(found.coords["patch"], found.effect.tolist(), strict=True)), found.warnings, told


def test_the_illusion_happens_and_the_result_says_so():
    """Along (1, 1, 0)/√2 the runs differ by 4/√2, so that the patch moves the dormant neuron by 2, and its logit by 20."""
    found, warnings, told = effects(torch.tensor([1.0, 1.0, 0.0]))
    assert found == {
        "subspace": pytest.approx(20.0),
        "whole site": pytest.approx(-5.0),
        "rest": pytest.approx(-25.0),
        "read part": pytest.approx(0.0, abs=1e-9),
        "unread part": pytest.approx(0.0, abs=1e-9),
    }
    assert told == {"unread share": pytest.approx(0.5), "moved share": pytest.approx(0.0, abs=1e-12)}
    assert len(warnings) == 2
    assert "patching the whole site one of -5" in warnings[0]
    assert "may come from a dormant direction" in warnings[1]
    assert "50% of the subspace" in warnings[1]


def test_a_direction_that_is_used_is_not_suspected():
    found, warnings, told = effects(torch.tensor([0.0, 0.0, 2.0]))
    assert found["subspace"] == found["whole site"] == found["read part"] == pytest.approx(-5.0)
    assert found["rest"] == found["unread part"] == pytest.approx(0.0)
    assert warnings == ()
    assert told == {"unread share": pytest.approx(0.0), "moved share": pytest.approx(1 / 17)}


def test_half_in_the_null_space_alone_is_no_illusion():
    """Wu et al.'s reply: an unread part by itself proves nothing. Here the read part differs too, and does all of it."""
    found, warnings, told = effects(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert told["unread share"] == pytest.approx(0.5)
    assert found["subspace"] == found["read part"] == pytest.approx(-5.0)
    assert warnings == ()


def test_looking_at_the_effect_alone_would_take_the_illusion_for_the_answer():
    """The mistake: to rank directions by what patching them does."""
    illusion, _, _ = effects(torch.tensor([1.0, 1.0, 0.0]))
    used, _, _ = effects(torch.tensor([0.0, 0.0, 1.0]))
    assert abs(illusion["subspace"]) > abs(used["subspace"])


def test_each_part_against_a_run_by_hand():
    model = random_model(d_mlp=12)
    base, source = random_tokens(3), random_tokens(3, seed=1)
    rows = torch.randn(2, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = patch_subspace(model, base, source, Site("post", layer=1), rows, LogitDifference(1, 2))
    posts = [model.run_with_cache(tokens)[1]["post", 1] for tokens in (base, source)]
    basis = torch.linalg.qr(rows.T).Q
    project = basis @ basis.T
    seen = model.W_out[1] @ torch.linalg.pinv(model.W_out[1])
    read = torch.linalg.qr((seen @ basis).detach()).Q
    projections = {
        "subspace": project,
        "whole site": torch.eye(12).double(),
        "rest": torch.eye(12) - project,
        "read part": read @ read.T,
    }
    for name, projection in projections.items():
        new = posts[0] + (posts[1] - posts[0]) @ projection
        logits = model.run_with_hooks(
            base, fwd_hooks=[("blocks.1.mlp.hook_post", lambda x, hook, new=new: new)]
        )
        wanted = (logits[:, -1, 1] - logits[:, -1, 2]).detach()
        assert_equal(found.per_sample[found.coords["patch"].index(name)], wanted, 1e-8)
    # What no weight reads does nothing.
    assert found.sel(patch="unread part").effect.abs() < 1e-9


def test_where_several_weights_read_the_site_the_result_says_what_was_not_checked():
    model = random_model()
    found = patch_subspace(
        model,
        random_tokens(2),
        random_tokens(2, seed=1),
        Site("resid_pre", 1),
        torch.ones(8).double(),
        METRIC,
    )
    assert found.coords["patch"] == ("subspace", "whole site", "rest")
    assert any("was not checked" in text for text in found.warnings)
    assert found.provenance["unread share"] is None


def test_refusals():
    model = random_model()
    with pytest.raises(InputError, match="wanted a site of one hook"):
        patch_subspace(
            model, random_tokens(2), random_tokens(2), Site("post"), torch.ones(10).double(), METRIC
        )
    with pytest.raises(InputError, match="wanted a direction of 10 numbers"):
        patch_subspace(
            model, random_tokens(2), random_tokens(2, seed=1), Site("post", 0), torch.ones(8).double(), METRIC
        )
