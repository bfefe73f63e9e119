"""What reaches each part of the residual stream when some components are as in another run, and others stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.nodes import nodes
from unweave.core.edges import Node
from unweave.engine.inputs import Inputs, as_source
from unweave.engine.intervene import intervene
from unweave.engine.operations import From, Operation
from unweave.engine.site import Intervention, Site
from unweave.model.transformer import HookedTransformer

Stream = Float[Tensor, "sample pos d_model"]

# A change below this part of the largest number is rounding, by dtype.
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-6}


@final
@dataclass(frozen=True, eq=False)
class Shift(Operation):
    """Add what `change` has under the hook's name: to each sample and position its own."""

    change: Mapping[str, Tensor]
    kind: ClassVar[str] = "path patch"
    sourced: ClassVar[bool] = True

    @property
    def run(self) -> From | None:
        return self.change

    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """The old values, shifted."""
        assert target is not None
        return old + target


@dataclass(frozen=True, eq=False)
class Carrier:
    """Runs in which senders are as in the source, and all that isn't in `through` as without.

    Args:
        clean: what every head and MLP that is kept has in the run itself, and the residual stream.
        source: the other run, or a cache.
        sites: where each component's output is, at the positions that are sent.
    """

    model: HookedTransformer
    inputs: Inputs
    clean: Mapping[str, Tensor]
    source: From
    sites: Mapping[str, Site]
    through: frozenset[str]

    @classmethod
    def begun(
        cls,
        model: HookedTransformer,
        inputs: Inputs,
        source: From,
        sites: Mapping[str, Site],
        through: frozenset[str],
    ) -> Carrier:
        """Make the run itself, and the source's where that is tokens."""
        outputs = {hook for site in nodes(model).values() for hook in site.hooks(model)}
        streams = {
            name for name in model.hook_dict if name.endswith(("resid_pre", "resid_mid", "resid_post"))
        }
        clean = _cached(model, inputs, outputs | streams)
        source = as_source(source, inputs)
        if isinstance(source, Inputs):
            source = _cached(model, source, outputs)
        return cls(model, inputs, clean, source, sites, through)

    def change(self, senders: Sequence[str], reads: Sequence[str]) -> dict[str, Stream]:
        """What is added to the residual stream at these hooks; those where nothing is are left out."""
        done = [*self._frozen(set(senders)), *(self.sites[name].interchange(self.source) for name in senders)]
        names = list(dict.fromkeys(reads))
        run = intervene(self.model, self.inputs, done, cache=names, return_type=None, allow_equal=True)
        assert run.cache is not None
        found = {name: run.cache[name] - self.clean[name] for name in names}
        return {name: delta for name, delta in found.items() if self._matters(delta, self.clean[name])}

    def _frozen(self, senders: set[str]) -> list[Intervention]:
        """Every head and MLP kept as it is, but for senders and what may carry on; heads of a layer together."""
        heads: dict[int, list[int]] = defaultdict(list)
        kept: list[Intervention] = []
        for name, site in nodes(self.model).items():
            if name in senders or name in self.through or name.endswith("embed"):
                continue
            node = Node.parse(name)
            if node.kind == "head" and node.layer is not None and node.head is not None:
                heads[node.layer].append(node.head)
            else:
                kept.append(site.interchange(self.clean))
        return kept + [Site("z", layer, head=those).interchange(self.clean) for layer, those in heads.items()]

    def _matters(self, delta: Stream, stream: Stream) -> bool:
        least = ROUNDING.get(stream.dtype, 2 * torch.finfo(stream.dtype).eps) * stream.abs().max()
        # Written so that nan counts.
        return not bool((delta.abs() <= least).all())


def _cached(model: HookedTransformer, inputs: Inputs, names: set[str]) -> dict[str, Tensor]:
    with torch.no_grad():
        _, kept = model.run_with_cache(
            inputs.tokens,
            names_filter=sorted(names),
            return_type=None,
            return_cache_object=False,
            **inputs.others,
        )
    return kept
