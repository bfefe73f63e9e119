"""What a store holds: each row beside the run that it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import unweave
from tests.core.unchecked import as_users_run
from tests.model.small import small_model
from unweave import Inputs, Site, store
from unweave.core.errors import HookError, InputError

SITE = "blocks.1.hook_resid_post"


def tokens_of(samples: int, n_pos: int = 6, seed: int = 0) -> Tensor:
    return torch.randint(0, 11, (samples, n_pos), generator=torch.Generator().manual_seed(seed))


def padded(tokens: Tensor) -> Inputs:
    """Left-padded, by sample number modulo 3."""
    mask = torch.ones_like(tokens)
    for row in range(len(tokens)):
        mask[row, : row % 3] = 0
    return Inputs(tokens, mask)


def test_each_row_is_the_activation_at_its_sample_and_position(tmp_path: Path):
    model, inputs = small_model(positional_embedding_type="standard"), padded(tokens_of(7))
    kept = store.write(model, inputs, ["resid_post", "z"], tmp_path / "s", batch_size=3, shard_tokens=8)
    _, cache = model.run_with_cache(inputs.tokens, attention_mask=inputs.attention_mask)
    assert len(kept) == int(inputs.attention_mask.sum())
    assert len(kept.index.shards) > 2
    assert set(kept.sites) == {
        f"blocks.{n}.{part}" for n in (0, 1) for part in ("hook_resid_post", "attn.hook_z")
    }
    samples, positions = kept.samples[:], kept.positions[:].long()
    assert inputs.attention_mask[samples, positions].all(), "a row of padding"
    assert torch.equal(kept.tokens[:].long(), inputs.tokens[samples, positions])
    for site in kept.sites:
        torch.testing.assert_close(kept[site][:], cache[site][samples, positions], rtol=1e-5, atol=1e-6)
    # The plausible mistake: running without the mask, and only then leaving padding out.
    _, unmasked = model.run_with_cache(inputs.tokens)
    wrong = unmasked[SITE][samples, positions]
    assert (wrong - kept[SITE][:]).abs().max() > 0.01


def test_padding_can_be_kept_and_tokens_left_out(tmp_path: Path):
    model, inputs = small_model(), padded(tokens_of(5))
    all_rows = store.write(model, inputs, SITE, tmp_path / "all", padding="keep", shard_tokens=7)
    assert len(all_rows) == inputs.tokens.numel()
    rows = all_rows.samples[:], all_rows.positions[:].long()
    assert torch.equal(all_rows.attended[:], inputs.attention_mask[rows].bool())
    without = store.write(model, inputs, SITE, tmp_path / "without", exclude=[3, 4])
    kept = inputs.attention_mask.bool() & (inputs.tokens != 3) & (inputs.tokens != 4)
    assert len(without) == int(kept.sum())
    assert not set(without.tokens[:].tolist()) & {3, 4}
    with pytest.raises(InputError, match=r"wanted a store that keeps padding; got one without any"):
        without.attended  # noqa: B018


def test_how_the_data_is_divided_changes_nothing(tmp_path: Path):
    model, tokens = small_model(), tokens_of(9)
    whole = store.write(model, tokens, SITE, tmp_path / "a", batch_size=4, shard_tokens=10)
    one_by_one = store.write(model, iter(tokens), SITE, tmp_path / "b", batch_size=4, shard_tokens=10)
    in_threes = store.write(model, (tokens[i : i + 3] for i in range(0, 9, 3)), SITE, tmp_path / "c", batch_size=4,
                            shard_tokens=10)  # fmt: skip
    assert whole.index == one_by_one.index == in_threes.index  # hashes of every file among it


def test_samples_of_different_lengths(tmp_path: Path):
    model = small_model()
    data = [tokens_of(1, n_pos, seed=n_pos)[0] for n_pos in (3, 3, 5, 2)]
    kept = store.write(model, data, SITE, tmp_path / "s")
    assert kept.n_samples == 4
    for number, tokens in enumerate(data):
        rows = kept.rows_of(number)
        assert kept.tokens[list(rows)].tolist() == tokens.tolist()
        torch.testing.assert_close(kept[SITE][list(rows)], model.run_with_cache(tokens)[1][SITE][0])


@pytest.mark.parametrize(
    ("dtype", "eps"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3), (torch.float32, 1e-6)]
)
def test_smaller_dtypes(tmp_path: Path, dtype: torch.dtype, eps: float):
    model, tokens = small_model(), tokens_of(4)
    kept = store.write(model, tokens, "ln_final.hook_normalized", tmp_path / "s", dtype=dtype)
    column = kept["ln_final.hook_normalized"]
    assert column.dtype == dtype
    expected = model.run_with_cache(tokens)[1]["ln_final.hook_normalized"].flatten(0, 1)
    assert (column[:].float() - expected).abs().max() <= eps * expected.abs().max()


def test_numbers_that_the_dtype_cannot_hold_are_refused(tmp_path: Path):
    model = small_model()
    with torch.no_grad():
        model.blocks[0].mlp.b_out[:] = 1e5  # float16 ends at 65504
    with pytest.raises(
        InputError, match=r"wanted finite numbers at .*, as torch.float16; got some as large as 1e\+05"
    ):
        store.write(model, tokens_of(1), SITE, tmp_path / "s", dtype=torch.float16)


def test_batches_are_every_row_once_and_by_seed(tmp_path: Path):
    model, tokens = small_model(), tokens_of(20)
    kept = store.write(model, tokens, ["resid_pre", SITE], tmp_path / "a", shard_tokens=16)
    batches = list(kept.batches(32, seed=1, sites=[SITE], dtype=torch.float64))
    assert [len(batch) for batch in batches] == [32, 32, 32, 24]
    rows = torch.cat([batch.rows for batch in batches])
    assert rows.sort().values.tolist() == list(range(120))
    assert batches[0][SITE].dtype == torch.float64
    for batch in batches:
        assert torch.equal(batch[SITE], kept[SITE][:].double()[batch.rows])
        assert torch.equal(tokens[batch.samples, batch.positions.long()], batch.tokens.long())
    # The plausible mistake: shuffling shards, and rows within each, but not rows across them.
    shard_of = rows // 18
    assert all(len(set(part.tolist())) > 3 for part in shard_of.split(32)[:3])
    again = torch.cat([batch.rows for batch in kept.batches(32, seed=1)])
    other = torch.cat([batch.rows for batch in kept.batches(32, seed=2)])
    assert torch.equal(rows, again) and not torch.equal(rows, other)
    assert [len(b) for b in kept.batches(50, drop_last=True)] == [50, 50]
    assert torch.equal(next(kept.batches(50)).rows, torch.arange(50))
    with pytest.raises(
        InputError, match=r"wanted a site of this batch; got 'resid'; nearest: blocks.1.hook_resid_post"
    ):
        batches[0]["resid"]


def test_rows_are_named_as_a_tensors_are(tmp_path: Path):
    kept = store.write(small_model(), tokens_of(5), SITE, tmp_path / "a", shard_tokens=7)
    column, whole = kept["resid_post", 1], kept[SITE][:]
    assert column.shape == (30, 8) and len(column) == 30
    assert torch.equal(column[-1], whole[-1])
    assert torch.equal(column[3:20:4], whole[3:20:4])
    assert torch.equal(column[[29, 0, 13]], whole[[29, 0, 13]])
    assert torch.equal(column[kept.tokens[:] > 5], whole[kept.tokens[:] > 5])
    assert torch.equal(torch.stack(list(column)), whole)
    with pytest.raises(InputError, match=r"wanted rows from 0 to 29, as a slice"):
        column[[30]]
    with pytest.raises(
        InputError, match=r"wanted a site of the store in .*; got 'blocks.0.hook_resid_post'; it has"
    ):
        kept["blocks.0.hook_resid_post"]


@pytest.mark.parametrize(
    ("sites", "told"),
    [
        (
            "pattern",
            "wanted sites with one entry for each sample and position; got blocks.0.attn.hook_pattern",
        ),
        (
            Site("resid_post", layer=0, pos=1),
            "wanted whole sites, of which .*; got a site with pos; leave pos out",
        ),
        ([], "wanted at least one site; got none"),
    ],
)
def test_sites_that_are_refused(tmp_path: Path, sites: object, told: str):
    with pytest.raises(InputError, match=told):
        store.write(small_model(), tokens_of(1), sites, tmp_path / "s")


def test_what_else_is_refused(tmp_path: Path):
    model = small_model()
    with pytest.raises(HookError, match="nearest"):
        store.write(model, tokens_of(1), "resid_pst", tmp_path / "s")
    model.add_hook(SITE, lambda tensor, hook: tensor * 2)
    with pytest.raises(InputError, match="wanted a model without hooks"):
        store.write(model, tokens_of(1), SITE, tmp_path / "s")
    model.reset_hooks()
    with pytest.raises(InputError, match=r"wanted tokens .* or an iterable of them; got str"), as_users_run():
        store.write(model, "text", SITE, tmp_path / "s")
    with pytest.raises(InputError, match="wanted a part from 0 to of - 1"):
        store.write_part(model, tokens_of(1), SITE, tmp_path / "s", part=2, of=2)
    with pytest.raises(InputError, match=r"wanted a store of activations in .*; got none"):
        store.open(tmp_path / "nothing")


def test_only_the_layers_that_are_needed_run(tmp_path: Path):
    model, ran = small_model(), []
    forward = model.blocks[1].forward
    model.blocks[1].forward = lambda *a, **k: ran.append(1) or forward(*a, **k)  # type: ignore[method-assign]
    store.write(model, tokens_of(2), Site("resid_post", layer=0), tmp_path / "s")
    assert not ran
    assert unweave.store is store
