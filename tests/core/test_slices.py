from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.core.unchecked import as_users_run
from unweave.core.errors import InputError
from unweave.core.slices import Slice, as_slice

X = torch.arange(12).reshape(3, 4)


@pytest.mark.parametrize(
    ("given", "wanted", "indices"),
    [
        (None, X, [0, 1, 2, 3]),
        (1, X[:, 1], [1]),
        (-1, X[:, 3], [3]),
        ((2,), X[:, :2], [0, 1]),
        ((1, 3), X[:, 1:3], [1, 2]),
        ((0, 4, 2), X[:, 0:4:2], [0, 2]),
        ((-2, None), X[:, -2:], [2, 3]),
        (slice(1, None), X[:, 1:], [1, 2, 3]),
        ([3, 0, 3], X[:, [3, 0, 3]], [3, 0, 3]),
        ([-1], X[:, [3]], [3]),
        (np.array([2, 1]), X[:, [2, 1]], [2, 1]),
        (torch.tensor([2, 1]), X[:, [2, 1]], [2, 1]),
        (torch.tensor([True, False, False, True]), X[:, [0, 3]], [0, 3]),
    ],
)
def test_it_picks_what_transformer_lens_picks(given: object, wanted: torch.Tensor, indices: list[int]):
    assert torch.equal(Slice(given).apply(X, dim=1), wanted)
    assert torch.equal(Slice(given).apply(X, dim=-1), wanted)
    assert Slice(given).indices(4).tolist() == indices


def test_unwrapped_it_keeps_the_dimension():
    assert torch.equal(Slice.unwrap(1).apply(X, dim=1), X[:, 1:2])
    assert torch.equal(Slice.unwrap(Slice(1)).apply(X, dim=1), X[:, 1:2])
    assert Slice.unwrap((1, 3)).mode == "slice"
    assert as_slice(one := Slice(1)) is one


def test_a_lone_index_needs_no_size():
    assert Slice(2).indices().tolist() == [2]
    with pytest.raises(InputError, match="wanted the size of the dimension"):
        Slice((1, 2)).indices()


@pytest.mark.parametrize(
    "given", ["1", 1.0, True, (), (1, 2, 3, 4), torch.eye(2).long(), [0.5], (3, 0, -1), {1}]
)
def test_what_is_no_slice_is_refused(given: object):
    with as_users_run(), pytest.raises(InputError, match=r"^wanted a slice: an index"):
        Slice(given)


@pytest.mark.parametrize(
    "given", [4, -5, [0, 4], [-5], (4, 6), (2, 2), torch.zeros(4, dtype=bool), torch.ones(3).bool()]
)
def test_what_picks_nothing_or_lies_outside_is_refused(given: object):
    with pytest.raises(
        InputError, match=r"^wanted (indices from -4 to 3|a slice that picks something of 4|a mask of 4)"
    ):
        Slice(given).apply(X, dim=1)
