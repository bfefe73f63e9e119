"""What a factored matrix refuses, and in which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.core.unchecked import as_users_run
from unweave.core.errors import InputError
from unweave.core.factored_matrix import FactoredMatrix

PLAIN = FactoredMatrix(torch.ones(4, 2), torch.ones(2, 3))
STACK = FactoredMatrix(torch.ones(5, 3, 4, 2), torch.ones(5, 3, 2, 4))


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: FactoredMatrix(torch.ones(4, 2), torch.ones(3, 4)),
            "wanted A's columns to be as many as B's rows; got 2 and 3; check the order of the factors",
        ),
        (
            lambda: FactoredMatrix(torch.ones(4), torch.ones(4, 2)),
            "wanted a floating-point matrix, or a stack of them, for A; got shape (4,), torch.float32",
        ),
        (
            lambda: FactoredMatrix(torch.ones(4, 2), torch.ones(2, 3).long()),
            "wanted a floating-point matrix, or a stack of them, for B; got shape (2, 3), torch.int64",
        ),
        (
            lambda: FactoredMatrix([[1.0]], torch.ones(1, 3)),
            "wanted a floating-point matrix, or a stack of them, for A; got list",
        ),
        # Each of these fits by its last dimension: [layer, head] and [head] by luck alone.
        (
            lambda: FactoredMatrix(torch.ones(5, 3, 4, 2), torch.ones(3, 2, 4)),
            "wanted leading dimensions that agree; got (5, 3) and (3,); unsqueeze to put a dimension",
        ),
        (lambda: STACK @ torch.ones(3, 4, 6), "wanted leading dimensions that agree; got (5, 3) and (3,)"),
        (lambda: torch.ones(3, 6, 4) @ STACK, "wanted leading dimensions that agree; got (5, 3) and (3,)"),
        (lambda: STACK @ STACK[0], "wanted leading dimensions that agree; got (5, 3) and (3,)"),
        (
            lambda: STACK @ torch.ones(4, 3, 4, 6),
            "wanted leading dimensions that agree; got (5, 3) and (4, 3)",
        ),
        (
            lambda: PLAIN @ torch.ones(4),
            "wanted the left's columns to be as many as the right's rows; got 3 and 4",
        ),
        (
            lambda: PLAIN @ torch.ones(4, 3),
            "wanted the left's columns to be as many as the right's rows; got 3",
        ),
        (lambda: PLAIN @ PLAIN, "wanted the left's columns to be as many as the right's rows; got 3 and 4"),
        (lambda: PLAIN @ torch.tensor(2.0), "wanted a matrix or a vector after @; got one number; write *"),
        (
            lambda: PLAIN * torch.ones(2),
            "wanted one number to multiply by; got a tensor of shape (2,); write @",
        ),
        (lambda: torch.ones(4, 2) * PLAIN, "wanted one number to multiply by; got a tensor of shape (4, 2)"),
        (lambda: PLAIN.BA, "wanted as many rows to be as many as columns; got 4 and 3"),
        (lambda: PLAIN.eigenvalues, "wanted as many rows to be as many as columns; got 4 and 3"),
        (
            lambda: PLAIN.unsqueeze(1),
            "wanted a place among the leading dimensions: -3 to -3, or 0 to 0; got 1",
        ),
        (
            lambda: STACK.unsqueeze(-1),
            "wanted a place among the leading dimensions: -5 to -3, or 0 to 2; got -1",
        ),
        (
            lambda: STACK.unsqueeze(-6),
            "wanted a place among the leading dimensions: -5 to -3, or 0 to 2; got -6",
        ),
        (
            lambda: PLAIN[4],
            "wanted an index into a factored matrix (4, 3); got 4: there are 4; index the leading dimensions",
        ),
        (lambda: PLAIN[0, -4], "wanted an index into a factored matrix (4, 3); got -4: there are 3"),
        (
            lambda: PLAIN[0, 0, 0],
            "wanted an index into a factored matrix (4, 3); got (0, 0, 0): more indices",
        ),
        (
            lambda: STACK[5],
            "wanted an index into a factored matrix (5, 3, 4, 4); got 5: index 5 is out of bounds",
        ),
        (lambda: STACK[0, 0, [4]], "wanted an index into a factored matrix (5, 3, 4, 4); got (0, 0, [4])"),
        (
            lambda: PLAIN[0, None],
            "wanted an index into a factored matrix (4, 3); got (0, None): a new dimension",
        ),
        (
            lambda: STACK[..., 0, ...],
            "wanted an index into a factored matrix (5, 3, 4, 4); got (Ellipsis, 0,",
        ),
        (
            lambda: PLAIN[torch.ones(2, 2).long()],
            "wanted an index into a factored matrix (4, 3); got tensor(",
        ),
    ],
)
def test_refused(build: Callable[[], object], sentence: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        build()
    assert str(raised.value).startswith(sentence)


def test_an_index_out_of_range_is_an_index_error_too():
    with pytest.raises(IndexError, match=r"^wanted an index into a factored matrix"):
        PLAIN[4]


@pytest.mark.parametrize("other", ["2", None, [1.0]])
def test_what_is_no_tensor_is_a_type_error(other: object):
    with pytest.raises(TypeError), as_users_run():
        PLAIN @ other
    with pytest.raises(TypeError), as_users_run():
        PLAIN * other
