"""The residual stream and its parts: against sums over the weights, in float64, and against the logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.core.unchecked import as_users_run
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.core.errors import InputError, MissingActivation
from unweave.model.cache import ActivationCache
from unweave.model.transformer import HookedTransformer

POSITIONS = {"positional_embedding_type": "standard"}
MODELS: dict[str, dict[str, Any]] = {
    "norms": {},
    "positions": POSITIONS,
    "no norms": {"normalization_type": None, **POSITIONS},
    "attention only": {"attn_only": True, **POSITIONS},
}
EACH = pytest.mark.parametrize("fields", MODELS.values(), ids=MODELS)


def run(**fields: Any) -> tuple[HookedTransformer, Tensor, ActivationCache]:
    """3 layers of 2 heads, d_model 8, d_mlp 32, 3 sequences of 7 tokens; all of it float64."""
    model = small_model(**{"n_layers": 3, "n_heads": 2, "dtype": "float64", **fields}).requires_grad_(False)
    logits, cache = model.run_with_cache(small_tokens())
    return model, logits, cache


def by_hand(model: HookedTransformer, cache: ActivationCache, layer: int) -> dict[str, Tensor]:
    """Every head, neuron, embedding and bias before `layer`, one product at a time."""
    weights, attn_only = model.state_dict(), model.cfg.attn_only
    rows: dict[str, Tensor] = {}
    for at in range(layer):
        for head in range(2):
            z = cache[f"blocks.{at}.attn.hook_z"][:, :, head]
            rows[f"L{at}H{head}"] = z @ weights[f"blocks.{at}.attn.W_O"][head]
    for at in range(0 if attn_only else layer):
        for neuron in range(32):
            post = cache[f"blocks.{at}.mlp.hook_post"][:, :, neuron]
            rows[f"L{at}N{neuron}"] = post[:, :, None] * weights[f"blocks.{at}.mlp.W_out"][neuron]
    rows["embed"] = weights["embed.W_E"][small_tokens()]
    if "pos_embed.W_pos" in weights:
        rows["pos_embed"] = weights["pos_embed.W_pos"][:7].expand(3, 7, 8)
    biases = torch.zeros(8, dtype=torch.float64)
    for at in range(layer):
        biases = biases + weights[f"blocks.{at}.attn.b_O"]
        biases = biases if attn_only else biases + weights[f"blocks.{at}.mlp.b_out"]
    rows["bias"] = biases.expand(3, 7, 8)
    return rows


@EACH
@pytest.mark.parametrize("layer", [0, 1, None])
def test_the_full_decomposition_part_by_part(fields: dict, layer: int | None):
    model, _, cache = run(**fields)
    upto = 3 if layer is None else layer
    stack, labels = cache.get_full_resid_decomposition(layer, return_labels=True)
    wanted = by_hand(model, cache, upto)
    assert labels == list(wanted)
    for label, row in zip(labels, stack, strict=True):
        assert_equal_to(1e-12, row, wanted[label], label)
    stream = cache["resid_post", 2] if layer is None else cache["resid_pre", layer]
    assert_equal_to(1e-12, stack.sum(0), stream)


@EACH
def test_direct_logit_attribution_sums_to_the_logits(fields: dict):
    """Through the final norm, weight and bias included, and W_U: a product for each part."""
    model, logits, cache = run(**fields)
    stack = cache.get_full_resid_decomposition(expand_neurons=False)
    tokens = torch.randint(0, 11, (3, 7), generator=torch.Generator().manual_seed(5))
    shares = cache.logit_attrs(stack, tokens)
    assert shares.shape == (len(stack), 3, 7)
    constant = model.b_U
    if fields.get("normalization_type", "LN"):
        constant = constant + model.ln_final.b @ model.W_U
    wanted = torch.zeros(3, 7, dtype=torch.float64)
    for batch in range(3):
        for pos in range(7):
            wanted[batch, pos] = logits[batch, pos, tokens[batch, pos]] - constant[tokens[batch, pos]]
    assert_equal_to(1e-12, shares.sum(0), wanted)
    # One share, by hand.
    row = stack[3, 1, 4]
    if fields.get("normalization_type", "LN"):
        final = cache["resid_post", 2][1, 4]
        row = (row - row.mean()) / (final.var(unbiased=False) + 1e-5).sqrt() * model.ln_final.w
    assert_equal_to(1e-12, shares[3, 1, 4], row @ model.W_U[:, tokens[1, 4]])


def test_logit_differences_and_the_shapes_of_tokens():
    _, _, cache = run()
    stack = cache.decompose_resid()
    both = cache.logit_attrs(stack, 4, 7)
    assert_equal_to(1e-12, both, cache.logit_attrs(stack, 4) - cache.logit_attrs(stack, torch.tensor([7])))
    each = cache.logit_attrs(stack, torch.tensor([[4], [5], [6]]), torch.tensor([[7], [8], [9]]))
    assert_equal_to(1e-12, each[:, 0], both[:, 0])
    last = cache.logit_attrs(stack[:, :, -1], torch.tensor([4, 5, 6]), torch.tensor([7, 8, 9]), pos_slice=-1)
    assert last.shape == (len(stack), 3)
    assert_equal_to(1e-12, last, each[:, :, -1])
    some = cache.logit_attrs(stack, torch.tensor([[5], [6]]), torch.tensor([[8], [9]]), batch_slice=(1, 3))
    assert_equal_to(1e-12, some, each[:, 1:])
    one = cache.logit_attrs(stack[:, 1], 5, 8, batch_slice=1, has_batch_dim=False)
    assert_equal_to(1e-12, one, each[:, 1])


@pytest.mark.parametrize(
    ("tokens", "incorrect", "sentence"),
    [
        (
            torch.tensor([1, 2, 3]),
            None,
            "wanted one token, or tokens of shape (3, 7) (1 for any number); got shape (3,)",
        ),
        (torch.arange(7), None, "wanted one token, or tokens of shape (3, 7)"),  # would broadcast
        (11, None, "wanted tokens as whole numbers from 0 to 10; got torch.int64 [11]"),
        (-1, None, "wanted tokens as whole numbers from 0 to 10"),
        (torch.tensor(1.0), None, "wanted tokens as whole numbers from 0 to 10; got torch.float32"),
        (" road", None, "wanted tokens as whole numbers; got ' road'; tokenize first"),
        (
            1,
            torch.tensor([[1], [2], [3]]),
            "wanted incorrect_tokens of shape (), as tokens; got shape (3, 1)",
        ),
    ],
)
def test_tokens_that_do_not_fit_are_refused(tokens: object, incorrect: object, sentence: str):
    _, _, cache = run()
    with pytest.raises(InputError) as raised:
        cache.logit_attrs(cache.decompose_resid(), tokens, incorrect)
    assert str(raised.value).startswith(sentence)


@EACH
def test_outputs_of_layers(fields: dict):
    _, _, cache = run(**fields)
    stack, labels = cache.decompose_resid(return_labels=True)
    kinds = ["attn_out"] if fields.get("attn_only") else ["attn_out", "mlp_out"]
    embeds = ["embed", "pos_embed"] if "positional_embedding_type" in fields else ["embed"]
    assert labels == embeds + [f"{at}_{kind}" for at in range(3) for kind in kinds]
    names = [f"hook_{embed}" for embed in embeds] + [
        f"blocks.{at}.hook_{kind}" for at in range(3) for kind in kinds
    ]
    assert all(torch.equal(row, cache[name]) for row, name in zip(stack, names, strict=True))
    attention, labels = cache.decompose_resid(2, mode="attn", incl_embeds=False, return_labels=True)
    assert labels == ["0_attn_out", "1_attn_out"]
    assert torch.equal(attention[1], cache["attn_out", 1])


def test_up_to_the_mlp_of_a_layer():
    _, _, cache = run()
    stack, labels = cache.decompose_resid(1, mlp_input=True, return_labels=True)
    assert labels == ["embed", "0_attn_out", "0_mlp_out", "1_attn_out"]
    assert_equal_to(1e-12, stack.sum(0), cache["resid_mid", 1])
    full, labels = cache.get_full_resid_decomposition(
        1, mlp_input=True, expand_neurons=False, return_labels=True
    )
    assert labels == ["L0H0", "L0H1", "L1H0", "L1H1", "0_mlp_out", "embed", "bias"]
    assert_equal_to(1e-12, full.sum(0), cache["resid_mid", 1])
    _, labels = cache.decompose_resid(1, mlp_input=True, mode="mlp", incl_embeds=False, return_labels=True)
    assert labels == ["0_mlp_out"]


@pytest.mark.parametrize(("layer", "mlp_input"), [(1, False), (1, True), (None, False)])
def test_parts_through_a_norm_sum_to_its_output(layer: int | None, mlp_input: bool):
    model, _, cache = run()
    name = "ln_final" if layer is None else f"blocks.{layer}.ln{2 if mlp_input else 1}"
    wanted = cache[f"{name}.hook_normalized"] * model.get_submodule(name).w
    for stack in (
        cache.decompose_resid(layer, mlp_input, apply_ln=True),
        cache.get_full_resid_decomposition(layer, mlp_input, apply_ln=True),
        cache.apply_ln_to_stack(cache.decompose_resid(layer, mlp_input), layer, mlp_input),
    ):
        assert_equal_to(1e-12, stack.sum(0), wanted)


def test_a_model_without_norms_leaves_a_stack_as_it_is():
    _, _, cache = run(normalization_type=None)
    stack = cache.decompose_resid()
    assert torch.equal(cache.apply_ln_to_stack(stack), stack)
    assert torch.equal(cache.apply_ln_to_stack(stack, recompute_ln=True), stack)


def test_the_stream_layer_by_layer():
    _, _, cache = run()
    stack, labels = cache.accumulated_resid(return_labels=True)
    assert labels == ["0_pre", "1_pre", "2_pre", "final_post"]
    assert torch.equal(stack[1], cache["resid_pre", 1])
    assert torch.equal(stack[3], cache["resid_post", 2])
    stack, labels = cache.accumulated_resid(1, incl_mid=True, mlp_input=True, return_labels=True)
    assert labels == ["0_pre", "0_mid", "1_pre", "1_mid"]
    assert torch.equal(stack[3], cache["resid_mid", 1])
    assert cache.accumulated_resid(1, mlp_input=True, return_labels=True)[1] == ["0_pre", "1_pre", "1_mid"]


def test_the_logit_lens_normalises_each_stage_by_itself():
    model, logits, cache = run()
    lens = cache.accumulated_resid(apply_ln=True)
    fired: list[str] = []
    model.add_hook(None, lambda x, hook: fired.append(hook.name))
    assert torch.equal(cache.accumulated_resid(apply_ln=True), lens)
    assert fired == [], "the norm's hooks are not for this"
    model.reset_hooks()
    assert_equal_to(1e-12, lens[-1] @ model.W_U + model.b_U, logits)
    wanted = torch.nn.functional.layer_norm(
        cache["resid_pre", 1], (8,), model.ln_final.w, model.ln_final.b, 1e-5
    )
    assert_equal_to(1e-12, lens[1], wanted)
    # The input of a layer before has that layer's scale, frozen.
    frozen = cache.accumulated_resid(1, apply_ln=True)
    norm = model.blocks[1].ln1
    assert_equal_to(1e-12, frozen[1], cache["normalized", 1, "ln1"] * norm.w)
    first = cache["resid_pre", 0]
    first = (first - first.mean(-1, keepdim=True)) / cache["scale", 1, "ln1"] * norm.w
    assert_equal_to(1e-12, frozen[0], first)


@pytest.mark.parametrize("pos_slice", [-1, (2, 5), [6, 0]])
@pytest.mark.parametrize("batch", [True, False])
def test_positions_and_a_missing_batch_dimension(pos_slice: Any, batch: bool):
    _, _, cache = run(**POSITIONS)
    part = cache if batch else cache.apply_slice_to_batch_dim(1)
    at = slice(*pos_slice) if isinstance(pos_slice, tuple) else pos_slice

    def cut(stack: Tensor) -> Tensor:
        return (stack if batch else stack[:, 1])[..., at, :]

    direction = torch.arange(8.0, dtype=torch.float64)
    for name, arguments in (
        ("accumulated_resid", {}),
        ("accumulated_resid", {"apply_ln": True}),
        ("decompose_resid", {"apply_ln": True}),
        ("stack_head_results", {"incl_remainder": True, "apply_ln": True}),
        ("stack_neuron_results", {"layer": 2, "incl_remainder": True, "apply_ln": True}),
        ("get_full_resid_decomposition", {"apply_ln": True}),
    ):
        whole = getattr(cache, name)(**arguments)
        assert_equal_to(1e-12, getattr(part, name)(**arguments, pos_slice=pos_slice), cut(whole), name)
    for name in ("stack_neuron_results", "get_full_resid_decomposition"):
        arguments = {"layer": 2, "apply_ln": True, "project_output_onto": direction}
        whole = cut(getattr(cache, name)(**arguments)[..., None])[..., 0]
        assert_equal_to(1e-12, getattr(part, name)(**arguments, pos_slice=pos_slice), whole, name)


@pytest.mark.parametrize("cached_results", [False, True])
def test_head_results(cached_results: bool):
    model, _, cache = run()
    wanted = by_hand(model, cache, 3)
    if cached_results:
        cache.compute_head_results()
        assert cache["result", 1].shape == (3, 7, 2, 8)
        assert_equal_to(1e-12, cache["result", 1][:, :, 1], wanted["L1H1"])
        _, named = model.run_with_cache(small_tokens(), names_filter="blocks.1.attn.hook_result")
        assert_equal_to(1e-12, cache["result", 1], named["result", 1])
    stack, labels = cache.stack_head_results(2, return_labels=True, incl_remainder=True)
    assert labels == ["L0H0", "L0H1", "L1H0", "L1H1", "remainder"]
    for label, row in zip(labels[:4], stack, strict=False):
        assert_equal_to(1e-12, row, wanted[label])
    assert_equal_to(1e-12, stack.sum(0), cache["resid_pre", 2])
    assert cache.stack_head_results(0).shape == (0, 3, 7, 8)
    assert torch.equal(cache.stack_head_results(0, incl_remainder=True)[0], cache["resid_pre", 0])
    assert cache.stack_head_results().shape == (6, 3, 7, 8)


def test_heads_need_only_z():
    model, _, cache = run()
    few = ActivationCache({name: cache[name] for name in cache if name.endswith("hook_z")}, model)
    assert torch.equal(few.stack_head_results(), cache.stack_head_results())


def test_neuron_results():
    model, _, cache = run()
    wanted = by_hand(model, cache, 3)
    stack, labels = cache.stack_neuron_results(
        2, neuron_slice=[5, 0], incl_remainder=True, return_labels=True
    )
    assert labels == ["L0N5", "L0N0", "L1N5", "L1N0", "remainder"]
    for label, row in zip(labels[:4], stack, strict=False):
        assert_equal_to(1e-12, row, wanted[label])
    assert_equal_to(1e-12, stack.sum(0), cache["resid_pre", 2])
    assert cache.stack_neuron_results(1, neuron_slice=-1, return_labels=True)[1] == ["L0N31"]
    assert cache.stack_neuron_results(0).shape == (0, 3, 7, 8)
    one = cache.get_neuron_results(1)
    assert one.shape == (3, 7, 32, 8)
    assert_equal_to(1e-12, one[:, :, 9], wanted["L1N9"])
    assert_equal_to(1e-12, cache.get_neuron_results(-2, neuron_slice=9), wanted["L1N9"])
    assert_equal_to(1e-12, cache.get_neuron_results(1, neuron_slice=(8, 10), pos_slice=3), one[:, 3, 8:10])


@pytest.mark.parametrize("apply_ln", [False, True])
@pytest.mark.parametrize("outputs", [None, 5])
def test_projected_neurons_are_those_of_the_whole(apply_ln: bool, outputs: int | None):
    _, _, cache = run()
    draw = torch.Generator().manual_seed(7)
    directions = torch.randn(8, *([outputs] if outputs else []), generator=draw, dtype=torch.float64)
    asked = {"apply_ln": apply_ln, "incl_remainder": True}
    assert_equal_to(
        1e-12,
        cache.stack_neuron_results(2, **asked, project_output_onto=directions),
        cache.stack_neuron_results(2, **asked) @ directions,
    )
    assert_equal_to(
        1e-12,
        cache.get_full_resid_decomposition(apply_ln=apply_ln, project_output_onto=directions),
        cache.get_full_resid_decomposition(apply_ln=apply_ln) @ directions,
    )
    whole = cache.get_neuron_results(1)
    assert_equal_to(1e-12, cache.get_neuron_results(1, project_output_onto=directions), whole @ directions)
    picked = cache.get_neuron_results(1, neuron_slice=3, pos_slice=2, project_output_onto=directions)
    assert_equal_to(1e-12, picked, whole[:, 2, 3] @ directions)
    empty = cache.stack_neuron_results(0, project_output_onto=directions)
    assert empty.shape == (0, 3, 7, *([outputs] if outputs else []))


def test_projected_neurons_never_have_d_model():
    """What is made is as large as one layer's weights at most, however many positions there are."""
    model = small_model(n_layers=2, d_model=64, n_heads=1, d_head=4, d_mlp=48)
    tokens = small_tokens()
    _, cache = model.run_with_cache(tokens)
    made: list[int] = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = function(*args, **(kwargs or {}))
            made.append(out.numel() if isinstance(out, Tensor) else 0)
            return out

    with torch.no_grad(), Sizes():
        cache.stack_neuron_results(2, apply_ln=True, project_output_onto=torch.ones(64))
        cache.get_neuron_results(1, project_output_onto=torch.ones(64, 2))
    assert max(made) <= 48 * 64
    made.clear()
    with torch.no_grad(), Sizes():
        cache.stack_neuron_results(1)
    assert max(made) >= 3 * 7 * 48 * 64, "the whole is seen where it is made"


SPOILED = {
    "blocks.1.hook_resid_mid": "heads, neurons, embeddings and biases that sum to the residual stream",
    "blocks.0.hook_resid_pre": "heads, neurons, embeddings and biases that sum to the residual stream",
    "blocks.1.hook_attn_out": "heads and b_O of layer 1 that sum to the output of its attention",
    "blocks.0.hook_mlp_out": "neurons and b_out of layer 0 that sum to the output of its MLP",
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "sentence"), SPOILED.items())
def test_a_run_that_was_edited_does_not_decompose(name: str, sentence: str, dtype: str):
    model, _, _ = run(dtype=dtype)
    with model.hooks(fwd_hooks=[(name, lambda x, hook: 1.02 * x)]):
        _, cache = model.run_with_cache(small_tokens())
    with pytest.raises(InputError, match=f"^wanted {sentence}; got a difference of "):
        cache.get_full_resid_decomposition()
    if name.endswith(("resid_mid", "resid_pre")):
        with pytest.raises(InputError, match=r"^wanted outputs of layers that sum to the residual stream"):
            cache.decompose_resid()
    else:
        cache.decompose_resid()


def test_an_edited_result_is_what_its_head_wrote():
    model, _, _ = run()
    at = "blocks.1.attn.hook_result"
    with model.hooks(fwd_hooks=[(at, lambda x, hook: 2 * x)]):
        _, blind = model.run_with_cache(small_tokens())
        _, cache = model.run_with_cache(small_tokens(), names_filter=[*blind, at])
    cache.get_full_resid_decomposition()
    # From z alone it would be half of that.
    with pytest.raises(InputError, match="heads and b_O of layer 1"):
        blind.stack_head_results()


def test_nan_does_not_decompose():
    _, _, cache = run()
    spoiled = ActivationCache({**cache, "hook_embed": cache["embed"] * float("nan")}, cache.model)
    with pytest.raises(InputError, match="got a difference of nan"):
        spoiled.decompose_resid()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_short_dtypes_decompose(dtype: str):
    _, _, cache = run(dtype=dtype, n_layers=6)
    cache.decompose_resid()
    cache.get_full_resid_decomposition()


def test_what_cannot_be_checked_is_refused():
    model, _, cache = run(**POSITIONS)
    parts = {name: cache[name] for name in cache if "resid" not in name}
    with pytest.raises(MissingActivation, match=r"wanted the residual stream at blocks.2.hook_resid_post"):
        ActivationCache(parts, model).decompose_resid()
    few = {name: cache[name] for name in cache if "pos_embed" not in name}
    with pytest.raises(MissingActivation, match="wanted pos_embed, a part of the residual stream"):
        ActivationCache(few, model).decompose_resid()
    # Of attention alone nothing is claimed.
    ActivationCache({**parts}, model).decompose_resid(mode="attn")


def test_one_activation_of_every_layer():
    _, _, cache = run()
    assert torch.equal(
        cache.stack_activation("pattern"), torch.stack([cache["pattern", at] for at in range(3)])
    )
    assert torch.equal(cache.stack_activation("scale", 1, "ln2"), cache["scale", 0, "ln2"][None])
    with pytest.raises(InputError, match="wanted a layer above 0; got 0"):
        cache.stack_activation("pattern", 0)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda c: c.decompose_resid(4), "wanted a layer from 0 to 3, or None for the last; got 4"),
        (lambda c: c.accumulated_resid(-2), "wanted a layer from 0 to 3, or None for the last; got -2"),
        (lambda c: c.get_neuron_results(3), "wanted a layer from -3 to 2; got 3"),
        (
            lambda c: c.decompose_resid(mlp_input=True),
            "wanted a layer whose MLP is meant by mlp_input; got layer 3",
        ),
        (lambda c: c.accumulated_resid(3, mlp_input=True), "wanted a layer whose MLP is meant by mlp_input"),
        (lambda c: c.decompose_resid(0, incl_embeds=False), "wanted parts to stack; got none"),
        (lambda c: c.decompose_resid(mode="heads"), "wanted mode 'all', 'mlp' or 'attn'; got 'heads'"),
        (
            lambda c: c.stack_neuron_results(1, project_output_onto=torch.ones(7)),
            "wanted directions to project on, [8] or [8, n_outputs]; got shape (7,)",
        ),
        (
            lambda c: c.apply_ln_to_stack(c.decompose_resid(pos_slice=(0, 1))),  # would broadcast
            "wanted a stack [part, 3, 7, 8]; got shape (7, 3, 1, 8); pass the pos_slice",
        ),
        (lambda c: c.decompose_resid(pos_slice=7), "wanted indices from -7 to 6; got 7"),
    ],
)
def test_what_cannot_be_decomposed_is_refused(ask: Any, sentence: str):
    _, _, cache = run()
    with as_users_run(), pytest.raises(InputError) as raised:
        ask(cache)
    assert str(raised.value).startswith(sentence)


def test_without_mlps_there_are_no_neurons():
    _, _, cache = run(attn_only=True)
    with pytest.raises(InputError, match="wanted neurons in layer 0; got no MLP"):
        cache.stack_neuron_results(1)
    assert cache.decompose_resid(mode="mlp", return_labels=True)[1] == ["embed"]


def test_where_outputs_are_normed_their_norms_outputs_sum():
    model, logits, cache = run(norm_position="after", normalization_type="RMS", **POSITIONS)
    parts, labels = cache.decompose_resid(return_labels=True)
    assert labels[:3] == ["embed", "pos_embed", "0_attn_out"]
    assert_equal_to(1e-12, parts.sum(0), cache["resid_post", -1])
    shares = cache.logit_attrs(parts, small_tokens())
    wanted = logits.gather(-1, small_tokens()[..., None])[..., 0] - model.b_U[small_tokens()]
    assert_equal_to(1e-10, shares.sum(0), wanted)
    # Attention reads the stream as it is.
    assert torch.equal(cache.apply_ln_to_stack(parts, 1), parts)
    assert_equal_to(1e-12, cache.get_full_resid_decomposition().sum(0), cache["resid_post", -1])
    with pytest.raises(InputError, match="a model with a norm or a multiplier in between"):
        model.accumulated_bias(1)


def test_where_the_stream_is_normed_nothing_is_a_part_of_it():
    model, _, cache = run(norm_position="stream", **POSITIONS)
    stages, labels = cache.accumulated_resid(incl_mid=True, return_labels=True)
    assert labels[-1] == "final_post"
    assert_equal_to(0, stages[-1], cache["normalized_resid_post", -1])
    assert_equal_to(0, stages[2], cache["normalized_resid_post", 0])
    norm = model.blocks[1].ln1
    assert_equal_to(
        1e-12,
        cache.apply_ln_to_stack(cache["resid_mid", 1][None], 1, mlp_input=True)[0] + norm.b,
        cache["resid_post", 1] - cache["mlp_out", 1],
    )
    heads = cache.stack_head_results()
    for refused in (
        cache.decompose_resid,
        cache.get_full_resid_decomposition,
        lambda: cache.logit_attrs(heads, 0),
        lambda: cache.stack_head_results(incl_remainder=True),
    ):
        with as_users_run(), pytest.raises(InputError) as raised:
            refused()
        assert str(raised.value) == (
            "wanted a residual stream that layers add to; got norm_position='stream', by which it is normed "
            "after every addition; read the stream itself, by cache.accumulated_resid()"
        )


def test_a_final_rms_norm_does_not_centre():
    model, logits, cache = run(final_rms=True, **POSITIONS)
    shares = cache.logit_attrs(cache.decompose_resid(), small_tokens())
    wanted = logits.gather(-1, small_tokens()[..., None])[..., 0] - model.b_U[small_tokens()]
    assert_equal_to(1e-10, shares.sum(0), wanted)
