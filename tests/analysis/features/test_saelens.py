"""Dictionaries that SAELens 6.54.12 wrote: they compute here what they compute there, and go back the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from unweave import features
from unweave.core.errors import InputError

FOLDER = Path(__file__).parent / "saelens"
CASES = sorted(path.name for path in FOLDER.iterdir())


def off(found: Tensor, wanted: Tensor) -> float:
    return ((found.float() - wanted.float()).abs().max() / wanted.float().abs().max()).item()


@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_saelens_computes(case: str):
    dictionary, held = features.load(FOLDER / case), load_file(FOLDER / case / "expected.safetensors")
    tolerance = 2e-3 if "float16" in case else 1e-5
    with torch.no_grad():
        assert off(dictionary.encode(held["x"]), held["features"]) <= tolerance
        assert off(dictionary(held["x"]), held["output"]) <= tolerance


@pytest.mark.parametrize("case", CASES)
def test_saved_and_opened_again_it_is_the_same(case: str, tmp_path: Path):
    first = features.load(FOLDER / case)
    features.save(first, tmp_path / "s")
    again = features.load(tmp_path / "s")
    kept = {**again.config.metadata}
    for name in ("sae_lens_version", "sae_lens_training_version", "unweave_version"):
        kept.pop(name, None)
    assert kept.items() <= first.config.metadata.items()
    for field in (
        "architecture",
        "k",
        "hook_name",
        "hook_name_out",
        "normalize_activations",
        "prepend_bos",
        "dtype",
    ):
        assert getattr(again.config, field) == getattr(first.config, field)
    for name, weight in first.named_parameters():
        assert torch.equal(weight, again.get_parameter(name))


# Plausible mistakes, each made on purpose: with it, the case that was frozen comes out otherwise.
def without_bias(d: features.Dictionary, x: Tensor) -> Tensor:
    return (x @ d.W_enc + d.b_enc).relu()


def bias_always(d: features.Dictionary, x: Tensor) -> Tensor:
    return ((x - d.b_dec) @ d.W_enc + d.b_enc).relu()


def not_normalised(d: features.Dictionary, x: Tensor) -> Tensor:
    return ((x - d.b_dec) @ d.W_enc + d.b_enc).relu()


def biased_variance(d: features.Dictionary, x: Tensor) -> Tensor:
    x = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True, correction=0) + 1e-5)
    return ((x - d.b_dec) @ d.W_enc + d.b_enc).relu()


def gate_left_open(d: features.Dictionary, x: Tensor) -> Tensor:
    return ((x - d.b_dec) @ (d.W_enc * d.r_mag.exp()) + d.b_mag).relu()


def top_of_relu_without_norms(d: features.Dictionary, x: Tensor) -> Tensor:
    pre = (x - d.b_dec) @ d.W_enc + d.b_enc
    return torch.zeros_like(pre).scatter(-1, pre.topk(3).indices, pre.topk(3).values.relu())


def threshold_taken_off(d: features.Dictionary, x: Tensor) -> Tensor:
    return ((x - d.b_dec) @ d.W_enc + d.b_enc - d.threshold).relu()


@pytest.mark.parametrize(
    ("case", "mistake"),
    [
        ("standard", without_bias),
        ("standard_bias_kept", bias_always),
        ("standard_layer_norm", not_normalised),
        ("standard_layer_norm", biased_variance),
        ("gated", gate_left_open),
        ("topk_rescaled", top_of_relu_without_norms),
        ("jumprelu", threshold_taken_off),
    ],
)
def test_a_plausible_mistake_would_show(case: str, mistake: Any):
    dictionary, held = features.load(FOLDER / case), load_file(FOLDER / case / "expected.safetensors")
    with torch.no_grad():
        assert off(mistake(dictionary, held["x"]), held["features"]) > 0.01


def test_batch_topk_is_run_by_its_threshold_and_not_by_the_batch():
    held = load_file(FOLDER / "batchtopk" / "expected.safetensors")
    assert off(held["batchwise"], held["features"]) > 0.01
    dictionary = features.load(FOLDER / "batchtopk")
    assert dictionary.config.architecture == "jumprelu"
    assert dictionary.config.metadata["training_architecture"] == "batchtopk"
    alone = torch.cat([dictionary.encode(row[None]) for row in held["x"]])
    torch.testing.assert_close(alone, dictionary.encode(held["x"]))


def changed(
    tmp_path: Path, case: str = "standard", top: dict[str, Any] | None = None, **metadata: Any
) -> Path:
    shutil.copytree(FOLDER / case, tmp_path / case)
    path = tmp_path / case / "cfg.json"
    values = json.loads(path.read_text()) | (top or {})
    if metadata:
        values["metadata"] |= metadata
    path.write_text(json.dumps(values))
    return tmp_path / case


@pytest.mark.parametrize(
    ("case", "top", "told"),
    [
        (
            "standard",
            {"architecture": "temporal"},
            r"architecture='temporal' \(only standard, gated, .* are honoured\)",
        ),
        ("standard", {"architecture": "matching_pursuit"}, "architecture='matching_pursuit'"),
        ("standard", {"architecture": "abstopk"}, "architecture='abstopk'"),
        ("standard", {"normalize_activations": "covariance_whitening"}, "its matrices are not in the file"),
        ("standard", {"soft_cap": 3.0}, r"soft_cap=3.0 \(unknown\)"),
        (
            "older",
            {"activation_fn_str": "tanh-relu"},
            r"activation_fn_str='tanh-relu' \(only relu and topk\)",
        ),
        (
            "older_topk",
            {"activation_fn_kwargs": {"k": 3, "postact": "x"}},
            r"activation_fn_kwargs=.* \(only k",
        ),
    ],
)
def test_config_values_that_are_not_honoured_are_refused_by_name(
    tmp_path: Path, case: str, top: dict[str, Any], told: str
):
    with pytest.raises(
        InputError, match=f"wanted a config whose every value can be honoured in .*cfg.json; got .*{told}"
    ):
        features.load(changed(tmp_path, case, top))


def test_what_changes_nothing_is_passed_by(tmp_path: Path):
    folder = changed(tmp_path, top={"soft_cap": 3.0, "l1_coefficient": 5.0}, anything="kept")
    dictionary = features.load(folder, ignore=["soft_cap"])
    assert dictionary.config.metadata["anything"] == "kept"


def test_broken_files(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"wanted cfg.json and sae_weights.safetensors in .*, as SAELens writes them"
    ):
        features.load(tmp_path)
    folder = changed(tmp_path)
    weights = load_file(folder / "sae_weights.safetensors")
    save_file({**weights, "threshold": torch.zeros(10)}, folder / "sae_weights.safetensors")
    with pytest.raises(
        InputError, match=r"wanted no threshold; got \(10,\); architecture 'standard' has W_enc, W_dec"
    ):
        features.load(folder)
    weights["W_enc"] = weights["W_enc"][:, :5]
    save_file({n: w.contiguous() for n, w in weights.items()}, folder / "sae_weights.safetensors")
    with pytest.raises(InputError, match=r"wanted W_enc of shape \(6, 10\); got \(6, 5\)"):
        features.load(folder)


def test_a_finetuning_factor_goes_into_the_decoder(tmp_path: Path):
    folder = changed(tmp_path, "older", {"finetuning_scaling_factor": True})
    plain, factor = features.load(FOLDER / "older"), torch.linspace(0.5, 1.5, 10)
    weights = load_file(folder / "sae_weights.safetensors")
    save_file({**weights, "scaling_factor": factor}, folder / "sae_weights.safetensors")
    x = load_file(folder / "expected.safetensors")["x"]
    found = features.load(folder)
    torch.testing.assert_close(found(x), plain.decode(plain.encode(x) * factor, of=x))
    values = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**values, "finetuning_scaling_factor": False}))
    with pytest.raises(
        InputError, match=r"wanted finetuning_scaling_factor in .* for the scaling_factor of its weights"
    ):
        features.load(folder)


def test_scaling_that_is_not_in_the_file_is_said_and_can_be_folded():
    dictionary = features.load(FOLDER / "standard_expected_average")
    assert "call dictionary.fold_scaling" in dictionary.warnings[0]
    x = load_file(FOLDER / "standard" / "expected.safetensors")["x"]
    factor = dictionary.scaling_for(x)
    assert (factor * x).norm(dim=-1).mean().item() == pytest.approx(6**0.5)
    scaled_by_hand = dictionary.encode(factor * x), dictionary(factor * x) / factor
    dictionary.fold_scaling(factor)
    assert dictionary.warnings == ()
    torch.testing.assert_close((dictionary.encode(x), dictionary(x)), scaled_by_hand, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", ["standard", "gated", "jumprelu", "topk_rescaled"])
def test_decoder_norms_are_folded_without_changing_the_output(case: str):
    dictionary, held = features.load(FOLDER / case), load_file(FOLDER / case / "expected.safetensors")
    dictionary.fold_decoder_norms()
    torch.testing.assert_close(dictionary.W_dec.norm(dim=-1), torch.ones(10))
    torch.testing.assert_close(dictionary(held["x"]), held["output"], rtol=1e-4, atol=1e-4)


def test_what_cannot_be_done_is_told():
    with pytest.raises(
        InputError, match="wanted an architecture whose active features don't depend on the norms"
    ):
        features.load(FOLDER / "topk").fold_decoder_norms()
    with pytest.raises(InputError, match="wanted the activation that the features are of, for layer_norm"):
        features.load(FOLDER / "standard_layer_norm").decode(torch.zeros(2, 10))
    with pytest.raises(
        InputError, match=r"wanted activations of 6 numbers, as blocks.0.hook_resid_post has; got"
    ):
        features.load(FOLDER / "standard").encode(torch.zeros(2, 5))
    with pytest.raises(InputError, match='wanted k from 1 to d_sae for architecture "topk"'):
        features.DictionaryConfig("topk", 4, 8, k=9)
    with pytest.raises(InputError, match="wanted a transcoder whose decoder's bias stays out of its input"):
        features.DictionaryConfig("transcoder", 4, 8, 4)
    with pytest.raises(InputError, match="wanted an autoencoder's output of the size of its input"):
        features.DictionaryConfig("standard", 4, 8, 5)
