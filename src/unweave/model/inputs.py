"""What a run is given, checked."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.tokens import require_tokens
from unweave.core.vmapped import is_vmapped
from unweave.model.config import HookedTransformerConfig
from unweave.model.kv_cache import KeyValueCache

RETURN_TYPES = ("logits", "loss", "both", None)


def check_arguments(return_type: object, unembed_at: object) -> None:
    """Raise InputError for an unknown return_type, or one that `unembed_at` does not leave room for."""
    if return_type not in RETURN_TYPES:
        raise InputError(
            wanted="return_type 'logits', 'loss', 'both' or None",
            got=repr(return_type),
            remedy="leave it out for logits",
        )
    if not isinstance(unembed_at, slice):
        raise InputError(
            wanted="a slice of positions for unembed_at",
            got=repr(unembed_at),
            remedy="write slice(-1, None) for the last one",
        )
    if return_type in ("loss", "both") and unembed_at != slice(None):
        raise InputError(
            wanted="every position's logits for the loss",
            got=f"unembed_at={unembed_at}",
            remedy="leave unembed_at out, or ask for logits",
        )


def layers_to_run(n_layers: int, start: int | None, stop: int | None) -> range:
    """The layers from `start` up to, and without, `stop`; negative ones count from the end.

    Raises:
        InputError: for one out of range, or a start after the stop.
    """
    bounds: list[int] = []
    for name, layer, default in (("start_at_layer", start, 0), ("stop_at_layer", stop, n_layers)):
        bound = default if layer is None else layer + n_layers if layer < 0 else layer
        if not 0 <= bound <= n_layers:
            raise InputError(
                wanted=f"{name} between {-n_layers} and {n_layers}",
                got=str(layer),
                remedy="leave it out to run every layer",
            )
        bounds.append(bound)
    if bounds[0] > bounds[1]:
        raise InputError(
            wanted=f"stop_at_layer at or after start_at_layer={bounds[0]}",
            got=str(bounds[1]),
            remedy="the layers from start up to stop are run",
        )
    return range(*bounds)


def check_tokens(
    tokens: Any, cfg: HookedTransformerConfig, offset: int, device: torch.device
) -> Int[Tensor, "batch pos"]:
    """Tokens `[batch, pos]` on the model's device; one sequence is a batch of one."""
    if torch.compiler.is_compiling() or (isinstance(tokens, Tensor) and is_vmapped(tokens)):
        # A look at the values would break the graph, or the batch.
        return (tokens[None] if tokens.ndim == 1 else tokens).long()
    single = isinstance(tokens, Tensor) and tokens.ndim == 1
    tokens = require_tokens(
        tokens[None] if single else tokens, cfg.d_vocab, most=None if offset else cfg.n_ctx
    )
    check_room(tokens.shape[1], cfg, offset)
    return tokens.to(device)


def check_residual(
    resid: Any, cfg: HookedTransformerConfig, past: KeyValueCache | None, like: Tensor
) -> Float[Tensor, "batch pos d_model"]:
    """A residual stream to start from, on the model's device and in its dtype."""
    fits = isinstance(resid, Tensor) and resid.ndim == 3 and resid.shape[-1] == cfg.d_model
    if not fits or resid.dtype != like.dtype:
        got = (
            f"shape {tuple(resid.shape)}, {resid.dtype}"
            if isinstance(resid, Tensor)
            else type(resid).__name__
        )
        raise InputError(
            wanted=f"a residual stream [batch, pos, {cfg.d_model}] of {like.dtype} with start_at_layer",
            got=got,
            remedy="pass what stop_at_layer or the cache's resid_pre gave",
        )
    check_room(resid.shape[1], cfg, 0 if past is None else past.length)
    return resid.to(like.device)


def check_room(n_pos: int, cfg: HookedTransformerConfig, offset: int) -> None:
    """Raise InputError if there are more positions, cached ones included, than n_ctx."""
    if offset + n_pos > cfg.n_ctx:
        raise InputError(
            wanted=f"at most n_ctx={cfg.n_ctx} positions",
            got=f"{offset} in past_kv_cache and {n_pos} new ones" if offset else str(n_pos),
            remedy="cut the sequences, or raise n_ctx",
        )


def check_mask(
    mask: Any, batch: int, n_pos: int, past: KeyValueCache | None, device: torch.device
) -> Bool[Tensor, "batch pos"] | None:
    """Which of the new positions are tokens; None if no mask was given.

    The mask may also cover what a cache holds, and must then agree with it.
    """
    if mask is None:
        return None
    offset = 0 if past is None else past.length
    shapes = {(batch, n_pos), (batch, offset + n_pos)}
    if not isinstance(mask, Tensor) or tuple(mask.shape) not in shapes:
        raise InputError(
            wanted=f"attention_mask of shape {(batch, n_pos)}, as the input",
            got=f"shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__,
            remedy="give one number a token: 1 where there is one, 0 where there is padding",
        )
    attended = mask.to(device).bool()
    if not torch.equal(attended.to(mask.dtype), mask.to(device)):
        raise InputError(
            wanted="0 or 1 in attention_mask", got="other values", remedy="1 is a token, 0 is padding"
        )
    if past is not None and offset and attended.shape[1] == offset + n_pos:
        if not torch.equal(attended[:, :offset], past.previous_attention_mask):
            raise InputError(
                wanted="an attention_mask that says of cached positions what the cache says",
                got="another",
                remedy="pass the mask of the new positions alone",
            )
        attended = attended[:, offset:]
    return attended


def check_token_types(
    types: Any, cfg: HookedTransformerConfig, tokens: Int[Tensor, "batch pos"]
) -> Int[Tensor, "batch pos"]:
    """Each token's type; all are of type 0 if none are given."""
    if types is None:
        return torch.zeros_like(tokens)
    if not cfg.n_token_types:
        raise InputError(
            wanted="no token_type_ids, since n_token_types is 0",
            got="some",
            remedy="set n_token_types in HookedTransformerConfig",
        )
    if not isinstance(types, Tensor) or types.shape != tokens.shape:
        got = f"shape {tuple(types.shape)}" if isinstance(types, Tensor) else type(types).__name__
        raise InputError(
            wanted=f"token_type_ids of shape {tuple(tokens.shape)}, as the tokens",
            got=got,
            remedy="give each token a type",
        )
    return require_tokens(types, cfg.n_token_types).to(tokens.device)
