"""A product of two matrices, kept as its factors."""

from __future__ import annotations

import warnings
from types import EllipsisType
from typing import Any, SupportsIndex, overload

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from unweave.core.errors import InputError

Index = SupportsIndex | slice | None | EllipsisType | Tensor | list[int]


Picked = slice | list[int] | Tensor


class FactoredIndexError(InputError, IndexError):
    """An index that a FactoredMatrix does not have."""

    __str__ = Exception.__str__


class FactoredMatrix:
    """`A @ B`, of rank at most `mdim`, with products, spectra and norms that never form it.

    A is `[..., ldim, mdim]`, B `[..., mdim, rdim]`. A head's `W_Q @ W_K.T` and `W_V @ W_O` are such
    matrices: `[d_model, d_model]`, through a `d_head` much smaller.

    Leading dimensions must agree: be the same, or none at all on one side, or as many on both with
    size 1 where one is to be repeated (`unsqueeze` puts it there). That `[layer, head]` and
    `[head]` would fit by their last dimension is luck, and refused; so are products.

    Names and results are those of TransformerLens 3.9. Factors of 16 bits are decomposed in
    float32, and what comes of it is float32.

    Raises:
        InputError: for factors or products whose shapes do not agree.
    """

    def __init__(self, A: Float[Tensor, "..."], B: Float[Tensor, "..."]) -> None:
        for name, factor in (("A", A), ("B", B)):
            if not isinstance(factor, Tensor) or not factor.is_floating_point() or factor.ndim < 2:
                raise InputError(
                    wanted=f"a floating-point matrix, or a stack of them, for {name}",
                    got=_described(factor),
                    remedy="pass tensors [..., ldim, mdim] and [..., mdim, rdim]",
                )
        _require_inner("A's columns", A.shape[-1], "B's rows", B.shape[-2])
        leading = _agreed(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def ldim(self) -> int:
        """How many rows the product has."""
        return self.A.shape[-2]

    @property
    def mdim(self) -> int:
        """The inner dimension."""
        return self.A.shape[-1]

    @property
    def rdim(self) -> int:
        """How many columns the product has."""
        return self.B.shape[-1]

    @property
    def shape(self) -> torch.Size:
        """The shape of `AB`."""
        return torch.Size((*self.A.shape[:-1], self.rdim))

    @property
    def ndim(self) -> int:
        return self.A.ndim

    @property
    def has_leading_dims(self) -> bool:
        return self.ndim > 2

    @property
    def pair(self) -> tuple[Float[Tensor, "*leading ldim mdim"], Float[Tensor, "*leading mdim rdim"]]:
        return self.A, self.B

    @property
    def AB(self) -> Float[Tensor, "*leading ldim rdim"]:
        """The product itself; the only member that forms it."""
        return self.A @ self.B

    @property
    def BA(self) -> Float[Tensor, "*leading mdim mdim"]:
        """The factors the other way round, which has the eigenvalues of `AB` but for zeros.

        Raises:
            InputError: unless the product is square.
        """
        _require_inner("as many rows", self.ldim, "columns", self.rdim)
        return self.B @ self.A

    @property
    def T(self) -> FactoredMatrix:
        """The transpose, of each matrix in the stack."""
        return FactoredMatrix(self.B.mT, self.A.mT)

    def __repr__(self) -> str:
        return f"FactoredMatrix(shape={tuple(self.shape)}, mdim={self.mdim})"

    @overload
    def __matmul__(self, other: FactoredMatrix) -> FactoredMatrix: ...
    @overload
    def __matmul__(self, other: Tensor) -> FactoredMatrix | Tensor: ...
    def __matmul__(self, other: FactoredMatrix | Tensor) -> FactoredMatrix | Tensor:
        """A factored matrix, or for a vector `[rdim]` the vectors `[..., ldim]`."""
        if isinstance(other, FactoredMatrix):
            left = self @ other.A
            assert isinstance(left, FactoredMatrix)
            return left @ other.B
        if not isinstance(other, Tensor):
            return NotImplemented
        _require_not_scalar(other)
        _require_inner("the left's columns", self.rdim, "the right's rows", other.shape[-min(other.ndim, 2)])
        if other.ndim == 1:
            return (self.A @ (self.B @ other)[..., None]).squeeze(-1)
        _agreed(self.shape[:-2], other.shape[:-2])
        # Whichever keeps the inner dimension small.
        return (
            FactoredMatrix(self.A, self.B @ other)
            if self.rdim > self.mdim
            else FactoredMatrix(self.AB, other)
        )

    def __rmatmul__(self, other: Tensor) -> FactoredMatrix | Tensor:
        """A factored matrix, or for a vector `[ldim]` the vectors `[..., rdim]`."""
        if not isinstance(other, Tensor):
            return NotImplemented
        transposed = self.T @ (other if other.ndim < 2 else other.mT)
        return transposed.T if isinstance(transposed, FactoredMatrix) else transposed

    def __mul__(self, scalar: int | float | Tensor) -> FactoredMatrix:
        """Each entry times one number, or a tensor that holds one."""
        if isinstance(scalar, Tensor):
            if scalar.numel() != 1:
                raise InputError(
                    wanted="one number to multiply by",
                    got=f"a tensor of shape {tuple(scalar.shape)}",
                    remedy="write @ for a product of matrices",
                )
            scalar = scalar.reshape(())
        elif not isinstance(scalar, int | float):
            return NotImplemented
        return FactoredMatrix(self.A * scalar, self.B)

    __rmul__ = __mul__

    def __getitem__(self, index: Index | tuple[Index, ...]) -> FactoredMatrix:
        """The matrices of a part of the stack, or a part of each matrix.

        The leading dimensions are indexed as a tensor's are. Rows and columns are picked by a
        number, a slice, a list or a mask, each by itself, and stay dimensions: `M[2, 5, :3, 0]` is
        `[3, 1]`, and `M[2, 5, [0, 1, 4], [0, 1]]` is `[3, 2]`, where a tensor would pair the two.

        Raises:
            FactoredIndexError: for an index that is out of range, or has too many parts.
        """
        leading, rows, columns = self._split(index if isinstance(index, tuple) else (index,))
        try:
            A, B = self.A[(*leading, ...)], self.B[(*leading, ...)]
            return FactoredMatrix(A[..., rows, :], B[..., columns])
        except (IndexError, ValueError) as error:
            raise self._no_such(index, str(error)) from error

    def _split(self, index: tuple[Index, ...]) -> tuple[tuple[Index, ...], Picked, Picked]:
        """The index of the leading dimensions, of the rows and of the columns."""
        spans = [_span(part) for part in index]
        dots = [at for at, part in enumerate(index) if part is ...]
        missing = self.ndim - sum(spans)
        if missing < 0 or len(dots) > 1:
            raise self._no_such(index, "more indices than dimensions")
        at = dots[0] if dots else len(index)
        *leading, rows, columns = (*index[:at], *(slice(None),) * missing, *index[at + 1 :])
        if _span(rows) == _span(columns) == 1:
            return tuple(leading), self._picked(rows, self.ldim), self._picked(columns, self.rdim)
        raise self._no_such(index, "a new dimension, or a mask of several, among rows and columns")

    def _picked(self, part: Index, size: int) -> Picked:
        if isinstance(part, slice | list) or (isinstance(part, Tensor) and part.ndim == 1):
            return part
        if not isinstance(part, SupportsIndex) or (isinstance(part, Tensor) and part.ndim):
            raise self._no_such(part, "rows or columns are picked in one dimension")
        number = int(part)
        if not -size <= number < size:
            raise self._no_such(part, f"there are {size}")
        return slice(number % size, number % size + 1)

    def _no_such(self, index: object, why: str) -> FactoredIndexError:
        return FactoredIndexError(
            wanted=f"an index into a factored matrix {tuple(self.shape)}",
            got=f"{index!r}: {why}",
            remedy="index the leading dimensions as a tensor's, then the rows, then the columns",
        )

    def unsqueeze(self, k: int) -> FactoredMatrix:
        """A new leading dimension of size 1 at `k`; -3 puts it last, just before the rows."""
        least, most = -(self.ndim + 1), self.ndim - 2
        if not (least <= k <= -3 or 0 <= k <= most):
            raise InputError(
                wanted=f"a place among the leading dimensions: {least} to -3, or 0 to {most}",
                got=str(k),
                remedy="rows and columns stay last",
            )
        return FactoredMatrix(self.A.unsqueeze(k), self.B.unsqueeze(k))

    def get_corner(self, k: int = 3) -> Float[Tensor, "..."]:
        """The first `k` in every dimension of `AB`, to look at."""
        leading = tuple(slice(k) for _ in self.shape[:-2])
        return self[(*leading, slice(k), slice(k))].AB

    def svd(
        self,
    ) -> tuple[
        Float[Tensor, "*leading ldim rank"],
        Float[Tensor, "*leading rank"],
        Float[Tensor, "*leading rdim rank"],
    ]:
        """`U`, `S` and `V`, with `AB == U @ S.diag_embed() @ V.mT`; rank is min(ldim, mdim, rdim).

        V, not its transpose, as in TransformerLens (torch.linalg.svd gives the transpose). Computed
        from two QR decompositions and the SVD of an `[mdim, mdim]` matrix.
        """
        left, right = self._thin()
        U, S, Vh = torch.linalg.svd(left.R @ right.R.mT, full_matrices=False)
        return left.Q @ U, S, right.Q @ Vh.mT

    @property
    def U(self) -> Float[Tensor, "*leading ldim rank"]:
        """Left singular vectors; `svd()` computes all three at once."""
        return self.svd()[0]

    @property
    def S(self) -> Float[Tensor, "*leading rank"]:
        """Singular values, the largest first."""
        left, right = self._thin()
        return torch.linalg.svdvals(left.R @ right.R.mT)

    @property
    def V(self) -> Float[Tensor, "*leading rdim rank"]:
        """Right singular vectors, as columns."""
        return self.svd()[2]

    @property
    def Vh(self) -> Float[Tensor, "*leading rdim rank"]:
        """Another name for `V`: under it TransformerLens gives the vectors as columns, against the name."""
        warnings.warn(
            "FactoredMatrix.Vh is V, not its transpose, as in TransformerLens: write V, or V.mT",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.V

    @property
    def eigenvalues(self) -> Complex[Tensor, "*leading mdim"]:
        """The eigenvalues of a square `AB`, from the small `BA`: all that are not zero.

        Raises:
            InputError: unless the product is square.
        """
        return torch.linalg.eigvals(_decomposable(self.BA))

    def norm(self) -> Float[Tensor, "*leading"]:
        """The Frobenius norm of each matrix."""
        left, right = self._thin()
        return torch.linalg.matrix_norm(left.R @ right.R.mT)

    def collapse_l(self) -> Float[Tensor, "*leading rank rdim"]:
        """`S V.T`: what the matrix is but for a rotation on its left."""
        _, S, V = self.svd()
        return S[..., :, None] * V.mT

    def collapse_r(self) -> Float[Tensor, "*leading ldim rank"]:
        """`U S`: what the matrix is but for a rotation on its right."""
        U, S, _ = self.svd()
        return U * S[..., None, :]

    def make_even(self) -> FactoredMatrix:
        """The same product from factors `U sqrt(S)` and `sqrt(S) V.T`, which share its size evenly."""
        U, S, V = self.svd()
        root = S.sqrt()
        return FactoredMatrix(U * root[..., None, :], root[..., :, None] * V.mT)

    def _thin(self) -> tuple[Any, Any]:
        """QR decompositions of A and of B's transpose: orthonormal columns times something small."""
        return torch.linalg.qr(_decomposable(self.A)), torch.linalg.qr(_decomposable(self.B.mT))


def _described(factor: Any) -> str:
    if isinstance(factor, Tensor):
        return f"shape {tuple(factor.shape)}, {factor.dtype}"
    return type(factor).__name__


def _agreed(left: torch.Size, right: torch.Size) -> torch.Size:
    """The leading dimensions of both together."""
    if not left or not right:
        return left or right
    if len(left) == len(right) and all(a == b or 1 in (a, b) for a, b in zip(left, right, strict=True)):
        return torch.broadcast_shapes(left, right)
    raise InputError(
        wanted="leading dimensions that agree",
        got=f"{tuple(left)} and {tuple(right)}",
        remedy="unsqueeze to put a dimension of size 1 where one is to be repeated",
    )


def _require_inner(left: str, m: int, right: str, n: int) -> None:
    if m != n:
        raise InputError(
            wanted=f"{left} to be as many as {right}",
            got=f"{m} and {n}",
            remedy="check the order of the factors, or transpose one",
        )


def _require_not_scalar(other: Tensor) -> None:
    if other.ndim == 0:
        raise InputError(wanted="a matrix or a vector after @", got="one number", remedy="write * for it")


def _span(part: Index) -> int:
    """How many dimensions an index uses up."""
    if part is None or part is ...:
        return 0
    return part.ndim if isinstance(part, Tensor) and part.dtype == torch.bool else 1


def _decomposable(matrix: Tensor) -> Tensor:
    return matrix.float() if matrix.dtype in (torch.bfloat16, torch.float16) else matrix
