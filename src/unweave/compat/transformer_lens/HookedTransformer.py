"""The hookable transformer, with 3.9's defaults."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.compat.loads import LoadsWeights
from unweave.compat.pickled import rebuild
from unweave.compat.spliced import TakesModules
from unweave.compat.transformer_lens.ActivationCache import ActivationCache
from unweave.compat.transformer_lens.config.hooked_transformer_config import HookedTransformerConfig
from unweave.compat.transformer_lens.HookedRootModule import HookedRootModule
from unweave.compat.warned import warn
from unweave.core.errors import InputError
from unweave.core.hook_point import HookPoint
from unweave.model.config import DTYPES
from unweave.model.config import HookedTransformerConfig as StrictConfig
from unweave.model.generate import generate
from unweave.model.init import init_weights
from unweave.model.kv_cache import KeyValueCache
from unweave.model.loss import Loss, Output
from unweave.model.text.tokenizer import AnyTokenizer
from unweave.model.transformer import HookedTransformer as StrictTransformer

__all__ = [
    "DTYPE_FROM_STRING",
    "HookedRootModule",
    "HookedTransformer",
    "Loss",
    "LossPerToken",
    "Output",
    "SingleLoss",
]

SingleLoss = Float[Tensor, ""]
DTYPE_FROM_STRING = {**DTYPES, "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
LossPerToken = Float[Tensor, "batch predicted"]

# 3.9 draws a head's weights in this order.
DRAWN = {"W_Q": 0, "W_O": 1, "W_K": 2, "_W_K": 2, "W_V": 3, "_W_V": 3}


class HookedTransformer(HookedRootModule, LoadsWeights, TakesModules):
    """`unweave.HookedTransformer` with 3.9's defaults, which warns where that raises.

    A seed gives the weights that 3.9 draws on a CPU in float32, mixtures of experts apart; they come from
    torch's global generator.
    """

    cfg: HookedTransformerConfig
    dataset: Any = None

    def __init__(
        self,
        cfg: StrictConfig | dict[str, Any],
        tokenizer: Any = None,
        move_to_device: bool = True,
        default_padding_side: str | None = None,
    ) -> None:
        cfg = self.own_config(cfg)
        if default_padding_side is not None and tokenizer is None and cfg.tokenizer_name is None:
            warn("default_padding_side does nothing without a tokenizer")
            default_padding_side = None
        # Left on the CPU, the model must not change the config that it was given.
        cfg = cfg if move_to_device else cfg.replaced()
        super().__init__(cfg, tokenizer, move_to_device, default_padding_side)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up what was pickled, by this class or, while the door was not there, by TransformerLens."""
        super().__setstate__(state)
        if "placement" not in state:  # not one of ours
            rebuild(self, state, HookedTransformer.__init__)

    @classmethod
    def own_config(cls, cfg: StrictConfig | dict[str, Any]) -> HookedTransformerConfig:
        """The config itself, as in 3.9: what is assigned to it is assigned to the model's."""
        if not isinstance(cfg, StrictConfig | dict):
            raise InputError(
                wanted="a HookedTransformerConfig, or a dict of its fields",
                got=repr(cfg),
                remedy="open a pretrained model by HookedTransformer.from_pretrained(NAME)",
            )
        return HookedTransformerConfig.unwrap(cfg)

    def _assemble(self, cfg: StrictConfig, device: torch.device) -> None:
        super()._assemble(cfg, device)
        if self.cfg.use_hook_tokens:
            self.hook_tokens = HookPoint()
            self.setup()

    def _checked(self, tokens: Tensor, past: KeyValueCache | None) -> Tensor:
        tokens = super()._checked(tokens, past)
        return self.hook_tokens(tokens) if self.cfg.use_hook_tokens else tokens

    def init_weights(self) -> None:
        """Draw all weights anew."""
        if self.cfg.seed is not None:
            torch.manual_seed(self.cfg.seed)
        parts: dict[str, list[tuple[str, nn.Parameter]]] = {}
        for name, weight in self.named_parameters():
            parts.setdefault(name.rpartition(".")[0], []).append((name, weight))
        last = len(DRAWN)
        ordered = [
            weight
            for part in parts.values()
            for weight in sorted(part, key=lambda pair: DRAWN.get(pair[0].rpartition(".")[2], last))
        ]
        init_weights(self, self.cfg.replaced(seed=None), ordered)

    def require_fit(self, tokenizer: AnyTokenizer) -> None:
        """Warn of a tokenizer with tokens beyond d_vocab."""
        try:
            super().require_fit(tokenizer)
        except InputError as error:
            warn(error)

    def run_with_cache(self, *args: Any, return_cache_object: bool = True, **kwargs: Any) -> Any:
        """See `unweave.HookedTransformer.run_with_cache`."""
        output, cache = super().run_with_cache(*args, return_cache_object=return_cache_object, **kwargs)
        if return_cache_object:
            cache = ActivationCache(cache.cache_dict, self, cache.has_batch_dim)
        return output, cache

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """See `unweave.HookedTransformer.generate`; of further keywords of transformers' there is a warning."""
        own = inspect.signature(StrictTransformer.generate).parameters
        for name in kwargs.keys() - own.keys() - inspect.signature(generate).parameters.keys():
            warn(f"generate knows no {name}, and ignores it")
            del kwargs[name]
        return super().generate(*args, **kwargs)

    def to(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, device_or_dtype: Any = None, print_details: bool = True, **kwargs: Any
    ) -> Any:
        """Torch's own, which here tells the config, and prints nothing."""
        given = () if device_or_dtype is None else (device_or_dtype,)
        moved = super().to(*given, **kwargs)
        target = kwargs.get("device") if device_or_dtype is None else device_or_dtype
        if isinstance(target, int | str | torch.device):
            object.__setattr__(self.cfg, "device", str(self.W_E.device))
        elif isinstance(target, torch.dtype):
            object.__setattr__(self.cfg, "dtype", target)
        return moved

    def mps(self) -> HookedTransformer:
        """The model on Apple's GPU."""
        return self.to("mps")

    def move_model_modules_to_device(self) -> None:
        """The model on the device of its config."""
        self.to(self.cfg.device)

    def sample_datapoint(
        self, tokenize: bool = False, prepend_bos: bool | None = None, padding_side: str | None = None
    ) -> str | Tensor:
        """A text of `model.dataset`, which the caller has set, drawn by NumPy's global generator; or its tokens.

        Raises:
            InputError: if there is no dataset.
        """
        if self.dataset is None:
            raise InputError(
                wanted="a dataset of texts in model.dataset",
                got="none",
                remedy="set it, as by model.dataset = utils.get_dataset('pile')",
            )
        text = self.dataset[int(np.random.randint(0, len(self.dataset)))]["text"]  # noqa: NPY002
        return self.to_tokens(text, prepend_bos, padding_side) if tokenize else text
