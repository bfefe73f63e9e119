from __future__ import annotations

import pytest

from unweave.core.errors import InputError
from unweave.core.sites import attn_site, block_site, get_act_name, mlp_site, norm_site

# Typed from the docstring and the source of transformer_lens.utils.get_act_name.
TRANSFORMER_LENS = [
    (("embed",), "hook_embed"),
    (("pos_embed",), "hook_pos_embed"),
    (("resid_pre", 0), "blocks.0.hook_resid_pre"),
    (("attn_out", 1), "blocks.1.hook_attn_out"),
    (("resid_mid", 2), "blocks.2.hook_resid_mid"),
    (("mlp_out", 3), "blocks.3.hook_mlp_out"),
    (("resid_post", 11), "blocks.11.hook_resid_post"),
    (("resid_post", 11, "block"), "blocks.11.hook_resid_post"),
    (("q", 0), "blocks.0.attn.hook_q"),
    (("k", 6, "a"), "blocks.6.attn.hook_k"),
    (("v", 0, "attn"), "blocks.0.attn.hook_v"),
    (("v", 0, "attention"), "blocks.0.attn.hook_v"),
    (("z", 0), "blocks.0.attn.hook_z"),
    (("result", 0), "blocks.0.attn.hook_result"),
    (("attn_scores", 0), "blocks.0.attn.hook_attn_scores"),
    (("pattern", 0), "blocks.0.attn.hook_pattern"),
    (("attn", 0), "blocks.0.attn.hook_pattern"),
    (("attn_logits", 0), "blocks.0.attn.hook_attn_scores"),
    (("query", 0), "blocks.0.attn.hook_q"),
    (("key", 0), "blocks.0.attn.hook_k"),
    (("value", 0), "blocks.0.attn.hook_v"),
    (("pre", 2), "blocks.2.mlp.hook_pre"),
    (("post", 2, "m"), "blocks.2.mlp.hook_post"),
    (("mlp_pre", 2), "blocks.2.mlp.hook_pre"),
    (("mlp_post", 2), "blocks.2.mlp.hook_post"),
    (("scale", 4, "ln1"), "blocks.4.ln1.hook_scale"),
    (("normalized", 27, "ln2"), "blocks.27.ln2.hook_normalized"),
    (("scale",), "ln_final.hook_scale"),
    (("normalized",), "ln_final.hook_normalized"),
    (("k6",), "blocks.6.attn.hook_k"),
    (("pre5",), "blocks.5.mlp.hook_pre"),
    (("scale4ln1",), "blocks.4.ln1.hook_scale"),
    (("scale", 4, "ln2_post"), "blocks.4.ln2_post.hook_scale"),
    (("normalized_resid_post", 1), "blocks.1.hook_normalized_resid_post"),
    (("hook_embed",), "hook_embed"),
    (("blocks.0.attn.hook_q",), "blocks.0.attn.hook_q"),
]


@pytest.mark.parametrize(("shorthand", "full_name"), TRANSFORMER_LENS)
def test_shorthands_mean_what_they_mean_in_transformer_lens(shorthand: tuple, full_name: str):
    assert get_act_name(*shorthand) == full_name


def test_a_shorthand_with_an_underscore_may_carry_its_layer():
    assert get_act_name("resid_post12") == "blocks.12.hook_resid_post"


def test_the_parts_spell_the_names():
    assert block_site(1, "resid_mid") == "blocks.1.hook_resid_mid"
    assert attn_site(2, "z") == "blocks.2.attn.hook_z"
    assert mlp_site(3, "pre") == "blocks.3.mlp.hook_pre"
    assert norm_site("ln2", "normalized", 0) == "blocks.0.ln2.hook_normalized"
    assert norm_site("ln_final", "scale") == "ln_final.hook_scale"


@pytest.mark.parametrize(
    ("shorthand", "sentence"),
    [
        (("patern", 0), "wanted the name of a site; got 'patern'; nearest: pattern"),
        (("q",), "wanted a layer for the site 'q'; got none; write (\"q\", 0)"),
        (("attn",), "wanted a layer for the site 'attn'; got none; write (\"attn\", 0)"),
        (
            ("scale", 4),
            "wanted 'ln1' or 'ln2' or 'ln1_post' or 'ln2_post' for the site 'scale'; got none; write (\"scale\", 0, \"ln1\")",
        ),
        (
            ("scale", 4, "ln3"),
            "wanted 'ln1' or 'ln2' or 'ln1_post' or 'ln2_post' for the site 'scale'; got 'ln3'",
        ),
        (("k", 6, "mlp"), "wanted 'attn' for the site 'k'; got 'mlp'; write (\"k\", 0, \"attn\")"),
        (("resid_pre", 6, "attn"), "wanted no layer type for the site 'resid_pre'; got 'attn'"),
        (("embed", 3), "wanted the name 'embed' alone, for hook_embed; got layer 3"),
        (("hook_embed", 3), "wanted the name 'hook_embed' alone, for hook_embed; got layer 3"),
        (("scale", None, "ln1"), "wanted the name 'scale' alone, for ln_final.hook_scale; got layer None"),
    ],
)
def test_what_fits_no_name_is_refused(shorthand: tuple, sentence: str):
    with pytest.raises(InputError) as raised:
        get_act_name(*shorthand)
    assert str(raised.value).startswith(sentence)
