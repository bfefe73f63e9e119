"""The numbers of the viewers made from a model are those of the model."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tests.analysis.models import random_model, random_tokens
from unweave.analysis import lens_logits, view_attention, view_logit_lens, view_predictions
from unweave.core.errors import InputError

TOKENS = random_tokens(batch=1)
VOCABULARY = [f"w{at}" for at in range(11)]


def data_of(viewer) -> dict:
    return dict(viewer.data)


def test_attention_is_the_cached_patterns():
    model = random_model()
    _, cache = model.run_with_cache(TOKENS)
    data = data_of(view_attention(model, TOKENS, layers=[1], vocabulary=VOCABULARY))
    assert data["heads"] == ["L1H0", "L1H1"]
    [prompt] = data["prompts"]
    assert prompt["tokens"] == [f"w{token}" for token in TOKENS[0].tolist()]
    from base64 import b64decode

    packed = prompt["values"]
    found = np.frombuffer(b64decode(packed["f16"]), "<f2").astype(float) * packed["by"]
    rows, columns = np.tril_indices(6)
    wanted = cache["pattern", 1][0].detach().numpy()[:, rows, columns].ravel()
    np.testing.assert_allclose(found, wanted, atol=5e-4)


def test_the_lens_is_that_of_lens_logits():
    model = random_model(normalization_type="LN")
    _, cache = model.run_with_cache(TOKENS)
    logits, stages = lens_logits(model, cache, incl_mid=True)
    chances = logits[:, 0].detach().softmax(-1)
    data = data_of(view_logit_lens(model, TOKENS, top_k=3, incl_mid=True, vocabulary=VOCABULARY))
    assert data["stages"] == stages
    top = chances.topk(3)
    np.testing.assert_allclose(data["probabilities"], top.values.numpy(), rtol=1e-5)
    words = np.array(data["words"])[np.array(data["top"])]
    assert (words == np.char.add("w", top.indices.numpy().astype(str))).all()
    np.testing.assert_allclose(data["entropy"], -(chances * chances.log()).sum(-1).numpy(), rtol=1e-5)
    # Without the final norm the numbers would be others.
    bare = (cache["resid_pre", 0][0] @ model.W_U + model.b_U).detach().softmax(-1).topk(3).values
    assert not np.allclose(data["probabilities"][0], bare.numpy(), rtol=1e-3)


def test_predictions_are_of_the_next_token():
    model = random_model()
    log_probs = model(TOKENS)[0].detach().log_softmax(-1)
    row = TOKENS[0].tolist()
    data = data_of(view_predictions(model, TOKENS[0], top_k=2))
    true = [float(log_probs[at, token]) for at, token in enumerate(row[1:])]
    np.testing.assert_allclose(data["log_probs"], true, rtol=1e-5)
    np.testing.assert_allclose(np.mean(true), -float(model(TOKENS, return_type="loss").detach()), rtol=1e-6)
    order = log_probs.argsort(-1, descending=True)
    assert data["ranks"] == [order[at].tolist().index(token) for at, token in enumerate(row[1:])]
    assert data["top"] == [[str(token) for token in order[at, :2].tolist()] for at in range(5)]
    # Read at the token itself rather than before it, they would be others.
    late = [float(log_probs[at + 1, token]) for at, token in enumerate(row[1:])]
    assert not np.allclose(late, true, rtol=1e-2)
    json.dumps(data)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: view_attention(m, random_tokens(batch=2)),
            r"wanted the tokens of one prompt.*got 2 prompts",
        ),
        (lambda m: view_attention(m, TOKENS, layers=[2]), r"wanted layers from 0 to 1; got \[2\]"),
        (lambda m: view_logit_lens(m, TOKENS, top_k=12), "wanted top_k from 1 to d_vocab_out=11; got 12"),
        (
            lambda m: view_predictions(m, TOKENS[:, :1]),
            r"wanted tokens \[batch, pos\] with at least 2 positions",
        ),
        (
            lambda m: view_predictions(m, torch.tensor([[99, 1]])),
            "wanted tokens from 0 to 10; got values from 1 to 99",
        ),
    ],
)
def test_what_cannot_be_viewed_is_refused(call, message: str):
    with pytest.raises(InputError, match=message):
        call(random_model())
