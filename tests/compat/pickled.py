"""What TransformerLens 3.9.0 pickles, kept as data: run this in an environment that has it.

    python -m tests.compat.pickled

It writes `pickled-3.9.0.pt`: a config, a model of random weights that was made of it, a cache of a run and
a FactoredMatrix, beside what the model answered, as `torch.save` pickles them.
"""

from __future__ import annotations

from pathlib import Path

import torch

PATH = Path(__file__).with_name("pickled-3.9.0.pt")


def main() -> None:
    import transformer_lens  # pyright: ignore[reportMissingImports]

    cfg = transformer_lens.HookedTransformerConfig(
        n_layers=1, d_model=4, d_head=2, n_ctx=3, d_vocab=5, d_mlp=3, act_fn="gelu", seed=3, device="cpu"
    )
    model = transformer_lens.HookedTransformer(cfg)
    for weight in model.parameters():
        weight.data.normal_()
    model.unembed.b_U.requires_grad_(False)
    tokens = torch.tensor([[0, 1, 2], [4, 3, 2]])
    logits, cache = model.eval().run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_z"))
    factored = transformer_lens.FactoredMatrix(model.W_V[0, 0].detach(), model.W_O[0, 0].detach())
    saved = {"cfg": cfg, "model": model, "cache": cache, "factored": factored}
    torch.save(saved | {"tokens": tokens, "logits": logits.detach()}, PATH)


if __name__ == "__main__":
    main()
