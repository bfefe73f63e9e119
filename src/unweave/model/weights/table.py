"""A model's weights by name, to be changed in float64, and the new model that they make."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

# Every name that a weight may end in. What reads or writes the residual stream under another name
# would be left out by the steps.
KNOWN = {
    *("W_E", "W_pos", "W_token_type", "W_U", "b_U"),
    *("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V", "W_O", "b_O", "rel_pos_bias.weight"),
    *("W_in", "b_in", "W_gate", "b_gate", "W_out", "b_out"),
    *("w", "b"),
}


class WeightTable:
    """The weights of a model, copied when they are changed; the model itself is left alone.

    Raises:
        InputError: for a model with weights that no step knows of, or of several dtypes.
    """

    def __init__(self, model: HookedTransformer) -> None:
        self._model = model
        self._weights = {name: weight.detach() for name, weight in model.state_dict().items()}
        self._switched_on: set[str] = set()
        dtypes = {weight.dtype for weight in self._weights.values()}
        if len(dtypes) != 1:
            raise InputError(
                wanted="weights of one dtype",
                got=", ".join(sorted(map(str, dtypes))),
                remedy="convert the model first, as by model.float()",
            )
        self._dtype = dtypes.pop()
        for name in self._weights:
            if not name.replace("._", ".").endswith(tuple(f".{known}" for known in KNOWN)):
                raise InputError(
                    wanted="a model whose every weight has a known place",
                    got=name,
                    remedy="process the weights of a HookedTransformer before parts are added to it",
                )

    def __contains__(self, name: str) -> bool:
        return name in self._weights

    @property
    def names(self) -> list[str]:
        return list(self._weights)

    def read(self, name: str) -> Tensor:
        """The weight in float64."""
        weight = self._weights[name]
        # MPS has no float64.
        return weight.to("cpu" if weight.device.type == "mps" else weight.device, torch.float64)

    def write(self, name: str, weight: Tensor) -> None:
        """Keep a new value; 16-bit weights are rounded when the steps are done."""
        self._weights[name] = weight.to(torch.promote_types(self._dtype, torch.float32))

    def take(self, name: str) -> Tensor:
        """The weight, which the new model will no longer have."""
        weight = self.read(name)
        del self._weights[name]
        return weight

    def add_to_bias(self, name: str, amount: Tensor) -> None:
        """Add to a bias; one that is switched off is switched on, unless nothing is to be added."""
        if name in self:
            self.write(name, self.read(name) + amount)
        elif amount.any():
            self.write(name, amount)
            self._switched_on.add(name.rpartition(".")[2].removeprefix("_"))

    def untie(self, cfg: HookedTransformerConfig) -> dict[str, Any]:
        """Give tied embeddings an unembedding of their own, so that one can change without the other."""
        if not getattr(cfg, "tie_word_embeddings", False):
            return {}
        self.write("unembed.W_U", self.read("embed.W_E").mT)
        return {"tie_word_embeddings": False}

    def projection(self, at: str, which: str) -> tuple[str, str]:
        """The names of the weight and the bias of queries ("Q"), keys ("K") or values ("V").

        They have an underscore where groups of heads share them.
        """
        prefix = f"{at}._" if f"{at}._W_{which}" in self else f"{at}."
        return f"{prefix}W_{which}", f"{prefix}b_{which}"

    def model_of(self, cfg: HookedTransformerConfig) -> HookedTransformer:
        """A new model of these weights, on the device, in the dtype and in the mode of the old."""
        cfg = cfg.replaced(dtype=self._dtype, device=str(self._model.W_E.device))
        off = [name for name in getattr(cfg, "without_biases", ()) if name not in self._switched_on]
        if self._switched_on and hasattr(cfg, "without_biases"):
            cfg = cfg.replaced(without_biases=off)
        # Its first weights are thrown away: they must not advance the global random state.
        with torch.random.fork_rng(devices=[]):
            new = type(self._model)(cfg, tokenizer=False)
        # A bias is switched on for all layers at once, those to which nothing was added too.
        biases = {
            name: weight for name, weight in new.state_dict().items() if ".b_" in name.replace("._", ".")
        }
        new.load_state_dict({name: torch.zeros_like(bias) for name, bias in biases.items()} | self._weights)
        trained = {name: weight.requires_grad for name, weight in self._model.named_parameters()}
        for name, weight in new.named_parameters():
            weight.requires_grad_(trained.get(name, True))
        return new.train(self._model.training)
