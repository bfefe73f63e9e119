"""The passes of TransformerLens' patching functions, as they make them: one run_with_hooks a patch."""

from __future__ import annotations

import time
from typing import Any

import torch

from bench.peers.channel import serve
from bench.speed.tl_worker import TransformerLens
from bench.sweeps.cases import CASES, Case


class Passes:
    def answer(self, ask: str, name: str, passes: int, device: str) -> dict[str, Any]:
        case = CASES[name]
        if ask == "build":
            library = TransformerLens()
            library.shape = case.shape
            torch.manual_seed(0)
            self.device, self.model = device, library.build().to(device, print_details=False)
            return {}
        return {"seconds": self.mean_pass(case, passes)}

    @torch.no_grad()
    def mean_pass(self, case: Case, passes: int) -> float:
        """Seconds a pass, over `passes` of them spread over the grid."""
        tokens, source = (
            torch.randint(0, case.shape.d_vocab, (case.samples, case.positions)).to(self.device)
            for _ in range(2)
        )
        rows = torch.arange(case.samples, device=self.device)
        _, cache = self.model.run_with_cache(source)
        inner = case.passes // case.shape.n_layers
        cells = [int(i * case.passes / passes) for i in range(passes)]
        results = []
        begun = time.perf_counter()
        for cell in cells:
            layer, index = divmod(cell, inner)
            site = "hook_resid_pre" if case.site == "resid_pre" else "attn.hook_z"
            name = f"blocks.{layer}.{site}"

            def patch(tensor: torch.Tensor, hook: Any, index: int = index) -> torch.Tensor:
                if case.site == "resid_pre":
                    tensor[:, index] = cache[hook.name][:, index]
                else:
                    tensor[:, :, index] = cache[hook.name][:, :, index]
                return tensor

            kind = "loss" if case.metric == "loss" else "logits"
            out = self.model.run_with_hooks(tokens, fwd_hooks=[(name, patch)], return_type=kind)
            if case.metric == "loss":
                results.append(out.item())
            else:
                last = out[:, -1]
                results.append((last[rows, tokens[:, 1]] - last[rows, source[:, 1]]).mean().item())
        return (time.perf_counter() - begun) / passes


if __name__ == "__main__":
    serve(Passes().answer)
