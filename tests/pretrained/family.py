"""What must hold for every family. A family's test file is a subclass of `FamilyTests` with a few tiny configs.

Each config is made by transformers' own class, filled with random weights, written by save_pretrained, and
opened from the folder, as it would be from the hub.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from unweave import HookedTransformer
from unweave.core.errors import InputError
from unweave.pretrained.families import family_of
from unweave.pretrained.inert import INERT
from unweave.pretrained.reader import REQUIRED, ConfigReader

transformers = pytest.importorskip("transformers")
logging.getLogger("transformers").setLevel(logging.ERROR)
transformers.utils.logging.disable_progress_bar()

# Kept for all tests of a worker; removed when it ends.
FOLDERS = tempfile.TemporaryDirectory(prefix="unweave-families-")


@dataclass
class Tiny:
    """A tiny model of transformers, the folder it was saved in, and ours, opened from there."""

    theirs: Any
    folder: Path
    ours: Any

    @property
    def config(self) -> dict[str, Any]:
        """What its config.json holds."""
        return json.loads((self.folder / "config.json").read_text())

    def tokens(self, batch: int = 3, n_pos: int = 11) -> Tensor:
        """Random tokens."""
        return torch.randint(0, self.ours.cfg.d_vocab, (batch, n_pos), generator=torch.manual_seed(3))


class FamilyTests:
    """Subclass it as `TestLlama`, with these three.

    Args:
        model: the class in transformers that the family's checkpoints belong to.
        configs: at least three, by what they differ in; each makes a new config. Tiny: `hidden_size=16`,
            two or three layers, a vocabulary of about 50.
        hub: the config.json of real models of the hub, of several ages, as they are there.
    """

    model: ClassVar[Any]
    configs: ClassVar[dict[str, Callable[[], Any]]]
    hub: ClassVar[dict[str, dict[str, Any]]] = {}
    # Values of config.json that are written but can't be varied one by one; say why where you set it.
    fixed: ClassVar[tuple[str, ...]] = ()
    # What opens it.
    opens: ClassVar[Any] = HookedTransformer
    # Defaults of transformers' config class that it changes afterwards, so that ours are others.
    other_defaults: ClassVar[tuple[str, ...]] = ()
    _made: ClassVar[dict[tuple[str, str], Tiny]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", list(self.configs))
        if "hub_case" in metafunc.fixturenames:
            metafunc.parametrize("hub_case", list(self.hub))

    @pytest.fixture
    def tiny(self, case: str) -> Tiny:
        key = (type(self).__qualname__, case)
        if key not in self._made:
            theirs = random_model(self.model, self.configs[case]())
            folder = Path(FOLDERS.name) / "-".join(key)
            theirs.save_pretrained(folder)
            self._made[key] = Tiny(theirs, folder, self.opens.from_pretrained(folder, device="cpu"))
        return self._made[key]

    def test_there_are_enough(self):
        assert len(self.configs) >= 3

    def test_logits_and_every_layer(self, tiny: Tiny):
        tokens = tiny.tokens()
        logits, layers = run_theirs(tiny.theirs, tokens)
        compare_run(tiny.ours, tokens, None, logits, layers)

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_padded_batches(self, tiny: Tiny, side: str):
        tokens = tiny.tokens()
        mask = padding(tokens, side)
        logits, layers = run_theirs(tiny.theirs, tokens, mask)
        compare_run(tiny.ours, tokens, mask, logits, layers)

    def test_the_same_greedy_tokens(self, tiny: Tiny):
        tokens = tiny.tokens(n_pos=5)
        mask = padding(tokens, "left")
        asked = {"max_new_tokens": 6, "do_sample": False}
        wanted = tiny.theirs.generate(
            tokens, attention_mask=mask, pad_token_id=0, eos_token_id=-1, use_cache=True, **asked
        )
        got = tiny.ours.generate(tokens, attention_mask=mask, stop_at_eos=False, **asked)
        assert torch.equal(got, wanted)

    def test_16_bits_are_no_worse(self, tiny: Tiny):
        tokens = tiny.tokens(batch=8)
        exact, _ = run_theirs(tiny.theirs, tokens)
        theirs = copy.deepcopy(tiny.theirs).to(torch.bfloat16)
        ours = self.opens.from_pretrained(tiny.folder, device="cpu", dtype=torch.bfloat16)
        with torch.no_grad():
            their_error = (theirs(tokens).logits.float() - exact).pow(2).mean().sqrt()
            our_error = (ours(tokens).float() - exact).pow(2).mean().sqrt()
        assert our_error <= 1.5 * their_error

    def test_a_loaded_model_gives_the_same(self, tiny: Tiny):
        ours = self.opens.from_pretrained(hf_model=tiny.theirs, device="cpu")
        assert dataclasses.replace(ours.cfg, model_name="") == dataclasses.replace(
            tiny.ours.cfg, model_name=""
        )
        wanted = tiny.ours.state_dict()
        assert ours.state_dict().keys() == wanted.keys()
        for name, weight in ours.state_dict().items():
            assert torch.equal(weight, wanted[name]), name

    def test_every_weight_has_memory_of_its_own(self, tiny: Tiny):
        """Editing one in place must leave the others alone, also where two came from one tensor."""
        in_memory = self.opens.from_pretrained(hf_model=tiny.theirs, device="cpu")
        for ours in (self.opens.from_pretrained(tiny.folder, device="cpu"), in_memory):
            places = [weight.data_ptr() for weight in ours.parameters()]
            assert len(set(places)) == len(places)

    @pytest.mark.parametrize("n_layers", [1, 2])
    def test_the_first_layers_alone(self, tiny: Tiny, n_layers: int):
        first = self.opens.from_pretrained(tiny.folder, device="cpu", first_n_layers=n_layers)
        assert len(first.blocks) == n_layers
        tokens, name = tiny.tokens(), f"blocks.{n_layers - 1}.hook_resid_post"
        _, wanted = tiny.ours.run_with_cache(tokens, names_filter=name)
        _, got = first.run_with_cache(tokens, names_filter=name)
        assert torch.equal(got[name], wanted[name])

    def test_no_value_is_silently_ignored(self, tiny: Tiny):
        """Another value of any key that isn't inert gives another config, or is refused."""
        family = family_of(tiny.config)
        inert = {**INERT, **family.inert}
        before = family.read_config(tiny.config)
        for key, value in tiny.config.items():
            if key in inert or key in self.fixed:
                continue
            try:
                after = family.read_config({**tiny.config, key: another(value)})
            except InputError:
                continue
            assert after != before, f"{key}={another(value)!r} is ignored"

    def test_what_is_called_inert_is(self, tiny: Tiny):
        """Their own model gives the same logits whatever these values are."""
        family = family_of(tiny.config)
        config = copy.deepcopy(tiny.theirs.config)
        for key in family.inert:
            value = getattr(config, key, None)
            if isinstance(value, int | float):
                setattr(config, key, not value if isinstance(value, bool) else 0.5)
        changed = self.model(config).eval()
        changed.load_state_dict(tiny.theirs.state_dict())
        tokens = tiny.tokens()
        assert_close(run_theirs(changed, tokens)[0], run_theirs(tiny.theirs, tokens)[0])

    def test_defaults_are_theirs(self, tiny: Tiny):
        """A file that leaves a value out means what transformers takes it to mean."""
        reader = ConfigReader(tiny.config, "config.json")
        family_of(tiny.config).config(reader)
        fields = {field.name: field for field in dataclasses.fields(type(tiny.theirs.config))}
        names = type(tiny.theirs.config).attribute_map
        for name, default in reader.defaults.items():
            field = fields.get(names.get(name, name))
            if field is None or default is REQUIRED or name in self.other_defaults:
                continue
            assert field.default == default or (field.default is None and not default), name

    def test_a_switch_from_the_future_is_refused(self, tiny: Tiny):
        with pytest.raises(InputError, match=r"a_new_switch='on' \(unknown to this adapter"):
            family_of(tiny.config).read_config({**tiny.config, "a_new_switch": "on"})

    def test_real_configs_of_any_age_are_read(self, hub_case: str):
        """As they stand on the hub, and as transformers writes them today, they mean the same."""
        values = self.hub[hub_case]
        family = family_of(values)
        today = self.model.config_class.from_dict(values).to_dict()
        today["architectures"] = values["architectures"]
        assert family.read_config(values) == family.read_config(json.loads(json.dumps(today, default=str)))


def random_model(kind: Any, config: Any) -> Any:
    """A model whose every weight is random: biases and norms, too, which begin as zeros and ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.1)
    return model


def run_theirs(
    model: Any, tokens: Tensor, mask: Tensor | None = None, *, positions: bool = True
) -> tuple[Tensor, list[Tensor]]:
    """Their logits, and the residual stream before the first layer and after each.

    Args:
        positions: tell them not to count padding in positions.
    """
    streams: list[Tensor] = []
    blocks = layers_of(model)
    keep = [
        blocks[0].register_forward_pre_hook(
            lambda _, args, kwargs: streams.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
    ]
    keep += [
        block.register_forward_hook(
            lambda _, args, out: streams.append(out if isinstance(out, Tensor) else out[0])
        )
        for block in blocks
    ]
    asked: dict[str, Any] = {}
    if mask is not None:
        asked["attention_mask"] = mask
        if positions and "position_ids" in inspect.signature(model.forward).parameters:
            asked["position_ids"] = (mask.cumsum(1) - 1).clamp_min(0)
    try:
        with torch.no_grad():
            return model(tokens, **asked).logits, streams
    finally:
        for handle in keep:
            handle.remove()


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The blocks: the first list of modules in the model."""
    return next(module for module in model.modules() if isinstance(module, nn.ModuleList))


def compare_run(ours: Any, tokens: Tensor, mask: Tensor | None, logits: Tensor, layers: list[Tensor]) -> None:
    """Our logits and residual streams against theirs, where there are tokens."""
    with torch.no_grad():
        named = "attention_mask" if isinstance(ours, HookedTransformer) else "one_zero_attention_mask"
        got, cache = ours.run_with_cache(tokens, **{named: mask})
    seen = torch.ones_like(tokens).bool() if mask is None else mask.bool()
    assert_close(got[seen], logits[seen], "logits")
    # What goes on to the next layer.
    post = "hook_normalized_resid_post" if ours.cfg.norm_position == "stream" else "hook_resid_post"
    names = ["blocks.0.hook_resid_pre", *(f"blocks.{at}.{post}" for at in range(ours.cfg.n_layers))]
    assert len(layers) == len(names)
    for name, wanted in zip(names, layers, strict=True):
        assert_close(cache[name][seen], wanted[seen], name)


def compare_patterns(tiny: Tiny, window: int) -> None:
    """Every layer's pattern: that of their eager attention, and zero outside a window in the layers that have one,
    and only there."""
    tokens, used = tiny.tokens(), tiny.theirs.config._attn_implementation
    tiny.theirs.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            wanted = tiny.theirs(tokens, output_attentions=True).attentions
    finally:
        tiny.theirs.set_attn_implementation(used)
    _, cache = tiny.ours.run_with_cache(tokens)
    n_pos = tokens.shape[1]
    back = torch.arange(n_pos)[:, None] - torch.arange(n_pos)
    for layer, kind in enumerate(tiny.theirs.config.layer_types):
        assert_close(cache["pattern", layer], wanted[layer], f"layer {layer}")
        reach = window if kind == "sliding_attention" else n_pos
        assert ((cache["pattern", layer] > 0) == (back >= 0) & (back < reach)).all(), f"layer {layer}"


def assert_close(got: Tensor, wanted: Tensor, what: str = "") -> None:
    """Equal to 1e-5: max|a - b| <= 1e-5 * max|b|."""
    error = (got - wanted).abs().max() / wanted.abs().max()
    assert error <= 1e-5, f"{what}: {error:.1e}"


def padding(tokens: Tensor, side: str) -> Tensor:
    """A mask that pads each sequence by another number of positions: 0, 1, 2 ..., in turn."""
    mask = torch.ones_like(tokens)
    for row in range(len(tokens)):
        pad = row % (tokens.shape[1] - 1)
        if pad:
            mask[row, slice(None, pad) if side == "left" else slice(-pad, None)] = 0
    return mask


def another(value: Any) -> Any:
    """A value of the same kind that isn't this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 if value else 3
    if isinstance(value, str):
        return "relu" if value != "relu" else "gelu"
    if isinstance(value, list) and value:
        return [another(one) for one in value]
    if isinstance(value, dict) and value:
        return {
            key: another(one) if isinstance(one, float | int | dict) else one for key, one in value.items()
        }
    # An option that was off, on.
    return 3


__all__ = ["FamilyTests", "Tiny", "assert_close", "compare_patterns", "transformers"]
