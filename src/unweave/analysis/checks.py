"""Self-checks: whether interventions on a model do what their names say.

Each holds on any model whose hooks and weights are what they seem; none compares with a stored
number. A hook that isn't where it should be, code that changes what a hook is given, a cache that is
not what the run saw, or a gradient that stops on the way makes one of them fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.analysis.invariants import CHECKS, COMPLETE, Case, Pairs, Skipped, complete, relative_error
from unweave.core import seeds
from unweave.engine.inputs import require_model
from unweave.model.transformer import HookedTransformer

# Of the largest number compared.
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}
IN_SHORT = 5e-2


@dataclass(frozen=True)
class Check:
    """One check.

    Args:
        status: "passed", "failed", or "skipped" where the model has nothing to be checked.
        error: the largest difference, as part of the largest number compared; None if skipped.
        note: what was compared, why it was skipped, or what was raised.
    """

    name: str
    status: str
    error: float | None
    tolerance: float
    note: str


@dataclass(frozen=True)
class Checks:
    """What all checks said."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether none failed."""
        return all(check.status != "failed" for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        rows = [asdict(check) for check in self.checks]
        for row in rows:
            if row["error"] is not None and not math.isfinite(row["error"]):
                row["error"] = str(row["error"])
        return {"passed": self.passed, "checks": rows}


def check(
    model: HookedTransformer, tokens: Int[Tensor, "sample pos"] | None = None, *, seed: int = 0
) -> Checks:
    """Check a model and the hooks in it.

    Args:
        tokens: two sequences or more, of two positions or more; None draws some.

    Returns:
        One `Check` for each of: the identity patch changes nothing; patching everything gives the
        other run; contributions sum to logits; prefix reuse equals the full run; attribution is
        exact on a linearised model; integrated attribution is complete.
    """
    model = require_model(model)
    generator, cfg = seeds.generator(seed, "check"), model.cfg
    if tokens is None:
        shape = (2, min(6, cfg.n_ctx))
        tokens = torch.randint(0, cfg.d_vocab, shape, generator=generator)
    shift = torch.randint(1, max(2, cfg.d_vocab), tokens.shape, generator=generator).to(tokens)
    case = Case(model, tokens.to(model.W_E.device), ((tokens + shift) % cfg.d_vocab).to(model.W_E.device))
    return Checks(tuple(_run(name, function, case) for name, function in CHECKS.items()))


def _run(name: str, function: Callable[[Case], Pairs], case: Case) -> Check:
    tolerance = TOLERANCES.get(case.model.W_E.dtype, IN_SHORT)
    tolerance = max(tolerance, COMPLETE) if function is complete else tolerance
    try:
        pairs = function(case)
    except Skipped as reason:
        return Check(name, "skipped", None, tolerance, str(reason))
    except (ValueError, RuntimeError) as error:
        # A broken hook may raise as well as mislead: both are what this is here to tell.
        return Check(
            name, "failed", math.inf, tolerance, " ".join(f"{type(error).__name__}: {error}".split())
        )
    errors = [(relative_error(got, wanted), what) for what, got, wanted in pairs]
    worst, what = max(errors, key=lambda pair: pair[0])
    # Written so that nan fails too.
    fine = worst <= tolerance
    note = f"{len(pairs)} compared" if fine else f"worst: {what}"
    return Check(name, "passed" if fine else "failed", worst, tolerance, note)
