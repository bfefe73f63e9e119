"""A sparse autoencoder or transcoder: its encoder, its features and its decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.analysis.features.config import DictionaryConfig
from unweave.analysis.features.scaling import Scaling
from unweave.core import seeds
from unweave.core.errors import InputError

NEEDS_INPUT = ("layer_norm", "constant_norm_rescale")


@final
class Dictionary(nn.Module):
    """Features of an activation, and the activation that they add up to.

    Standard (Bricken et al., 2023): `f = relu((x - b_dec) @ W_enc + b_enc)`, `x ≈ f @ W_dec + b_dec`.
    Gated (Rajamanoharan et al., 2024a, arXiv:2404.16014), top-k (Gao et al., 2024,
    arXiv:2406.04093) and JumpReLU (Rajamanoharan et al., 2024b, arXiv:2407.14435) choose the
    active features otherwise; transcoders (Dunefsky et al., 2024, arXiv:2406.11944) put out
    another site than they read. The numbers are SAELens 6's.

    Args:
        weights: those that `config.shapes()` lists; None draws a decoder of unit rows from `seed`,
            and an encoder that is its transpose.

    Raises:
        InputError: for a weight that is missing, unknown or of another shape.
    """

    W_enc: Tensor
    W_dec: Tensor
    W_skip: Tensor
    b_enc: Tensor
    b_dec: Tensor
    b_gate: Tensor
    b_mag: Tensor
    r_mag: Tensor
    threshold: Tensor

    def __init__(
        self, config: DictionaryConfig, weights: Mapping[str, Tensor] | None = None, *, seed: int = 0
    ) -> None:
        super().__init__()
        self.config = config
        given = _drawn(config, seed) if weights is None else weights
        shapes = config.shapes()
        for name in sorted(shapes.keys() | given.keys()):
            got = tuple(given[name].shape) if name in given else None
            if shapes.get(name) != got:
                raise InputError(
                    wanted=f"{name} of shape {shapes[name]}" if name in shapes else f"no {name}",
                    got="none" if got is None else str(got),
                    remedy=f"architecture {config.architecture!r} has {', '.join(shapes)}",
                )
        for name in shapes:
            self.register_parameter(name, nn.Parameter(given[name].detach().to(config.torch_dtype).clone()))

    def extra_repr(self) -> str:
        """Architecture and sizes."""
        c = self.config
        return f"{c.architecture}, {c.d_in} -> {c.d_sae} -> {c.output_size}, {c.hook_name}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user must know before encoding."""
        if self.config.normalize_activations != "expected_average_only_in":
            return ()
        return (
            "the weights want activations scaled to a mean norm of sqrt(d_in), and the file doesn't say by how much: "
            "call dictionary.fold_scaling(dictionary.scaling_for(activations)) first",
        )

    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*features d_sae"]:
        """The features of each vector; with `reshape_activations="hook_z"`, of all heads together."""
        read = self._flat(x.to(self.W_enc.dtype))
        read = Scaling.of(read, self.config.normalize_activations).into(read)
        if self.config.apply_b_dec_to_input:
            read = read - self.b_dec
        return self._active(read)

    def decode(
        self, features: Float[Tensor, "*features d_sae"], of: Tensor | None = None
    ) -> Float[Tensor, "*batch d_out"]:
        """What the features add up to.

        Args:
            of: the activation that they are of; needed where the output depends on its scale or heads.
        """
        if self.config.rescale_acts_by_decoder_norm:
            features = features / self.W_dec.norm(dim=-1)
        decoded = features @ self.W_dec + self.b_dec
        # A transcoder's output is of another site, and was never scaled.
        kind = "none" if self.config.is_transcoder else self.config.normalize_activations
        if kind in NEEDS_INPUT:
            read = self._flat(self._required(of, kind).to(decoded.dtype))
            decoded = Scaling.of(read, kind).back(decoded)
        if self.config.reshape_activations == "hook_z":
            decoded = decoded.unflatten(-1, self._required(of, "hook_z").shape[-2:])
        return decoded

    def output(self, features: Float[Tensor, "*features d_sae"], x: Tensor) -> Float[Tensor, "*batch d_out"]:
        """`decode`, with what a skip transcoder adds of `x`."""
        decoded = self.decode(features, of=x)
        return decoded + x.to(decoded.dtype) @ self.W_skip.T if self.config.skips else decoded

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The reconstruction of `x`, or a transcoder's output."""
        return self.output(self.encode(x), x)

    def scaling_for(self, x: Float[Tensor, "*batch d_in"]) -> float:
        """The factor that gives these activations a mean norm of sqrt(d_in)."""
        return self.config.d_in**0.5 / x.float().norm(dim=-1).mean().item()

    @torch.no_grad()
    def fold_scaling(self, factor: float) -> None:
        """Make the weights, which want `factor * x`, take `x`. (Anthropic, April 2024.)

        A transcoder's output is left as it is.
        """
        self.W_enc.mul_(factor)
        if not self.config.is_transcoder:
            self.W_dec.div_(factor)
            self.b_dec.div_(factor)
        self.config = replace(self.config, normalize_activations="none")

    @torch.no_grad()
    def fold_decoder_norms(self) -> None:
        """Give decoder rows norm one, and the features what that takes from them: the output stays.

        Raises:
            InputError: for top-k that chooses by activations alone, whose choice would change.
        """
        if self.config.architecture == "topk" and not self.config.rescale_acts_by_decoder_norm:
            raise InputError(
                wanted="an architecture whose active features don't depend on the norms",
                got="topk without rescale_acts_by_decoder_norm",
                remedy="leave the norms as they are",
            )
        norms = self.W_dec.norm(dim=-1).clamp_min(1e-8)
        self.W_dec.div_(norms[:, None])
        self.W_enc.mul_(norms)
        for name, weight in self.named_parameters():
            if name in ("b_enc", "b_gate", "b_mag", "threshold"):
                weight.mul_(norms)

    def _active(self, read: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_sae"]:
        if self.config.architecture == "gated":
            open_ = (read @ self.W_enc + self.b_gate > 0).to(read.dtype)
            return open_ * (read @ (self.W_enc * self.r_mag.exp()) + self.b_mag).relu()
        pre = read @ self.W_enc + self.b_enc
        if self.config.k is not None:
            pre = pre * self.W_dec.norm(dim=-1) if self.config.rescale_acts_by_decoder_norm else pre
            top = pre.topk(self.config.k, dim=-1, sorted=False)
            return torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())
        active = pre.relu()
        return active * (pre > self.threshold) if self.config.thresholded else active

    def _flat(self, x: Tensor) -> Tensor:
        if self.config.reshape_activations == "hook_z":
            x = x.flatten(-2)
        if x.shape[-1] != self.config.d_in:
            raise InputError(
                wanted=f"activations of {self.config.d_in} numbers, as {self.config.hook_name} has",
                got=str(tuple(x.shape)),
                remedy="read the site that the dictionary was made for",
            )
        return x

    def _required(self, of: Tensor | None, why: str) -> Tensor:
        if of is None:
            raise InputError(
                wanted=f"the activation that the features are of, for {why}",
                got="features alone",
                remedy="write dictionary.decode(features, of=x)",
            )
        return of


def _drawn(config: DictionaryConfig, seed: int) -> dict[str, Tensor]:
    weights: dict[str, Any] = {name: torch.zeros(shape) for name, shape in config.shapes().items()}
    draw = torch.randn(config.shapes()["W_dec"], generator=seeds.generator(seed, "dictionary"))
    weights["W_dec"] = draw / draw.norm(dim=-1, keepdim=True)
    if config.is_transcoder:
        draw = torch.randn(config.shapes()["W_enc"], generator=seeds.generator(seed, "encoder"))
        weights["W_enc"] = draw / draw.norm(dim=0, keepdim=True)
    else:
        weights["W_enc"] = weights["W_dec"].T.clone()
    return weights
