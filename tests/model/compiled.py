"""Run by test_compile.py in a process of its own, in which no annotation is checked at run time."""

from __future__ import annotations

import torch

from tests.model.features import FEATURES
from tests.model.small import assert_equal_to, small_model, small_tokens

TRACED = ["rotary", "rotary, llama3", "alibi", "t5", "shortformer", "grouped", "window", "gated", "parallel", "soft caps",
          "post norms", "qk norm", "tied", "multipliers", "solu_ln"]  # fmt: skip

if __name__ == "__main__":
    for fields in [{}, {"positional_embedding_type": "standard"}, *(FEATURES[name] for name in TRACED)]:
        torch.compiler.reset()
        model, tokens = small_model(**fields), small_tokens()
        # The backend that runs what was traced as it is: the trace is what is tested.
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        assert_equal_to(1e-6, compiled(tokens), model(tokens), str(fields))
        compiled(tokens, return_type="loss").backward()
        middle = compiled(tokens, stop_at_layer=1)
        assert_equal_to(1e-6, compiled(middle, start_at_layer=1), model(tokens), str(fields))
        assert model.W_E.grad.isfinite().all()
