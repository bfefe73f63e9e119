"""Which part of a model is on which device; the residual stream goes from one to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.run import Run

# What a device map names, beside "blocks.0" and so on; "" is whatever is not named.
PARTS = ("embed", "pos_embed", "token_type_embed", "ln_final", "unembed")


@dataclass(frozen=True)
class Placement:
    """The devices of the embeddings, of each block, and of the final norm and unembedding."""

    first: torch.device
    blocks: tuple[torch.device, ...]
    last: torch.device

    @classmethod
    def spread(cls, cfg: HookedTransformerConfig, devices: list[torch.device]) -> Placement:
        """Blocks in equal runs over the devices, in their order; the embeddings on the first."""
        owner = [devices[layer * len(devices) // max(cfg.n_layers, 1)] for layer in range(cfg.n_layers)]
        # A tied unembedding is where the embedding is.
        last = devices[0] if cfg.tie_word_embeddings else devices[-1]
        return cls(devices[0], tuple(owner), last)

    @classmethod
    def from_map(cls, cfg: HookedTransformerConfig, places: Mapping[str, Any]) -> Placement:
        """From a table such as {"embed": "cuda:0", "blocks.0": "cuda:0", "blocks.1": "cuda:1", "": "cuda:1"}.

        "" or "blocks" is the device of whatever, or whichever block, is not named.

        Raises:
            InputError: for a name that the model hasn't, a part without a device, or parts on
                different devices that work together.
        """
        blocks = [f"blocks.{layer}" for layer in range(cfg.n_layers)]
        for name in places:
            if name not in ("", "blocks", *PARTS, *blocks):
                raise InputError(
                    wanted=f"parts of the model in device_map: {', '.join(PARTS)}, blocks, "
                    f"blocks.0 to blocks.{cfg.n_layers - 1}, or '' for the rest",
                    got=repr(name),
                    remedy="name whole blocks",
                )

        def of(*names: str) -> torch.device:
            for name in names:
                if name in places:
                    return torch.device(places[name])
            raise InputError(
                wanted=f"a device for {names[0]} in device_map",
                got="none",
                remedy="add it, or '' for the rest",
            )

        first, last = of("embed", ""), of("unembed", "ln_final", "")
        for name in ("pos_embed", "token_type_embed"):
            _require_same(name, of(name, "embed", ""), "embed", first)
        _require_same("ln_final", of("ln_final", "unembed", ""), "unembed", last)
        if cfg.tie_word_embeddings:
            _require_same("unembed", last, "embed, whose weights it shares", first)
        return cls(first, tuple(of(block, "blocks", "") for block in blocks), last)

    @property
    def devices(self) -> list[torch.device]:
        """Each device once, in the order in which a run comes to them."""
        return list(dict.fromkeys((self.first, *self.blocks, self.last)))

    def device_of(self, name: str) -> torch.device:
        """The device of a parameter or buffer, by its name."""
        part = name.split(".")
        if part[0] == "blocks":
            return self.blocks[int(part[1])]
        return self.last if part[0] in ("ln_final", "unembed") else self.first

    def move(self, model: nn.Module) -> None:
        """Put each part of a model where it belongs."""
        for name, part in model.named_children():
            if name == "blocks":
                for device, block in zip(self.blocks, part.children(), strict=True):
                    block.to(device)
            else:
                part.to(self.device_of(name))


def on_device(
    resid: Tensor, run: Run, device: torch.device, runs: dict[torch.device, Run]
) -> tuple[Tensor, Run]:
    """The residual stream and what a run shares, on a block's device; `runs` keeps what was made."""
    if device not in runs:
        moved = {
            name: None if value is None else value.to(device)
            for name in ("attended", "pos_embed", "position_bias")
            for value in (getattr(run, name),)
        }
        runs[device] = dataclasses.replace(run, device=device, _alibi=None, _tables={}, _masks={}, **moved)
    return resid.to(device), runs[device]


def require_one_device(model: nn.Module) -> None:
    """Raise InputError if a model without a placement has its parameters on several devices."""
    devices = dict.fromkeys(str(parameter.device) for parameter in model.parameters())
    if len(devices) > 1:
        raise InputError(
            wanted="a model on one device, or spread by device_map",
            got=f"parameters on {', '.join(devices)}",
            remedy="move it with model.to(device), or open it with device_map= or n_devices=",
        )


def _require_same(name: str, device: torch.device, other: str, its: torch.device) -> None:
    if device != its:
        raise InputError(
            wanted=f"{name} on the device of {other} ({its})",
            got=str(device),
            remedy="name one device for both in device_map",
        )
