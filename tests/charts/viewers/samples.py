"""One viewer of each kind, of numbers that are told apart at a glance, and hostile tokens."""

from __future__ import annotations

import numpy as np

from unweave.charts import Viewer, attention_patterns, colored_tokens, logit_lens_table, token_predictions

HOSTILE = "</script><img src=x onerror='window.hacked=1'><!--"
TOKENS = ["<bos>", "The", " cat", "\n", HOSTILE, "猫"]
N = len(TOKENS)


def patterns(heads: int = 3, n: int = N) -> np.ndarray:
    """Head h attends to the key h back with 0.75, to the first with the rest; each row sums to 1."""
    out = np.zeros((heads, n, n))
    for head in range(heads):
        for query in range(n):
            out[head, query, max(0, query - head)] += 0.75
            out[head, query, 0] += 0.25
    return out


def coloured() -> Viewer:
    values = np.array([[0.5, -1.25, 2.0, np.nan, 0.125, -0.5], [0, 10, 20, 30, 40, 50]]).T
    return colored_tokens(TOKENS, values, features=["first", "second"], unit="activation", title="Features")


def attention() -> Viewer:
    return attention_patterns(TOKENS, patterns(), title="Heads")


def lens() -> Viewer:
    chances = np.array([[[0.5, 0.25]] * N, [[0.75, 0.125]] * N])
    words = [[["dog", "cat"]] * N, [["cat", HOSTILE]] * N]
    return logit_lens_table(TOKENS, words, chances, stages=["0_pre", "final_post"], entropy=np.ones((2, N)))


def predictions() -> Viewer:
    best = np.log(np.array([[0.5, 0.25]] * (N - 1)))
    return token_predictions(
        TOKENS, np.log([0.25, 0.5, 0.125, 0.0625, 0.25]), [1, 0, 2, 9, 1], [["a", TOKENS[1]]] * (N - 1), best
    )


ALL = {"attention": attention, "coloured": coloured, "lens": lens, "predictions": predictions}
