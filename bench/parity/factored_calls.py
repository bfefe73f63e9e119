"""The methods of factored matrices, in calls that both libraries' classes understand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.parity.calls import Value, power_sums


def factored_calls(
    factored_matrix: Any, dtype: torch.dtype = torch.float32
) -> dict[str, Callable[[], Value]]:
    """Calls on this class of factored matrices, of one matrix and of a stack of them."""
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    single = factored_matrix(random(6, 3), random(3, 6))
    wide = factored_matrix(random(4, 5), random(5, 7))
    stack, later = (factored_matrix(random(2, 3, 6, 2), random(2, 3, 2, 6)) for _ in range(2))
    vector, square, number = random(6), random(6, 6), torch.tensor(1.5, dtype=dtype)
    calls: dict[str, Callable[[], Value]] = {}
    for name, matrix in (("single", single), ("wide", wide), ("stack", stack)):
        calls |= {f"{name}, {call}": made for call, made in _calls_on(matrix).items()}
    return calls | {
        "vector on the right": lambda: stack @ vector,
        "vector on the left": lambda: vector @ single,
        "matrix on the right": lambda: (stack @ square).AB,
        "matrix on the left": lambda: (square @ stack).AB,
        "narrow matrix on the right": lambda: (stack @ square[:, :1]).AB,
        "product": lambda: (stack @ later).AB,
        "product's inner size": lambda: torch.tensor((stack @ later).mdim),
        "number on the left": lambda: (2 * stack).AB,
        "number on the right": lambda: (stack * number).AB,
        "one of the stack": lambda: stack[1].AB,
        "one matrix": lambda: stack[1, 2].AB,
        "last of the stack": lambda: stack[-1, -1].AB,
        "slices of the stack": lambda: stack[:, 1:].AB,
        "a row": lambda: stack[0, 1, 4].AB,
        "the last row": lambda: stack[0, 1, -1].AB,
        "some rows": lambda: stack[0, 1, :2].AB,
        "an entry": lambda: stack[0, 1, 4, 2].AB,
        "a column": lambda: stack[0, 1, :, -1].AB,
        "every matrix's columns": lambda: stack[:, :, :, 1:4].AB,
        "unsqueezed": lambda: stack.unsqueeze(1).AB,
        "trace of eigenvalues": lambda: power_sums(stack.eigenvalues),
        "BA": lambda: stack.BA,
    }


def _calls_on(matrix: Any) -> dict[str, Callable[[], Value]]:
    return {
        "AB": lambda: matrix.AB,
        "transposed": lambda: matrix.T.AB,
        "sizes": lambda: torch.tensor([*matrix.shape, matrix.ldim, matrix.mdim, matrix.rdim, matrix.ndim]),
        "has_leading_dims": lambda: torch.tensor(matrix.has_leading_dims),
        "pair": lambda: tuple(matrix.pair),
        "S": lambda: matrix.S,
        # Singular vectors have a sign at will, the same in U and V.
        "U, V": lambda: (matrix.U.abs(), matrix.V.abs()),
        "svd": lambda: _multiplied(*matrix.svd()),
        "norm": lambda: matrix.norm(),
        "collapse_l": lambda: matrix.collapse_l().mT @ matrix.collapse_l(),
        "collapse_r": lambda: matrix.collapse_r() @ matrix.collapse_r().mT,
        "make_even": lambda: (matrix.make_even().AB, matrix.make_even().A.abs(), matrix.make_even().B.abs()),
        "get_corner": lambda: (matrix.get_corner(), matrix.get_corner(2)),
    }


def _multiplied(left: Tensor, values: Tensor, right: Tensor) -> Tensor:
    return (left * values[..., None, :]) @ right.mT
