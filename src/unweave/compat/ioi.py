"""Indirect objects: who is given the drink (Wang et al., 2022, arXiv:2211.00593)."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unweave.core.errors import InputError

# 3.9's own, in the form of the paper's.
TEMPLATES = (
    "[A] and [B] went to the [LOCATION] to buy [OBJECT]. [B] handed the [OBJECT] to [A]",
    "Then, [B] and [A] went to the [LOCATION]. [B] gave the [OBJECT] to [A]",
)
NOUNS = {"LOCATION": ["store", "market"], "OBJECT": ["milk", "eggs", "bread"]}


class IOIDataset(Dataset[Any]):
    """Sentences in which one name is the indirect object, [A], and another the subject, [B].

    An item has the tokens of the sentence ("prompt"), which ends with the indirect object, and of the
    two names ("IO" and "S"), each with a space in front.

    Args:
        tokenizer: with the interface of Hugging Face's.
        templates, names, nouns: to fill in; None takes two of each. A template has [A], [B] and the
            nouns' keys in brackets.
        num_samples: how many; with `symmetric` half as many templates are filled in.
        symmetric: each sentence comes a second time with the names exchanged.
        prepend_bos: put BOS in front, where the tokenizer doesn't by itself.
        seed: None draws from Python's global state.

    Raises:
        InputError: for fewer than two names.
    """

    def __init__(
        self,
        tokenizer: Any,
        templates: list[str] | None = None,
        names: list[str] | None = None,
        nouns: dict[str, list[str]] | None = None,
        num_samples: int = 1000,
        symmetric: bool = False,
        prepend_bos: bool = True,
        seed: int | None = None,
    ) -> None:
        self.tokenizer, self.prepend_bos = tokenizer, prepend_bos
        self.templates = templates or self.get_default_templates()
        self.names = names or self.get_default_names()
        self.nouns = self.get_default_nouns() if nouns is None else nouns
        if len(self.names) < 2:
            raise InputError(wanted="at least two names", got=repr(self.names), remedy="add another")
        self._random: Any = random if seed is None else random.Random(seed)
        self.samples: list[dict[str, str]] = []
        for _ in range(num_samples // 2 if symmetric else num_samples):
            self.samples.extend(self.get_sample(symmetric))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, idx: int) -> dict[str, Tensor]:
        sample = self.samples[idx]
        prompt, bos = self.tokenizer.encode(sample["text"]), self.tokenizer.bos_token_id
        if self.prepend_bos and bos is not None and prompt[:1] != [bos]:
            prompt = [bos, *prompt]
        return {
            "prompt": torch.tensor(prompt),
            **{name: torch.tensor(self.tokenizer.encode(sample[name])) for name in ("IO", "S")},
        }

    def get_sample(self, symmetric: bool = False) -> list[dict[str, str]]:
        """A template filled in, and with `symmetric` once more with the names exchanged."""
        text = self._random.choice(self.templates)
        for kind, choices in self.nouns.items():
            text = text.replace(f"[{kind}]", self._random.choice(choices))
        first, second = self._random.sample(self.names, 2)
        pairs = [(first, second), (second, first)] if symmetric else [(first, second)]
        return [
            {"text": text.replace("[A]", a).replace("[B]", b), "IO": f" {a}", "S": f" {b}"} for a, b in pairs
        ]

    @staticmethod
    def get_default_names() -> list[str]:
        """Two names."""
        return ["John", "Mary"]

    @staticmethod
    def get_default_templates() -> list[str]:
        """Two templates."""
        return list(TEMPLATES)

    @staticmethod
    def get_default_nouns() -> dict[str, list[str]]:
        """What may stand for [LOCATION] and [OBJECT]."""
        return {kind: list(choices) for kind, choices in NOUNS.items()}


@torch.inference_mode()
def ioi_eval(
    model: Any,
    dataset: Any = None,
    batch_size: int = 8,
    num_samples: int = 1000,
    tokenizer: Any = None,
    symmetric: bool = False,
) -> dict[str, float]:
    """The mean difference of the two names' logits, indirect object minus subject, and how often it is above 0.

    The logits are those before the first token in which the two names differ.

    Args:
        dataset: items as of `IOIDataset`; None makes one of `num_samples`.

    Returns:
        "Logit Difference" and "Accuracy".
    """
    tokenizer = model.tokenizer if tokenizer is None else tokenizer
    if dataset is None:
        dataset = IOIDataset(tokenizer, num_samples=num_samples, symmetric=symmetric)
    differences: list[float] = []
    for samples in DataLoader(dataset, batch_size=batch_size, collate_fn=list):
        prompts = [sample["prompt"] for sample in samples]
        padded = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence(
            [torch.ones_like(prompt) for prompt in prompts], batch_first=True
        )
        logits = model(padded, return_type="logits", attention_mask=mask.to(model.W_E.device))
        for row, sample in enumerate(samples):
            at, io, s = _first_difference(sample["IO"], sample["S"])
            place = len(sample["prompt"]) - len(sample["IO"]) + at - 1
            differences.append((logits[row, place, io] - logits[row, place, s]).item())
    return {
        "Logit Difference": sum(differences) / len(differences),
        "Accuracy": sum(difference > 0 for difference in differences) / len(differences),
    }


def _first_difference(io: Tensor, s: Tensor) -> tuple[int, int, int]:
    """Where two names' tokens first differ, and the two tokens there."""
    for at, (a, b) in enumerate(zip(io.tolist(), s.tolist(), strict=False)):
        if a != b:
            return at, a, b
    raise InputError(
        wanted="two names of which none begins with the other's tokens",
        got=f"{io.tolist()} and {s.tolist()}",
        remedy="choose other names",
    )
