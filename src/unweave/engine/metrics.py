"""What is measured of logits: a number for each sample, read at positions that the metric names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs
from unweave.engine.layout import Index, chosen

# A number for all samples, or one for each, from logits [sample, pos, d_vocab_out].
Function = Callable[[Tensor], Tensor]
Tokens = int | Tensor


@dataclass(frozen=True, eq=False)
class Metric(ABC):
    """A number at each position that is read, and its mean over those, sample by sample. Abstract.

    Logits are computed at the positions that are read, and nowhere else.

    Attributes:
        pos: the positions: an index, a slice, a list, or each sample's own `[sample]` or
            `[sample, k]` as a tensor. None is all, padding left out.
    """

    unit: ClassVar[str] = ""
    differentiable: ClassVar[bool] = True
    # Whether it compares with the logits of the run without patches.
    compares: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What a result calls it."""
        return type(self).__name__

    @property
    @abstractmethod
    def positions(self) -> Index:
        """`pos`, as the metric was given it."""

    @abstractmethod
    def targets(self, inputs: Inputs, where: Int[Tensor, "sample k"], d_vocab: int) -> dict[str, Tensor]:
        """The tokens that it asks about, `[sample, k]`, by the names that `each` takes."""

    @abstractmethod
    def each(self, logits: Float[Tensor, "*patch sample k d_vocab"], **targets: Tensor) -> Tensor:
        """The number at each position, `[*patch, sample, k]`."""

    def counted(self, inputs: Inputs, where: Int[Tensor, "sample k"]) -> Tensor:
        """Which of the positions count."""
        return _attended(inputs, where)

    def all_positions(self, n_pos: int) -> slice:
        """The positions that None stands for."""
        return slice(0, n_pos)


@final
@dataclass(frozen=True, eq=False)
class LogitDifference(Metric):
    """The logit of `right` minus that of `wrong`.

    Args:
        right, wrong: a token, one a sample `[sample]`, or one a position read `[sample, k]`.
    """

    right: Tokens
    wrong: Tokens
    pos: Index = -1

    @property
    def positions(self) -> Index:
        return self.pos

    def targets(self, inputs: Inputs, where: Tensor, d_vocab: int) -> dict[str, Tensor]:
        """The tokens that it asks about."""
        return {
            name: _tokens(name, value, where, d_vocab)
            for name, value in (("right", self.right), ("wrong", self.wrong))
        }

    def each(self, logits: Tensor, **targets: Tensor) -> Tensor:
        """The difference."""
        return _at(logits, targets["right"]) - _at(logits, targets["wrong"])


@final
@dataclass(frozen=True, eq=False)
class Loss(Metric):
    """Minus the log of the probability of a token, in nats: of the next one, or of `target`.

    The mean is over a sample's positions, and a result's over samples: with padding that isn't
    the mean over all tokens that `return_type="loss"` gives.

    Args:
        target: a token, one a sample `[sample]`, or one a position read `[sample, k]`; None is the next token.
    """

    target: Tokens | None = None
    pos: Index = None
    unit: ClassVar[str] = "nats"

    @property
    def positions(self) -> Index:
        return self.pos

    def all_positions(self, n_pos: int) -> slice:
        """Those that have a next token, if it is the target."""
        return slice(0, n_pos - 1 if self.target is None else n_pos)

    def targets(self, inputs: Inputs, where: Tensor, d_vocab: int) -> dict[str, Tensor]:
        """The tokens that it asks about."""
        if self.target is not None:
            return {"target": _tokens("target", self.target, where, d_vocab)}
        if int(where.max()) + 1 >= inputs.shape[1]:
            raise InputError(
                wanted="positions that have a next token, for the loss",
                got=f"the last one, {int(where.max())}",
                remedy="leave it out, or write Loss(target=...)",
            )
        return {
            "target": _tokens("target", inputs.tokens.to(where.device).gather(1, where + 1), where, d_vocab)
        }

    def counted(self, inputs: Inputs, where: Tensor) -> Tensor:
        """Those that are no padding, and whose target is none."""
        counted = _attended(inputs, where)
        return counted if self.target is not None else counted & _attended(inputs, where + 1)

    def each(self, logits: Tensor, **targets: Tensor) -> Tensor:
        """The loss, in nats."""
        logits = _raised(logits)
        return logits.logsumexp(-1) - _at(logits, targets["target"])


@final
@dataclass(frozen=True, eq=False)
class Probability(Metric):
    """The probability of a token, from 0 to 1."""

    token: Tokens
    pos: Index = -1

    @property
    def positions(self) -> Index:
        return self.pos

    def targets(self, inputs: Inputs, where: Tensor, d_vocab: int) -> dict[str, Tensor]:
        """The tokens that it asks about."""
        return {"token": _tokens("token", self.token, where, d_vocab)}

    def each(self, logits: Tensor, **targets: Tensor) -> Tensor:
        """The probability."""
        logits = _raised(logits)
        return (_at(logits, targets["token"]) - logits.logsumexp(-1)).exp()


@final
@dataclass(frozen=True, eq=False)
class KL(Metric):
    """The divergence of the patched run's prediction from the clean run's, `KL(clean || patched)`, in nats."""

    pos: Index = -1
    unit: ClassVar[str] = "nats"
    compares: ClassVar[bool] = True

    @property
    def positions(self) -> Index:
        return self.pos

    def targets(self, inputs: Inputs, where: Tensor, d_vocab: int) -> dict[str, Tensor]:
        """The tokens that it asks about."""
        return {}

    def each(self, logits: Tensor, **targets: Tensor) -> Tensor:
        """The divergence, in nats."""
        clean, patched = targets["clean"], _raised(logits).log_softmax(-1)
        # Where the clean run says never, the summand is 0.
        return (clean.exp() * (clean - patched).masked_fill(clean == -torch.inf, 0.0)).sum(-1)


@final
@dataclass(frozen=True, eq=False)
class Rank(Metric):
    """How many tokens have a larger logit than this one: 0 if it is the prediction."""

    token: Tokens
    pos: Index = -1
    differentiable: ClassVar[bool] = False

    @property
    def positions(self) -> Index:
        return self.pos

    def targets(self, inputs: Inputs, where: Tensor, d_vocab: int) -> dict[str, Tensor]:
        """The tokens that it asks about."""
        return {"token": _tokens("token", self.token, where, d_vocab)}

    def each(self, logits: Tensor, **targets: Tensor) -> Tensor:
        """The rank."""
        logits = _raised(logits)
        return (logits > _at(logits, targets["token"])[..., None]).sum(-1).to(logits.dtype)


@dataclass
class Bound:
    """A metric, and where and what it reads in runs over some inputs.

    Attributes:
        where: the positions that are read.
        weights: what each counts in its sample's mean.
        targets: what `each` takes, `[sample, k, ...]`.
        clean: the number at each position in the run without patches.
    """

    metric: Metric
    where: Int[Tensor, "sample k"]
    weights: Float[Tensor, "sample k"]
    targets: dict[str, Tensor]
    clean: Tensor = field(default_factory=lambda: torch.empty(0))

    def each(
        self,
        logits: Float[Tensor, "*patch sample k d_vocab"],
        samples: slice = slice(None),
        columns: slice | Tensor = slice(None),
    ) -> Tensor:
        """The number at each of these positions of these samples."""
        picked = {name: value[samples][:, columns] for name, value in self.targets.items()}
        return self.metric.each(logits, **picked)

    def mean(self, each: Float[Tensor, "*patch sample k"], samples: slice = slice(None)) -> Tensor:
        """A number for each sample."""
        return (each * self.weights[samples].to(each.dtype)).sum(-1)

    def take_clean(self, logits: Float[Tensor, "sample k d_vocab"]) -> None:
        """Keep what the run without patches has."""
        if self.metric.compares:
            self.targets["clean"] = _raised(logits).log_softmax(-1)
        self.clean = self.each(logits)


def bind(metric: Metric, inputs: Inputs, d_vocab: int, device: torch.device) -> Bound:
    """What `metric` reads in runs over `inputs`.

    Raises:
        InputError: for positions or tokens that aren't there, or are padding.
    """
    samples, n_pos = inputs.shape
    index = metric.positions
    choice = chosen(metric.all_positions(n_pos) if index is None else index, n_pos, "pos")
    where = torch.arange(n_pos)[choice] if isinstance(choice, slice) else choice
    where = where.expand(samples, -1) if where.ndim == 1 else where
    if len(where) != samples:
        raise InputError(
            wanted=f"positions for each of {samples} samples",
            got=str(len(where)),
            remedy="give as many rows as there are sequences, or a list for all of them",
        )
    where = where.to(device)
    targets = metric.targets(inputs, where, d_vocab)
    counted = metric.counted(inputs, where)
    if not (counted.any(1) if index is None else counted).all():
        raise InputError(
            wanted="a metric that reads tokens",
            got="padding at a position that it reads" if index is not None else "a sample without any",
            remedy="name each sample's own position: pos=tensor [sample]",
        )
    weights = counted.double() / counted.sum(1, keepdim=True)
    return Bound(metric, where, weights, targets)


def _tokens(name: str, value: Tokens, where: Tensor, d_vocab: int) -> Int[Tensor, "sample k"]:
    tokens = torch.as_tensor(value).to(where.device)
    if tokens.ndim == 1:
        tokens = tokens[:, None]
    fits = tokens.ndim in (0, 2) and not tokens.is_floating_point() and tokens.dtype != torch.bool
    if not fits or (
        tokens.ndim and (len(tokens) != len(where) or tokens.shape[1] not in (1, where.shape[1]))
    ):
        raise InputError(
            wanted=f"for {name} a token, one for each of {len(where)} samples, or {tuple(where.shape)} of them",
            got=f"shape {tuple(torch.as_tensor(value).shape)}, {tokens.dtype}",
            remedy="pass whole numbers",
        )
    if int(tokens.min()) < 0 or int(tokens.max()) >= d_vocab:
        raise InputError(
            wanted=f"for {name} tokens from 0 to {d_vocab - 1}",
            got=f"{int(tokens.min())} to {int(tokens.max())}",
            remedy="check the vocabulary",
        )
    return tokens.long().expand(where.shape)


def _attended(inputs: Inputs, where: Tensor) -> Tensor:
    if inputs.attention_mask is None:
        return torch.ones_like(where, dtype=torch.bool)
    return inputs.attention_mask.to(where.device).bool().gather(1, where)


def _at(logits: Tensor, tokens: Tensor) -> Tensor:
    index = tokens[..., None].expand(*logits.shape[:-1], 1)
    return _raised(logits.gather(-1, index))[..., 0]


def _raised(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
