"""A small transformer trained on random blocks that occur twice, which learns induction: what several pictures are of."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

import unweave

VOCAB, LONGEST = 40, 16
FOLDER = Path(tempfile.gettempdir()) / "unweave-pictures"


def repeated(batch: int, draw: torch.Generator, length: int = LONGEST) -> Tensor:
    """BOS (0), a random block, and the block again."""
    block = torch.randint(1, VOCAB, (batch, length), generator=draw)
    return torch.cat([torch.zeros(batch, 1, dtype=torch.int64), block, block], 1)


def trained(attn_only: bool = False, steps: int = 3000) -> unweave.HookedTransformer:
    """The model; trained once, and kept in the system's folder for temporary files.

    With MLPs and positions in the stream, or of attention alone with positions for queries and keys only
    (shortformer), which leaves little but the two heads of induction.
    """
    folder = FOLDER / ("induction-attention" if attn_only else "induction")
    if folder.exists():
        return unweave.load(folder)
    torch.manual_seed(0)
    model = unweave.HookedTransformer(
        unweave.HookedTransformerConfig(
            n_layers=2,
            d_model=64,
            n_heads=4,
            d_head=16,
            d_mlp=128,
            n_ctx=2 * LONGEST + 1,
            d_vocab=VOCAB,
            act_fn="gelu",
            attn_only=attn_only,
            positional_embedding_type="shortformer" if attn_only else "standard",
            seed=0,
        )
    )
    draw = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        # Blocks of several lengths: the second one can't be found by position alone.
        length = int(torch.randint(LONGEST // 2, LONGEST + 1, (), generator=draw))
        loss = model(repeated(64, draw, length), return_type="loss", loss_per_token=True)
        optimizer.zero_grad()
        loss[:, length:].mean().backward()
        optimizer.step()
        schedule.step()
    model.save(folder)
    return model
