"""Continuing sequences, token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from tqdm import tqdm

from unweave.core.errors import HookError, InputError
from unweave.core.hooks import HookFunction, HookPoint
from unweave.core.sites import position_dim
from unweave.core.tokens import require_tokens
from unweave.model.inputs import check_mask
from unweave.model.kv_cache import KeyValueCache
from unweave.model.sampling import Sampler
from unweave.model.transformer import HookedTransformer


def generate(
    model: HookedTransformer,
    input: Int[Tensor, "batch pos"] | Int[Tensor, " pos"],
    max_new_tokens: int = 10,
    stop_at_eos: bool = True,
    eos_token_id: int | Sequence[int] | None = None,
    do_sample: bool = True,
    top_k: int | None = None,
    top_p: int | float | None = None,
    temperature: int | float = 1.0,
    freq_penalty: int | float = 0.0,
    use_past_kv_cache: bool = True,
    *,
    attention_mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    verbose: bool = False,
) -> Int[Tensor, "batch longer"]:
    """`input` and up to `max_new_tokens` more for each sequence.

    The model's hooks are on in every step. With a cache the first step runs the input and every
    other step one position; `at_position` makes an edit that means the same either way. Where LongRoPE
    goes over to its long wavelengths, one step runs the whole sequence again.

    Args:
        max_new_tokens: how many at most; with the input, they must fit into n_ctx.
        stop_at_eos: stop a sequence at `eos_token_id`, and fill it up with that while others go on.
        eos_token_id: one token, or several, of which the first fills up.
        do_sample: draw from the distribution; False takes the likeliest token.
        top_k, top_p: draw among the k likeliest only, and among the fewest of them that together
            have at least the probability p.
        temperature: logits are divided by it; 0 takes the likeliest token.
        freq_penalty: taken from a token's logit for every time it stands in the sequence.
        use_past_kv_cache: False runs the whole sequence in every step.
        attention_mask: `[batch, pos]` for `input`: 0 where there is padding, which must be on the left.
        generator: what is drawn from; None is torch's global state.
        verbose: a progress bar, where there is a terminal.

    Raises:
        InputError: for an argument that cannot be honoured.
    """
    choose = Sampler(do_sample, top_k, top_p, temperature, freq_penalty, generator)
    stop = (stop_at_eos, eos_token_id)
    steps = generate_steps(model, input, max_new_tokens, *stop, choose, use_past_kv_cache, attention_mask)
    tokens = next(steps)
    for tokens in tqdm(steps, total=max_new_tokens, disable=None if verbose else True):  # noqa: B007
        pass
    return tokens


def generate_steps(
    model: HookedTransformer,
    input: Int[Tensor, "batch pos"] | Int[Tensor, " pos"],
    max_new_tokens: int,
    stop_at_eos: bool,
    eos_token_id: int | Sequence[int] | None,
    sampler: Sampler,
    use_past_kv_cache: bool = True,
    attention_mask: Tensor | None = None,
) -> Iterator[Int[Tensor, "batch longer"]]:
    """`input`, and then the whole of it with each token that `generate` adds, as it is added.

    Raises:
        InputError: at once, for an argument that cannot be honoured.
    """
    single = isinstance(input, Tensor) and input.ndim == 1
    tokens = require_tokens(input[None] if single else input, model.cfg.d_vocab, most=model.cfg.n_ctx)
    tokens = tokens.to(model.W_E.device)
    attended = _left_padded(check_mask(attention_mask, len(tokens), tokens.shape[1], None, tokens.device))
    stops = _stop_tokens(stop_at_eos, eos_token_id, model.cfg.d_vocab)
    stops = None if stops is None else stops.to(tokens.device)
    _require_room(model, tokens.shape[1], max_new_tokens)
    attended = torch.ones_like(tokens, dtype=torch.bool) if attended is None else attended
    return _steps(model, tokens, attended, max_new_tokens, stops, sampler, use_past_kv_cache)


# Between two steps gradients are as the caller has them.
@torch.no_grad()
def _steps(
    model: HookedTransformer,
    tokens: Int[Tensor, "batch pos"],
    attended: Bool[Tensor, "batch pos"],
    max_new_tokens: int,
    stops: Int[Tensor, " n"] | None,
    sampler: Sampler,
    use_past_kv_cache: bool,
) -> Iterator[Int[Tensor, "batch longer"]]:
    yield tokens
    cache = KeyValueCache.init_cache(model.cfg, tokens.device, len(tokens)) if use_past_kv_cache else None
    finished = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(max_new_tokens):
        if cache is not None and cache.outgrown(model.cfg, attended[:, cache.length :]):
            cache = KeyValueCache.init_cache(model.cfg, tokens.device, len(tokens))
        new = slice(0 if cache is None else cache.length, None)
        logits = model(
            tokens[:, new],
            attention_mask=attended[:, new],
            past_kv_cache=cache,
            unembed_at=_unembedded(model),
        )[:, -1].to(tokens.device)
        chosen = sampler(logits, tokens, attended)
        if stops is not None:
            chosen = chosen.where(~finished, stops[0])
            finished = finished | torch.isin(chosen, stops)
        tokens = torch.cat([tokens, chosen[:, None]], 1)
        attended = torch.cat([attended, torch.ones_like(attended[:, :1])], 1)
        yield tokens
        if finished.all():
            break


def at_position(
    model: HookedTransformer, position: int, edit: Callable[[Tensor], Tensor], dim: int | None = None
) -> HookFunction:
    """A hook that edits one absolute position, and the others not, in every run that reaches it.

    A run after a cache begins where the cache ends: index 0 of its tensors is position
    `model.run_offset`. What has no such position in this run is left alone.

    Args:
        edit: is given the tensor's slice at that position, and returns what to put there.
        dim: the dimension of positions; None is the hook's own: of queries, in scores and pattern,
            whose keys are counted from position 0 in every run, as those of `hook_rot_k` are.

    Raises:
        HookError: where there are no positions, as in what an expert was sent.
    """

    def hook_function(tensor: Tensor, /, *, hook: HookPoint) -> Tensor | None:
        axis = position_dim(hook.name) if dim is None else dim
        if hook.routed is not None or not -tensor.ndim < axis < tensor.ndim:
            raise HookError(
                wanted=f"positions at {hook.name}",
                got=f"a tensor of shape {tuple(tensor.shape)}",
                remedy="edit a site that has them",
            )
        index = position if hook.name.endswith("hook_rot_k") else position - model.run_offset
        if not 0 <= index < tensor.shape[axis]:
            return None
        tensor.select(axis, index).copy_(edit(tensor.select(axis, index).clone()))
        return tensor

    return hook_function


def _unembedded(model: HookedTransformer) -> slice:
    """The last position alone, unless a hook at the end of the model is to see them all, as elsewhere."""
    end = (*model.ln_final.modules(), *model.unembed.modules())
    watched = any(module.active for module in end if isinstance(module, HookPoint))
    return slice(None) if watched else slice(-1, None)


def _left_padded(attended: Bool[Tensor, "batch pos"] | None) -> Bool[Tensor, "batch pos"] | None:
    if attended is not None and not attended[:, -1].all():
        raise InputError(
            wanted="padding on the left, so that each sequence's last position is a token",
            got="an attention_mask that is 0 at the last position",
            remedy="shift those sequences to the right",
        )
    return attended


def _stop_tokens(
    stop_at_eos: bool, eos_token_id: int | Sequence[int] | None, d_vocab: int
) -> Int[Tensor, " n"] | None:
    if not stop_at_eos:
        if eos_token_id is not None:
            raise InputError(
                wanted="stop_at_eos=True with eos_token_id", got="stop_at_eos=False", remedy="leave one out"
            )
        return None
    stops = [eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id or [])
    if not stops or not all(0 <= token < d_vocab for token in stops):
        raise InputError(
            wanted=f"eos_token_id, one or more tokens from 0 to {d_vocab - 1}, to stop at",
            got=repr(eos_token_id),
            remedy="pass one, or stop_at_eos=False",
        )
    return torch.tensor(stops)


def _require_room(model: HookedTransformer, n_pos: int, max_new_tokens: int) -> None:
    if max_new_tokens < 0 or n_pos + max_new_tokens > model.cfg.n_ctx + 1:
        # The last token is chosen and never read: it may stand behind n_ctx.
        raise InputError(
            wanted=f"from 0 to {model.cfg.n_ctx + 1 - n_pos} new tokens after {n_pos}, with n_ctx={model.cfg.n_ctx}",
            got=f"max_new_tokens={max_new_tokens}",
            remedy="cut the input, or ask for fewer",
        )
