"""A dictionary put into a model at its site, with its features as hooks and its error kept."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from unweave.analysis.features.dictionary import Dictionary
from unweave.core.errors import HookError, InputError, nearest
from unweave.core.hooks import HookPoint
from unweave.core.sites import SAE, sae_site
from unweave.engine.inputs import require_model
from unweave.engine.layout import PER_HEAD, SCORES, dims_of
from unweave.model.transformer import HookedTransformer

# What these pass is not what the model goes on with, or not all of it.
NO_SITE = (
    *("hook_scale", "hook_normalized", "hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input"),
    *("hook_result", "hook_mlp_in", "hook_rot_q", "hook_rot_k"),
)


@dataclass(frozen=True)
class Spliced:
    """The names of the hooks that a spliced dictionary has, besides those of the model.

    Args:
        site: what is written; hooks there see what the model itself put out.
        features: `[sample, pos, d_sae]`: what is changed here changes what goes on.
        recons: `[sample, pos, d_out]`, what the features add up to, of all heads in a row.
        error: `[sample, pos, d_out]`, what they leave out: what the model put out, less what the
            features that nobody changed add up to.
        output: what goes on: recons and error.
    """

    site: str
    features: str
    recons: str
    error: str
    output: str


@contextmanager
def splice(
    model: HookedTransformer,
    dictionary: Dictionary,
    *,
    at: str | None = None,
    out: str | None = None,
    error: bool = True,
    stop_gradient: bool = True,
) -> Generator[Spliced]:
    """Within the block the model runs through the dictionary: `x -> recons + error`.

    With the error kept (Marks et al., 2024, arXiv:2403.19647) a run in which no feature is changed is
    the model's own, to rounding. The error is made anew in every run, from features as they are
    before any hook; `Site(spliced.error).freeze()` keeps that of the clean run. Everything that works
    at hooks works at these: caches, `intervene`, `sweep`, and the engine's approximations. Blocks may be
    nested for several sites.

    Args:
        at: the site that is read; None is the dictionary's own, `config.hook_name`.
        out: the one that a transcoder writes; None is `config.hook_name_out`.
        error: False leaves the error out: the model goes on with the reconstruction alone.
        stop_gradient: the error counts as a constant, as in the paper: what reaches the site from
            later layers goes on to earlier ones through the features alone. False lets it through,
            so that gradients before the site are the model's own. Of the features' own gradients
            both give the same.

    Raises:
        HookError: for a site that the model doesn't have.
        InputError: for one where nothing can be spliced in, or of another size.
    """
    model = require_model(model)
    read, written, heads = _places(model, dictionary, at, out)
    points = {site: HookPoint() for site in SAE}
    tap = _Tap(model.hook_dict[read]) if read != written else None
    spliced = _SplicedPoint(model.hook_dict[written], dictionary, points, tap, heads, error, stop_gradient)
    names = {site: sae_site(written, site) for site in SAE}
    taps = {read: tap} if tap is not None else {}
    with _swapped(model, {**taps, written: spliced}):
        for site, point in points.items():
            point.name = names[site]
        yield Spliced(written, *(names[site] for site in SAE))


class _StandIn(HookPoint):
    """A point in the place of another one, whose name and hooks it takes over."""

    def __init__(self, original: HookPoint) -> None:
        super().__init__(original.on_demand)
        self.name, self.ctx = original.name, original.ctx
        self.fwd_hooks, self.bwd_hooks = original.fwd_hooks, original.bwd_hooks

    @property
    def active(self) -> bool:
        """Always: there is something to do here without any hook."""
        return True


@final
class _Tap(_StandIn):
    """Keeps what passes, for a transcoder's other end."""

    seen: Tensor | None = None

    def __call__(self, tensor: Tensor) -> Tensor:
        self.seen = super().__call__(tensor)
        return self.seen


@final
class _SplicedPoint(_StandIn):
    """Sends what passes through the dictionary."""

    def __init__(
        self,
        original: HookPoint,
        dictionary: Dictionary,
        points: dict[str, HookPoint],
        tap: _Tap | None,
        heads: tuple[int | None, int | None],
        error: bool,
        stop_gradient: bool,
    ) -> None:
        super().__init__(original)
        self.sae, self.points = dictionary, nn.ModuleDict(points)
        # In a tuple, where it is no part of this module: it stands elsewhere in the model.
        self.taps = () if tap is None else (tap,)
        self.heads, self.error, self.stop_gradient = heads, error, stop_gradient

    def __call__(self, tensor: Tensor) -> Tensor:
        wanted = super().__call__(tensor)
        head_in, head_out = self.heads
        target = wanted if head_out is None else wanted[..., head_out, :]
        read = target
        if self.taps:
            read = self.taps[0].seen
            assert read is not None, "the site that is read runs before the one that is written"
            read = read if head_in is None else read[..., head_in, :]
        new = self._through(read, target)
        if head_out is None:
            return new
        whole = wanted.clone()
        whole[..., head_out, :] = new
        return whole

    def _through(self, read: Tensor, target: Tensor) -> Tensor:
        acts = self.sae.encode(read)
        features = self._passed("sae_acts_post", acts)
        flat = target.shape[: read.ndim - 1 - (self.sae.config.reshape_activations == "hook_z")]
        recons = self._passed(
            "sae_recons", self.sae.output(features, read).to(target.dtype).reshape(*flat, -1)
        )
        if self.error:
            left = target.reshape(*flat, -1) - self.sae.output(acts, read).to(target.dtype).reshape(*flat, -1)
            recons = recons + self._passed("sae_error", left.detach() if self.stop_gradient else left)
        return self._passed("sae_output", recons).reshape(target.shape)

    def _passed(self, site: str, tensor: Tensor) -> Tensor:
        return self.points[site](tensor)


def _places(
    model: HookedTransformer, dictionary: Dictionary, at: str | None, out: str | None
) -> tuple[str, str, tuple[int | None, int | None]]:
    """Which hook is read, which is written, and which head of each."""
    config = dictionary.config
    read = config.hook_name if at is None else at
    written = (config.hook_name_out if out is None else out) if config.is_transcoder else read
    for name in (read, written):
        if name is None:
            raise InputError(
                wanted="the sites that the dictionary reads and writes",
                got="none in its config",
                remedy='say it: at="blocks.0.hook_resid_post"'
                + (", out=..." if config.is_transcoder else ""),
            )
        if name not in model.hook_dict:
            raise HookError(
                wanted="the name of a hook of this model",
                got=repr(name),
                remedy=f"nearest: {nearest(name, model.hook_dict)}",
            )
    assert read is not None and written is not None
    bad = written.endswith(NO_SITE) or dims_of(written) in (None, SCORES) or dims_of(read) in (None, SCORES)
    if bad or type(model.hook_dict[written]) is not HookPoint or written.endswith(SAE):
        raise InputError(
            wanted="a site whose vectors the model goes on with, and no dictionary at it yet",
            got=written,
            remedy="splice at a part of the residual stream, at z, or at what attention or an MLP writes",
        )
    own = config.hook_head_index, config.hook_head_index_out
    head_in, head_out = own if config.is_transcoder else (own[0], own[0])
    for name, head in ((read, head_in), (written, head_out)):
        one_vector = dims_of(name) != PER_HEAD or head is not None or config.reshape_activations == "hook_z"
        if not one_vector or (head is not None and dims_of(name) != PER_HEAD):
            raise InputError(
                wanted="a head at a site of heads, or all of them as one vector, and none elsewhere",
                got=f"{name} with head {head}, reshape_activations {config.reshape_activations!r}",
                remedy="set hook_head_index, or reshape_activations='hook_z', in the dictionary's config",
            )
    return read, written, (head_in, head_out)


@contextmanager
def _swapped(model: HookedTransformer, stand_ins: dict[str, _StandIn]) -> Generator[None]:
    """Within the block these stand in the places of the model's own points, and their hooks in its table."""
    before = model.hook_dict
    homes = [(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in stand_ins]
    table: dict[str, HookPoint] = {}
    for name, point in before.items():
        table[name] = stand_ins.get(name, point)
        inner = stand_ins.get(name)
        if isinstance(inner, _SplicedPoint):
            for site, own in inner.points.items():
                assert isinstance(own, HookPoint)
                table[sae_site(name, site)] = own
    try:
        for (home, attribute), point in zip(homes, stand_ins.values(), strict=True):
            setattr(home, attribute, point)
        model.hook_dict = table
        yield
    finally:
        for (home, attribute), name in zip(homes, stand_ins, strict=True):
            setattr(home, attribute, before[name])
        model.hook_dict = before
