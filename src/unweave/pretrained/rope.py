"""Rotary positions from a config, old layout or new, as the fields of a HookedTransformerConfig.

Files of transformers 4 have `rope_theta` beside a table `rope_scaling`; those of transformers 5 have
both in one table `rope_parameters`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unweave.core.errors import InputError
from unweave.pretrained.reader import ConfigReader

# Numbers of a kind of scaling; whatever else stands in the table is refused.
Fields = dict[str, Any]


def rotary_fields(
    c: ConfigReader,
    d_head: int,
    *,
    theta: int | float = 10_000.0,
    theta_names: tuple[str, ...] = ("rope_theta",),
    partial: int | float | None = None,
    partial_names: tuple[str, ...] = ("partial_rotary_factor",),
) -> Fields:
    """`positional_embedding_type` and the rotary fields, of models that rotate all layers alike.

    Args:
        theta, theta_names: the base's default and its names outside the table.
        partial, partial_names: the same for the rotated part of a head; None: all of it is.
    """
    outside = c.number(*theta_names, default=theta)
    fraction = None
    if partial is not None:
        fraction = c.number(*partial_names, default=partial)
    table = rope_table(c)
    return of_table(c, table, d_head, outside, fraction)


def rope_table(c: ConfigReader) -> ConfigReader:
    """A reader of `rope_parameters`, or of the older `rope_scaling`, which may be missing."""
    new, old = c.get("rope_parameters", default=None), c.get("rope_scaling", default=None)
    for name, table in (("rope_parameters", new), ("rope_scaling", old)):
        if table is not None and not isinstance(table, Mapping):
            raise InputError(
                wanted=f"a table for {name} in {c.where}",
                got=repr(table),
                remedy="take the config.json that belongs to the model",
            )
    if new and old and new != old:
        c.refuse("rope_scaling", "rope_parameters says otherwise")
    return c.part("rope_parameters" if new else "rope_scaling", new or old or {})


def of_table(
    c: ConfigReader, table: ConfigReader, d_head: int, theta: int | float, partial: int | float | None
) -> Fields:
    """The fields from one table; `theta` and `partial` are for tables that don't have their own."""
    fields: Fields = {
        "positional_embedding_type": "rotary",
        "rotary_base": table.number("rope_theta", default=theta),
    }
    fraction = table.get("partial_rotary_factor", default=partial)
    if fraction is not None:
        fields["rotary_dim"] = int(d_head * fraction)
    kind = table.get("rope_type", "type", default="default")
    if kind in SCALINGS:
        fields |= SCALINGS[kind](c, table)
    else:
        table.refuse("rope_type", f"only {', '.join(SCALINGS)} are honoured")
    table.finish({})
    return fields


def _default(c: ConfigReader, table: ConfigReader) -> Fields:
    return {}


def _dynamic(c: ConfigReader, table: ConfigReader) -> Fields:
    # It acts beyond max_position_embeddings, where this model doesn't go.
    table.get("factor", default=None)
    table.get("original_max_position_embeddings", default=None)
    return {}


def _linear(c: ConfigReader, table: ConfigReader) -> Fields:
    table.get("original_max_position_embeddings", default=None)
    return {"rotary_scaling_factor": float(table.number("factor"))}


def _llama3(c: ConfigReader, table: ConfigReader) -> Fields:
    return {
        "use_NTK_by_parts_rope": True,
        "NTK_by_parts_factor": table.number("factor"),
        "NTK_by_parts_low_freq_factor": table.number("low_freq_factor"),
        "NTK_by_parts_high_freq_factor": table.number("high_freq_factor"),
        "NTK_original_ctx_len": _trained_length(c, table),
    }


def _yarn(c: ConfigReader, table: ConfigReader) -> Fields:
    """(Peng et al., 2023, arXiv:2309.00071), with transformers' rules for what a table leaves out."""
    trained = _trained_length(c, table)
    factor = table.get("factor", default=None)
    factor = c.count("max_position_embeddings") / trained if factor is None else factor
    magnitude = table.get("attention_factor", default=None)
    mscale, all_dims = table.get("mscale", default=None), table.get("mscale_all_dim", default=None)
    if magnitude is None and mscale and all_dims:
        magnitude = _mscale(factor, mscale) / _mscale(factor, all_dims)
    return {
        "use_yarn_rope": True,
        "yarn_factor": factor,
        "yarn_attention_factor": _mscale(factor, 1.0) if magnitude is None else magnitude,
        "yarn_beta_fast": table.get("beta_fast", default=None) or 32.0,
        "yarn_beta_slow": table.get("beta_slow", default=None) or 1.0,
        "yarn_original_max_position_embeddings": trained,
        "yarn_truncate": table.flag("truncate", default=True),
    }


def _longrope(c: ConfigReader, table: ConfigReader) -> Fields:
    """(Ding et al., 2024, arXiv:2402.13753), with transformers' rules for what a table leaves out."""
    trained = _trained_length(c, table)
    factor = table.get("factor", default=None)
    factor = c.count("max_position_embeddings") / trained if factor is None else factor
    magnitude = table.get("attention_factor", default=None)
    if magnitude is None:
        magnitude = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(trained))
    return {
        "use_longrope": True,
        "longrope_short_factors": _factors(c, table, "short_factor"),
        "longrope_long_factors": _factors(c, table, "long_factor"),
        "longrope_original_ctx_len": trained,
        "longrope_attention_factor": magnitude,
    }


def _factors(c: ConfigReader, table: ConfigReader, name: str) -> list[float]:
    value: Any = table.get(name)
    if not isinstance(value, list) or not all(type(one) in (int, float) for one in value):
        raise InputError(
            wanted=f"a list of numbers for {name} in {c.where}",
            got=repr(value),
            remedy="take the config.json that belongs to the model",
        )
    return [float(one) for one in value]


def _mscale(factor: float, by: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * by * math.log(factor) + 1.0


def _trained_length(c: ConfigReader, table: ConfigReader) -> int:
    # Some files have it outside the table, and transformers then takes that one.
    outside = c.get("original_max_position_embeddings", default=None)
    inside = table.get("original_max_position_embeddings", default=None)
    return outside or inside or c.count("max_position_embeddings")


SCALINGS = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
