"""Modules in the place of the model's own: of hook points, as SAELens puts its autoencoders there, and of embeddings."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from unweave.core.hook_point import Hook, HookPoint
from unweave.model.embedding import Embed
from unweave.model.inputs import check_room
from unweave.model.kv_cache import KeyValueCache
from unweave.model.positions import PosEmbed, SinusoidalPosEmbed
from unweave.model.run import Run
from unweave.model.transformer import HookedTransformer as StrictTransformer


class TakesModules(StrictTransformer):
    """A HookedTransformer in which `model.blocks[0].hook_resid_pre = module` runs the module there.

    As in 3.9, `setup()` must follow. What a model leaves out where nobody looks, or computes without
    its parts, it then computes with them. The inputs of split attention (`hook_q_input`, k and v, and
    `hook_attn_in`) can't be taken so: use a hook.

    With `model.embed = nn.Identity()` the model reads vectors `[batch, pos, d_model]` in the place of tokens,
    and with another module whatever that takes: the first two dimensions are batch and position. A module in
    the place of `pos_embed` is called with what the model read, and how many positions a cache holds.
    """

    def setup(self) -> None:
        """Name every HookPoint, and find the modules that stand in the place of one."""
        super().setup()
        for parent in self.modules():
            for name, child in parent.named_children():
                if name.startswith("hook_") and not isinstance(child, HookPoint):
                    _stand_in(child)

    def _checked(self, tokens: Any, past: KeyValueCache | None) -> Tensor:
        if isinstance(self.embed, Embed):
            return super()._checked(tokens, past)
        check_room(tokens.shape[1], self.cfg, 0 if past is None else past.length)
        return tokens.to(next(self.parameters()).device)

    def _position_rows(self, tokens: Tensor, resid: Tensor, run: Run) -> Tensor:
        if isinstance(self.pos_embed, PosEmbed | SinusoidalPosEmbed):
            return super()._position_rows(tokens, resid, run)
        return self.pos_embed(tokens, run.offset)


def _stand_in(module: nn.Module) -> None:
    """Let the model see the module as a point with a hook that edits."""
    edits = Hook(HookPoint(), lambda tensor, *, hook: None)
    for name, value in (("active", True), ("fwd_hooks", [edits]), ("bwd_hooks", [])):
        if not hasattr(module, name):
            setattr(module, name, value)
