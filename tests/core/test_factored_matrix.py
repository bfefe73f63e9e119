"""Factored matrices against the products they stand for, worked by hand or by torch on `AB`."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from unweave.core.factored_matrix import FactoredMatrix

# [leading], ldim, mdim, rdim: a narrow middle, a wide one, wider than both, a vector's worth, a stack.
SHAPES = [
    ((), 6, 2, 5),
    ((), 5, 3, 9),
    ((), 3, 7, 4),
    ((), 4, 4, 4),
    ((), 5, 1, 5),
    ((2,), 6, 3, 6),
    ((2, 3), 7, 2, 7),
    ((2, 1, 3), 2, 5, 4),
]


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def factored(leading: tuple[int, ...], ldim: int, mdim: int, rdim: int, seed: int = 0) -> FactoredMatrix:
    A, B = random(*leading, ldim, mdim, seed=seed), random(*leading, mdim, rdim, seed=seed + 100)
    return FactoredMatrix(A, B)


def close(got: Tensor | FactoredMatrix, wanted: Tensor, part: float = 1e-12) -> None:
    got = got.AB if isinstance(got, FactoredMatrix) else got
    assert got.shape == wanted.shape, (got.shape, wanted.shape)
    assert (got - wanted).abs().max() <= part * wanted.abs().max()


@pytest.fixture(params=SHAPES, ids=str)
def matrix(request: pytest.FixtureRequest) -> FactoredMatrix:
    return factored(*request.param)


def test_by_hand():
    # (1, 2)ᵀ (3, 4, 0) is ((3, 4, 0), (6, 8, 0)), whose only singular value is √5 · 5.
    matrix = FactoredMatrix(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, 4.0, 0.0]]))
    assert (matrix.ldim, matrix.mdim, matrix.rdim, matrix.ndim) == (2, 1, 3, 2)
    assert matrix.shape == (2, 3)
    assert not matrix.has_leading_dims
    assert repr(matrix) == "FactoredMatrix(shape=(2, 3), mdim=1)"
    assert matrix.AB.tolist() == [[3, 4, 0], [6, 8, 0]]
    assert (2 * matrix * 0.5).AB.tolist() == matrix.AB.tolist()
    assert (matrix @ torch.tensor([1.0, 1.0, 9.0])).tolist() == [7, 14]
    assert (torch.tensor([1.0, -1.0]) @ matrix).tolist() == [-3, -4, 0]
    assert matrix.S.tolist() == pytest.approx([5 * 5**0.5])
    assert matrix.norm().item() == pytest.approx(5 * 5**0.5)
    assert (matrix.U[:, 0] * matrix.V[0, 0]).tolist() == pytest.approx([0.6 * 5**-0.5, 1.2 * 5**-0.5])
    even = matrix.make_even()
    assert even.A.norm().item() == even.B.norm().item() == pytest.approx(125**0.25)
    # (1, 2)ᵀ (3, 4): eigenvalue 1 · 3 + 2 · 4, from a matrix of one entry.
    square = FactoredMatrix(matrix.A, matrix.B[:, :2])
    assert square.BA.tolist() == [[11]]
    assert square.eigenvalues.tolist() == pytest.approx([11 + 0j])


def test_what_it_is(matrix: FactoredMatrix):
    assert matrix.shape == matrix.AB.shape
    assert matrix.ndim == matrix.AB.ndim
    assert matrix.has_leading_dims == (matrix.AB.ndim > 2)
    close(matrix.AB, torch.einsum("...ij,...jk->...ik", matrix.A, matrix.B))
    close(matrix.T, matrix.AB.transpose(-1, -2))
    A, B = matrix.pair
    assert A is matrix.A
    assert B is matrix.B


def test_products_with_vectors(matrix: FactoredMatrix):
    right, left = random(matrix.rdim, seed=1), random(matrix.ldim, seed=2)
    close(matrix @ right, torch.einsum("...ij,j->...i", matrix.AB, right))
    close(left @ matrix, torch.einsum("i,...ij->...j", left, matrix.AB))


def test_products_with_matrices(matrix: FactoredMatrix):
    leading = matrix.shape[:-2]
    for own in {(), tuple(leading)}:
        for size in (1, 8):
            right, left = random(*own, matrix.rdim, size, seed=1), random(*own, size, matrix.ldim, seed=2)
            for got, wanted in [(matrix @ right, matrix.AB @ right), (left @ matrix, left @ matrix.AB)]:
                assert isinstance(got, FactoredMatrix)
                close(got, wanted)
                assert got.mdim <= max(matrix.mdim, min(matrix.rdim, matrix.ldim))


def test_products_of_two_factored_keep_the_inner_dimension_small(matrix: FactoredMatrix):
    other = factored(tuple(matrix.shape[:-2]), matrix.rdim, 2, 6, seed=3)
    product = matrix @ other
    assert isinstance(product, FactoredMatrix)
    close(product, matrix.AB @ other.AB)
    assert product.mdim <= max(2, matrix.mdim)


def test_the_plain_matrix_is_never_formed_when_the_middle_is_narrow():
    wide = factored((), 50_000, 2, 50_000)  # the product would take 20 GB
    product = wide @ wide @ random(50_000, 1)
    assert product.shape == (50_000, 1)
    assert product.norm() > 0
    assert wide.S.shape == (2,)
    assert wide.eigenvalues.shape == (2,)
    assert wide.get_corner().shape == (3, 3)
    assert wide[7, 9].AB.shape == (1, 1)


@pytest.mark.parametrize("number", [3, -0.5, torch.tensor(2.0), torch.tensor([[[2.0]]])], ids=str)
def test_scalars_on_either_side(matrix: FactoredMatrix, number: float | Tensor):
    wanted = matrix.AB * float(number)
    close(matrix * number, wanted)
    close(number * matrix, wanted)


def test_the_svd_is_that_of_the_product(matrix: FactoredMatrix):
    U, S, V = matrix.svd()
    rank = min(matrix.ldim, matrix.mdim, matrix.rdim)
    wanted = torch.linalg.svdvals(matrix.AB)
    close(S, wanted[..., :rank])
    close(matrix.S, wanted[..., :rank])
    assert wanted[..., rank:].numel() == 0 or wanted[..., rank:].abs().max() < 1e-12 * wanted.max()
    close(U @ S.diag_embed() @ V.mT, matrix.AB)
    one = torch.eye(rank, dtype=torch.float64).expand(*matrix.shape[:-2], rank, rank)
    close(U.mT @ U, one)
    close(V.mT @ V, one)
    assert torch.equal(matrix.U, U)
    assert torch.equal(matrix.V, V)
    with pytest.warns(DeprecationWarning, match="write V, or V.mT"):
        assert torch.equal(matrix.Vh, V)


def test_singular_values_of_very_different_sizes():
    # A product of sizes 1 and 1e-12: squaring the factors (AᵀA) would lose the second one.
    A = torch.linalg.qr(random(6, 2)).Q
    B = torch.tensor([1.0, 1e-12], dtype=torch.float64)[:, None] * torch.linalg.qr(random(5, 2, seed=1)).Q.T
    assert FactoredMatrix(A, B).S.tolist() == pytest.approx([1.0, 1e-12], rel=1e-3)


def test_a_zero_matrix_has_an_svd():
    zero = FactoredMatrix(torch.zeros(4, 2), torch.zeros(2, 3))
    U, S, V = zero.svd()
    assert S.tolist() == [0, 0]
    close(U.T @ U, torch.eye(2), 1e-6)
    close(V.T @ V, torch.eye(2), 1e-6)
    assert zero.norm() == 0


def test_the_norm_is_frobenius(matrix: FactoredMatrix):
    close(matrix.norm(), matrix.AB.square().sum((-1, -2)).sqrt())


def test_collapsing_leaves_what_a_rotation_cannot_change(matrix: FactoredMatrix):
    left, right = matrix.collapse_l(), matrix.collapse_r()
    rank = min(matrix.ldim, matrix.mdim, matrix.rdim)
    assert left.shape == (*matrix.shape[:-2], rank, matrix.rdim)
    assert right.shape == (*matrix.shape[:-1], rank)
    close(left.mT @ left, matrix.AB.mT @ matrix.AB)
    close(right @ right.mT, matrix.AB @ matrix.AB.mT)


def test_even_factors(matrix: FactoredMatrix):
    even = matrix.make_even()
    close(even, matrix.AB)
    S = torch.linalg.svdvals(matrix.AB)[..., : even.mdim]
    close(even.A.mT @ even.A, S.diag_embed())
    close(even.B @ even.B.mT, S.diag_embed())


@pytest.mark.parametrize("shape", [((), 6, 2, 6), ((), 3, 3, 3), ((), 3, 5, 3), ((2, 3), 6, 2, 6)], ids=str)
def test_eigenvalues_are_those_of_the_product(shape: tuple[tuple[int, ...], int, int, int]):
    matrix = factored(*shape)
    got = matrix.eigenvalues.flatten(0, -2) if matrix.has_leading_dims else matrix.eigenvalues[None]
    assert got.shape[-1] == matrix.mdim
    wanted = torch.linalg.eigvals(matrix.AB.reshape(-1, matrix.ldim, matrix.rdim))
    close(matrix.BA, matrix.B @ matrix.A)
    for small, large in zip(got, wanted, strict=True):
        # Each of the larger ones has its twin; what is left over is zero.
        few, many = sorted((small.tolist(), large.tolist()), key=len)
        for value in sorted(few, key=abs, reverse=True):
            twin = min(many, key=lambda other: abs(other - value))
            assert abs(twin - value) < 1e-10 * large.abs().max()
            many.remove(twin)
        assert all(abs(value) < 1e-10 for value in many)


INDICES = [
    (0,),
    (-1,),
    (1, 2),
    (slice(1, None),),
    (slice(None), 0),
    (None, 1),
    (..., 2),
    (1, ..., slice(0, 2)),
    ([1, 0],),
    (torch.tensor([True, False]),),
    (slice(None), torch.tensor([2, 0])),
    (torch.tensor([[True, False, True], [False, False, True]]),),
    (0, 1, slice(1, 3)),
    (0, 1, slice(None), slice(None, None, 2)),
    (slice(None), slice(None), slice(1, 4), slice(2, 5)),
    (..., slice(1, 4), slice(2, 5)),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_is_that_of_the_product(index: tuple[object, ...]):
    matrix = factored((2, 3), 6, 2, 5)
    # A number among rows or columns keeps its dimension.
    if index == (..., 2):
        close(matrix[index], matrix.AB[..., 2:3])
    else:
        close(matrix[index], matrix.AB[index])
        close(matrix[index if len(index) > 1 else index[0]], matrix.AB[index])


@pytest.mark.parametrize(("row", "column"), [*itertools.product([0, 4, -1, -6], [0, 2, -1, -5])])
def test_rows_and_columns_stay_dimensions(row: int, column: int):
    stack, plain = factored((2, 3), 6, 2, 5), factored((), 6, 2, 5)
    assert stack[1, 2, row, column].AB.tolist() == [[pytest.approx(stack.AB[1, 2, row, column].item())]]
    assert plain[row, column].AB.item() == pytest.approx(plain.AB[row, column].item())
    assert plain[row].AB[0].tolist() == pytest.approx(plain.AB[row].tolist())
    assert plain[:, column].AB[:, 0].tolist() == pytest.approx(plain.AB[:, column].tolist())


def test_lists_of_rows_and_columns_make_a_grid():
    matrix, rows, columns = factored((2,), 6, 2, 5), torch.tensor([5, 0, 0]), [1, 4]
    close(matrix[:, rows, columns], matrix.AB[:, rows][:, :, columns])
    mask = torch.tensor([True, False, False, False, True])
    close(matrix[1, :, mask], matrix.AB[1][:, [0, 4]])
    # Also beside a list of matrices, which a tensor would pair with it.
    close(matrix[[1, 0], [2, 3]], matrix.AB[[1, 0]][:, [2, 3]])


def test_a_stack_can_be_walked_through():
    matrix = factored((2,), 3, 2, 3)
    close(torch.stack([part.AB for part in matrix]), matrix.AB)
    assert len(list(matrix[0])) == 3, "the rows, and no more"


@pytest.mark.parametrize("k", [0, 1, 2, -3, -4, -5])
def test_unsqueeze(k: int):
    matrix = factored((2, 3), 6, 2, 5)
    close(matrix.unsqueeze(k), matrix.AB.unsqueeze(k))


def test_corners():
    matrix = factored((5, 2), 6, 2, 4)
    close(matrix.get_corner(), matrix.AB[:3, :3, :3, :3])
    close(matrix.get_corner(k=1), matrix.AB[:1, :1, :1, :1])


def test_a_factor_without_leading_dimensions_serves_every_matrix():
    A, B = random(2, 3, 6, 2), random(2, 5, seed=1)
    close(FactoredMatrix(A, B), torch.einsum("abij,jk->abik", A, B))
    close(FactoredMatrix(B.T, A.mT), torch.einsum("kj,abji->abki", B.T, A.mT))
    assert FactoredMatrix(A, B).B.shape == (2, 3, 2, 5)


def test_a_dimension_of_one_is_repeated():
    A, B = random(2, 1, 6, 2), random(1, 3, 2, 5, seed=1)
    close(FactoredMatrix(A, B), torch.einsum("aij,bjk->abik", A[:, 0], B[0]))


def test_gradients_flow_to_the_factors():
    A, B, weights = random(6, 2).requires_grad_(), random(2, 5, seed=1).requires_grad_(), random(6, 5, seed=2)
    matrix, product = FactoredMatrix(A, B), A @ B
    pairs = [
        (matrix.norm(), product.square().sum().sqrt()),
        (matrix.S.sum(), torch.linalg.svdvals(product)[:2].sum()),
        ((matrix.make_even().AB * weights).sum(), (product * weights).sum()),
    ]
    for ours, theirs in pairs:
        gradients = [torch.autograd.grad(of, (A, B), retain_graph=True) for of in (ours, theirs)]
        for got, wanted in zip(*gradients, strict=True):
            close(got, wanted, 1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_factors_are_decomposed_in_float32(dtype: torch.dtype):
    exact = factored((2,), 6, 2, 6)
    rounded = FactoredMatrix(exact.A.to(dtype), exact.B.to(dtype))
    same = FactoredMatrix(rounded.A.double(), rounded.B.double())
    assert rounded.AB.dtype == dtype
    assert rounded.S.dtype == rounded.norm().dtype == rounded.make_even().A.dtype == torch.float32
    close(rounded.S.double(), torch.linalg.svdvals(same.AB)[..., :2], 1e-6)
    assert rounded.eigenvalues.dtype == torch.complex64
