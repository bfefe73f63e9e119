"""Interventions bound to a run: what is read, what is written, and how much of a run each needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.hooks import HookFunction, HookPoint
from unweave.engine.inputs import Inputs
from unweave.engine.layout import Selection, dims_of, layer_of, orthonormal
from unweave.engine.operations import Operation, Valued
from unweave.engine.runs import Runs
from unweave.engine.site import Change, Intervention
from unweave.model.transformer import HookedTransformer


@dataclass(frozen=True, eq=False)
class Edit:
    """One operation at one hook.

    Args:
        reference: what the source has at that hook, `[sample, ...]`; None without a source.
        read: which of its entries.
        basis: `[last, rank]`, orthonormal: only what lies in it changes.
        noise: a seed: change the same entries by as much, in random directions instead.
    """

    selection: Selection
    operation: Operation
    reference: Tensor | None = None
    read: Selection | None = None
    basis: Tensor | None = None
    noise: int | None = None

    @property
    def name(self) -> str:
        """The hook's."""
        return self.selection.name

    @property
    def opaque(self) -> bool:
        """Whether it must see all samples and positions, of one patch alone."""
        return self.operation.opaque or not self.selection.dims

    @cached_property
    def positions(self) -> range:
        """From the earliest position that it touches to the latest."""
        return range(self.selection.n_pos) if self.opaque else self.selection.positions()

    def values(self, part: Tensor, samples: slice, offset: int = 0) -> tuple[Tensor, Tensor]:
        """The selected entries of `part`, and what takes their place."""
        old = self.selection.get(part, samples, offset)
        target = None
        if self.reference is not None and self.read is not None:
            target = self.read.get(self.reference[samples], samples).to(old)
            if target.shape != old.shape:
                raise InputError(
                    wanted=f"{tuple(old.shape)} entries of the source at {self.name}",
                    got=str(tuple(target.shape)),
                    remedy="name as many positions of the source as of the site, and pass a run of the same model",
                )
        new = self.replaced(old, target, samples)
        if self.noise is not None:
            new = of_the_same_size(old, new, self.drawn(old.shape, samples))
        return old, new

    def replaced(self, old: Tensor, target: Tensor | None, samples: slice) -> Tensor:
        """What takes the place of these entries, `[sample, ...]`, without noise."""
        operation = self.operation
        if isinstance(operation, Valued) and self.selection.dims:
            operation = operation.of(samples)
        new = operation.replaced(old, target)
        if self.basis is not None:
            if len(self.basis) != old.shape[-1]:
                raise InputError(
                    wanted=f"a direction of {old.shape[-1]} numbers at {self.name}",
                    got=str(len(self.basis)),
                    remedy="give it the size of the site's last dimension",
                )
            basis = self.basis.to(old)
            new = old + (new - old) @ basis @ basis.T
        return new

    def drawn(self, shape: Sequence[int], samples: slice) -> Tensor:
        """Random numbers for entries of this shape, `[sample, ...]`: the same for a sample whatever runs beside it."""
        assert self.noise is not None
        first = samples.start or 0
        return torch.stack(
            [
                torch.randn(shape[1:], generator=seeds.generator(self.noise, self.name, first + row))
                for row in range(shape[0])
            ]
        )

    def write(self, part: Tensor, new: Tensor, samples: slice, offset: int = 0) -> None:
        """Put the new entries into `part`."""
        self.selection.put(part, new, samples, offset)


def of_the_same_size(old: Tensor, new: Tensor, drawn: Tensor) -> Tensor:
    """`old`, changed in the drawn direction by as much as to `new`, by the norm over the last dimension."""
    change = torch.where(new == old, 0.0, new - old)
    # What is not changed (what is masked, for one) stays.
    random = drawn.to(old).masked_fill(change == 0, 0.0)
    size = torch.linalg.vector_norm(random, dim=-1, keepdim=True).clamp_min(1e-30)
    return old + random / size * torch.linalg.vector_norm(change, dim=-1, keepdim=True)


@dataclass(frozen=True, eq=False)
class HookEdit:
    """A hook function, as run_with_hooks takes one."""

    name: str
    function: HookFunction


@dataclass(frozen=True, eq=False)
class Patch:
    """What is changed together in one run: edits in the order in which they were given."""

    edits: tuple[Edit | HookEdit, ...]
    n_layers: int

    @cached_property
    def start(self) -> int:
        """The first layer that is touched; AT_TOKENS before layer 0."""
        return min(layer_of(edit.name, self.n_layers) for edit in self.edits)

    @cached_property
    def first_position(self) -> int:
        """The earliest position that is touched."""
        return min(edit.positions.start if isinstance(edit, Edit) else 0 for edit in self.edits)

    @cached_property
    def alone(self) -> bool:
        """Whether something must see all samples and positions, of this patch alone."""
        return any(isinstance(edit, HookEdit) or edit.opaque for edit in self.edits)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The hooks' names without their layers."""
        return frozenset(edit.name.split(".", 2)[-1] for edit in self.edits)

    @cached_property
    def by_name(self) -> dict[str, list[Edit | HookEdit]]:
        """The edits at each hook, in order."""
        by_name: dict[str, list[Edit | HookEdit]] = {}
        for edit in self.edits:
            by_name.setdefault(edit.name, []).append(edit)
        return by_name

    def at(self, name: str) -> list[Edit | HookEdit]:
        """The edits at one hook, in order."""
        return self.by_name.get(name, [])

    def sets(self, name: str) -> bool:
        """Whether there are edits at this hook, and no functions that want to be called by it."""
        edits = self.at(name)
        return bool(edits) and all(isinstance(edit, Edit) for edit in edits)

    @property
    def names(self) -> list[str]:
        """The hooks that are touched."""
        return list(self.by_name)


class Binder:
    """Turns interventions into edits of runs over `base`."""

    def __init__(self, model: HookedTransformer, base: Inputs) -> None:
        self.model, self.base, self.runs = model, base, Runs(model, base)
        self._bases: dict[int, tuple[Tensor, Tensor]] = {}
        self._references: dict[tuple[int, str], Tensor] = {}

    def bind(self, patches: Sequence[Sequence[Change]]) -> list[Patch]:
        """One Patch for each list of changes.

        Raises:
            InputError: for a site that isn't there, an operation that can't be done there, or a
                source that doesn't fit the run.
        """
        found = [[(change, hooks_of(change, self.model)) for change in changes] for changes in patches]
        for changes in found:
            for change, names in changes:
                for name in names:
                    self._announce(change, name)
        return [self._patch(changes) for changes in found]

    def _announce(self, change: Change, name: str) -> None:
        if not isinstance(change, Intervention):
            return
        operation = change.operation
        operation.check(name)
        if operation.sourced:
            if dims_of(name) is None:
                raise InputError(
                    wanted="a site with one entry for each sample and position, for values from a run",
                    got=name,
                    remedy="name another site, or set, add or zero there",
                )
            self.runs.want(operation.run, name, operation.reduced)

    def _patch(self, changes: Sequence[tuple[Change, list[str]]]) -> Patch:
        edits = [self._edit(change, name) for change, names in changes for name in names]
        return Patch(tuple(edits), self.model.cfg.n_layers)

    def _edit(self, change: Change, name: str) -> Edit | HookEdit:
        if not isinstance(change, Intervention):
            return HookEdit(name, change[1])
        site, operation = change.site, change.operation
        selection = Selection(name, site.index, self.base.shape[1])
        basis = None if site.direction is None else self._basis(site.direction)
        if isinstance(operation, Valued) and selection.dims:
            operation.require_samples(self.base.shape[0])
        if not operation.sourced:
            return _placed(Edit(selection, operation, basis=basis))
        reference, read = self._reference(operation, name), selection
        if operation.source_pos is not None:
            dims = dims_of(name)
            assert dims is not None
            n_pos = reference.shape[dims.index("pos")]
            read = Selection(name, {**site.index, "pos": operation.source_pos}, n_pos)
        return _placed(Edit(selection, operation, reference, read, basis))

    def _basis(self, direction: Tensor) -> Tensor:
        if id(direction) not in self._bases:
            size = direction.shape[-1] if direction.ndim else 0
            # The direction is kept too, or another tensor might come by its id.
            self._bases[id(direction)] = direction, orthonormal(direction, size)
        return self._bases[id(direction)][1]

    def _reference(self, operation: Operation, name: str) -> Tensor:
        key = id(operation), name
        if key not in self._references:
            self._references[key] = self._made_reference(operation, name)
        return self._references[key]

    def _made_reference(self, operation: Operation, name: str) -> Tensor:
        reference = self.runs.get(operation.run, name, operation.reduced)
        samples, n_pos = self.base.shape
        dims = dims_of(name)
        assert dims is not None
        order = operation.order(samples)
        if order is not None:
            _require_order(order, samples, len(reference))
            reference = reference[order.to(reference.device)]
        at = dims.index("pos")
        if len(reference) not in (1, samples):
            raise InputError(
                wanted=f"a source of {samples} samples, as the tokens have, or of one",
                got=str(len(reference)),
                remedy="pair each sample with one of the source's",
            )
        same = reference.shape[at] == n_pos or operation.reduced == "all"
        if not same and operation.source_pos is None:
            raise InputError(
                wanted=f"a source of {n_pos} positions, as the tokens have",
                got=str(reference.shape[at]),
                remedy="make both runs of one length, or say which of the source's positions are meant: "
                "Interchange(source, pos=...)",
            )
        shape = list(reference.shape)
        shape[0], shape[at] = samples, n_pos if operation.source_pos is None else shape[at]
        return reference.expand(shape)


def _placed(edit: Edit) -> Edit:
    """The edit, if its positions are there."""
    _ = edit.positions
    return edit


def applied(
    tensor: Tensor,
    edits: Sequence[Edit | HookEdit],
    hook: HookPoint,
    samples: slice = slice(None),
    offset: int = 0,
    watch: Watch | None = None,
) -> Tensor:
    """`tensor`, which may be changed in place, as the edits leave it.

    Raises:
        InputError: for values that don't fit.
    """
    for edit in edits:
        if isinstance(edit, HookEdit):
            returned = edit.function(tensor, hook=hook)
            tensor = tensor if returned is None else returned
            if watch is not None:
                watch.note(edit)
            continue
        old, new = edit.values(tensor, samples, offset)
        if watch is not None:
            watch.see(edit, old, new)
        edit.write(tensor, new, samples, offset)
    return tensor


class Watch:
    """Remembers whether anything was changed at all."""

    def __init__(self) -> None:
        self.changed = False

    def see(self, edit: Edit, old: Tensor, new: Tensor) -> None:
        """Compare what was there with what takes its place."""
        if not self.changed:
            self.changed = not edit.operation.sourced or _differ(old, new)

    def note(self, edit: HookEdit) -> None:
        """A function changed what it liked."""
        self.changed = True


def _differ(old: Tensor, new: Tensor) -> bool:
    """Whether they differ by more than rounding: a run that was cached may have used another kernel."""
    if torch.equal(old, new):
        return False
    if not old.is_floating_point():
        return True
    part = {torch.float64: 1e-10, torch.float32: 1e-5}.get(old.dtype, 2 * torch.finfo(old.dtype).eps)
    change = (new - old).masked_fill(new == old, 0.0).abs()
    size = old.masked_fill(old.isinf(), 0.0).abs().amax(-1, keepdim=True)
    # Written so that nan counts as a difference.
    return not bool((change <= part * size).all())


def require_changed(changed: bool) -> None:
    """Raise InputError unless something was changed."""
    if not changed:
        raise InputError(
            wanted="patches that change something",
            got="values equal everywhere to what they replace",
            remedy="check that the source is another run than the one that is patched",
        )


def hooks_of(change: Change, model: HookedTransformer) -> list[str]:
    """The names of the hooks that a change acts at."""
    if isinstance(change, Intervention):
        return change.site.hooks(model)
    if not (isinstance(change, tuple) and len(change) == 2 and isinstance(change[0], str)):
        raise InputError(
            wanted="an intervention, as Site(...).zero(), or a pair (hook name, function)",
            got=type(change).__name__,
            remedy="say a site and what is done there",
        )
    return [point.name for point in model.points(change[0])]


def _require_order(order: Tensor, samples: int, available: int) -> None:
    whole = not order.is_floating_point() and order.dtype != torch.bool and order.ndim == 1
    if not whole or len(order) != samples or int(order.min()) < 0 or int(order.max()) >= available:
        raise InputError(
            wanted=f"a permutation of {samples} whole numbers from 0 to {available - 1}",
            got=f"shape {tuple(order.shape)}, {order.dtype}, values {order.flatten()[:8].tolist()}",
            remedy="name for each sample the one that it reads",
        )
