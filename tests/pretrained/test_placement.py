"""Models spread over devices. "meta" is a second device that every machine has: it has shapes, and no numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.pretrained.family import assert_close, random_model, transformers
from unweave import HookedTransformer, HookedTransformerConfig
from unweave.core.errors import InputError
from unweave.model.placement import Placement

CPU, META = torch.device("cpu"), torch.device("meta")
SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 4, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
TOKENS = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama")
    config = transformers.LlamaConfig(**SIZES, num_key_value_heads=2)
    random_model(transformers.LlamaForCausalLM, config).save_pretrained(path)
    return path


def config(**others: Any) -> HookedTransformerConfig:
    return HookedTransformerConfig(
        **{
            "n_layers": 4,
            "d_model": 8,
            "n_ctx": 8,
            "d_head": 4,
            "d_vocab": 9,
            "act_fn": "gelu",
            **others,
        }
    )


def cuda(index: int) -> torch.device:
    return torch.device("cuda", index)


class TestWhere:
    def test_blocks_are_spread_in_equal_runs(self):
        placed = Placement.spread(config(n_layers=5), [cuda(0), cuda(1)])
        assert placed == Placement(cuda(0), (cuda(0),) * 3 + (cuda(1),) * 2, cuda(1))
        assert placed.devices == [cuda(0), cuda(1)]

    def test_a_tied_unembedding_stays_with_the_embedding(self):
        placed = Placement.spread(config(tie_word_embeddings=True), [cuda(0), cuda(1)])
        assert placed.last == cuda(0)

    def test_a_table(self):
        places = {"embed": "cuda:0", "blocks": "cuda:1", "blocks.3": "cuda:2", "": "cuda:2"}
        placed = Placement.from_map(config(), places)
        assert placed.first == cuda(0)
        assert placed.blocks == (cuda(1), cuda(1), cuda(1), cuda(2))
        assert placed.last == cuda(2)
        assert placed.device_of("blocks.3.attn.W_Q") == cuda(2)
        assert placed.device_of("pos_embed.W_pos") == cuda(0)
        assert placed.device_of("unembed.b_U") == placed.device_of("ln_final.w") == cuda(2)

    @pytest.mark.parametrize(
        ("places", "told"),
        [
            ({"blocks.4": "cpu", "": "cpu"}, "got 'blocks.4'; name whole blocks"),
            ({"blocks.0.attn": "cpu", "": "cpu"}, "got 'blocks.0.attn'"),
            ({"embed": "cpu", "blocks": "cpu"}, "wanted a device for unembed in device_map"),
            ({"embed": "cpu", "pos_embed": "meta", "": "cpu"}, "wanted pos_embed on the device of embed"),
            ({"unembed": "cpu", "ln_final": "meta", "": "cpu"}, "wanted ln_final on the device of unembed"),
        ],
    )
    def test_tables_that_do_not_work(self, places: dict[str, str], told: str):
        with pytest.raises(InputError, match=told.replace(".", r"\.")):
            Placement.from_map(config(), places)

    def test_a_tied_unembedding_elsewhere(self):
        with pytest.raises(
            InputError, match="wanted unembed on the device of embed, whose weights it shares"
        ):
            Placement.from_map(config(tie_word_embeddings=True), {"unembed": "meta", "": "cpu"})


class TestOpened:
    def test_every_weight_is_where_the_table_says(self, folder: Path):
        model = HookedTransformer.from_pretrained(folder, device_map={"blocks.2": "meta", "": "cpu"})
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            assert tensor.device == (META if name.startswith("blocks.2.") else CPU), name
        assert model.cfg.device == "cpu"

    def test_the_stream_goes_along(self, folder: Path):
        places = {"embed": "cpu", "blocks.0": "cpu", "blocks.1": "cpu", "": "meta"}
        model = HookedTransformer.from_pretrained(folder, device_map=places)
        mask = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
        logits, cache = model.run_with_cache(TOKENS, attention_mask=mask)
        assert logits.device == META
        assert logits.shape == (2, 5, 50)
        for layer in range(4):
            for site in ("hook_resid_pre", "attn.hook_pattern", "attn.hook_rot_k", "hook_resid_post"):
                assert cache[f"blocks.{layer}.{site}"].device == (CPU if layer < 2 else META)
        whole = HookedTransformer.from_pretrained(folder, device="cpu")
        _, wanted = whole.run_with_cache(TOKENS, attention_mask=mask)
        assert_close(cache["resid_post", 1], wanted["resid_post", 1])

    def test_and_it_comes_back(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        """Two devices that are one: each move is asked for, and the numbers are those of the whole model."""
        model = HookedTransformer.from_pretrained(folder, device="cpu")
        wanted = model(TOKENS, return_type="both")
        other = torch.device("cpu:0")
        model.placement = Placement(CPU, (CPU, other, other, CPU), CPU)
        moves: list[torch.device] = []
        original = Tensor.to

        def noted(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if tensor.shape[-1:] == (16,) and args and isinstance(args[0], torch.device):
                moves.append(args[0])
            return original(tensor, *args, **kwargs)

        monkeypatch.setattr(Tensor, "to", noted)
        got = model(TOKENS, return_type="both")
        assert [device for device in moves if device in (CPU, other)][:5] == [CPU, other, other, CPU, CPU]
        assert torch.equal(got.logits, wanted.logits)
        assert torch.equal(got.loss, wanted.loss)
        greedy = {"max_new_tokens": 4, "do_sample": False, "stop_at_eos": False}
        placed = model.generate(TOKENS, **greedy)
        model.placement = None
        assert torch.equal(placed, model.generate(TOKENS, **greedy))

    def test_folding_first(self, folder: Path):
        model = HookedTransformer.from_pretrained(
            folder, device_map={"blocks.3": "meta", "": "cpu"}, fold_ln=True
        )
        assert model.cfg.normalization_type == "RMSPre"
        assert model.blocks[3].attn.W_Q.device == META
        assert model.blocks[2].attn.W_Q.device == model.W_U.device == CPU

    @pytest.mark.skipif(torch.cuda.device_count() > 1, reason="the machine has several")
    def test_more_devices_than_there_are(self, folder: Path):
        with pytest.raises(InputError, match="wanted 2 CUDA devices to spread the model over"):
            HookedTransformer.from_pretrained(folder, n_devices=2, device="cpu")
        with pytest.raises(InputError, match="device_map 'auto', or a table"):
            HookedTransformer.from_pretrained(folder, device_map="balanced")


def test_parts_moved_by_hand_are_refused():
    model = HookedTransformer(dataclasses.replace(config()))
    model.blocks[2].to("meta")
    with pytest.raises(
        InputError, match="wanted a model on one device, or spread by device_map; got parameters on cpu, meta"
    ):
        model(TOKENS % 9)
