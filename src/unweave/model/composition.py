"""How much of what one head writes another reads."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.factored_matrix import FactoredMatrix


def composition_scores(
    left: FactoredMatrix, right: FactoredMatrix, broadcast_dims: bool = True
) -> Float[Tensor, "..."]:
    """`|left @ right| / (|left| |right|)` in Frobenius norms, between 0 and 1; nan where either is zero.

    For heads, `left` is the earlier one's OV, and `right` the later one's QK (Q-composition), its
    transpose (K) or OV (V): matrices multiply rows from the right here. What two random matrices
    score is no more than chance, and more than zero: compare with that. (Elhage et al., 2021, "A
    Mathematical Framework for Transformer Circuits".)

    Args:
        broadcast_dims: score every matrix of `left` against every one of `right`, `[*left, *right]`;
            False pairs them, by leading dimensions that must agree.

    Raises:
        InputError: if the shapes do not agree.
    """
    if left.rdim != right.ldim:
        raise InputError(
            wanted="as many columns on the left as rows on the right",
            got=f"{left.rdim} and {right.ldim}",
            remedy="pass the matrix that writes first, and the one that reads second",
        )
    if not broadcast_dims:
        product = left @ right
        assert isinstance(product, FactoredMatrix)
        return product.norm() / (left.norm() * right.norm())
    # Orthonormal columns to the left of a product, or rows to its right, leave its norm alone.
    writes = torch.linalg.qr(left.A).R @ left.B
    reads = right.A @ torch.linalg.qr(right.B.mT).R.mT
    columns = reads.movedim(-2, 0).flatten(1)  # [d, right * rank]: one large product for all pairs
    norms = [
        (each @ columns).unflatten(1, (*right.shape[:-2], reads.shape[-1])).norm(dim=(0, -1))
        for each in writes.reshape(-1, *writes.shape[-2:])
    ]
    joint = torch.stack(norms).unflatten(0, left.shape[:-2]) if left.has_leading_dims else norms[0]
    apart = (..., *(None,) * (right.ndim - 2))
    return joint / (left.norm()[apart] * right.norm())
