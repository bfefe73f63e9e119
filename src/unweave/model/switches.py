"""The old switches of TransformerLens: here they change only what a run caches when it caches everything."""

from __future__ import annotations

from typing import Any

from unweave.core.hooks import HookedRootModule, HookPoint, NameFilter

# By the site whose caching they decide.
SWITCHED = {
    "hook_result": "use_attn_result",
    "hook_q_input": "use_split_qkv_input",
    "hook_k_input": "use_split_qkv_input",
    "hook_v_input": "use_split_qkv_input",
    "hook_attn_in": "use_attn_in",
    "hook_mlp_in": "use_hook_mlp_in",
}


class CachingSwitches(HookedRootModule):
    """A model with a config `cfg` that has these switches."""

    cfg: Any

    def set_use_attn_result(self, use_attn_result: bool) -> None:
        """Whether a run that caches everything caches `attn.hook_result` too."""
        self.cfg.use_attn_result = use_attn_result

    def set_use_split_qkv_input(self, use_split_qkv_input: bool) -> None:
        """Whether a run that caches everything caches `hook_q_input`, `k` and `v` too."""
        self.cfg.use_split_qkv_input = use_split_qkv_input

    def set_use_attn_in(self, use_attn_in: bool) -> None:
        """Whether a run that caches everything caches `hook_attn_in` too."""
        self.cfg.use_attn_in = use_attn_in

    def set_use_hook_mlp_in(self, use_hook_mlp_in: bool) -> None:
        """Whether a run that caches everything caches `hook_mlp_in` too."""
        self.cfg.use_hook_mlp_in = use_hook_mlp_in

    def set_ungroup_grouped_query_attention(self, ungroup_grouped_query_attention: bool) -> None:
        """Whether grouped keys and values are repeated before their hooks, or after."""
        self.cfg.ungroup_grouped_query_attention = ungroup_grouped_query_attention

    def setup(self) -> None:
        """Name every HookPoint, and find those that the old switches speak of."""
        super().setup()
        sites = [(point, name.rpartition(".")[2]) for name, point in self.hook_dict.items()]
        self.switched = [(point, SWITCHED[site]) for point, site in sites if site in SWITCHED]

    def points(self, names: NameFilter) -> list[HookPoint]:
        """The points that `names` picks; the config's switches say what a filter for everything leaves out."""
        for point, switch in self.switched:
            point.on_demand = not getattr(self.cfg, switch)
        return super().points(names)
