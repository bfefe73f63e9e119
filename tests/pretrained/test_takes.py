"""Rows of a table of weights, against slices written out."""

from __future__ import annotations

import pytest
import torch

from unweave.pretrained.takes import FROM_HEADS, TO_HEADS, Take, expanded, made_shape, take

SIZES = {"d_head": 2, "qkv": 3}


def row(axes: str, **others: object) -> Take:
    [made] = expanded([take("ours", "theirs", axes, **others)], 1, 1, SIZES)
    return made


def numbers(*shape: int) -> torch.Tensor:
    return torch.arange(float(torch.Size(shape).numel())).view(shape)


def test_heads_of_a_linear_map():
    weight = numbers(6, 5)
    got = row(TO_HEADS).of(weight)
    assert got.shape == (3, 5, 2)
    assert torch.equal(got[1], weight[2:4].T)
    out = numbers(5, 6)
    assert torch.equal(row(FROM_HEADS).of(out)[2], out[:, 4:6].T)


def test_parts_side_by_side():
    weight = numbers(5, 18)  # GPT-2's: 5 in; queries, keys, values of 3 heads of 2 out
    got = row("d_model (qkv head d_head) -> head d_model d_head", qkv=1).of(weight)
    assert torch.equal(got[2], weight[:, 6 + 4 : 6 + 6])


def test_parts_within_each_head():
    weight = numbers(18, 5)  # GPT-NeoX's: head by head, its queries, keys, values
    got = row("(head qkv d_head) d_model -> head d_model d_head", qkv=2).of(weight)
    assert torch.equal(got[1], weight[6 + 4 : 6 + 6].T)


def test_several_members_of_each_group():
    weight = numbers(16, 5)  # Falcon's: 2 groups of 2 queries, a key and a value, of size 2
    axes = "(group member d_head) d_model -> (group member) d_model d_head"
    got = row(axes, member=slice(0, -2), sizes={"member": 4}).of(weight)
    assert got.shape == (4, 5, 2)
    assert torch.equal(got[3], weight[8 + 2 : 8 + 4].T)
    key = row("(group member d_head) d_model -> group d_model d_head", member=-2, sizes={"member": 4})
    assert torch.equal(key.of(weight)[1], weight[8 + 4 : 8 + 6].T)


def test_rows_of_pieces_of_different_sizes():
    weight = numbers(10, 5)
    assert torch.equal(row(TO_HEADS, rows=(6, 8)).of(weight)[0], weight[6:8].T)
    assert made_shape(row(TO_HEADS, rows=(8, None)), (10, 5)) == (1, 5, 2)
    assert made_shape(row(TO_HEADS, rows=(8, None)), (12, 5)) == (2, 5, 2)


def test_experts_in_one_tensor():
    weight = numbers(4, 3, 5)
    rows = expanded([take("e.{expert}.W", "experts", "expert d_out d_in -> d_in d_out", expert=0)], 1, 4, {})
    assert [one.ours for one in rows] == ["e.0.W", "e.1.W", "e.2.W", "e.3.W"]
    assert torch.equal(rows[2].of(weight), weight[2].T)


def test_a_number_added_keeps_the_dtype():
    got = row("", plus=1.0).of(torch.tensor([0.5], dtype=torch.bfloat16))
    assert got.dtype == torch.bfloat16
    assert got.item() == 1.5


def test_what_needs_no_copy_is_none():
    fused = numbers(5, 18)
    got = row("d_model (qkv head d_head) -> head d_model d_head", qkv=1).of(fused)
    assert got.untyped_storage().data_ptr() == fused.untyped_storage().data_ptr()
    # The model multiplies by it in this form, which must not be a copy either.
    assert got.transpose(0, 1).flatten(1).data_ptr() == got.data_ptr()


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="wanted theirs of a shape as"):
        made_shape(row(TO_HEADS), (5, 5))
    with pytest.raises(ValueError, match="wanted theirs of a shape as"):
        made_shape(row(TO_HEADS), (6, 5, 1))
