"""Rotary positions (Su et al., 2021, arXiv:2104.09864): queries and keys turned by their position."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.model.config import HookedTransformerConfig

Stretch = Literal["linear", "llama3", "yarn", "longrope"]


@dataclass(frozen=True)
class Rotary:
    """Which dimensions turn together, and how fast.

    Args:
        dim: how many of a head's dimensions, from the first, are turned.
        base: of the wavelengths, which are `2 pi base^(2i / dim)`.
        adjacent: pairs are (2i, 2i + 1), as in GPT-J, and not (i, i + dim / 2), as in GPT-NeoX.
        stretch: how the wavelengths are made longer, and `factors`, its numbers.
    """

    dim: int
    base: float
    adjacent: bool = False
    stretch: Stretch | None = None
    factors: tuple[float, ...] = ()
    magnitude: float = 1.0

    @classmethod
    def of_layer(cls, cfg: HookedTransformerConfig, layer: int) -> Rotary:
        """That of one layer of a model; layers with a window may have a base of their own.

        Unless `rotary_scaling_local` says otherwise, linear scaling spares local layers and
        Llama 3's does not, as in TransformerLens; YaRN does if `yarn_global_attn_only`.
        """
        assert cfg.rotary_dim is not None
        local = cfg.layer_is_local(layer)
        base = cfg.rotary_base_local if local and cfg.rotary_base_local is not None else cfg.rotary_base
        stretch, factors, magnitude = None, (), 1.0
        spared = local and cfg.rotary_scaling_local is False
        if cfg.use_NTK_by_parts_rope and not spared:
            low, high = cfg.NTK_by_parts_low_freq_factor, cfg.NTK_by_parts_high_freq_factor
            stretch, factors = "llama3", (cfg.NTK_by_parts_factor, low, high, cfg.NTK_original_ctx_len)
        elif cfg.use_yarn_rope and not (local and cfg.yarn_global_attn_only):
            n_ctx = cfg.yarn_original_max_position_embeddings
            bounds = (cfg.yarn_beta_fast, cfg.yarn_beta_slow, n_ctx, float(cfg.yarn_truncate))
            stretch, factors, magnitude = "yarn", (cfg.yarn_factor, *bounds), cfg.yarn_attention_factor
        elif cfg.use_longrope and not spared:
            assert cfg.longrope_short_factors is not None and cfg.longrope_long_factors is not None
            either = (*cfg.longrope_short_factors, *cfg.longrope_long_factors)
            stretch, factors = "longrope", (cfg.longrope_original_ctx_len, *either)
            magnitude = cfg.longrope_attention_factor
        elif cfg.rotary_scaling_factor != 1.0 and (not local or cfg.rotary_scaling_local):
            stretch, factors = "linear", (cfg.rotary_scaling_factor,)
        numbers = tuple(float(factor) for factor in factors)
        return cls(cfg.rotary_dim, float(base), cfg.rotary_adjacent_pairs, stretch, numbers, float(magnitude))

    def periods(self, dtype: torch.dtype, n_pos: int | Tensor = 1) -> Float[Tensor, " half"]:
        """Wavelengths over 2 pi: how many positions turn each pair by one radian.

        Args:
            n_pos: how many positions the run has, on which LongRoPE's depend.
        """
        pairs = torch.arange(self.dim // 2, dtype=dtype)
        periods = self.base ** (pairs / (self.dim / 2))
        if self.stretch == "linear":
            return periods * self.factors[0]
        if self.stretch == "llama3":
            return self._llama3(periods)
        if self.stretch == "longrope":
            n_ctx, *either = self.factors
            short, long = torch.tensor(either, dtype=dtype).chunk(2)
            # By arithmetic, since a look at a tensor's value would break a compiled graph.
            is_long = torch.as_tensor(n_pos).cpu() > n_ctx
            return periods * torch.where(is_long, long, short)
        return self._yarn(periods, pairs) if self.stretch == "yarn" else periods

    def table(
        self, positions: Int[Tensor, "*batch key"], dtype: torch.dtype
    ) -> tuple[Float[Tensor, "*batch key dim"], Float[Tensor, "*batch key dim"]]:
        """Cosines and sines of every angle, each pair's twice, where its two dimensions are."""
        # Published models make theirs in float32, whatever their weights are.
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        n_pos = positions.max() + 1 if self.stretch == "longrope" else 1
        angles = positions[..., None].to(exact) / self.periods(exact, n_pos).to(positions.device)
        angles = angles.repeat_interleave(2, -1) if self.adjacent else torch.cat([angles, angles], -1)
        return (angles.cos().to(dtype) * self.magnitude, angles.sin().to(dtype) * self.magnitude)

    def rotate(
        self, x: Float[Tensor, "batch pos head d_head"], cos: Tensor, sin: Tensor
    ) -> Float[Tensor, "batch pos head d_head"]:
        """`x` turned; `cos` and `sin` are the rows of `table` for its positions."""
        turned, rest = x[..., : self.dim], x[..., self.dim :]
        if self.adjacent:
            swapped = torch.stack([-turned[..., 1::2], turned[..., 0::2]], -1).flatten(-2)
        else:
            first, second = turned.chunk(2, -1)
            swapped = torch.cat([-second, first], -1)
        # One row for every head.
        turned = turned * cos.unsqueeze(-2) + swapped * sin.unsqueeze(-2)
        return torch.cat([turned, rest], -1) if rest.shape[-1] else turned

    def _llama3(self, periods: Tensor) -> Tensor:
        """Waves longer than `n_ctx / low` are stretched in full, shorter than `n_ctx / high` not at all.

        Between the two, their frequencies are mixed (the rule published with Llama 3.1, after the
        "NTK-by-parts" of arXiv:2309.00071, section 3.2).
        """
        factor, low, high, n_ctx = self.factors
        turns = n_ctx / (2 * math.pi * periods)
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        return 1 / (kept / periods + (1 - kept) / (factor * periods))

    def _yarn(self, periods: Tensor, pairs: Tensor) -> Tensor:
        """The same by the pair's number, between those that make `fast` and `slow` turns in `n_ctx`."""
        factor, fast, slow, n_ctx, whole = self.factors
        first, last = (
            self.dim * math.log(n_ctx / (turns * 2 * math.pi)) / (2 * math.log(self.base))
            for turns in (fast, slow)
        )
        if whole:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, self.dim - 1)
        # A width of zero would divide by zero: a step, then.
        width = last - first or 0.001
        stretched = ((pairs - first) / width).clamp(0, 1)
        return 1 / ((1 - stretched) / periods + stretched / (factor * periods))
