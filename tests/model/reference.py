"""The transformer once more, from its formulas: float64, one head at a time, no hooks, nothing shared."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def solu(x: Tensor) -> Tensor:
    weighted = x.exp()
    return x * weighted / weighted.sum(-1, keepdim=True)


ACTIVATIONS = {
    "relu": lambda x: x * (x > 0),
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "gelu_new": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "quick_gelu": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "relu2": lambda x: x**2 * (x > 0),
    "tanh": lambda x: 1 - 2 / (torch.exp(2 * x) + 1),
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "solu": solu,
    "solu_ln": solu,
}


def run_reference(
    config: dict,
    weights: dict[str, Tensor],
    tokens: Tensor,
    attended: Tensor | None = None,
    token_types: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and every activation under its TransformerLens name."""
    weights = {name: weight.detach().double() for name, weight in weights.items()}
    attended = torch.ones_like(tokens) if attended is None else attended
    acts: dict[str, Tensor] = {}
    x = torch.stack([torch.stack([weights["embed.W_E"][t] for t in row]) for row in tokens])
    x = x * config["embedding_scale"]
    if config["post_embedding_ln"]:
        x = norm({**config, "normalization_type": "LN"}, weights, x, acts, "embed.ln.")
    acts["hook_embed"] = x
    if config["n_token_types"]:
        types = torch.zeros_like(tokens) if token_types is None else token_types
        acts["hook_token_type_embed"] = weights["token_type_embed.W_token_type"][types]
        x = x + acts["hook_token_type_embed"]
    kind = config["positional_embedding_type"]
    if kind in ("standard", "sinusoidal", "shortformer"):
        added = positions(config, weights, x, acts, attended)
        x = x if kind == "shortformer" else x + added
    for layer in range(config["n_layers"]):
        x = block(config, weights, x, acts, layer, attended)
    last = {"LN": "RMS", "LNPre": "RMSPre"}[config["normalization_type"]] if config["final_rms"] else None
    last_config = {**config, "normalization_type": last} if last else config
    # A stream that is normed after every addition is not normed again.
    post = config["norm_position"] == "stream"
    final = x if post else norm(last_config, weights, x, acts, "ln_final.")
    acts["unembed.hook_in"] = final
    w_u = weights["embed.W_E"].T if config["tie_word_embeddings"] else weights["unembed.W_U"]
    logits = acts["unembed.hook_out"] = final @ w_u + weights.get("unembed.b_U", torch.zeros(w_u.shape[1]))
    return capped(logits * config["logit_multiplier"], config["output_logits_soft_cap"]), acts


def capped(x: Tensor, cap: float) -> Tensor:
    return x if cap == -1 else cap * (1 - 2 / (torch.exp(2 * x / cap) + 1))


def counted(attended: Tensor) -> Tensor:
    """Each position's number, not counting padding: a loop, one sequence at a time."""
    numbers = torch.zeros(attended.shape, dtype=torch.long)
    for row, mask in enumerate(attended.tolist()):
        seen = 0
        for i, token in enumerate(mask):
            seen += token
            numbers[row, i] = max(seen - 1, 0)
    return numbers


def positions(
    config: dict, weights: dict[str, Tensor], x: Tensor, acts: dict[str, Tensor], attended: Tensor
) -> Tensor:
    d_model = x.shape[2]
    if config["positional_embedding_type"] in ("standard", "shortformer"):
        table = weights["pos_embed.W_pos"]
    else:
        table = torch.zeros(config["n_ctx"], d_model, dtype=torch.float64)
        for i in range(config["n_ctx"]):
            for d in range(d_model):
                angle = i / 10_000 ** ((d - d % 2) / d_model)
                table[i, d] = math.sin(angle) if d % 2 == 0 else math.cos(angle)
    acts["hook_pos_embed"] = table[counted(attended)] * attended[:, :, None]
    return acts["hook_pos_embed"]


def block(
    config: dict,
    weights: dict[str, Tensor],
    x: Tensor,
    acts: dict[str, Tensor],
    layer: int,
    attended: Tensor,
) -> Tensor:
    at, groups = f"blocks.{layer}.", config["n_key_value_heads"] or config["n_heads"]
    acts[at + "hook_resid_pre"] = x
    for site in ("attn_in", "q_input", "k_input", "v_input"):
        heads = config["n_heads"] if site in ("attn_in", "q_input") else groups
        acts[f"{at}hook_{site}"] = torch.stack([x] * heads, 2)
    place = config["norm_position"]
    normed = norm(config, weights, x, acts, at + "ln1.") if place == "before" else x
    out = attention(config, weights, normed, acts, layer, attended)
    after = config["use_normalization_before_and_after"] or place == "after"
    kept = {"LNPre": "LN", "RMSPre": "RMS"}.get(config["normalization_type"], config["normalization_type"])
    weighted = {**config, "normalization_type": kept}
    out = norm(weighted, weights, out, acts, at + "ln1_post.") if after else out
    acts[at + "hook_attn_out"] = out = out * config["residual_multiplier"]
    if config["attn_only"]:
        acts[at + "hook_resid_post"] = x + out
        return x + out
    mid = x if config["parallel_attn_mlp"] else x + out
    if not config["parallel_attn_mlp"]:
        acts[at + "hook_resid_mid"] = mid
    acts[at + "hook_mlp_in"] = mid
    if place == "stream":
        mid = norm(config, weights, mid, acts, at + "ln1.")
        mlp_out = mlp(config, weights, mid, acts, at + "mlp.") * config["residual_multiplier"]
        acts[at + "hook_mlp_out"], acts[at + "hook_resid_post"] = mlp_out, mid + mlp_out
        acts[at + "hook_normalized_resid_post"] = norm(config, weights, mid + mlp_out, acts, at + "ln2.")
        return acts[at + "hook_normalized_resid_post"]
    read = norm(config, weights, mid, acts, at + "ln2.") if place == "before" else mid
    mlp_out = mlp(config, weights, read, acts, at + "mlp.")
    mlp_out = norm(weighted, weights, mlp_out, acts, at + "ln2_post.") if after else mlp_out
    acts[at + "hook_mlp_out"] = mlp_out = mlp_out * config["residual_multiplier"]
    acts[at + "hook_resid_post"] = x + out + mlp_out
    return x + out + mlp_out


def mlp(config: dict, weights: dict[str, Tensor], x: Tensor, acts: dict[str, Tensor], at: str) -> Tensor:
    act = ACTIVATIONS[config["act_fn"]] if isinstance(config["act_fn"], str) else config["act_fn"]
    if config["num_experts"]:
        return experts(config, weights, x, acts, at, act)
    b_in = weights.get(at + "b_in", torch.zeros(config["d_mlp"], dtype=torch.float64))
    b_out = weights.get(at + "b_out", torch.zeros(config["d_model"], dtype=torch.float64))
    if config["gated_mlp"]:
        early = config["gate_biases"]
        acts[at + "hook_pre"] = x @ weights[at + "W_gate"] + (weights[at + "b_gate"] if early else 0)
        acts[at + "hook_pre_linear"] = x @ weights[at + "W_in"] + (b_in if early else 0)
        post = act(acts[at + "hook_pre"]) * acts[at + "hook_pre_linear"] + (0 if early else b_in)
    else:
        acts[at + "hook_pre"] = x @ weights[at + "W_in"] + b_in
        post = act(acts[at + "hook_pre"])
    if config["act_fn"] == "solu_ln":
        acts[at + "hook_mid"] = post
        kind = "LN" if config["normalization_type"] == "LN" else "LNPre"
        post = norm({**config, "normalization_type": kind}, weights, post, acts, at + "ln.")
    acts[at + "hook_post"] = post
    return post @ weights[at + "W_out"] + b_out


def experts(
    config: dict, weights: dict[str, Tensor], x: Tensor, acts: dict[str, Tensor], at: str, act
) -> Tensor:
    """One token at a time."""
    odds = (x @ weights[at + "W_gate"]).exp()
    acts[at + "hook_expert_weights"] = odds = odds / odds.sum(-1, keepdim=True)
    out, chosen = torch.zeros_like(x), torch.zeros(*x.shape[:2], config["experts_per_token"])
    inside: dict[str, list[tuple[int, Tensor]]] = {}
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            ranked = sorted(range(config["num_experts"]), key=lambda e: -odds[b, i, e].item())
            ranked = ranked[: config["experts_per_token"]]
            total = sum(odds[b, i, e] for e in ranked) if config["norm_topk_prob"] else 1
            for place, e in enumerate(ranked):
                chosen[b, i, place] = e
                w = {n: weights[f"{at}experts.{e}.{n}"] for n in ("W_in", "W_gate", "W_out")}
                gate, pre = x[b, i] @ w["W_gate"], x[b, i] @ w["W_in"]
                post = act(gate) * pre
                for name, value in (("gate", gate), ("pre", pre), ("post", post)):
                    inside.setdefault(f"{at}experts.{e}.hook_{name}", []).append((place, value))
                out[b, i] += odds[b, i, e] / total * (post @ w["W_out"])
    for e in range(config["num_experts"]):
        for name in ("gate", "pre", "post"):
            rows = inside.get(f"{at}experts.{e}.hook_{name}")
            empty = torch.zeros(0, config["d_mlp"], dtype=torch.float64)
            acts[f"{at}experts.{e}.hook_{name}"] = empty
            if rows:
                # First those whose first choice it is: sorted() keeps the order of the rest.
                ordered = sorted(rows, key=lambda row: row[0])
                acts[f"{at}experts.{e}.hook_{name}"] = torch.stack([value for _, value in ordered])
    acts[at + "hook_expert_indices"] = chosen
    return out


def attention(
    config: dict,
    weights: dict[str, Tensor],
    x: Tensor,
    acts: dict[str, Tensor],
    layer: int,
    attended: Tensor,
) -> Tensor:
    at, d_head, kind = f"blocks.{layer}.attn.", config["d_head"], config["positional_embedding_type"]
    grouped = config["n_key_value_heads"] is not None
    groups = config["n_key_value_heads"] if grouped else config["n_heads"]
    with_positions = x + acts["hook_pos_embed"] if kind == "shortformer" else x
    made: dict[str, list[Tensor]] = {}
    turned = kind == "rotary" and (config["rotary_layers"] is None or config["rotary_layers"][layer])
    most = math.inf if config["clip_qkv"] is None else config["clip_qkv"]

    def project(name: str, head: int) -> Tensor:
        own = "_" if grouped and name != "Q" else ""
        bias = weights.get(f"{at}{own}b_{name}")
        read = x if name == "V" else with_positions
        out = read @ weights[f"{at}{own}W_{name}"][head] + (0 if bias is None else bias[head])
        made.setdefault(name.lower(), []).append(out)
        if name != "V" and config["use_qk_norm"]:
            out = qk_normed(name, head, out)
        out = torch.where(out > most, most, torch.where(out < -most, -most, out))
        if name != "V" and turned:
            out = rotated(config, out, layer, counted(attended))
            made.setdefault(f"rot_{name.lower()}", []).append(out)
        return out

    def qk_normed(name: str, head: int, out: Tensor) -> Tensor:
        part, scope = f"{name.lower()}_norm", config["qk_norm_scope"]
        together, heads = scope == "all_heads", config["n_heads"] if name == "Q" else groups
        own = "_" if grouped and name != "Q" else ""
        numbers = out
        if together:
            bias = weights.get(f"{at}{own}b_{name}", torch.zeros(heads, d_head))
            every = [with_positions @ weights[f"{at}{own}W_{name}"][h] + bias[h] for h in range(heads)]
            numbers = torch.cat(every, -1)
        mean = numbers.sum(-1, keepdim=True) / numbers.shape[-1] if config["qk_norm_type"] == "LN" else 0
        square = ((numbers - mean) ** 2).sum(-1, keepdim=True) / numbers.shape[-1]
        scale = torch.sqrt(square + config["eps"])
        if not together or head == 0:
            made.setdefault(f"{part}.scale", []).append(scale)
        made.setdefault(f"{part}.normalized", []).append((out - mean) / scale)
        w, b = weights[f"{at}{part}.w"], weights.get(f"{at}{part}.b")
        w, b = (w, b) if scope == "head" else (w[head], None if b is None else b[head])
        return (out - mean) / scale * w + (0 if b is None else b)

    keys = [(project("K", group), project("V", group)) for group in range(groups)]
    scale = config["attn_scale"] if config["use_attn_scale"] else 1
    scale = scale * (layer + 1) if config["scale_attn_by_inverse_layer_idx"] else scale
    if kind == "relative_positional_bias" and layer == 0:
        acts["blocks.0.attn.rel_pos_hook"] = torch.stack(
            [t5_bias(config, weights, head, x.shape[1]) for head in range(config["n_heads"])]
        )[None]
    for head in range(config["n_heads"]):
        q = project("Q", head)
        k, v = keys[head * groups // config["n_heads"]]
        scores = capped(q @ k.transpose(-1, -2) / scale, config["attn_scores_soft_cap"])
        if kind == "alibi":
            scores = scores + alibi(config, head, attended) / (scale if config["alibi_scaled"] else 1)
        if kind == "relative_positional_bias":
            scores = scores + acts["blocks.0.attn.rel_pos_hook"][0, head]
        scores = hidden(config, layer, scores, attended)
        weighted = torch.where(scores == -math.inf, 0.0, scores.exp())
        total = weighted.sum(-1, keepdim=True)
        pattern = torch.where(total == 0, 0.0, weighted / total)
        z = pattern @ v
        for name, value in (
            ("attn_scores", scores),
            ("pattern", pattern),
            ("z", z),
            ("result", z @ weights[f"{at}W_O"][head]),
        ):
            made.setdefault(name, []).append(value)
    for name, values in made.items():
        full_name = name.replace(".", ".hook_") if "." in name else f"hook_{name}"
        acts[at + full_name] = torch.stack(values, 1 if name in ("attn_scores", "pattern") else 2)
    return sum(made["result"]) + weights.get(f"{at}b_O", 0)


def hidden(config: dict, layer: int, scores: Tensor, attended: Tensor) -> Tensor:
    local = config["use_local_attn"] and config["attn_types"][layer] == "local"
    scores = scores.clone()
    for b in range(scores.shape[0]):
        for query in range(scores.shape[1]):
            for key in range(scores.shape[2]):
                future = config["attention_dir"] == "causal" and key > query
                far = local and abs(query - key) >= config["window_size"]
                if future or far or not attended[b, key]:
                    scores[b, query, key] = -math.inf
    return scores


def rotated(config: dict, x: Tensor, layer: int, numbers: Tensor) -> Tensor:
    """Each pair of dimensions, at each position, by an angle of its own."""
    local = config["use_local_attn"] and config["attn_types"][layer] == "local"
    base = config["rotary_base_local"] if local and config["rotary_base_local"] else config["rotary_base"]
    dim, out = config["rotary_dim"], x.clone()
    for pair in range(dim // 2):
        speed = stretched(config, base ** (-2 * pair / dim), base, pair, local)
        if config["use_longrope"] and not (local and config["rotary_scaling_local"] is False):
            long = numbers.max() + 1 > config["longrope_original_ctx_len"]
            speed = speed / config["longrope_long_factors" if long else "longrope_short_factors"][pair]
        i, j = (2 * pair, 2 * pair + 1) if config["rotary_adjacent_pairs"] else (pair, pair + dim // 2)
        angle = numbers.double() * speed
        grown = config["yarn_attention_factor"] if yarn_here(config, local) else 1
        if config["use_longrope"] and not (local and config["rotary_scaling_local"] is False):
            grown = config["longrope_attention_factor"]
        out[..., i] = grown * (x[..., i] * torch.cos(angle) - x[..., j] * torch.sin(angle))
        out[..., j] = grown * (x[..., i] * torch.sin(angle) + x[..., j] * torch.cos(angle))
    return out


def yarn_here(config: dict, local: bool) -> bool:
    return config["use_yarn_rope"] and not (local and config["yarn_global_attn_only"])


def stretched(config: dict, speed: float, base: float, pair: int, local: bool) -> float:
    if config["use_NTK_by_parts_rope"] and local and config["rotary_scaling_local"] is False:
        return speed
    if config["use_NTK_by_parts_rope"]:
        low, high = config["NTK_by_parts_low_freq_factor"], config["NTK_by_parts_high_freq_factor"]
        wavelength = 2 * math.pi / speed
        if wavelength > config["NTK_original_ctx_len"] / low:
            return speed / config["NTK_by_parts_factor"]
        if wavelength < config["NTK_original_ctx_len"] / high:
            return speed
        smooth = (config["NTK_original_ctx_len"] / wavelength - low) / (high - low)
        return (1 - smooth) * speed / config["NTK_by_parts_factor"] + smooth * speed
    if yarn_here(config, local):
        dim, n_ctx = config["rotary_dim"], config["yarn_original_max_position_embeddings"]

        def pair_that_turns(times: float) -> float:
            return dim * math.log(n_ctx / (times * 2 * math.pi)) / (2 * math.log(base))

        low, high = pair_that_turns(config["yarn_beta_fast"]), pair_that_turns(config["yarn_beta_slow"])
        if config["yarn_truncate"]:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, dim - 1)
        ramp = (pair - low) / (high - low if high != low else 0.001)
        ramp = min(max(ramp, 0), 1)
        return speed * (1 - ramp) + speed / config["yarn_factor"] * ramp
    spared = local and not config["rotary_scaling_local"]
    return speed / (1 if spared else config["rotary_scaling_factor"])


def alibi(config: dict, head: int, attended: Tensor) -> Tensor:
    n_heads, rounded = config["n_heads"], config["alibi_rounded"]
    slope = 2 ** (-8 * (head + 1) / n_heads)
    power = 2 ** math.floor(math.log2(n_heads))
    if config["alibi_slopes"] == "nearest_power" and power < n_heads:
        # The heads that are left have the 1st, 3rd, 5th of twice as many.
        slope = 2 ** (-8 * (head + 1) / power)
        if head >= power:
            slope = 2 ** (-4 * (2 * (head - power) + 1) / power)
    places = counted(attended).tolist()
    bias = torch.zeros(*attended.shape, attended.shape[1], dtype=torch.float64)
    for b, numbers in enumerate(places):
        of_key = [brief(brief(slope) * number) if rounded else slope * number for number in numbers]
        for query in range(len(numbers)):
            for key in range(query):
                bias[b, query, key] = of_key[key] - of_key[query]
    return bias


def brief(number: float) -> float:
    """Rounded to eight significant bits, the even one of two that are as near."""
    if number == 0:
        return 0.0
    unit = 2.0 ** (math.floor(math.log2(abs(number))) - 7)
    return round(number / unit) * unit


def t5_bias(config: dict, weights: dict[str, Tensor], head: int, n_pos: int) -> Tensor:
    table = weights["blocks.0.attn.rel_pos_bias.weight"]
    bias = torch.zeros(n_pos, n_pos, dtype=torch.float64)
    for query in range(n_pos):
        for key in range(n_pos):
            bias[query, key] = table[t5_bucket(config, key - query), head]
    return bias


def t5_bucket(config: dict, ahead: int) -> int:
    n, most = config["relative_attention_num_buckets"], config["relative_attention_max_distance"]
    start = 0
    if config["attention_dir"] == "bidirectional":
        n //= 2
        start = n if ahead > 0 else 0
        distance = abs(ahead)
    else:
        distance = max(-ahead, 0)
    exact = n // 2
    if distance < exact:
        return start + distance
    far = exact + int(math.log(distance / exact) / math.log(most / exact) * (n - exact))
    return start + min(far, n - 1)


def norm(config: dict, weights: dict[str, Tensor], x: Tensor, acts: dict[str, Tensor], at: str) -> Tensor:
    kind = config["normalization_type"]
    if kind is None:
        return x
    if kind.startswith("LN") and not (at == "ln_final." and config.get("final_rms")):
        x = x - x.sum(-1, keepdim=True) / x.shape[-1]
    square = (x**2).sum(-1, keepdim=True) / x.shape[-1]
    acts[at + "hook_scale"] = torch.sqrt(square + config["eps"])
    acts[at + "hook_normalized"] = x / acts[at + "hook_scale"]
    return acts[at + "hook_normalized"] * weights.get(at + "w", 1.0) + weights.get(at + "b", 0.0)
