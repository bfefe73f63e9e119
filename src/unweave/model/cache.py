"""The activations of one run, by full name or shorthand, and what they are made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from unweave.core.errors import InputError
from unweave.model.decompositions import Decompositions

if TYPE_CHECKING:
    from unweave.model.transformer import HookedTransformer
else:  # transformer.py imports the cache
    HookedTransformer = nn.Module


class ActivationCache(Decompositions):
    """A read-only mapping from hook names to tensors.

    `cache["blocks.0.attn.hook_pattern"]` and `cache["pattern", 0]` are the same tensor;
    `cache["resid_post", -1]` counts layers from the end; `cache["resid_post_grad", 0]` is the
    gradient that `incl_bwd` cached. Methods split the residual stream into what was written to it.

    Args:
        cache_dict: the activations, by full hook name; not copied.
        model: the model that they are from; without one, names and slices still work.
        has_batch_dim: whether each begins with a batch dimension.

    Raises:
        MissingActivation: (a KeyError and a ValueError) for what was not cached; it names the
            nearest names that were.
    """

    def save(self, path: str | Path) -> None:
        """Write the cache as one safetensors file; a file of that name is replaced in one step.

        Tensors that are one in the cache are written once. Gradients' graphs are not kept.

        Raises:
            InputError: if the path is a folder, or a part of it is a file.
        """
        from unweave.model.saved_cache import write

        n_layers = None if self.model is None else self._layer_count()
        write(Path(path), self.cache_dict, {"has_batch_dim": self.has_batch_dim, "n_layers": n_layers})

    @classmethod
    def load(
        cls, path: str | Path, model: HookedTransformer | None = None, device: str | None = None
    ) -> ActivationCache:
        """Open a file that `save` wrote; a tensor is read when it is asked for.

        Args:
            model: the model that they are from, which methods that split the stream need.
            device: where to put what is read; None means the CPU.

        Raises:
            InputError: if the file is missing, cut short or of a newer format, or the model has
                another number of layers.
        """
        from unweave.model.saved_cache import SavedTensors

        tensors = SavedTensors(Path(path), device or "cpu")
        n_layers = tensors.facts["n_layers"]
        if model is not None and n_layers not in (None, model.cfg.n_layers):
            raise InputError(
                wanted=f"activations of a model of {model.cfg.n_layers} layers in {path}",
                got=f"those of one of {n_layers}",
                remedy="pass the model that was run",
            )
        return cls(tensors, model, tensors.facts["has_batch_dim"])
