"""What a sparse autoencoder or transcoder computes, and where it belongs, in SAELens' names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from unweave.core.errors import InputError
from unweave.model.config_checks import require_choice

AUTOENCODERS = ("standard", "gated", "topk", "jumprelu")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
NORMALISATIONS = ("none", "expected_average_only_in", "constant_norm_rescale", "layer_norm")
RESHAPES = ("none", "hook_z")
DTYPES = ("float32", "float64", "float16", "bfloat16")


@dataclass(frozen=True)
class DictionaryConfig:
    """A dictionary's config.

    Args:
        architecture: "standard", "gated", "topk" or "jumprelu"; or a transcoder's, "transcoder",
            "skip_transcoder", "jumprelu_transcoder" or "jumprelu_skip_transcoder".
        d_in, d_sae, d_out: of the input, the features and the output; `d_out` None is `d_in`.
        apply_b_dec_to_input: whether the decoder's bias is taken off what is encoded. No transcoder does.
        normalize_activations: "none"; "layer_norm" and "constant_norm_rescale", which are undone
            in the output; "expected_average_only_in": the weights want activations whose mean
            norm is sqrt(d_in), see `Dictionary.fold_scaling`.
        reshape_activations: "hook_z": all heads of `[..., head, d_head]` as one vector.
        k: how many features are active at once; "topk" alone.
        rescale_acts_by_decoder_norm: whether the k are chosen as if decoder rows had norm one.
        hook_name: the site that is read; `hook_name_out` the one that a transcoder writes.
        hook_head_index: the one head that is read at a site of heads; `hook_head_index_out` written.
        prepend_bos, context_size, model_name: how its activations were made; None is unknown.
        metadata: what else the file says; it changes nothing, and is kept.
    """

    architecture: str
    d_in: int
    d_sae: int
    d_out: int | None = None
    dtype: str = "float32"
    apply_b_dec_to_input: bool = True
    normalize_activations: str = "none"
    reshape_activations: str = "none"
    k: int | None = None
    rescale_acts_by_decoder_norm: bool = False
    hook_name: str | None = None
    hook_name_out: str | None = None
    hook_head_index: int | None = None
    hook_head_index_out: int | None = None
    prepend_bos: bool | None = None
    context_size: int | None = None
    model_name: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        require_choice("architecture", self.architecture, (*AUTOENCODERS, *TRANSCODERS))
        require_choice("normalize_activations", self.normalize_activations, NORMALISATIONS)
        require_choice("reshape_activations", self.reshape_activations, RESHAPES)
        require_choice("dtype", self.dtype, DTYPES)
        if self.d_in < 1 or self.d_sae < 1 or self.output_size < 1:
            raise InputError(
                wanted="sizes of one or more",
                got=f"d_in {self.d_in}, d_sae {self.d_sae}, d_out {self.output_size}",
                remedy="give the sizes of the weights",
            )
        if (self.architecture == "topk") != (self.k is not None) or not 0 < (self.k or 1) <= self.d_sae:
            raise InputError(
                wanted='k from 1 to d_sae for architecture "topk", and no k for others',
                got=f"k {self.k} for {self.architecture!r} of {self.d_sae} features",
                remedy="say how many features are active at once, or leave k out",
            )
        if self.is_transcoder and (self.apply_b_dec_to_input or self.reshape_activations != "none"):
            raise InputError(
                wanted="a transcoder whose decoder's bias stays out of its input, and no reshaping",
                got=f"apply_b_dec_to_input {self.apply_b_dec_to_input}, "
                f"reshape_activations {self.reshape_activations!r}",
                remedy="write apply_b_dec_to_input=False",
            )
        if not self.is_transcoder and self.output_size != self.d_in:
            raise InputError(
                wanted="an autoencoder's output of the size of its input",
                got=f"d_in {self.d_in}, d_out {self.d_out}",
                remedy="leave d_out out, or name a transcoder's architecture",
            )

    @property
    def is_transcoder(self) -> bool:
        """Whether it reads one site and writes another."""
        return self.architecture in TRANSCODERS

    @property
    def output_size(self) -> int:
        return self.d_in if self.d_out is None else self.d_out

    @property
    def thresholded(self) -> bool:
        """Whether a feature is cut off below its own threshold."""
        return self.architecture.startswith("jumprelu")

    @property
    def skips(self) -> bool:
        """Whether a linear map of the input is added to the output."""
        return "skip" in self.architecture

    @property
    def torch_dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight."""
        found: dict[str, tuple[int, ...]] = {
            "W_enc": (self.d_in, self.d_sae),
            "W_dec": (self.d_sae, self.output_size),
            "b_dec": (self.output_size,),
        }
        names = ("b_gate", "b_mag", "r_mag") if self.architecture == "gated" else ("b_enc",)
        for name in (*names, *(("threshold",) if self.thresholded else ())):
            found[name] = (self.d_sae,)
        return {**found, "W_skip": (self.output_size, self.d_in)} if self.skips else found
