"""Modules in the place of hook points, as SAELens puts its autoencoders there."""

from __future__ import annotations

from torch import nn

from unweave.core.hook_point import Hook, HookPoint
from unweave.model.transformer import HookedTransformer as StrictTransformer


class TakesModules(StrictTransformer):
    """A HookedTransformer in which `model.blocks[0].hook_resid_pre = module` runs the module there.

    As in 3.9, `setup()` must follow. What a model leaves out where nobody looks, or computes without
    its parts, it then computes with them. The inputs of split attention (`hook_q_input`, k and v, and
    `hook_attn_in`) can't be taken so: use a hook.
    """

    def setup(self) -> None:
        """Name every HookPoint, and find the modules that stand in the place of one."""
        super().setup()
        for parent in self.modules():
            for name, child in parent.named_children():
                if name.startswith("hook_") and not isinstance(child, HookPoint):
                    _stand_in(child)


def _stand_in(module: nn.Module) -> None:
    """Let the model see the module as a point with a hook that edits."""
    edits = Hook(HookPoint(), lambda tensor, *, hook: None)
    for name, value in (("active", True), ("fwd_hooks", [edits]), ("bwd_hooks", [])):
        if not hasattr(module, name):
            setattr(module, name, value)
