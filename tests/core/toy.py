"""The smallest module that shows every way of hooking."""

from __future__ import annotations

from torch import Tensor

from unweave.core.hooks import HookedRootModule, HookPoint


class Toy(HookedRootModule):
    """`out = 2 * mid`, with `mid` the input itself, as the residual stream is between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.hook_in, self.hook_mid, self.hook_out = HookPoint(), HookPoint(), HookPoint()
        self.hook_costly = HookPoint(on_demand=True)
        self.costly_runs = 0
        self.setup()

    def forward(self, x: Tensor, stop_before_out: bool = False) -> Tensor:
        mid = self.hook_mid(self.hook_in(x))
        if self.hook_costly.active:
            self.costly_runs += 1
            mid = self.hook_costly(mid * 1.0)
        return mid if stop_before_out else self.hook_out(2 * mid)
