"""Which patches run together, and from where on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unweave.engine.base import Foreign
from unweave.engine.edits import Patch
from unweave.model.config import HookedTransformerConfig

# What a batch of patches may take beside the model and the run without patches, in bytes. On two
# cores larger batches were not faster.
MEMORY = 256 * 2**20

# Multiplications that take about as long as what one call of a layer costs besides its arithmetic.
# Measured on two cores; on a GPU a guess by its speed. Whatever it is, the numbers stay the same.
CALL = {"cpu": 1e8}
CALL_ELSEWHERE = 1e10

# Sites that hold a stream for each head.
WIDE = ("attn.hook_result", "hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input")


@dataclass(frozen=True)
class Batch:
    """Patches that run side by side.

    Args:
        patches: their numbers, in the order of the layers where they begin.
        offset: the first position that is run; what is before it is as in the run without patches.
        samples: which samples are run.
        whole: one call of the model with all that acts in it, and nothing left out but layers.
    """

    patches: tuple[int, ...]
    offset: int
    samples: slice
    whole: bool = False


@dataclass(frozen=True)
class Planner:
    """Puts patches into batches.

    Args:
        memory: bytes that a batch may take; one patch of one sample is the least that is run.
        reuse: whether positions before the first one touched can be left out.
        splittable: whether the metric can be measured sample by sample.
        call: multiplications that take as long as a call of a layer costs besides.
    """

    cfg: HookedTransformerConfig
    foreign: Foreign
    shape: tuple[int, int]
    itemsize: int
    memory: int
    reuse: bool
    splittable: bool
    call: float = CALL["cpu"]

    def batches(self, patches: Sequence[Patch]) -> list[Batch]:
        """Every patch in batches that together cover all samples."""
        n_samples = self.shape[0]
        alone: list[Batch] = []
        groups: dict[frozenset[str], list[int]] = defaultdict(list)
        for number, patch in enumerate(patches):
            whole = self.foreign.first is not None or self._in_one_call(patch)
            if whole or patch.alone:
                alone.append(Batch((number,), 0, slice(0, n_samples), whole))
            else:
                groups[patch.kinds].append(number)
        shared: list[Batch] = []
        for kinds, together in groups.items():
            for offset, numbers in self._bands(together, patches):
                numbers.sort(key=lambda number: patches[number].start)
                shared += self._split(numbers, offset, self._bytes(offset, kinds))
        return alone + shared

    def _bands(self, numbers: Sequence[int], patches: Sequence[Patch]) -> list[tuple[int, list[int]]]:
        """Patches that are run from one position on, the earliest that any of them touches.

        A band ends where what it computes in vain would take longer than the calls that a further one
        costs: with as many patches at each position that is about the best there is.
        """
        if not self.reuse:
            return [(0, list(numbers))]
        by_offset: dict[int, list[int]] = defaultdict(list)
        for number in numbers:
            by_offset[patches[number].first_position].append(number)
        bands: list[tuple[int, list[int]]] = []
        spare = 0.0
        for offset, own in sorted(by_offset.items()):
            layers = [self.cfg.n_layers - patches[number].start for number in own]
            if bands:
                spare -= (offset - bands[-1][0]) * sum(layers) * self.shape[0] * self._multiplications()
            if not bands or spare < 0:
                bands.append((offset, []))
                spare = self.call * max(layers)
            bands[-1][1].extend(own)
        return bands

    def _multiplications(self) -> int:
        """About how many one position of one sample takes in a layer."""
        cfg = self.cfg
        return cfg.d_model * (4 * cfg.n_heads * cfg.d_head + 3 * (cfg.d_mlp or 0))

    def _split(self, numbers: list[int], offset: int, each: int) -> list[Batch]:
        """Batches of patches that take `each` bytes a sample."""
        n_samples = self.shape[0]
        rows = max(1, self.memory // each)
        if rows >= n_samples or not self.splittable:
            together = max(1, rows // n_samples)
            return [
                Batch(tuple(numbers[first : first + together]), offset, slice(0, n_samples))
                for first in range(0, len(numbers), together)
            ]
        return [
            Batch((number,), offset, slice(first, min(first + rows, n_samples)))
            for number in numbers
            for first in range(0, n_samples, rows)
        ]

    def _bytes(self, offset: int, kinds: frozenset[str]) -> int:
        """About what one sample of one patch takes while a layer runs."""
        cfg, n_pos = self.cfg, self.shape[1]
        heads = cfg.n_heads * cfg.d_head
        a_position = 6 * cfg.d_model + 5 * heads + 3 * (cfg.d_mlp or 0)
        if any(kind in WIDE for kind in kinds):
            a_position += 4 * cfg.n_heads * cfg.d_model
        scores = 3 * cfg.n_heads * n_pos * (n_pos - offset)
        return self.itemsize * ((n_pos - offset) * a_position + 4 * n_pos * heads + scores)

    def _in_one_call(self, patch: Patch) -> bool:
        """Whether it changes what the model makes once a run, for all layers."""
        once = ["rel_pos_hook"]
        if self.cfg.positional_embedding_type == "shortformer":
            once.append("hook_pos_embed")
        return any(name.endswith(tuple(once)) for name in patch.names)


def call_on(device: torch.device) -> float:
    """What a call of a layer costs there, in multiplications."""
    return CALL.get(device.type, CALL_ELSEWHERE)


def keep_memory(device: torch.device) -> None:
    """Let the C library keep what batches free, for the next one.

    glibc gives large blocks back to the system at once, and their pages must then be made anew for
    every tensor, which takes a third of a small model's sweep. It does so no more with blocks that
    are smaller than one that was freed before (up to 32 MiB; see mallopt, M_MMAP_THRESHOLD).
    """
    if device.type == "cpu":
        torch.empty(31 * 2**20, dtype=torch.uint8)


def size_of(dtype: torch.dtype) -> int:
    """Bytes a number takes; never less than a float32, which norms and softmaxes are computed in."""
    return max(4, dtype.itemsize)
