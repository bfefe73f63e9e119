"""What TransformerLens makes of texts, frozen for the tests: run by the Python of TransformerLens' environment.

    PYTHONPATH=. TL_PYTHON -m bench.parity.freeze_text tests/model/text/transformer_lens.json

The tokenizers are those that the tests build; see `tests/model/text/builders.py`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.utilities.tokenize_utils import get_attention_mask
from transformers import AutoTokenizer

from tests.model.text.builders import write_folder

KINDS = ("gpt2", "llama3", "llama", "qwen")
TEXTS = ("", "The cat sat", " Paris", "Héllo 🙂", "The dog gave a drink to Mary. " * 9)
BATCH = ["The cat", "A cat and a dog went to Paris", "Mary"]
N_CTX = 24


def frozen(kind: str, folder: Path) -> dict[str, Any]:
    """Every answer for one tokenizer, by a key that names the call."""
    tokenizer = AutoTokenizer.from_pretrained(write_folder(kind, folder))
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=8, n_ctx=N_CTX, d_head=8, d_vocab=len(tokenizer), attn_only=True, device="cpu"
    )
    model = HookedTransformer(cfg, tokenizer)
    found: dict[str, Any] = {"tokenizer_prepends_bos": model.cfg.tokenizer_prepends_bos}
    for bos in (True, False):
        for text in TEXTS:
            tokens = model.to_tokens(text, prepend_bos=bos)
            found[f"to_tokens({text!r}, {bos})"] = tokens.long().tolist()
            found[f"to_str_tokens({text!r}, {bos})"] = model.to_str_tokens(text, bos) if text or bos else []
            found[f"to_string({text!r}, {bos})"] = model.to_string(tokens.long())
        for side in ("left", "right"):
            tokens = model.to_tokens(BATCH, prepend_bos=bos, padding_side=side)
            found[f"to_tokens(BATCH, {bos}, {side})"] = tokens.tolist()
            if side == "left":
                mask = get_attention_mask(model.tokenizer, tokens, bos, side)
                found[f"attention_mask(BATCH, {bos}, {side})"] = mask.tolist()
    word = "Paris" if kind == "llama" else " Paris"
    found[f"to_single_token({word!r})"] = model.to_single_token(word)
    for mode in ("first", "last"):
        text = "The cat and the cat in Paris and in Paris"
        found[f"get_token_position({word!r}, {mode})"] = model.get_token_position(word, text, mode)
    return found


def main(path: str) -> None:
    """Write the answers for every kind into one file."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        answers = {kind: frozen(kind, Path(folder) / kind) for kind in KINDS}
    Path(path).write_text(json.dumps(answers, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
