"""Activation patching under TransformerLens' names: each is one sweep.

Take activations of a clean run, put one at a time into a run on corrupted tokens, and measure what
comes of it (Meng et al., 2022, "Locating and Editing Factual Associations in GPT", arXiv:2202.05262;
Heimersheim and Nanda, 2024, arXiv:2404.15255). Names, arguments and shapes are those of
`transformer_lens.patching` 3.9. It runs the whole model once a patch; these are planned by
`unweave.sweep`, which gives the same numbers.

The metric is a function of all logits `[batch, pos, d_vocab]` that gives one number, called on the
logits of each patch; or a metric of `unweave`, such as `LogitDifference`, which costs less, since
logits are computed only where it reads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.analysis.patch_setters import (
    PLANNED,
    PatchSetter,
    Row,
    layer_head_dest_src_pos_pattern_patch_setter,
    layer_head_pattern_patch_setter,
    layer_head_pos_pattern_patch_setter,
    layer_head_vector_patch_setter,
    layer_pos_head_vector_patch_setter,
    layer_pos_patch_setter,
)
from unweave.core.errors import HookError, InputError, nearest
from unweave.core.hooks import HookPoint
from unweave.core.sites import attn_site, get_act_name
from unweave.engine.inputs import Inputs
from unweave.engine.layout import SCORES, dims_of
from unweave.engine.metrics import Metric
from unweave.engine.operations import Interchange
from unweave.engine.site import Change, Intervention, Site
from unweave.engine.sweep import sweep
from unweave.model.transformer import HookedTransformer

PatchingMetric = Callable[[Float[Tensor, "batch pos d_vocab"]], Any]
Cache = Mapping[str, Tensor]

AXES = ("layer", "pos", "head_index", "head", "src_pos", "dest_pos")


def make_df_from_ranges(column_max_ranges: Sequence[int], column_names: Sequence[str]) -> Any:
    """A DataFrame of every combination of indices below these ends, the last column fastest.

    Raises:
        InputError: if pandas isn't installed.
    """
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise InputError(
            wanted="pandas, for a table of indices",
            got="none installed",
            remedy="pip install 'unweave[frames]'",
        ) from error
    return pandas.DataFrame(_rows(column_max_ranges), columns=list(column_names))


def generic_activation_patch(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "batch pos"] | Inputs,
    clean_cache: Cache,
    patching_metric: PatchingMetric | Metric,
    patch_setter: PatchSetter,
    activation_name: str,
    index_axis_names: Sequence[str] | None = None,
    index_df: Any = None,
    return_index_df: bool = False,
) -> Any:
    """The metric under each patch: one number for every combination of indices.

    Args:
        corrupted_tokens: what is run; `Inputs` where something is padded.
        clean_cache: activations of the clean run, of as many samples, with their batch dimension.
        patching_metric: see above. A function that gives one number a sample counts by their mean.
        patch_setter: one of this module's, which are planned; or a function of (corrupted
            activation, indices, clean activation) that returns the patched activation, and may
            change the first in place: then each patch runs alone, on all positions, from its layer on.
        activation_name: of what is patched, such as "z".
        index_axis_names: what is gone over, "layer" first: "layer", "pos", "head", "head_index",
            "dest_pos" (of queries) and "src_pos" (of keys). "k" and "v" have as many heads as the
            config has of these.
        index_df: a DataFrame instead, with a row of indices a patch, the layer first.
        return_index_df: return (values, DataFrame of indices).

    Returns:
        Values with a dimension for each axis; with `index_df` one for each of its rows. They are in
        the metric's dtype, where TransformerLens always makes them float32.

    Raises:
        HookError: for an activation that the model doesn't have.
        InputError: for a cache that doesn't fit, or if no patch changes anything.
    """
    shape, rows, columns = _indices(model, corrupted_tokens, activation_name, index_axis_names, index_df)
    patches = _patches(model, clean_cache, patch_setter, activation_name, rows)
    values = _measured(model, corrupted_tokens, patches, patching_metric).view(shape)
    if not return_index_df:
        return values
    return values, make_df_from_ranges(shape, columns) if index_df is None else index_df


def _patcher(activation: str, setter: PatchSetter, axes: tuple[str, ...], what: str) -> partial[Any]:
    found = partial(
        generic_activation_patch, patch_setter=setter, activation_name=activation, index_axis_names=axes
    )
    found.__doc__ = (
        f"Patch {what}: values `[{', '.join(axes)}]`.\n\n"
        "Takes (model, corrupted_tokens, clean_cache, patching_metric); see `generic_activation_patch`."
    )
    return found


_BY_POS, _BY_POS_HEAD, _BY_HEAD = ("layer", "pos"), ("layer", "pos", "head"), ("layer", "head")
_VECTOR, _VECTORS = layer_pos_head_vector_patch_setter, layer_head_vector_patch_setter

get_act_patch_resid_pre = _patcher(
    "resid_pre", layer_pos_patch_setter, _BY_POS, "the residual stream before each layer"
)
get_act_patch_resid_mid = _patcher(
    "resid_mid", layer_pos_patch_setter, _BY_POS, "the residual stream between attention and MLP"
)
get_act_patch_attn_out = _patcher(
    "attn_out", layer_pos_patch_setter, _BY_POS, "what each attention layer writes"
)
get_act_patch_mlp_out = _patcher("mlp_out", layer_pos_patch_setter, _BY_POS, "what each MLP writes")
get_act_patch_attn_head_out_by_pos = _patcher("z", _VECTOR, _BY_POS_HEAD, "each head's output")
get_act_patch_attn_head_q_by_pos = _patcher("q", _VECTOR, _BY_POS_HEAD, "each head's queries")
get_act_patch_attn_head_k_by_pos = _patcher("k", _VECTOR, _BY_POS_HEAD, "each head's keys")
get_act_patch_attn_head_v_by_pos = _patcher("v", _VECTOR, _BY_POS_HEAD, "each head's values")
get_act_patch_attn_head_pattern_by_pos = _patcher(
    "pattern",
    layer_head_pos_pattern_patch_setter,
    ("layer", "head_index", "dest_pos"),
    "each head's attention from each position",
)
get_act_patch_attn_head_pattern_dest_src_pos = _patcher(
    "pattern",
    layer_head_dest_src_pos_pattern_patch_setter,
    ("layer", "head_index", "dest_pos", "src_pos"),
    "each head's attention from each position to each",
)
get_act_patch_attn_head_out_all_pos = _patcher("z", _VECTORS, _BY_HEAD, "each head's output everywhere")
get_act_patch_attn_head_q_all_pos = _patcher("q", _VECTORS, _BY_HEAD, "each head's queries everywhere")
get_act_patch_attn_head_k_all_pos = _patcher("k", _VECTORS, _BY_HEAD, "each head's keys everywhere")
get_act_patch_attn_head_v_all_pos = _patcher("v", _VECTORS, _BY_HEAD, "each head's values everywhere")
get_act_patch_attn_head_pattern_all_pos = _patcher(
    "pattern", layer_head_pattern_patch_setter, ("layer", "head_index"), "each head's attention everywhere"
)


def get_act_patch_attn_head_all_pos_every(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "batch pos"] | Inputs,
    clean_cache: Cache,
    metric: PatchingMetric | Metric,
) -> Float[Tensor, "patch_type layer head"]:
    """Output, queries, keys, values and pattern of each head, at all positions, in that order.

    Where groups of heads share keys and values, those stand first and zeros after them.
    """
    kinds = (
        get_act_patch_attn_head_out_all_pos,
        get_act_patch_attn_head_q_all_pos,
        get_act_patch_attn_head_k_all_pos,
        get_act_patch_attn_head_v_all_pos,
        get_act_patch_attn_head_pattern_all_pos,
    )
    found = _together(kinds, model, corrupted_tokens, clean_cache, metric)
    return torch.stack([_padded(part, model.cfg.n_heads) for part in found])


def get_act_patch_attn_head_by_pos_every(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "batch pos"] | Inputs,
    clean_cache: Cache,
    metric: PatchingMetric | Metric,
) -> Float[Tensor, "patch_type layer pos head"]:
    """Output, queries, keys, values and pattern of each head, by position, in that order.

    The position of a pattern is that of its query. Where groups of heads share keys and values, those
    stand first and zeros after them.
    """
    kinds = (
        get_act_patch_attn_head_out_by_pos,
        get_act_patch_attn_head_q_by_pos,
        get_act_patch_attn_head_k_by_pos,
        get_act_patch_attn_head_v_by_pos,
        get_act_patch_attn_head_pattern_by_pos,
    )
    *vectors, pattern = _together(kinds, model, corrupted_tokens, clean_cache, metric)
    return torch.stack([_padded(part, model.cfg.n_heads) for part in (*vectors, pattern.mT)])


def get_act_patch_block_every(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "batch pos"] | Inputs,
    clean_cache: Cache,
    metric: PatchingMetric | Metric,
) -> Float[Tensor, "patch_type layer pos"]:
    """The residual stream before each layer, and what its attention and its MLP write, in that order."""
    kinds = (get_act_patch_resid_pre, get_act_patch_attn_out, get_act_patch_mlp_out)
    return torch.stack(_together(kinds, model, corrupted_tokens, clean_cache, metric))


def _together(
    kinds: Sequence[partial[Any]],
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    cache: Cache,
    metric: PatchingMetric | Metric,
) -> list[Tensor]:
    """The values of several kinds of patches, in one sweep."""
    shapes: list[tuple[int, ...]] = []
    patches: list[Change] = []
    for kind in kinds:
        given = kind.keywords
        name = given["activation_name"]
        shape, rows, _ = _indices(model, tokens, name, given["index_axis_names"], None)
        shapes.append(shape)
        patches += _patches(model, cache, given["patch_setter"], name, rows)
    values = _measured(model, tokens, patches, metric)
    parts = values.split([math.prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _measured(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    patches: Sequence[Change],
    metric: PatchingMetric | Metric,
) -> Float[Tensor, " patch"]:
    measure = metric if isinstance(metric, Metric) else _number(metric)
    result = sweep(model, tokens, list(patches), metric=measure, controls=0)
    return result.values.to(model.W_E.device)


def _number(metric: PatchingMetric) -> Callable[[Tensor], Tensor]:
    """The user's function, whose one number may come in any shape, and as a whole number too."""

    def number(logits: Tensor) -> Any:
        value = metric(logits)
        if not isinstance(value, Tensor):
            return value
        value = value if value.is_floating_point() else value.to(logits.dtype)
        return value.reshape(()) if value.numel() == 1 else value

    return number


def _indices(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    activation: str,
    axes: Sequence[str] | None,
    table: Any,
) -> tuple[tuple[int, ...], list[Row], Sequence[str]]:
    """The shape of the values, the indices of each, and what these are."""
    if (axes is None) == (table is None):
        raise InputError(
            wanted="either index_axis_names or index_df",
            got="neither" if axes is None else "both",
            remedy="give one of them; with a function that has axes of its own, index_axis_names=None too",
        )
    if axes is None:
        rows = [cast(Row, row) for row in table.itertuples(index=False, name=None)]
        return (len(rows),), rows, list(table.columns)
    for axis in axes:
        if axis not in AXES:
            raise InputError(
                wanted=f"axes among {', '.join(AXES)}",
                got=repr(axis),
                remedy=f"nearest: {nearest(axis, AXES)}",
            )
    shape = tuple(_size(axis, model, tokens, activation) for axis in axes)
    return shape, _rows(shape), axes


def _size(axis: str, model: HookedTransformer, tokens: Tensor | Inputs, activation: str) -> int:
    if axis == "layer":
        return model.cfg.n_layers
    if axis in ("head", "head_index"):
        shared = activation in ("k", "v") and not model.cfg.ungroup_grouped_query_attention
        return (model.cfg.n_key_value_heads if shared else None) or model.cfg.n_heads
    return tokens.shape[-1]


def _rows(ends: Sequence[int]) -> list[Row]:
    return list(itertools.product(*map(range, ends)))


def _patches(
    model: HookedTransformer, cache: Cache, setter: PatchSetter, activation: str, rows: Sequence[Row]
) -> list[Change]:
    """A patch for each row: one that the engine can plan, where it knows the setter."""
    names = [_hook_name(activation, row) for row in rows]
    for name in dict.fromkeys(names):
        model.points(name)
    if setter not in PLANNED:
        return [_by_function(setter, name, row, cache) for name, row in zip(names, rows, strict=True)]
    scores, dims = PLANNED[setter]
    if any((dims_of(name) == SCORES) != scores for name in names):
        raise HookError(
            wanted=f"{'scores or a pattern' if scores else 'an activation [batch, pos, ...]'} "
            f"for {getattr(setter, '__name__', 'this setter')}",
            got=activation,
            remedy=f"such as {attn_site(0, 'pattern' if scores else 'z')}, or use another setter",
        )
    source = Interchange(cache)
    patches: list[Change] = []
    for name, row in zip(names, rows, strict=True):
        if len(row) != len(dims) + 1:
            raise InputError(
                wanted=f"indices layer, {', '.join(dims)}, for {getattr(setter, '__name__', 'this setter')}",
                got=f"{len(row)} of them",
                remedy="name as many axes, or use another setter",
            )
        patches.append(Intervention(Site(name, **dict(zip(dims, row[1:], strict=True))), source))
    return patches


def _hook_name(activation: str, row: Row) -> str:
    full = "." in activation or activation.startswith("hook_")
    return activation if full else get_act_name(activation, int(row[0]))


def _by_function(setter: PatchSetter, name: str, row: Row, cache: Cache) -> Change:
    def patch(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        return setter(tensor, list(row), cache[name])

    return name, patch


def _padded(values: Tensor, heads: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, heads - values.shape[-1]))
