"""EAP and EAP-IG against gradients taken edge by edge, and against exact patching where that is their limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.analysis.edges import naive
from tests.analysis.edges.test_patching import effects, on_contrast
from tests.analysis.edges.test_rewired import model_of, two_runs
from tests.equivalent_models import equivalents
from tests.model.small import assert_equal_to, small_model
from tests.planted.loaded import exact
from unweave import LogitDifference, Rank
from unweave.analysis import edges
from unweave.core.edges import Edge
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine import Zero
from unweave.model.transformer import HookedTransformer

METRIC = LogitDifference(3, 4)
FIELDS: dict[str, Any] = {
    "n_heads": 2,
    "dtype": "float64",
    "positional_embedding_type": "standard",
    "normalization_type": "LN",
}
INPUTS = ("hook_embed", "hook_pos_embed")


def gradient_at(model: HookedTransformer, tokens: Tensor, edge: Edge, moves: dict[str, Tensor]) -> Tensor:
    """`[sample, pos, d_model]`, at what one receiver reads, by a run and a gradient of its own."""
    layer, head = edge.receiver.layer, edge.receiver.head
    names = {None: f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"}
    name = f"blocks.{layer}.hook_{edge.input}_input" if edge.input else f"blocks.{layer}.hook_mlp_in"
    name = names[None] if layer is None else name
    zero = torch.zeros(*tokens.shape, model.cfg.d_model, dtype=torch.float64, requires_grad=True)

    def add(tensor: Tensor, hook: Any) -> Tensor:
        if head is None:
            return tensor + zero
        return torch.cat(
            [tensor[:, :, :head], tensor[:, :, head, None] + zero[:, :, None], tensor[:, :, head + 1 :]], 2
        )

    hooks = [(at, lambda x, hook, by=by: x + by) for at, by in moves.items()]
    logits = model.run_with_hooks(tokens, fwd_hooks=[*hooks, (name, add)])
    (logits[:, -1, 3] - logits[:, -1, 4]).sum().backward()
    assert zero.grad is not None
    return zero.grad


def changes(model: HookedTransformer, tokens: Tensor, other: Tensor) -> dict[str, Tensor]:
    here, there = naive.sent(model, tokens), naive.sent(model, other)
    return {name: there[name] - here[name] for name in here}


def points(steps: int) -> Any:
    at, weights = np.polynomial.legendre.leggauss(steps)
    return list(zip((at + 1) / 2, weights / 2, strict=True))


@pytest.mark.parametrize("name", ["plain", "parallel, multiplied", "grouped"])
def test_eap_is_the_change_times_the_gradient_at_what_each_receiver_reads(name: str):
    model, (tokens, other) = model_of(name), two_runs()
    found = edges.attribute(model, tokens, other, METRIC)
    by = changes(model, tokens, other)
    model.cfg.ungroup_grouped_query_attention = model.cfg.n_key_value_heads is not None
    for number in range(0, len(found.coords["edge"]), 11):
        edge = Edge.parse(str(found.coords["edge"][number]))
        wanted = (by[str(edge.sender)] * gradient_at(model, tokens, edge, {})).sum((1, 2))
        assert_equal_to(1e-9, found.effect_per_sample[number], wanted, str(edge))
    assert found.approximate


def test_what_eap_ig_averages_is_the_gradient_along_the_inputs_path_and_not_along_the_senders():
    model, (tokens, other) = model_of("plain"), two_runs()
    by = changes(model, tokens, other)
    inputs, activations = (
        edges.attribute(model, tokens, other, METRIC, method=method, steps=3)
        for method in ("eap-ig-inputs", "eap-ig-activations")
    )
    for text in ("embed->a0.h1<v>", "a0.h1->m1", "m0->a1.h0<k>", "a0.h0->logits", "m1->logits"):
        edge = Edge.parse(text)
        sender, layer = str(edge.sender), edge.sender.layer
        whole = {at: by[at.removeprefix("hook_")] for at in INPUTS}
        own = {
            "embed": "hook_embed",
            "head": f"blocks.{layer}.hook_attn_out",
            "mlp": f"blocks.{layer}.hook_mlp_out",
        }
        out = by[f"a{layer}.h0"] + by[f"a{layer}.h1"] if edge.sender.kind == "head" else by[sender]
        wanted: list[Tensor] = []
        for path in (whole, {own[edge.sender.kind]: out}):
            mean = sum(
                weight * gradient_at(model, tokens, edge, {at: point * x for at, x in path.items()})
                for point, weight in points(3)
            )
            wanted.append((by[sender] * mean).sum((1, 2)))
        assert_equal_to(1e-9, inputs.sel(edge=text).effect_per_sample, wanted[0], text)
        assert_equal_to(1e-9, activations.sel(edge=text).effect_per_sample, wanted[1], text)
    # One for the other would be noticed.
    assert (inputs.values - activations.values).abs().max() > 1e-3 * inputs.effect.abs().max()


def test_eap_is_exact_where_the_model_is_linear_and_off_where_not():
    """Into the logits, without a final norm, nothing bends; with one, something does, and small changes hardly do."""
    tokens, other = two_runs()
    for norm, wanted in ((None, True), ("LN", False)):
        model = small_model(dtype="float64", n_heads=2, normalization_type=norm)
        exactly, found = (way(model, tokens, other, METRIC) for way in (edges.patch, edges.attribute))
        into = [at for at, edge in enumerate(found.coords["edge"]) if str(edge).endswith("->logits")]
        off = (found.effect - exactly.effect)[into].abs().max() / exactly.effect[into].abs().max()
        assert (off < 1e-9) == wanted


def test_the_integral_along_inputs_is_complete_and_the_first_order_is_not():
    # Smooth: across kinks of ReLUs the integral takes many points.
    model, (tokens, other) = small_model(**{**FIELDS, "act_fn": "gelu", "eps": 0.1}), two_runs()
    whole = (METRIC_of(model(other)) - METRIC_of(model(tokens))).mean()
    sums: dict[str, Tensor] = {}
    for method in ("eap", "eap-ig-inputs"):
        found = edges.attribute(model, tokens, other, METRIC, method=method, steps=24)
        own = [at for at, edge in enumerate(found.coords["edge"]) if "embed->" in str(edge)]
        sums[method] = found.effect[own].sum()
        [check] = [check for check in found.rechecks if check.labels["edge"] == "inputs->*"]
        assert check.exact == pytest.approx(whole.item())
        assert check.approximate == pytest.approx(sums[method].item())
    assert abs(sums["eap-ig-inputs"] - whole) < 1e-3 * abs(whole)
    assert abs(sums["eap"] - whole) > 1e-2 * abs(whole)
    few = edges.attribute(model_of("plain"), tokens, other, METRIC, method="eap-ig-inputs", steps=1)
    assert any("out of the embeddings sum to" in text and "take more steps" in text for text in few.warnings)


def METRIC_of(logits: Tensor) -> Tensor:
    return logits[:, -1, 3] - logits[:, -1, 4]


def test_saturated_attention_hides_edges_from_gradients_and_the_result_says_so():
    """Planted induction: no gradient passes its saturated keys; exact patching finds the edge."""
    loaded, contrast = exact("induction"), exact("induction").contrast
    assert contrast is not None
    exactly = on_contrast("induction")
    assert effects(exactly)["a0.h0->a1.h0<k>"] == pytest.approx(-10)
    metric = LogitDifference(2, 0, pos=contrast.position)
    found = edges.attribute(loaded.model, contrast.clean, contrast.corrupted, metric, recheck=1)
    assert abs(effects(found)["a0.h0->a1.h0<k>"]) < 1e-6
    assert any(
        text.startswith("estimates at edge *->a1<k> sum to") and "gradients vanish" in text
        for text in found.warnings
    )


def test_a_dead_relu_hides_the_heads_of_an_and_that_is_denoised():
    loaded, contrast = exact("and"), exact("and").contrast
    assert contrast is not None
    metric = LogitDifference(1, 0, pos=contrast.position)
    found = edges.attribute(loaded.model, contrast.corrupted, contrast.clean, metric)
    assert all(effect == 0 for edge, effect in effects(found).items() if edge != "m0->logits")
    assert any("*->m0" in text for text in found.warnings)


def test_the_largest_are_checked_exactly():
    model, (tokens, other) = model_of("plain"), two_runs()
    found, exactly = (way(model, tokens, other, METRIC) for way in (edges.attribute, edges.patch))
    largest = [label["edge"] for label, _ in found.top(5)]
    checks = [check for check in found.rechecks if check.why == "one of the largest"]
    assert [check.labels["edge"] for check in checks] == largest
    for check in checks:
        edge = check.labels["edge"]
        assert check.exact == pytest.approx(effects(exactly)[str(edge)])
        assert check.approximate == pytest.approx(effects(found)[str(edge)])
    assert (
        "no estimate was checked exactly: recheck=0"
        in edges.attribute(model, tokens, other, METRIC, recheck=0).warnings
    )


def test_weights_without_gradients_and_zero_and_functions_do_too():
    model, (tokens, other) = model_of("plain"), two_runs()
    wanted = edges.attribute(model, tokens, other, METRIC)
    by_function = edges.attribute(model, tokens, other, METRIC_of)
    model.requires_grad_(False)
    assert_equal_to(1e-9, edges.attribute(model, tokens, other, METRIC).values, wanted.values)
    assert_equal_to(1e-9, by_function.values, wanted.values)
    zero = edges.attribute(model, tokens, Zero(), METRIC)
    assert zero.effect.abs().max() > 0


def test_what_has_no_gradient_is_refused():
    model, (tokens, other) = model_of("plain"), two_runs()
    with pytest.raises(
        InputError, match="wanted a metric with a gradient; got Rank, which counts; patch edges"
    ):
        edges.attribute(model, tokens, other, Rank(3))
    with pytest.raises(InputError, match="got one that is not differentiable"):
        edges.attribute(model, tokens, other, lambda logits: logits.argmax(-1)[:, -1].double())
    with pytest.raises(InputError, match="method"):
        edges.attribute(model, tokens, other, METRIC, method="exact")


FIELDS = {
    "n_heads": 2,
    "dtype": "float64",
    "positional_embedding_type": "standard",
    "normalization_type": "LN",
}


@pytest.mark.parametrize("name", equivalents(small_model(**FIELDS)))
def test_scores_do_not_depend_on_the_choice_of_weights(name: str):
    model, (tokens, other) = small_model(**FIELDS), two_runs()
    equivalent = equivalents(model)[name]
    ways: list[Any] = [
        lambda *given: edges.patch(*given, wholes=False),
        lambda *given: edges.attribute(*given, recheck=1),
        lambda *given: edges.attribute(*given, method="eap-ig-inputs", steps=2, recheck=1),
    ]
    for way in ways:
        before, after = (_scores(way, given, tokens, other) for given in (model, equivalent.model))
        wanted = torch.tensor(list(before.values()))
        got = torch.tensor([after[equivalent.edge(edge)] for edge in before])
        assert_equal_to(1e-4, got, wanted, name)


def _scores(way: Any, model: HookedTransformer, tokens: Tensor, other: Tensor) -> dict[str, float]:
    result: Result = way(model, tokens, other, METRIC)
    return effects(result)
