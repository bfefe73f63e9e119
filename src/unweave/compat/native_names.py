"""Names of models that were trained with TransformerLens, and published in its own format."""

from __future__ import annotations

# The width of each size.
_NEW = {
    "SoLU": {1: 512, 2: 512, 3: 512, 4: 512, 6: 768, 8: 1024, 10: 1280, 12: 1536},
    "GELU": dict.fromkeys((1, 2, 3, 4), 512),
}
_OLD = {1: 9, 2: 10, 4: 11, 6: 13, 8: 21, 10: 22, 12: 23}


def _of_series(repo: str, short: str, *more: str) -> tuple[str, list[str]]:
    return repo, [short, f"{short}-new", f"{short}-c4-code", *more]


# By hub id: its short names, as TransformerLens has them.
NATIVE: dict[str, list[str]] = dict(
    [
        *(
            _of_series(f"NeelNanda/{kind}_{n}L{width}W_C4_Code", f"{kind.lower()}-{n}l")
            for kind, widths in _NEW.items()
            for n, width in widths.items()
        ),
        *(_of_series(f"NeelNanda/Attn_Only_{n}L512W_C4_Code", f"attn-only-{n}l") for n in (1, 2, 3, 4)),
        *(
            (f"NeelNanda/SoLU_{n}L_v{version}_old", [f"solu-{n}l-pile", f"solu-{n}l-old"])
            for n, version in _OLD.items()
        ),
        *(
            (
                f"NeelNanda/SoLU_{n}L512W_Wiki_Finetune",
                [f"solu-{n}l-wiki", f"solu-{n}l-wiki-finetune", f"solu-{n}l-finetune"],
            )
            for n in (1, 4)
        ),
        (
            "NeelNanda/Attn-Only-2L512W-Shortformer-6B-big-lr",
            [
                "attn-only-2l-demo",
                "attn-only-2l-shortformer-6b-big-lr",
                "attn-only-2l-induction-demo",
                "attn-only-demo",
            ],
        ),
        ("Baidicoot/Othello-GPT-Transformer-Lens", ["othello-gpt"]),
    ]
)
IDS = {alias.lower(): repo for repo, aliases in NATIVE.items() for alias in (*aliases, repo)}


def native_id(name: str) -> str:
    """The hub id that a short name stands for; another name is one already."""
    return IDS.get(name.lower(), name)
