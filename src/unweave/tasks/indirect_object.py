"""Whom did she give it to? A toy of the indirect-object task, in templates."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.seeds import generator
from unweave.tasks.batch import Batch
from unweave.tasks.task import Task, require_count

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "June", "Kai", "Lea")
PLACES = ("park", "shop", "school", "station")
THINGS = ("book", "ring", "drink", "map")
# 1 and 2 are the two names of a sentence in the order of their first occurrence; S is the one named twice.
TEMPLATES = (
    "When 1 and 2 went to the PLACE , S gave a THING to",
    "After 1 and 2 left the PLACE , S handed the THING to",
    "At the PLACE 1 met 2 , then S gave the THING to",
    "While 1 and 2 were at the PLACE , S sent a THING to",
)
SLOTS = ("1", "2", "S", "PLACE", "THING")
LITERAL = sorted({word for template in TEMPLATES for word in template.split()} - {*SLOTS})
WORDS = ("BOS", *NAMES, *PLACES, *THINGS, *LITERAL)


@dataclass(frozen=True)
class IndirectObject(Task):
    """Sentences with two people, one of them named twice; at the end, the other's name is asked for.

    After the task of Wang et al. (2022, arXiv:2211.00593), with a vocabulary of its own. Names, places,
    things and template are drawn alike, and which of the two is named twice. Sentences are one
    length: shorter ones begin with more than one BOS.
    """

    d_vocab: int = field(init=False, repr=False, default=len(WORDS))
    n_ctx: int = field(init=False, repr=False, default=1 + max(len(t.split()) for t in TEMPLATES))

    @property
    def scored(self) -> slice:
        """At the last word."""
        return slice(self.n_ctx - 1, None)

    def word(self, token: int) -> str:
        """How a token is written for people."""
        return WORDS[token]

    def batch(self, batch_size: int, seed: int) -> Batch:
        """`batch_size` sentences `[batch_size, n_ctx]`, and the other's name `[batch_size, 1]`."""
        n, source = require_count(batch_size, "batch_size", 1), generator(seed, self.name)
        people = torch.rand(n, len(NAMES), generator=source).argsort(-1)[:, :2] + WORDS.index(NAMES[0])
        twice = torch.randint(2, (n, 1), generator=source)
        place = torch.randint(len(PLACES), (n, 1), generator=source) + WORDS.index(PLACES[0])
        thing = torch.randint(len(THINGS), (n, 1), generator=source) + WORDS.index(THINGS[0])
        slots = torch.cat([people, people.gather(1, twice), place, thing], 1)
        template = torch.randint(len(TEMPLATES), (n,), generator=source)
        return Batch(self._filled(template, slots), people.gather(1, 1 - twice))

    def name_swapped(self, batch: Batch) -> Batch:
        """The same sentences with the other person named twice: clean and corrupted pairs for patching.

        Raises:
            InputError: for sentences that name nobody twice.
        """
        first, last = WORDS.index(NAMES[0]), WORDS.index(NAMES[-1])
        names = (batch.tokens >= first) & (batch.tokens <= last)
        if not bool((names.sum(1) == 3).all()):
            raise InputError(
                wanted="sentences that name one person twice and another once",
                got="others",
                remedy="pass a batch of this task",
            )
        third = names.cumsum(1) == 3
        at = (third & names).int().argmax(1, keepdim=True)
        tokens = batch.tokens.scatter(1, at, batch.targets)
        return Batch(tokens, batch.tokens.gather(1, at))

    def _filled(
        self, template: Int[Tensor, " batch"], slots: Int[Tensor, "batch slot"]
    ) -> Int[Tensor, "batch pos"]:
        """Templates with their slots filled: a slot is a number beyond the vocabulary until then."""
        table = torch.zeros(len(TEMPLATES), self.n_ctx, dtype=torch.long)
        for row, text in zip(table, TEMPLATES, strict=True):
            words = text.split()
            ids = [len(WORDS) + SLOTS.index(w) if w in SLOTS else WORDS.index(w) for w in words]
            row[-len(words) :] = torch.tensor(ids)
        blank = table[template]
        which = (blank - len(WORDS)).clamp_min(0)
        return torch.where(blank >= len(WORDS), slots.gather(1, which), blank)
