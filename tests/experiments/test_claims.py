"""Claims 1 to 4: what their interventions do, worked by hand, and verdicts that follow the model."""

import json
import math

import pytest
import torch

from tests.experiments import planted
from tests.experiments.conftest import TASK, small_model
from unweave.core.claims import Claim
from unweave.experiments.no_position.claims import CLAIMS, counting, pattern, positional_code, solved
from unweave.experiments.no_position.study import Study
from unweave.training import TrainConfig, train


def value(tested: dict, name: str) -> float:
    return next(row["value"] for row in tested["measured"] + tested["control"] if row["name"] == name)


def test_claim_1_is_supported_by_a_model_that_learned(trained: Study):
    tested = solved.solved_without_positions.tested(trained)
    assert tested["verdict"] == "supported", tested["reason"]
    assert value(tested, "one layer: loss") > value(tested, "one layer: floor of a guess without order")


def test_claim_1_is_refuted_by_a_position_table(trained: Study):
    model = train(
        small_model(positions="standard"), TASK, TrainConfig(steps=700, batch_size=64, lr=3e-3)
    ).model
    tested = solved.solved_without_positions.tested(Study(model, trained.one_layer, sequences=64))
    assert value(tested, "held-out loss") < 0.05
    assert tested["verdict"] == "refuted"
    assert "positional parameters" in tested["reason"]


def test_an_untrained_model_supports_no_claim(untrained: Study):
    verdicts = {claim.id: claim.tested(untrained)["verdict"] for claim in CLAIMS}
    assert "supported" not in verdicts.values(), verdicts
    assert verdicts["solved-without-positions"] == "refuted"
    assert verdicts["layer-0-counts"] == "refuted"
    assert verdicts["recency-finds-previous"] == "refuted"


def test_reordering_moves_two_layers_and_not_one(trained: Study):
    tokens = trained.batch.tokens
    assert solved.reordering_change(trained.one_layer, tokens, trained.draw("x")) < 1e-4
    assert solved.reordering_change(trained.model, tokens, trained.draw("x")) > 0.1


@pytest.mark.parametrize("key", [0, 1, 7])
def test_masking_a_key_takes_all_its_attention_and_no_more(trained: Study, key: int):
    hooks = [(counting.SCORES, counting._mask(key))]
    with trained.model.hooks(fwd_hooks=hooks):
        _, cache = trained.model.run_with_cache(trained.batch.tokens[:4])
    masked, clean = cache["pattern", 0], trained.cache["pattern", 0][:4]
    assert (masked[:, :, key + 1 :, key] == 0).all()
    torch.testing.assert_close(masked[:, :, : key + 1], clean[:, :, : key + 1])
    expected = clean[:, :, key + 1 :].clone()
    expected[..., key] = 0
    torch.testing.assert_close(masked[:, :, key + 1 :], expected / expected.sum(-1, keepdim=True))


@pytest.mark.parametrize("key", [0, 1])
def test_the_others_value_stands_in_for_one_key(trained: Study, key: int):
    with trained.model.hooks(fwd_hooks=counting._others_value(key)):
        _, cache = trained.model.run_with_cache(trained.batch.tokens[:2])
    p, v = trained.cache["pattern", 0][:2, 0], trained.cache["v", 0][:2, :, 0]
    for i in range(TASK.n_ctx):
        expected = torch.einsum("bk,bke->be", p[:, i], v)
        if i > key:
            expected += p[:, i, key, None] * (v[:, key + 1 : i + 1].mean(1) - v[:, key])
        torch.testing.assert_close(cache["z", 0][:, i, 0], expected, rtol=1e-4, atol=1e-5)


def test_equal_shares_are_equal_and_rows_still_sum_to_one(trained: Study):
    with trained.model.hooks(fwd_hooks=counting._equal_share(trained, 0)):
        _, cache = trained.model.run_with_cache(trained.batch.tokens[:8])
    rows, clean = cache["pattern", 0][:, :, 1:], trained.cache["pattern", 0][:8, :, 1:]
    assert rows[..., 0].std() < 1e-6
    torch.testing.assert_close(rows.sum(-1), torch.ones_like(rows.sum(-1)))
    # The other keys keep their proportions.
    torch.testing.assert_close(rows[..., 5, 2] / rows[..., 5, 3], clean[..., 5, 2] / clean[..., 5, 3])


def test_a_random_first_token_is_scored_against_itself(trained: Study):
    _, batch = counting._removals(trained, key=1)["random token"]
    assert (batch.tokens[:, 1] != trained.batch.tokens[:, 1]).float().mean() > 0.8
    assert (batch.targets[:, 1] == batch.tokens[:, 1]).all()
    assert (batch.tokens[:, 2:] == trained.batch.tokens[:, 2:]).all()


def test_claim_2_sees_that_bos_is_needed(trained: Study):
    tested = counting.layer_0_counts.tested(trained)
    assert all(
        value(tested, f"rise, BOS: {how}") > 1
        for how in ("key masked", "value of the others", "random token")
    )
    assert value(tested, "rise, middle: random token") < 0.05
    copied = tested["details"]["copied_offsets"]
    assert copied["clean"]["1"] > 0.9 > copied["BOS: key masked"]["1"]
    assert math.isclose(sum(copied["clean"].values()), 1.0)


def test_removal_of_means_leaves_one_mean_and_bos_alone():
    means = torch.randn(6, 4)
    left = means + positional_code.removal_of_means(means)
    assert torch.equal(left[0], means[0])
    torch.testing.assert_close(left[1:], means[1:].mean(0).expand(5, 4))


def test_controls_have_the_norms_of_the_real_thing():
    shift = positional_code.removal_of_means(torch.randn(6, 16))
    draw = torch.Generator().manual_seed(0)
    turned, scattered = positional_code.rotated(shift, draw), positional_code.random_like(shift, draw)
    for control in (turned, scattered):
        torch.testing.assert_close(control.norm(dim=1), shift.norm(dim=1))
        assert not torch.allclose(control[1:], shift[1:], atol=0.1)
    # A rotation keeps the code's geometry; independent directions do not.
    torch.testing.assert_close(turned @ turned.T, shift @ shift.T, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(scattered @ scattered.T, shift @ shift.T, atol=0.1)


def test_claim_3_is_refuted_where_the_mlp_writes_nothing():
    tested = positional_code.mlp_0_writes_positions.tested(planted.study(planted.recency()))
    assert tested["verdict"] in ("refuted", "inconclusive")
    assert value(tested, "rise, positional mean removed everywhere") == 0.0


def test_claim_3_sees_the_code_of_a_trained_model(trained: Study):
    tested = positional_code.mlp_0_writes_positions.tested(trained)
    route = "for layer 1's queries and keys"
    removed, turned = (
        value(tested, f"rise, {what} {route}") for what in ("positional mean removed", "turned code")
    )
    assert removed > 0.3
    assert turned < removed / 4


def test_shifting_back_by_hand():
    rows = torch.tensor([[[1.0, 0.0, 0.0], [0.4, 0.6, 0.0], [0.2, 0.3, 0.5]]])
    expected = torch.tensor([[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]])
    torch.testing.assert_close(pattern.shifted_back(rows), expected)


def test_claim_4_follows_the_pattern():
    positional = planted.study(planted.matching(20.0))
    assert pattern.pattern_is_positional.tested(positional)["verdict"] == "supported"
    by_token = planted.study(planted.matching(20.0))
    with torch.no_grad():
        # Keys now carry a token's own score as well: the pattern depends on what stands there.
        scores = 30.0 * torch.randn(planted.D_VOCAB, generator=torch.Generator().manual_seed(0))
        by_token.model.blocks[1].attn.W_K[0, : planted.D_VOCAB, planted.N_CTX] = scores
        by_token.model.blocks[1].attn.b_Q[0, planted.N_CTX] = 1.0
    assert pattern.pattern_is_positional.tested(by_token)["verdict"] != "supported"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_every_claim_says_beforehand_what_it_will_be_held_to(claim: Claim):
    for text in (claim.statement, claim.prediction, claim.threshold, claim.control, claim.title):
        assert text.strip()
    assert len(claim.rivals) >= 1


def test_a_tested_claim_is_json(trained: Study):
    json.dumps(pattern.pattern_is_positional.tested(trained), allow_nan=False)
