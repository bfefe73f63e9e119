"""Calls of TransformerLens' helpers, as one table that either library answers: by name, JSON values.

`bench.parity.freeze_helpers` asks TransformerLens 3.9.0, tests/compat/test_against_transformer_lens.py asks us.
Imports nothing of either.
"""

from __future__ import annotations

import contextlib
import io
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

TEXTS = ["The cat sat on the mat.", "A dog", "", "When Mary and John went to Rome, the dog sat. " * 3]
PROMPT = "The cat sat on the"
N_CTX = 80
NAMES = (
    *("k", "q", "v", "z", "result", "pattern", "attn", "attn_scores", "attn_logits", "key", "query", "value"),
    *("rot_k", "rot_q", "pre", "post", "mid", "pre_linear", "mlp_pre", "mlp_mid", "mlp_post", "embed"),
    *("pos_embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "scale", "normalized"),
    *(
        "mlp_in",
        "attn_in",
        "q_input",
        "hook_embed",
        "blocks.0.hook_resid_pre",
        "k6",
        "scale4ln1",
        "pre5",
        "pattern0",
    ),
)
PLACES = (
    (None, None),
    (3, None),
    (3, "a"),
    (3, "m"),
    (3, "ln1"),
    (3, "ln2"),
    (3, "attn"),
    (3, "mlp"),
    (3, "block"),
)
SLICES: dict[str, Any] = {
    "None": None,
    "2": 2,
    "-1": -1,
    "(2,)": (2,),
    "(1, 4)": (1, 4),
    "(0, 5, 2)": (0, 5, 2),
    "(-2, None)": (-2, None),
    "[0, 3]": [0, 3],
    "array": np.array([4, 1]),
    "tensor": torch.tensor([2, 2]),
    "mask": torch.tensor([True, False, False, True, True]),
    "nothing": (3, 3),
}


def numbers(*shape: int, start: float = 0.0) -> Tensor:
    """Numbers between -1 and 1, the same everywhere."""
    n = torch.arange(math.prod(shape), dtype=torch.float64) + start
    # The square, since sines of n alone would make matrices of rank 2.
    return (1.7 * n + 0.137 * n.square()).sin().float().view(shape)


def filled(model: Any) -> Any:
    """The model with weights that depend on their names and shapes alone."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = numbers(*parameter.shape, start=zlib.crc32(name.encode()) % 1000)
            spread = 1.0 if name.endswith((".w", "W_E", "W_pos")) else 0.7
            parameter.copy_(drawn * spread + float(name.endswith(".w")))
    return model.eval()


def plain(value: Any) -> Any:
    """As JSON gives it back: tensors and arrays as nested lists."""
    match value:
        case Tensor() | np.ndarray():
            return plain(value.tolist())
        case float():
            return float(f"{value:.7g}") if math.isfinite(value) else str(value)
        case list() | tuple():
            return [plain(each) for each in value]
        case dict():
            return {str(name): plain(each) for name, each in value.items()}
        case _:
            return value


def printed(call: Callable[[], Any]) -> list[str]:
    """The words that a call prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        call()
    return out.getvalue().split()


def answers(calls: Iterator[tuple[str, Callable[[], Any]]]) -> dict[str, Any]:
    """Each call's value, or {"raised": its error's kind}."""
    found: dict[str, Any] = {}
    for name, call in calls:
        assert name not in found, name
        try:
            found[name] = plain(call())
        except Exception as error:
            found[name] = {"raised": type(error).__name__}
    return found


def helper_calls(
    tl: ModuleType,
    tokenizers: Callable[[str], Any],
    datasets: Callable[[dict[str, list[str]]], Any],
    folder: Path,
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every call.

    Args:
        tl: the package, or what stands in its place.
        tokenizers: a new tokenizer of a kind of tests/model/text/builders.py.
        datasets: a dataset of these columns.
        folder: to write to.
    """
    u = tl.utilities
    yield "make_model_alias_map", tl.loading.make_model_alias_map
    yield from tensor_calls(u)
    yield from name_calls(u)
    yield from loss_calls(u)
    yield from sampling_calls(u)
    yield from slice_calls(u)
    yield from weight_calls(u, tl.FactoredMatrix)
    yield from default_calls(u)
    for kind in ("gpt2", "llama", "llama3"):
        yield from text_calls(u, kind, tokenizers, datasets)
    yield from model_calls(tl, tokenizers, folder)


def tensor_calls(u: ModuleType) -> Iterator[tuple[str, Callable[[], Any]]]:
    x, square = numbers(2, 3, 4), numbers(4, 4)
    things = {
        "bfloat16": numbers(3).bfloat16(),
        "parameter": torch.nn.Parameter(numbers(3)),
        "int tensor": torch.arange(3),
        "list": [1, 2.5],
        "tuple": (1, 2),
        "number": 3,
        "text": "a",
        "none": None,
    }
    for name, thing in things.items():
        yield f"to_numpy {name}", lambda thing=thing: [(a := u.to_numpy(thing)).tolist(), str(a.dtype)]
    yield "get_corner", lambda: [u.get_corner(x, 2), u.get_corner(x)]
    yield "remove_batch_dim", lambda: [u.remove_batch_dim(x[:1]), u.remove_batch_dim(x)]
    yield "transpose", lambda: u.transpose(x)
    yield "is_square", lambda: [u.is_square(square), u.is_square(x), u.is_square(x[0])]
    yield "is_lower_triangular", lambda: [u.is_lower_triangular(m) for m in (square, square.tril(), x[0])]
    for verbose in (False, True):
        for name, other in {"same": square * 2, "rows": -square, "columns": _columns_differ(square)}.items():
            yield (
                f"check_structure {name} {verbose}",
                lambda other=other, verbose=verbose: printed(
                    lambda: u.check_structure(square, other, verbose=verbose)
                ),
            )
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    yield "get_offset_position_ids", lambda: [u.get_offset_position_ids(offset, mask) for offset in (0, 2)]
    yield "get_cumsum_along_dim", lambda: [u.get_cumsum_along_dim(x, 1, reverse) for reverse in (False, True)]
    yield "repeat_along_head_dimension", lambda: u.repeat_along_head_dimension(x, 2)
    table = {"a.b": 1, "a.b.c": 2, "ab.c": 3, "a.d": 4}
    yield (
        "filter_dict_by_prefix",
        lambda: [u.filter_dict_by_prefix(table, p) for p in ("a", "a.", "a.b", "z")],
    )
    act = u.activation_functions
    for name in ("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "solu", "relu2", "xielu"):
        yield name, lambda name=name: getattr(act, name)(x * 3)
    yield "XIELU", lambda: [act.XIELU()(x * 3), act.XIELU(0.5, 0.9, 0.3)(x * 3)]
    yield "XIELU weights", lambda: {n: p.detach() for n, p in act.XIELU(0.5, 0.9, 0.3).state_dict().items()}
    yield "apply_softcap", lambda: [u.apply_softcap(x, cap) for cap in (None, -1.0, 0.5)]
    yield "softcap_enabled", lambda: [u.softcap_enabled(cap) for cap in (None, -1.0, 0.0, 0.5)]


def _columns_differ(square: Tensor) -> Tensor:
    """Neighbouring rows compare as in `square`; the last two columns do not."""
    other = square.clone()
    other[:, 3] = other[:, 3] + 100 * (other[:, 2] > other[:, 3]) - 100 * (other[:, 2] <= other[:, 3])
    return other


def name_calls(u: ModuleType) -> Iterator[tuple[str, Callable[[], Any]]]:
    for name in NAMES:
        yield f"get_act_name {name}", lambda name=name: [u.get_act_name(name, *place) for place in PLACES]


def loss_calls(u: ModuleType) -> Iterator[tuple[str, Callable[[], Any]]]:
    logits, tokens = numbers(2, 5, 7) * 4, torch.arange(10).view(2, 5) % 7
    masks = {
        "none": None,
        "ints": torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
        "bools": torch.tensor([[True, True, False, True, True], [False, False, True, True, True]]),
        "no pair": torch.tensor([[1, 0, 1, 0, 1], [0, 0, 0, 0, 1]]),
    }
    for name, mask in masks.items():
        for per_token in (False, True):
            yield (
                f"lm_cross_entropy_loss {name} {per_token}",
                lambda m=mask, p=per_token: u.lm_cross_entropy_loss(logits, tokens, m, p),
            )
    yield "lm_cross_entropy_loss one row", lambda: u.lm_cross_entropy_loss(logits[0], tokens[0])
    yield "lm_cross_entropy_loss one position", lambda: u.lm_cross_entropy_loss(logits[:, :1], tokens[:, :1])
    yield (
        "lm_accuracy",
        lambda: [u.lm_accuracy(logits, logits.argmax(-1).roll(1, 1), p) for p in (False, True)],
    )
    yield "logits_to_df", lambda: u.logits_to_df(logits[0, 0], top_k=4).to_dict("list")


def sampling_calls(u: ModuleType) -> Iterator[tuple[str, Callable[[], Any]]]:
    logits, tokens = numbers(6, 9) * 3, torch.arange(24).view(6, 4) % 9
    settings: dict[str, dict[str, Any]] = {
        "plain": {},
        "top_k": {"top_k": 3},
        "large top_k": {"top_k": 50},
        "top_p": {"top_p": 0.6},
        "top_p of all": {"top_p": 1.0},
        "temperature": {"temperature": 0.3},
        "greedy": {"temperature": 0.0},
        "frequency": {"freq_penalty": 3.0, "tokens": tokens},
        "repetition": {"repetition_penalty": 4.0, "tokens": tokens, "temperature": 0.2},
        "greedy repetition": {"repetition_penalty": 4.0, "tokens": tokens, "temperature": 0.0},
        "greedy frequency": {"freq_penalty": 3.0, "tokens": tokens, "temperature": 0.0},
        "everything": {
            "freq_penalty": 0.5,
            "repetition_penalty": 1.5,
            "tokens": tokens,
            "top_k": 4,
            "temperature": 0.7,
        },
        "no tokens": {"freq_penalty": 1.0},
    }
    for name, setting in settings.items():
        yield f"sample_logits {name}", lambda setting=setting: _draws(u, logits, setting)
    # Four equal ones: after two of them there is exactly a half.
    yield "sample_logits exactly top_p", lambda: _drawn_set(u, {"top_p": 0.5})


def _draws(u: ModuleType, logits: Tensor, setting: dict[str, Any]) -> list[Any]:
    torch.manual_seed(0)
    return [u.sample_logits(logits, **setting).tolist() for _ in range(8)]


def _drawn_set(u: ModuleType, setting: dict[str, Any]) -> list[int]:
    torch.manual_seed(0)
    return sorted({u.sample_logits(torch.zeros(1, 4), **setting).item() for _ in range(200)})


def slice_calls(u: ModuleType) -> Iterator[tuple[str, Callable[[], Any]]]:
    x = numbers(5, 2, 5)
    for name, given in SLICES.items():
        yield f"Slice {name} mode", lambda g=given: [u.Slice(g).mode, str(u.Slice(g)).split()[0]]
        yield f"Slice {name} applied", lambda g=given: [u.Slice(g).apply(x), u.Slice(g).apply(x, dim=-1)]
        yield f"Slice {name} indices", lambda g=given: u.Slice(g).indices(5)
        yield f"Slice {name} unwrapped", lambda g=given: u.Slice.unwrap(g).apply(x)
    yield "Slice of a Slice", lambda: u.Slice.unwrap(u.Slice(2)).apply(x)
    yield "Slice indices alone", lambda: [u.Slice(-1).indices(), u.Slice((1, 2)).indices()]
    yield "Slice of a text", lambda: u.Slice("a")


def weight_calls(u: ModuleType, factored: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    shapes = ((5,), (3, 5), (2, 4, 3))
    yield "fans", lambda: [u.calc_fan_in_and_fan_out(torch.empty(shape)) for shape in shapes]
    for shape in ((), (2, 2, 2, 2)):
        yield f"fan of {shape}", lambda shape=shape: u.calc_fan_in_and_fan_out(torch.empty(shape))
    for name in ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"):
        yield f"init_{name}", lambda name=name: [_begun(u, name, shape, gain=0.5) for shape in shapes]
        if "kaiming" in name:
            how = {"a": 0.3, "nonlinearity": "leaky_relu", "mode": "fan_out"}
            yield f"init_{name} {how}", lambda name=name, how=how: _begun(u, name, (2, 4, 3), **how)
    x, w, b = numbers(2, 3, 4), numbers(2, 4, 5), numbers(2, 5)
    yield "simple_attn_linear", lambda: u.attention.simple_attn_linear(x, w, b)
    yield "complex_attn_linear", lambda: u.attention.complex_attn_linear(numbers(2, 3, 2, 4), w, b)
    yield "clamp_qkv", lambda: u.attention.clamp_qkv(x, x * 2, x * 3, 0.4)
    yield "vanilla_addmm", lambda: u.addmm.vanilla_addmm(numbers(5), numbers(3, 4), numbers(4, 5))
    yield "batch_addmm", lambda: u.addmm.batch_addmm(numbers(5), numbers(4, 5), x)
    left = factored(numbers(2, 3, 6, 2), numbers(2, 3, 2, 6, start=1))
    right = factored(numbers(3, 6, 2, start=2), numbers(3, 2, 6, start=3))
    yield "composition_scores", lambda: u.composition_scores(left, right)
    yield "composition_scores paired", lambda: u.composition_scores(left[0], right, broadcast_dims=False)
    yield "get_matrix_corner", lambda: u.get_matrix_corner(left, 2)


def _begun(u: ModuleType, name: str, shape: tuple[int, ...], **how: Any) -> Tensor:
    torch.manual_seed(0)
    return getattr(u, f"init_{name}")(torch.empty(shape), **how)


def default_calls(u: ModuleType) -> Iterator[tuple[str, Callable[[], Any]]]:
    yield (
        "override_or_use_default_value",
        lambda: [u.override_or_use_default_value(*pair) for pair in ((1, None), (1, 0), (True, False))],
    )
    for overrides in (
        {"prepend_bos": False},
        {"padding_side": "left"},
        {"prepend_bos": None},
        {"padding_side": "up"},
    ):
        yield f"LocallyOverridenDefaults {overrides}", lambda o=overrides: _overridden(u, o)
    yield "LocallyOverridenDefaults unknown", lambda: _overridden(u, {"device": "cpu"})
    nested = SimpleNamespace(a=SimpleNamespace(b=1))
    yield (
        "nested",
        lambda: [u.get_nested_attr(nested, "a.b"), u.set_nested_attr(nested, "a.b", 2), nested.a.b],
    )
    yield (
        "is_library_available",
        lambda: [u.is_library_available(name) for name in ("torch", "no_such_package")],
    )
    parameter = torch.nn.Parameter(numbers(3))
    yield "temporarily_swap_parameter", lambda: _swapped(u, parameter)
    yield (
        "get_rotary_pct_from_config",
        lambda: [
            u.get_rotary_pct_from_config(config)
            for config in (
                None,
                SimpleNamespace(rotary_pct=0.25),
                SimpleNamespace(rope_parameters={"partial_rotary_factor": 0.5}),
                SimpleNamespace(rope_parameters={"rope_theta": 1.0}),
            )
        ],
    )
    yield (
        "select_compatible_kwargs",
        lambda: u.select_compatible_kwargs({"a": 1, "z": 2}, lambda a, b=1: None),
    )
    cfg = SimpleNamespace(device="cuda", n_devices=3, n_layers=7)
    block = u.multi_gpu.get_device_for_block_index
    yield "get_device_for_block_index", lambda: [str(block(i, cfg)) for i in range(7)]
    yield "get_device_for_block_index cpu", lambda: str(block(5, cfg, "cpu"))
    yield (
        "sort_devices_based_on_available_memory",
        lambda: u.sort_devices_based_on_available_memory([(0, 5), (1, 9), (2, 7)]),
    )


def _overridden(u: ModuleType, overrides: dict[str, Any]) -> list[Any]:
    model = SimpleNamespace(
        cfg=SimpleNamespace(default_prepend_bos=True), tokenizer=SimpleNamespace(padding_side="right")
    )
    seen: list[Any] = []
    with contextlib.suppress(ZeroDivisionError), u.LocallyOverridenDefaults(model, **overrides):
        seen += [model.cfg.default_prepend_bos, model.tokenizer.padding_side]
        raise ZeroDivisionError
    return [*seen, model.cfg.default_prepend_bos, model.tokenizer.padding_side]


def _swapped(u: ModuleType, parameter: Any) -> list[Any]:
    with u.temporarily_swap_parameter(parameter, numbers(3, start=5)) as same:
        inside = [same is parameter, parameter.detach().clone()]
    return [*inside, parameter.detach()]


def text_calls(
    u: ModuleType,
    kind: str,
    tokenizers: Callable[[str], Any],
    datasets: Callable[[dict[str, list[str]]], Any],
) -> Iterator[tuple[str, Callable[[], Any]]]:
    for length in (8, 200):
        for bos in (True, False):
            yield (
                f"tokenize_and_concatenate {kind} {length} {bos}",
                lambda length=length, bos=bos: u.tokenize_and_concatenate(
                    datasets({"text": TEXTS, "more": TEXTS}),
                    tokenizers(kind),
                    max_length=length,
                    add_bos_token=bos,
                    num_proc=None,
                )["tokens"][:],
            )
    yield (
        f"keep_single_column {kind}",
        lambda: list(u.keep_single_column(datasets({"a": ["x"], "b": ["y"], "c": ["z"]}), "b").features),
    )
    yield (
        f"get_input_with_manually_prepended_bos {kind}",
        lambda: [
            u.get_input_with_manually_prepended_bos(tokenizers(kind).bos_token, given)
            for given in ("a", ["a", "b"])
        ],
    )
    for pad in ("bos", "own"):
        yield f"masks {kind} {pad}", lambda pad=pad: _masks(u, tokenizers(kind), pad)


def _masks(u: ModuleType, tokenizer: Any, pad: str) -> dict[str, Any]:
    bos = tokenizer.bos_token_id
    if pad == "bos":
        tokenizer.pad_token = tokenizer.bos_token
    else:
        tokenizer.add_special_tokens({"pad_token": "<PAD>"})
    p = tokenizer.pad_token_id
    left = torch.tensor([[p, p, bos, 5, 6], [bos, 5, p, 6, 7]])
    right = torch.tensor([[bos, 5, 6, p, p], [bos, 5, p, 6, 7]])
    found: dict[str, Any] = {}
    for side, tokens in (("left", left), ("right", right)):
        tokenizer.padding_side = side
        found[f"{side} removed"] = u.get_tokens_with_bos_removed(tokenizer, tokens)
        for prepend in (True, False):
            found[f"{side} mask {prepend}"] = u.get_attention_mask(tokenizer, tokens, prepend)
        found[f"{side} mask of the other side"] = u.get_attention_mask(
            tokenizer, tokens, True, padding_side="left" if side == "right" else "right"
        )
    return found


def model_calls(
    tl: ModuleType, tokenizers: Callable[[str], Any], folder: Path
) -> Iterator[tuple[str, Callable[[], Any]]]:
    model = tiny(tl, tokenizers("gpt2"))
    for answer, options in (
        ("mat", {}),
        (["mat", "log"], {}),
        ("mat on the", {"print_details": False, "top_k": 2}),
    ):
        yield (
            f"test_prompt {answer!r}",
            lambda a=answer, o=options: printed(lambda: tl.utilities.test_prompt(PROMPT, a, model, **o)),
        )
    yield from detector_calls(tl, model)
    svd = tl.SVDInterpreter(model)
    for kind, head in (("OV", 1), ("w_in", None), ("w_out", None)):
        yield (
            f"SVDInterpreter {kind}",
            lambda kind=kind, head=head: (
                svd.get_singular_vectors(kind, layer_index=1, num_vectors=3, head_index=head).detach().abs()
            ),
        )
    yield "SVDInterpreter without a head", lambda: svd.get_singular_vectors("OV", layer_index=1)
    yield from eval_calls(tl, model, tokenizers("gpt2"))
    yield "train", lambda: _trained(tl, folder, optimizer_name="Adam", warmup_steps=2, max_grad_norm=0.5)
    yield "train AdamW", lambda: _trained(tl, folder, optimizer_name="AdamW", weight_decay=0.1)
    yield "train SGD", lambda: _trained(tl, folder, optimizer_name="SGD", momentum=0.9, max_steps=1)
    yield "train another", lambda: _trained(tl, folder, optimizer_name="Lion")
    nsp = tl.BertNextSentencePrediction(encoder(tl))
    pair = ["The cat sat.", "The dog sat on the log."]
    yield "BertNextSentencePrediction logits", lambda: nsp(pair).detach()
    yield "BertNextSentencePrediction predictions", lambda: nsp(pair, return_type="predictions")
    yield "BertNextSentencePrediction tokens", lambda: [t.tolist() for t in nsp.to_tokens(pair)]
    yield "BertNextSentencePrediction one", lambda: nsp(["one"])
    yield (
        "BertNextSentencePrediction cache",
        lambda: nsp.run_with_cache(pair)[1]["blocks.1.attn.hook_pattern"].detach(),
    )
    masked = ["The [MASK] sat on the mat.", "The [MASK] sat."]
    yield "HookedEncoder tokens", lambda: [t.tolist() for t in nsp.model.to_tokens(masked)]
    yield "HookedEncoder logits", lambda: nsp.model(masked)[:, 1].detach()
    yield (
        "HookedEncoder predictions",
        lambda: [nsp.model(m, return_type="predictions") for m in (masked[0], masked)],
    )


def detector_calls(tl: ModuleType, model: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    h, text = tl.head_detector, "The cat sat on the cat sat on the cat"
    tokens = torch.tensor([[1, 2, 3, 1, 2, 2, 1]])
    for name in h.HEAD_NAMES:
        yield f"pattern {name}", lambda name=name: getattr(h, f"get_{name}_detection_pattern")(tokens)
        for measure in ("mul", "abs"):
            for flags in ({}, {"exclude_bos": True}, {"exclude_current_token": True, "exclude_bos": True}):
                yield (
                    f"detect_head {name} {measure} {sorted(flags)}",
                    lambda n=name, m=measure, f=flags: h.detect_head(model, text, n, error_measure=m, **f),
                )
    yield "detect_head texts", lambda: h.detect_head(model, [text, TEXTS[0]], "previous_token_head")
    yield "detect_head some", lambda: h.detect_head(model, text, "induction_head", heads=[(0, 1), (1, 0)])
    yield "detect_head some by layer", lambda: h.detect_head(model, text, "induction_head", heads={1: [1]})
    own = torch.tril(torch.ones(len(model.to_tokens(text)[0]), len(model.to_tokens(text)[0])))
    yield "detect_head own", lambda: h.detect_head(model, text, own, error_measure="abs")
    yield "detect_head not square", lambda: h.detect_head(model, text, own[:-1])
    yield "detect_head above", lambda: h.detect_head(model, text, own.T)
    yield "detect_head unknown", lambda: h.detect_head(model, text, "copying_head")
    yield (
        "detect_head cached",
        lambda: h.detect_head(
            model, text, "induction_head", cache=model.run_with_cache(text, remove_batch_dim=True)[1]
        ),
    )


def eval_calls(tl: ModuleType, model: Any, tokenizer: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    e, wide = tl.evals, tiny(tl, None, d_vocab=20_000, d_model=4, n_layers=1, n_heads=1, act_fn="relu")

    def induction(**options: Any) -> Any:
        torch.manual_seed(0)
        return e.induction_loss(wide, batch_size=2, subseq_len=8, device="cpu", **options)

    yield "induction_loss", lambda: induction(tokenizer=SimpleNamespace(bos_token_id=3))
    yield "induction_loss without BOS", lambda: induction(prepend_bos=False)
    rows = [{"tokens": torch.arange(12).view(2, 6) + i} for i in range(5)]
    for truncate in (1, 100):
        yield (
            f"evaluate_on_dataset {truncate}",
            lambda t=truncate: e.evaluate_on_dataset(wide, rows, truncate=t, device="cpu"),
        )
    for symmetric in (False, True):
        ioi = e.IOIDataset(tokenizer, num_samples=12, symmetric=symmetric, seed=7)
        yield f"IOIDataset {symmetric}", lambda ioi=ioi: ioi.samples
        yield f"IOIDataset tokens {symmetric}", lambda ioi=ioi: [ioi[i] for i in range(3)]
        yield f"ioi_eval {symmetric}", lambda ioi=ioi: e.ioi_eval(model, dataset=ioi, batch_size=5)
    more = {
        "templates": ["[A] met [B]. [B] saw [A]"],
        "names": ["Rome", "Paris", "cat"],
        "nouns": {},
        "seed": 1,
    }
    yield "ioi_eval other", lambda: e.ioi_eval(model, e.IOIDataset(tokenizer, num_samples=6, **more))
    yield (
        "IOIDataset of the model's tokenizer",
        lambda: e.IOIDataset(model.tokenizer, num_samples=2, seed=7)[0],
    )
    yield "MMLU_SUBJECTS", lambda: e.MMLU_SUBJECTS


def _trained(tl: ModuleType, folder: Path, **options: Any) -> dict[str, Any]:
    model = tiny(tl, None, d_vocab=11)
    data = [{"tokens": (torch.arange(6) * (i + 1) + i) % 11} for i in range(10)]
    config = tl.train.HookedTransformerTrainConfig(
        num_epochs=2,
        batch_size=4,
        lr=0.01,
        print_every=1,
        save_every=2,
        save_dir=str(folder),
        device="cpu",
        **options,
    )
    told = printed(lambda: tl.train.train(model, config, data))
    saved = torch.load(folder / "model_0.pt", weights_only=True)
    return {
        "losses": [float(word) for word, before in zip(told[1:], told, strict=False) if before == "Loss"],
        "words": [word for word, before in zip(told[1:], told, strict=False) if before != "Loss"][-25:],
        "saved": saved["unembed.W_U"],
        "trained": model.unembed.W_U.detach(),
    }


def tiny(tl: ModuleType, tokenizer: Any, **fields: Any) -> Any:
    """A model of two layers, or of the given fields."""
    cfg = {
        "n_layers": 2,
        "d_model": 12,
        "n_heads": 2,
        "d_head": 6,
        "d_mlp": 16,
        "n_ctx": N_CTX,
        "act_fn": "gelu",
        "device": "cpu",
        **fields,
    }
    if "d_vocab" not in cfg:
        cfg["d_vocab"] = len(tokenizer)
    return filled(tl.HookedTransformer(tl.HookedTransformerConfig(**cfg), tokenizer))


def encoder(tl: ModuleType) -> Any:
    """A small BERT."""
    tokenizer = word_pieces()
    cfg = tl.HookedTransformerConfig(
        n_layers=2,
        d_model=12,
        n_heads=2,
        d_head=6,
        d_mlp=16,
        n_ctx=N_CTX,
        act_fn="gelu",
        d_vocab=len(tokenizer),
        attention_dir="bidirectional",
        device="cpu",
    )
    return filled(tl.HookedEncoder(cfg, tokenizer))


def word_pieces() -> Any:
    """BERT's kind of tokenizer, of a few words: a trained one is not the same every time."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [
        "the",
        "cat",
        "sat",
        "on",
        "mat",
        "dog",
        "log",
        ".",
        ",",
        "one",
        "when",
        "mary",
        "and",
        "john",
        "went",
        "to",
        "rome",
    ]
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    around = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=around
    )
    names = dict(
        zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **names,
    )
