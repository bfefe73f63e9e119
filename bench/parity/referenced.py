"""What the peer cannot run, against the independent implementation of the tests instead."""

from __future__ import annotations

import torch

from bench.parity.called import given_to_both
from bench.parity.compare import Finding, finding, our_run
from bench.parity.grid import Case
from tests.model.reference import run_reference


def run_referenced(case: Case) -> list[Finding]:
    """Every hook and the logits of one case, against formulas in float64 that share no code with the model."""
    model, tensors = given_to_both(case)
    tokens, mask = tensors["tokens"], tensors.get("attention_mask")
    wanted_logits, wanted = run_reference(model.cfg.to_dict(), model.state_dict(), tokens, mask)
    plain, logits, ours = our_run(model, tokens, mask, list(model.hook_dict))
    assert ours.keys() == wanted.keys()
    as_ours = {name: value.to(ours[name].dtype) for name, value in wanted.items()}
    return [
        finding("logits, no hooks", plain, wanted_logits.to(torch.float32)),
        finding("logits, every hook read", logits, wanted_logits.to(torch.float32)),
        *(finding(name, ours[name], as_ours[name]) for name in sorted(ours)),
    ]
