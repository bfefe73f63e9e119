"""Which tokens of a tensor are padding, where nobody said."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unweave.model.text.encoding import bos_token, pad_token
from unweave.model.text.tokenizer import AnyTokenizer, Side


def padding_found(
    tokens: Int[Tensor, "batch pos"], tokenizer: AnyTokenizer, side: Side, prepend_bos: bool
) -> Bool[Tensor, "batch pos"] | None:
    """True for tokens, False for padding: a run of pad tokens at that side's edge. None if there is none.

    Pad tokens elsewhere are text. Where padding is done with a token that texts hold too (EOS, as in
    GPT-2), a run on the right may be text, and is taken as such; on the left its last token is BOS, if
    BOS is that token and `prepend_bos` is True. Both are TransformerLens' rules.
    """
    pad = pad_token(tokenizer)
    if pad is None or not tokens.numel() or (side == "right" and not _means_padding_only(pad, tokenizer)):
        return None
    if not (tokens[:, 0 if side == "left" else -1] == pad).any():
        return None
    text = (tokens != pad).long()
    inwards = text if side == "left" else text.flip(1)
    reached = inwards.cumsum(1) > 0
    if side == "left" and prepend_bos and pad == bos_token(tokenizer):
        # One step earlier: the pad token before the text is BOS.
        reached = torch.cat([reached[:, 1:], torch.ones_like(reached[:, :1])], 1)
    return reached if side == "left" else reached.flip(1)


def _means_padding_only(pad: int, tokenizer: AnyTokenizer) -> bool:
    others = (bos_token(tokenizer), tokenizer.special("eos"), tokenizer.special("unk"))
    return pad == tokenizer.special("pad") and pad not in others
