"""Subspace patching, and the check whether what it does comes from a direction that the model doesn't use.

(Makelov, Lange and Nanda, 2023, "Is This the Subspace You Are Looking For?", arXiv:2311.17030; and the
reply by Wu et al., 2024, "A Reply to Makelov et al.", arXiv:2401.12631.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.layout import Selection, orthonormal
from unweave.engine.metrics import Function, Metric
from unweave.engine.site import Intervention, Site
from unweave.engine.sweep import sweep
from unweave.model.transformer import HookedTransformer

__all__ = ["patch_subspace"]

# A part of the subspace's effect: where the part that is read does less than this, the rest does it.
HALF = 0.5
# What is smaller than this part of the largest singular value counts as not read.
RANK = 1e-6


def patch_subspace(
    model: HookedTransformer,
    base: Tensor | Inputs,
    source: Tensor | Inputs,
    site: Site,
    direction: Float[Tensor, " d"] | Float[Tensor, "rank d"],
    metric: Metric | Function,
    **options: Any,
) -> Result:
    """What patching a subspace does, beside patching the whole site, the rest of it, and the subspace's own parts.

    Where one weight alone reads the site (an MLP's `post`, a head's `z`), the subspace is split into what
    that weight reads and what it doesn't (its null space). A direction can have an effect although
    the two runs don't differ in what is read: they differ in the unread part, and the patch, along both at
    once, moves the read part with it (the illusion of Makelov et al.). Then the read part, patched by
    itself, does little, and so does the whole site.

    Args:
        site: one hook (and one head of it), at some positions or all.
        direction: `[d]`, or rows that span the subspace.
        options: those of `sweep`.

    Returns:
        A dimension "patch": "subspace", "whole site", "rest" (the subspace's complement); where one weight
        reads the site, also "read part" and "unread part". `warnings` say where they disagree. Provenance has
        "unread share", the part of the subspace's squared norm that is in the null space, and "moved share",
        how much of the difference between the runs lies in the subspace's read part.

    Raises:
        InputError: for a site of several hooks or heads, or a direction that doesn't fit it.
    """
    model = require_model(model)
    names = site.hooks(model)
    if len(names) != 1 or site.direction is not None:
        raise InputError(
            wanted="a site of one hook, and the direction beside it",
            got=", ".join(names),
            remedy='write Site("post", layer=3, pos=-1), direction',
        )
    [name] = names
    spanned = orthonormal(direction, direction.shape[-1]).double()
    size = len(spanned)
    rest = torch.linalg.qr(spanned, mode="complete").Q[:, spanned.shape[1] :]
    reader = _reader(model, name, site)
    parts: dict[str, Tensor | None] = {"subspace": spanned, "whole site": None, "rest": rest}
    told: dict[str, Any] = {"unread share": None, "moved share": None}
    if reader is not None and len(reader) == size:
        read, unread = _split(spanned, reader.double())
        parts |= {"read part": read, "unread part": unread}
        told["unread share"] = _share(spanned, reader.double())
        told["moved share"] = _moved(model, as_inputs(base), as_inputs(source), site, name, read)
    patches: dict[str, list[Intervention]] = {}
    for what, basis in parts.items():
        some = basis is None or basis.shape[1] > 0
        at = site if basis is None or not some else site.at(direction=basis.T.to(model.W_E))
        # A part that isn't there changes nothing.
        patches[what] = [at.interchange(source) if some else site.add(0.0)]
    given: dict[str, Any] = {"controls": 0, "allow_equal": True, **options}
    result = sweep(model, base, patches, metric=metric, **given)
    facts = {"operation": "subspace patching", "site": name, "rank": spanned.shape[1], **told}
    return dataclasses.replace(
        result,
        dims=("patch",),
        coords={"patch": tuple(patches)},
        provenance={**result.provenance, **facts},
        warnings=(*result.warnings, *_disagreements(result.effect, tuple(patches), told)),
    )


def _reader(model: HookedTransformer, name: str, site: Site) -> Float[Tensor, "d out"] | None:
    """The one weight that reads the site; None where there are several, or none that can be told."""
    layer = name.split(".")[1] if name.startswith("blocks.") else ""
    weights = dict(model.named_parameters())
    if name.endswith("mlp.hook_post") and f"blocks.{layer}.mlp.W_out" in weights:
        return weights[f"blocks.{layer}.mlp.W_out"].detach()
    if name.endswith("attn.hook_z") and isinstance(site.head, int):
        return model.W_O[int(layer), site.head].detach()
    return None


def _split(spanned: Tensor, reader: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal columns for what the reader sees of a subspace, and for what it doesn't."""
    u, s, _ = torch.linalg.svd(reader)
    seen = u[:, : int((s > RANK * s.amax()).sum())]
    read = seen @ (seen.T @ spanned)
    return _columns(read), _columns(spanned - read)


def _share(spanned: Tensor, reader: Tensor) -> float:
    u, s, _ = torch.linalg.svd(reader)
    seen = u[:, : int((s > RANK * s.amax()).sum())]
    return (1 - (seen.T @ spanned).pow(2).sum() / spanned.shape[1]).item()


def _columns(vectors: Tensor) -> Tensor:
    u, s, _ = torch.linalg.svd(vectors, full_matrices=False)
    return u[:, s > RANK]


@torch.no_grad()
def _moved(
    model: HookedTransformer, base: Inputs, source: Inputs, site: Site, name: str, read: Tensor
) -> float:
    """Which part of the squared difference between the runs at the site lies along the read part."""
    kept: list[Tensor] = []
    for inputs in (base, source):
        _, cache = model.run_with_cache(
            inputs.tokens, names_filter=[name], return_type=None, return_cache_object=False, **inputs.others
        )
        kept.append(Selection(name, site.index, inputs.shape[1]).get(cache[name], slice(None)).double())
    change = kept[1] - kept[0]
    return ((change @ read).pow(2).sum() / change.pow(2).sum().clamp_min(1e-30)).item()


def _disagreements(effect: Tensor, names: tuple[str, ...], told: dict[str, Any]) -> Iterator[str]:
    found = dict(zip(names, effect.tolist(), strict=True))
    subspace, whole = found["subspace"], found["whole site"]
    if "read part" not in found:
        yield "several weights read this site: whether the subspace holds directions that none reads was not checked"
    if not subspace:
        return
    if abs(whole) < HALF * abs(subspace) or whole * subspace < 0:
        yield (
            f"patching the subspace has an effect of {subspace:.3g}, and patching the whole site one of {whole:.3g}: the rest "
            "of the site works against it, or the subspace moves what the two runs don't differ in"
        )
    if "read part" in found and abs(found["read part"]) < HALF * abs(subspace):
        yield (
            f"the part of the subspace that the next weight reads has, patched by itself, an effect of {found['read part']:.3g} "
            f"of {subspace:.3g}: the effect may come from a dormant direction, which the runs don't differ in, moved by one that "
            f"isn't read ({told['unread share']:.0%} of the subspace)"
        )
