from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.core.unchecked import as_users_run
from unweave.core.errors import InputError
from unweave.core.tokens import require_tokens


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_whole_numbers_come_back_as_int64(dtype: torch.dtype):
    tokens = require_tokens(torch.tensor([[0, 4]], dtype=dtype), 5)
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == [[0, 4]]


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        (torch.tensor([[0.0, 1.0]]), "wanted tokens as a tensor of dtype int64; got torch.float32; write"),
        (torch.tensor([[True]]), "wanted tokens as a tensor of dtype int64; got torch.bool; write"),
        (
            [[0, 1]],
            "wanted tokens as a tensor of dtype int64; got list; write torch.as_tensor(tokens).long()",
        ),
        (np.zeros((1, 2), int), "wanted tokens as a tensor of dtype int64; got ndarray; write"),
        (torch.tensor([[0, 5]]), "wanted tokens from 0 to 4; got values from 0 to 5; check the vocabulary"),
        (torch.tensor([[-1, 2]]), "wanted tokens from 0 to 4; got values from -1 to 2; check the vocabulary"),
        (
            torch.zeros(1, 4, dtype=int),
            "wanted tokens [batch, pos] with 2 to n_ctx=3 positions; got shape (1, 4)",
        ),
        (
            torch.zeros(1, 1, dtype=int),
            "wanted tokens [batch, pos] with 2 to n_ctx=3 positions; got shape (1, 1)",
        ),
        (
            torch.zeros(0, 2, dtype=int),
            "wanted tokens [batch, pos] with 2 to n_ctx=3 positions; got shape (0, 2)",
        ),
        (torch.zeros(2, dtype=int), "wanted tokens [batch, pos] with 2 to n_ctx=3 positions; got shape (2,)"),
    ],
)
def test_anything_else_is_refused_in_one_line(tokens: Tensor, sentence: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        require_tokens(tokens, 5, least=2, most=3)
    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)


def test_without_a_limit_any_length_will_do():
    assert require_tokens(torch.zeros(1, 999, dtype=int), 1).shape == (1, 999)
