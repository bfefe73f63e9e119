"""Fourier analysis over a cyclic vocabulary: which frequencies a table of one or two numbers modulo p consists of.

(Nanda et al., 2023, arXiv:2301.05217.) The basis is orthonormal, so that squares add up, and a table's mean is left
out of them: it says nothing of its inputs, and is often most of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.analysis.requirements import require_whole
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.results import Result

TERMS = ("a", "b", "a+b", "a-b")
# A part of the squares of one frequency that a shuffled vocabulary never reaches says that the order matters.
DRAWS = 20


def fourier_basis(p: int) -> tuple[Float[Tensor, "p p"], Int[Tensor, " p"], list[str]]:
    """An orthonormal basis of functions of a number modulo p: its rows, their frequencies, their names.

    "constant", "cos 1", "sin 1", …; for an even p the last one, "cos p/2", has no sine.

    Raises:
        InputError: for p below 2.
    """
    require_whole("p", p, 2)
    x = torch.arange(p, dtype=torch.float64)
    rows, frequencies, names = [torch.ones(p, dtype=torch.float64)], [0], ["constant"]
    for k in range(1, p // 2 + 1):
        angle = 2 * math.pi * k * x / p
        for name, row in (("cos", angle.cos()), ("sin", angle.sin())):
            if name == "sin" and 2 * k == p:
                continue
            rows.append(row)
            frequencies.append(k)
            names.append(f"{name} {k}")
    basis = torch.stack(rows)
    return basis / basis.norm(dim=1, keepdim=True), torch.tensor(frequencies), names


def fourier_norms(table: Float[Tensor, "p d"], *, seed: int = 0) -> Result:
    """The share of a table's variance at each frequency of its rows' number, such as of an embedding's `W_E[:p]`.

    Returns:
        A dimension "frequency". The baseline "random" is the largest share at any frequency when the rows are
        shuffled, in each of 20 draws; the warning says whether one stands out.
    """
    basis, frequencies, _ = fourier_basis(len(table))
    values = _by_frequency(basis @ table.detach().cpu().double(), frequencies)
    draw = seeds.generator(seed, "fourier")
    shuffled = [
        table.detach().cpu().double()[torch.randperm(len(table), generator=draw)] for _ in range(DRAWS)
    ]
    chance = torch.stack([_by_frequency(basis @ rows, frequencies).max() for rows in shuffled])
    stands_out = bool(values.max() > chance.max())
    return Result(
        values,
        ("frequency",),
        {"frequency": tuple(range(1, len(values) + 1))},
        "share of the variance",
        baselines={"random": chance},
        provenance=_facts(len(table), "variance by frequency", seed=seed),
        warnings=()
        if stands_out
        else (
            "no frequency has more than a shuffled vocabulary's largest: there is no periodic structure to see",
        ),
    )


def fourier_pairs(table: Float[Tensor, "a b unit"], units: Sequence[int | str] | None = None) -> Result:
    """The share of each unit's variance over all pairs (a, b) modulo p that is periodic in a, b, a+b or a-b.

    For each frequency k: the part that is a cosine or sine of k a; of k b; of k (a+b); of k (a-b). Together
    they are all products of degree two at most of a single frequency's cosines and sines. What is left lies
    at mixed frequencies. At k = p/2 a+b and a-b are the same, and count as "a+b".

    Args:
        table: `table[a, b]`, such as neurons or logits at the position that has read both.

    Returns:
        Dimensions "frequency", "term" and "unit". NaN for a unit that is constant. `warnings` say how many
        units are no single frequency's to a half.
    """
    p = len(table)
    if table.shape[1] != p:
        raise InputError(
            wanted="a square table, one row and column a number",
            got=str(tuple(table.shape)),
            remedy="give all pairs",
        )
    x = table.detach().cpu().double()
    x = x - x.mean((0, 1))
    total = x.square().sum((0, 1))
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    numbers = {"a": a, "b": b, "a+b": a + b, "a-b": a - b}
    rows: list[Tensor] = []
    for k in range(1, p // 2 + 1):
        parts: list[Tensor] = []
        for term, number in numbers.items():
            angle = 2 * math.pi * k * number.double() / p
            waves = [angle.cos()] if 2 * k == p else [angle.cos(), angle.sin()]
            if 2 * k == p and term == "a-b":
                waves = []
            along = [(torch.einsum("abu,ab->u", x, wave) / wave.norm()).square() for wave in waves]
            parts.append(torch.stack(along).sum(0) if along else torch.zeros_like(total))
        rows.append(torch.stack(parts))
    values = torch.stack(rows) / torch.where(total > 1e-20 * p * p, total, torch.nan)
    largest = values.sum(1).amax(0)
    mixed = int((largest < 0.5).sum())
    dead = int(largest.isnan().sum())
    warnings = (
        [f"{mixed} of {x.shape[2]} units are less than half of any single frequency's"] if mixed else []
    )
    warnings += [f"{dead} of {x.shape[2]} units are the same for all pairs"] if dead else []
    return Result(
        values,
        ("frequency", "term", "unit"),
        {
            "frequency": tuple(range(1, p // 2 + 1)),
            "term": TERMS,
            "unit": tuple(range(x.shape[2])) if units is None else tuple(units),
        },
        "share of the variance",
        provenance=_facts(p, "variance over pairs by frequency and term"),
        warnings=tuple(warnings),
    )


def fourier_logits(logits: Float[Tensor, "a b c"]) -> Result:
    """The share of the variance of logits `[a, b, c]` that is a multiple of cos(2π k (a + b - c) / p), by frequency.

    That is what a model that adds modulo p by trigonometric identities has. Each logit's mean over c,
    which changes no prediction, is left out. A model that adds in other ways, or other numbers, has little of it.

    Returns:
        A dimension "frequency"; `provenance["explained"]` is their sum.
    """
    p = len(logits)
    if tuple(logits.shape) != (p, p, p):
        raise InputError(
            wanted="logits [p, p, p] of all pairs, for the p numbers",
            got=str(tuple(logits.shape)),
            remedy="leave other tokens out",
        )
    x = logits.detach().cpu().double()
    x = x - x.mean(-1, keepdim=True)
    n = torch.arange(p)
    # The sum over all a, b, c with the same a + b - c.
    gap = (n[:, None, None] + n[None, :, None] - n[None, None, :]) % p
    sums = torch.zeros(p, dtype=torch.float64).index_add(0, gap.flatten(), x.flatten())
    values: list[Tensor] = []
    for k in range(1, p // 2 + 1):
        wave = (2 * math.pi * k * n.double() / p).cos()
        values.append((sums @ wave).square() / (wave.square().sum() * p * p))
    share = torch.stack(values) / x.square().sum()
    explained = share.sum().item()
    return Result(
        share,
        ("frequency",),
        {"frequency": tuple(range(1, p // 2 + 1))},
        "share of the variance",
        provenance={**_facts(p, "variance along cos k(a+b-c)"), "explained": explained},
        warnings=(f"{1 - explained:.0%} of the logits' variance is no function cos k(a+b-c)",)
        if explained < 0.9
        else (),
    )


def _by_frequency(
    coefficients: Float[Tensor, "p d"], frequencies: Int[Tensor, " p"]
) -> Float[Tensor, " frequency"]:
    squares = coefficients.square().sum(1)
    found = torch.zeros(int(frequencies.max()) + 1, dtype=torch.float64).index_add(0, frequencies, squares)
    return found[1:] / found[1:].sum().clamp_min(1e-300)


def _facts(p: int, method: str, **others: int) -> dict[str, object]:
    return {
        "metric": "share of the variance",
        "values": "shares",
        "operation": "Fourier",
        "method": method,
        "p": p,
        **others,
    }
