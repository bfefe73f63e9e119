"""A Hugging Face model, tiny and random: what `wrap` was made for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import unweave
from unweave.core.hooks import HookPoint

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install transformers"
)


@pytest.fixture(scope="module")
def gpt2() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=11, n_positions=6)
    return transformers.GPT2LMHeadModel(config).eval()


TOKENS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])


def test_it_is_read_everywhere_and_says_the_same(gpt2: nn.Module):
    plain = gpt2(input_ids=TOKENS).logits
    output, cache = unweave.wrap(gpt2).run_with_cache(input_ids=TOKENS)
    assert type(output).__name__ == "CausalLMOutputWithCrossAttentions"
    assert torch.equal(output.logits, plain)
    assert torch.equal(cache["in[input_ids]"], TOKENS)
    assert torch.equal(cache["out[logits]"], plain)
    assert torch.equal(cache["transformer.wte.out"], gpt2.transformer.wte(TOKENS))
    ln_1 = gpt2.transformer.h[0].ln_1
    assert torch.equal(cache["transformer.h.0.ln_1.out"], ln_1(cache["transformer.h.0.ln_1.in"]))
    assert torch.equal(gpt2.lm_head(cache["transformer.ln_f.out"]), plain)


def test_hidden_states_agree_with_its_own(gpt2: nn.Module):
    wrapped = unweave.wrap(gpt2)
    names = ["transformer.h.0.ln_1.in", "transformer.h.1.ln_1.in", "transformer.ln_f.out"]
    output, cache = wrapped.run_with_cache(input_ids=TOKENS, output_hidden_states=True, names_filter=names)
    for name, hidden in zip(names, output.hidden_states, strict=True):
        assert torch.equal(cache[name], hidden), name


def test_an_mlp_is_taken_out(gpt2: nn.Module):
    def wipe(tensor: Tensor, hook: HookPoint) -> None:
        tensor.zero_()

    wrapped = unweave.wrap(gpt2)
    with wrapped.hooks([("transformer.h.1.mlp.out", wipe)]):
        output, cache = wrapped.run_with_cache(input_ids=TOKENS)
    # With nothing added by its MLP, the last block ends as it stood before the MLP's norm.
    middle = cache["transformer.h.1.ln_2.in"]
    assert torch.equal(cache["transformer.ln_f.in"], middle)
    assert torch.equal(output.logits, gpt2.lm_head(gpt2.transformer.ln_f(middle)))
    assert not torch.allclose(output.logits, gpt2(input_ids=TOKENS).logits)


def test_an_entry_of_what_it_returns_is_replaced_in_its_own_class(gpt2: nn.Module):
    wrapped = unweave.wrap(gpt2)
    output = wrapped.run_with_hooks(input_ids=TOKENS, fwd_hooks=[("out[logits]", lambda x, hook: x + 1)])
    assert torch.equal(output.logits, gpt2(input_ids=TOKENS).logits + 1)
    assert torch.equal(output["logits"], output.logits)


def test_generation_runs_every_module_once_a_step(gpt2: nn.Module):
    wrapped, lengths = unweave.wrap(gpt2), []
    with wrapped.hooks([("transformer.h.0.ln_1.in", lambda x, hook: lengths.append(x.shape[1]))]):
        gpt2.generate(TOKENS, max_new_tokens=2, do_sample=False, pad_token_id=0, eos_token_id=None)
    assert lengths == [4, 1]


def test_a_hook_that_stays_and_one_sequence(gpt2: nn.Module):
    gpt2(input_ids=TOKENS)  # puts hooks of its own on

    def on_it() -> int:
        return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in gpt2.modules())

    before, wrapped = on_it(), unweave.wrap(gpt2)
    wrapped.add_hook("transformer.h.1.mlp.out", lambda x, hook: 0 * x)
    _, cache = wrapped.run_with_cache(
        input_ids=TOKENS[:1],
        remove_batch_dim=True,
        names_filter=["transformer.ln_f.in", "transformer.h.1.ln_2.in"],
    )
    assert cache["transformer.ln_f.in"].shape == (4, 8)
    assert torch.equal(cache["transformer.ln_f.in"], cache["transformer.h.1.ln_2.in"])
    assert on_it() > before
    wrapped.reset_hooks()
    assert on_it() == before
