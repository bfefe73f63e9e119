"""QK and OV circuits by hand, on planted models, and the same in models of other weights and one function."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.equivalent_models import equivalents
from tests.model.small import assert_equal_to, small_model
from tests.planted.loaded import exact
from unweave.analysis import composition, copying_scores, ov_circuit, ov_directions, qk_circuit
from unweave.core.errors import InputError


def model_of(**fields: Any) -> Any:
    return small_model(**{"dtype": "float64", "n_heads": 2, **fields})


def one_head(ov: Tensor) -> Any:
    """Embedding and unembedding are the identity, and OV is `ov`."""
    n = len(ov)
    model = model_of(
        n_layers=1, n_heads=1, d_model=n, d_head=n, d_vocab=n, attn_only=True, normalization_type=None
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(
                torch.eye(n).expand_as(parameter) if name.rpartition(".")[2] in ("W_E", "W_U", "W_O") else 0.0
            )
        model.blocks[0].attn.W_V[0].copy_(ov)
    return model


def test_circuits_are_scores_and_logits_of_a_run():
    """On one layer without positions, biases and norms: what a token's key gives to a query, and to logits."""
    model = model_of(
        n_layers=1, attn_only=True, normalization_type=None, without_biases=["b_Q", "b_K", "b_V", "b_O"]
    )
    tokens = torch.tensor([[3, 7]])
    logits, cache = model.run_with_cache(tokens)
    scores = cache["attn_scores", 0][0, :, 1, 0] * model.cfg.attn_scale
    pattern = cache["pattern", 0][0, :, 1]
    direct = model.W_E[7] @ model.W_U + model.b_U
    for head in (0, 1):
        assert_equal_to(1e-10, qk_circuit(model, 0, head)[7, 3].AB.squeeze(), scores[head])
        # The usual mistake: the key's token in the rows.
        assert abs(qk_circuit(model, 0, head)[3, 7].AB.item() - scores[head].item()) > 1e-3
        direct = direct + pattern[head] @ ov_circuit(model, 0, head).AB[[3, 7]]
    assert_equal_to(1e-10, direct, logits[0, 1])


@pytest.mark.parametrize("norm", ["LN", "RMS"])
@pytest.mark.parametrize("fields", [{}, {"n_heads": 4, "n_key_value_heads": 2}])
def test_norms_are_folded_whether_the_model_s_are_or_not(norm: str, fields: dict[str, Any]):
    """Differences between key tokens of one size: what folding leaves of the norm is its scale."""
    model = model_of(normalization_type=norm, without_biases=["b_Q", "b_K", "b_V"], **fields)
    ln = model.blocks[1].ln1
    embedded = model.W_E - model.W_E.mean(-1, keepdim=True) if norm == "LN" else model.W_E
    read = embedded * ln.w
    final = (torch.eye(8) - (1 / 8 if norm == "LN" else 0.0)).double() * model.ln_final.w @ model.W_U
    for head in range(model.cfg.n_heads):
        q, k = model.W_Q[1, head], model.W_K[1, head]
        assert_equal_to(1e-10, qk_circuit(model, 1, head).AB, read @ q @ k.T @ read.T)
        ov = model.W_V[1, head] @ model.W_O[1, head]
        assert_equal_to(1e-10, ov_circuit(model, 1, head).AB, read @ ov @ final)
        unfolded = model.W_E @ q @ k.T @ model.W_E.T
        assert (qk_circuit(model, 1, head).AB - unfolded).abs().max() > 0.1 * unfolded.abs().max()


def test_copying_by_hand():
    """The identity copies, its negative does the opposite; a rotation by 90 degrees does neither."""
    turn = torch.block_diag(*[torch.tensor([[0.0, -1.0], [1.0, 0.0]])] * 3)
    for ov, wanted in ((torch.eye(6), 1.0), (-torch.eye(6), -1.0), (turn, 0.0)):
        found = copying_scores(one_head(ov))
        assert found.sel(score="eigenvalues").values.item() == pytest.approx(wanted, abs=1e-9)
        # By singular values, which have no sign, all three would copy.
        assert torch.linalg.svdvals(ov).sum().item() == pytest.approx(6.0)
    assert copying_scores(one_head(torch.eye(6))).sel(score="own").values.item() == 1.0
    # One large eigenvalue hides five tokens that are not copied; "own" shows them.
    mixed = copying_scores(one_head(torch.diag(torch.tensor([60.0, -1, -1, -1, -1, -1]))))
    assert mixed.sel(score="eigenvalues").values.item() > 0.8
    assert mixed.sel(score="own").values.item() < 0.5


def test_planted_induction():
    """The second head copies and reads what the first writes through its keys, and through nothing else."""
    loaded = exact("induction")
    found = copying_scores(loaded.model)
    assert found.sel(score="own", head="L1H0").values.item() >= 0.8
    scores = {mode: composition(loaded.model, mode) for mode in ("Q", "K", "V")}
    pair = {mode: result.sel(sender="L0H0", receiver="L1H0").values.item() for mode, result in scores.items()}
    assert pair["K"] > scores["K"].baselines["random"].max()
    assert pair["K"] > 3 * max(pair["Q"], pair["V"])
    assert scores["K"].sel(sender="L1H0", receiver="L0H0").values.isnan()


def test_composition_of_random_heads_is_that_of_chance():
    model = model_of(n_layers=2, n_heads=4, d_model=64, d_head=8, normalization_type=None)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.rpartition(".")[2].startswith("W_"):
                parameter.copy_(
                    torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
                )
    found = composition(model, "K", draws=30)
    values = found.values[~found.values.isnan()]
    chance = found.baselines["random"]
    assert abs(values.mean() - chance.mean()) < 3 * chance.std() + 0.02
    assert chance.mean() > 0.05


def test_directions_by_hand():
    """OV takes token 2 to token 5 with strength 3 and token 1 to minus token 0 with strength 2."""
    ov = torch.zeros(6, 6)
    ov[2, 5], ov[1, 0] = 3.0, -2.0
    found = ov_directions(one_head(ov), 0, 0, directions=2, k=1)
    assert_equal_to(1e-9, found.strengths.values, torch.tensor([3.0, 2.0], dtype=torch.float64))
    strong = {
        (r, w)
        for r, w in zip(found.reads[0].flatten().tolist(), found.writes[0].flatten().tolist(), strict=True)
    }
    assert (2, 5) in strong
    # Token 1 and minus token 0 stand on one side: where 1 is largest along what is read, 0 is last along the other.
    side = found.reads[1].flatten().tolist().index(1)
    assert found.writes[1].flatten().tolist()[1 - side] == 0


@pytest.mark.parametrize(
    "fields", [{}, {"n_heads": 4, "n_key_value_heads": 2}, {"normalization_type": "RMS"}]
)
def test_invariance(fields: dict[str, Any]):
    model = model_of(**fields)
    copied, composed = copying_scores(model), composition(model, "K")
    for name, equivalent in equivalents(model).items():
        again, other = copying_scores(equivalent.model), composition(equivalent.model, "K")

        def moved(label: Any, equivalent: Any = equivalent) -> str:
            layer, head = map(int, str(label)[1:].split("H"))
            return f"L{layer}H{equivalent.head(layer, head)}"

        for label in copied.coords["head"]:
            assert_equal_to(1e-6, again.sel(head=moved(label)).values, copied.sel(head=label).values, name)
        for sender in ("L0H0", "L0H1"):
            for receiver in ("L1H0", "L1H1"):
                got = other.sel(sender=moved(sender), receiver=moved(receiver)).values
                assert_equal_to(1e-8, got, composed.sel(sender=sender, receiver=receiver).values, name)


def test_what_is_refused():
    with pytest.raises(InputError, match="wanted a head from -2 to 1; got 2"):
        qk_circuit(model_of(), 0, 2)
    with pytest.raises(InputError, match="wanted a mode of composition; got 'X'"):
        composition(model_of(), "X")
    with pytest.raises(InputError, match="wanted a model whose norms stand before"):
        ov_circuit(model_of(norm_position="after", normalization_type="RMS"), 0, 0)
