"""The logit lens by hand, and on planted models where the answer is there after a known layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.model.small import assert_equal_to, small_model, small_tokens
from tests.planted.loaded import exact
from unweave import KL, LogitDifference, Loss, Probability, Rank
from unweave.analysis import lens_logits, logit_lens
from unweave.core.errors import InputError

TOKENS = small_tokens()
STAGES = ("0_pre", "0_mid", "1_pre", "1_mid", "final_post")


def model_of(**fields: Any) -> Any:
    return small_model(
        **{"dtype": "float64", "positional_embedding_type": "standard", "act_fn": "gelu", **fields}
    )


def test_each_stage_is_normed_anew_and_unembedded():
    model = model_of()
    cache = model.run_with_cache(TOKENS)[1]
    found, stages = lens_logits(model, cache, incl_mid=True)
    streams = [
        cache[f"blocks.{layer}.hook_{site}"]
        for layer, site in (
            (0, "resid_pre"),
            (0, "resid_mid"),
            (1, "resid_pre"),
            (1, "resid_mid"),
            (1, "resid_post"),
        )
    ]
    assert tuple(stages) == STAGES
    for stage, stream in enumerate(streams):
        centred = stream - stream.mean(-1, keepdim=True)
        normed = centred / (centred.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
        wanted = (normed * model.ln_final.w + model.ln_final.b) @ model.W_U + model.b_U
        assert_equal_to(1e-10, found[stage], wanted, stages[stage])
        # With the scale of the last stage, as attribution has it, it would be another.
        frozen = centred / cache["ln_final.hook_scale"]
        other = (frozen * model.ln_final.w + model.ln_final.b) @ model.W_U + model.b_U
        assert torch.allclose(other, wanted) == (stages[stage] == "final_post")
    assert_equal_to(1e-10, found[-1], model(TOKENS))


@pytest.mark.parametrize(
    "metric", [Probability(3), Rank(3, pos=None), Loss(), LogitDifference(1, 2, pos=[0, 5])]
)
def test_metrics_are_those_of_the_lens_logits(metric: Any):
    model = model_of(output_logits_soft_cap=5.0, logit_multiplier=0.7)
    logits = lens_logits(model, model.run_with_cache(TOKENS)[1], incl_mid=True)[0].detach()
    found = logit_lens(model, TOKENS, metric, incl_mid=True)
    assert found.per_sample is not None
    assert found.coords["stage"] == STAGES
    assert found.dims == ("stage", "pos")
    for stage in range(5):
        for column, pos in enumerate(found.coords["pos"]):
            for sample in range(3):
                row = logits[stage, sample, pos]
                wanted = {
                    "Probability": lambda row: row.softmax(-1)[3],
                    "Rank": lambda row: (row > row[3]).sum().double(),
                    "LogitDifference": lambda row: row[1] - row[2],
                    "Loss": lambda row, s=sample, p=pos: -row.log_softmax(-1)[TOKENS[s, p + 1]],
                }[metric.name](row)
                assert found.per_sample[stage, column, sample].item() == pytest.approx(
                    wanted.item(), abs=1e-10
                )
    assert (
        list(found.coords["pos"])
        == {"Probability": [6], "LogitDifference": [0, 5], "Rank": [*range(7)], "Loss": [*range(6)]}[
            metric.name
        ]
    )


def test_the_divergence_from_the_end_is_zero_at_the_end():
    found = logit_lens(model_of(), TOKENS, KL(pos=None))
    assert float(found.sel(stage="final_post").values.abs().max()) < 1e-12
    assert float(found.sel(stage="0_pre").values.min()) > 1e-3


def test_each_sample_s_own_position():
    model, at = model_of(), torch.tensor([1, 5, 2])
    logits = lens_logits(model, model.run_with_cache(TOKENS)[1])[0]
    found = logit_lens(model, TOKENS, LogitDifference(1, 2, pos=at))
    assert found.coords["pos"] == (0,)
    wanted = torch.stack([logits[:, s, at[s], 1] - logits[:, s, at[s], 2] for s in range(3)], -1)
    assert found.per_sample is not None
    assert_equal_to(1e-10, found.per_sample[:, 0], wanted)


def test_planted_models_know_after_the_layer_that_writes_the_answer():
    """previous-token knows after its one head; induction only after the second layer."""
    for name, first in (("previous-token", "final_post"), ("induction", "final_post")):
        loaded = exact(name)
        assert loaded.contrast is not None
        at, clean = loaded.contrast.position, loaded.contrast.clean
        answer = int(loaded.algorithm(clean)[0, at])
        ranks = logit_lens(loaded.model, clean, Rank(answer, pos=at)).values[:, 0]
        stages = logit_lens(loaded.model, clean, Rank(answer, pos=at)).coords["stage"]
        known = [stage for stage, rank in zip(stages, ranks.tolist(), strict=True) if rank == 0]
        assert known == [first], name


def test_what_is_refused():
    with pytest.raises(InputError, match="wanted a metric of unweave"):
        logit_lens(model_of(), TOKENS, lambda logits: logits[:, -1, 0])
    mask = torch.ones_like(TOKENS)
    mask[0, :2] = 0
    with pytest.raises(InputError, match="wanted positions that are no padding"):
        logit_lens(model_of(), TOKENS, Rank(3, pos=None), attention_mask=mask)
