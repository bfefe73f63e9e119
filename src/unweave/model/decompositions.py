"""The residual stream, layer by layer and split into what was written to it; and what that says about logits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from unweave.core.errors import InputError, MissingActivation
from unweave.core.slices import Slice, as_slice
from unweave.model.components import AnySlice, Components, Stack

Mode = Literal["all", "mlp", "attn"]
TokenIds = int | Tensor | str

# Positional embeddings that are added to the residual stream; others act inside attention.
ADDED_POSITIONS = ("standard", "sinusoidal")


class Decompositions(Components):
    """See `Components` for what `layer` and `pos_slice` mean.

    What claims to be a whole decomposition is checked against the residual stream, which must
    therefore have been cached.
    """

    def accumulated_resid(
        self,
        layer: int | None = None,
        incl_mid: bool = False,
        apply_ln: bool = False,
        pos_slice: AnySlice = None,
        mlp_input: bool = False,
        return_labels: bool = False,
    ) -> Stack:
        """The residual stream before each layer up to `layer`: `[stage, *batch_and_pos, d_model]`.

        The stages are "0_pre", "0_mid" (with `incl_mid`), "1_pre", …, "final_post". With the final
        norm and the unembedding on top this is the logit lens (nostalgebraist, 2020).

        Args:
            apply_ln: apply the norm of `layer`; the final one anew to each stage, that of a layer
                before with its scale frozen.
            mlp_input: go on to the stream before the MLP of `layer`.
            return_labels: return (stack, labels).
        """
        upto, where = self._up_to(layer), as_slice(pos_slice)
        self._require_mlp(upto, mlp_input)
        if incl_mid:
            self._require_mid()
        stages: dict[str, Tensor] = {}
        for at in range(upto + 1):
            final = at == self._layer_count()
            stages["final_post" if final else f"{at}_pre"] = self._stream(at, False, where)
            if (incl_mid and at < upto) or (self._after_attention(mlp_input) and at == upto):
                stages[f"{at}_mid"] = self._stream(at, True, where)
        stack = torch.stack(list(stages.values()))
        if apply_ln:
            final = upto == self._layer_count()
            stack = self.apply_ln_to_stack(stack, upto, mlp_input, pos_slice=where, recompute_ln=final)
        return (stack, list(stages)) if return_labels else stack

    def decompose_resid(
        self,
        layer: int | None = None,
        mlp_input: bool = False,
        mode: Mode = "all",
        apply_ln: bool = False,
        pos_slice: AnySlice = None,
        incl_embeds: bool = True,
        return_labels: bool = False,
    ) -> Stack:
        """What embeddings, attention and MLPs wrote before `layer`: `[part, *batch_and_pos, d_model]`.

        The parts are "embed", "pos_embed" (where it is added), "token_type_embed" (where there are
        types), "0_attn_out", "0_mlp_out", …

        Args:
            mlp_input: the input to the MLP of `layer` is meant, so its attn_out is a part too, unless
                the two are parallel.
            mode: "attn" or "mlp" leave the outputs of the other out.
            apply_ln: see `apply_ln_to_stack`.
            return_labels: return (stack, labels).

        Raises:
            InputError: if, with every kind of part, they don't sum to the residual stream.
        """
        self._require_additive()
        if mode not in ("all", "mlp", "attn"):
            raise InputError(wanted="mode 'all', 'mlp' or 'attn'", got=repr(mode), remedy="write one of them")
        upto, where = self._up_to(layer), as_slice(pos_slice)
        self._require_mlp(upto, mlp_input)
        sites = ("attn_out",) if self._opened().cfg.attn_only else ("attn_out", "mlp_out")
        wanted = [site for site in sites if mode in ("all", site.removesuffix("_out"))]
        names = [(site, at) for at in range(upto) for site in wanted]
        names += [("attn_out", upto)] if self._after_attention(mlp_input) and "attn_out" in wanted else []
        parts = self._embeddings(where) if incl_embeds else {}
        parts |= {f"{at}_{site}": where.apply(self[site, at], -2) for site, at in names}
        if not parts:
            raise InputError(
                wanted="parts to stack", got="none", remedy="ask for a layer above 0, or for embeddings"
            )
        stack = torch.stack(list(parts.values()))
        if len(wanted) == len(sites):
            whole = self._stream(upto, mlp_input, where)
            whole = whole if incl_embeds else whole - self._stream(0, False, where)
            self.require_sum(stack, whole, "outputs of layers", "residual stream")
        if apply_ln:
            stack = self.apply_ln_to_stack(stack, upto, mlp_input, pos_slice=where)
        return (stack, list(parts)) if return_labels else stack

    def get_full_resid_decomposition(
        self,
        layer: int | None = None,
        mlp_input: bool = False,
        expand_neurons: bool = True,
        apply_ln: bool = False,
        pos_slice: AnySlice = None,
        return_labels: bool = False,
        project_output_onto: Tensor | None = None,
    ) -> Stack:
        """The residual stream before `layer` as heads, neurons, embeddings and biases.

        `[part, *batch_and_pos, d_model]`: heads ("L0H0"), then neurons ("L0N0"), then "embed",
        "pos_embed" and "token_type_embed" (where they are added) and "bias": the sum of every `b_O`
        and `b_out`, through the norms and multipliers that what is written passes.

        Args:
            mlp_input: the input to the MLP of `layer` is meant, so its heads are parts too, unless the
                two are parallel.
            expand_neurons: False keeps each MLP whole ("0_mlp_out"), its bias included.
            apply_ln: see `apply_ln_to_stack`.
            return_labels: return (stack, labels).
            project_output_onto: see `stack_neuron_results`.

        Raises:
            InputError: if the parts don't sum to the residual stream, read in the same way.
        """
        self._require_additive()
        upto, where = self._up_to(layer), as_slice(pos_slice)
        self._require_mlp(upto, mlp_input)
        reading = self._reading(
            upto, mlp_input=mlp_input, apply_ln=apply_ln, pos_slice=where, directions=project_output_onto
        )
        whole = self._stream(upto, mlp_input, where)
        stacks: list[Tensor] = []
        labels: list[str] = []
        with_heads = range(upto + self._after_attention(mlp_input))
        for at in with_heads:
            heads = self._head_rows(at, where)
            stacks.append(reading.of(heads))
            labels += [f"L{at}H{head}" for head in range(len(heads))]
        neurons = expand_neurons and not self._opened().cfg.attn_only
        for at in range(0 if self._opened().cfg.attn_only else upto):
            if neurons:
                rows = self._neuron_rows(at, Slice(), where, reading)
                labels += self._neuron_labels(at, Slice())
            else:
                rows = reading.of(where.apply(self["mlp_out", at], -2)[None])
                labels.append(f"{at}_mlp_out")
            stacks.append(rows)
        biases = [self._written_bias(at, "attn", where) for at in with_heads]
        biases += [self._written_bias(at, "mlp", where) for at in range(upto if neurons else 0)]
        rest = self._embeddings(where)
        rest["bias"] = torch.zeros_like(whole) + sum(biases, whole.new_zeros(()))
        labels += list(rest)
        stack = torch.cat([*stacks, reading.of(torch.stack(list(rest.values())))])
        self.require_sum(
            stack, reading.of(whole[None])[0], "heads, neurons, embeddings and biases", "residual stream"
        )
        return (stack, labels) if return_labels else stack

    def apply_ln_to_stack(
        self,
        residual_stack: Tensor,
        layer: int | None = None,
        mlp_input: bool = False,
        pos_slice: AnySlice = None,
        batch_slice: AnySlice = None,
        has_batch_dim: bool = True,
        recompute_ln: bool = False,
    ) -> Tensor:
        """What each part of a stack contributes to the output of the norm before `layer`.

        The norm's scale is that of the run, so that contributions sum; its bias is no part's and
        left out. Its weight is applied, where TransformerLens takes it to be folded away and
        leaves it out.

        Args:
            residual_stack: `[part, *batch_and_pos, d_model]`, of which `pos_slice` was taken already.
            layer: n_layers (None, -1) is the final norm.
            mlp_input: the norm before the MLP of `layer`, not before its attention.
            batch_slice: the sequences to take, of the stack as of the scale.
            has_batch_dim: whether the stack has a batch dimension to take `batch_slice` of.
            recompute_ln: normalise each part by itself instead, as the logit lens does: each then
                has the norm's bias.

        Raises:
            InputError: if the stack's positions or sequences are not those of the scale.
        """
        upto, cfg = self._up_to(layer), self._opened().cfg
        self._require_mlp(upto, mlp_input)
        stack = as_slice(batch_slice).apply(residual_stack, 1) if has_batch_dim else residual_stack
        if recompute_ln:
            return self._normalised(stack, upto, mlp_input)
        reading = self._reading(
            upto, mlp_input=mlp_input, apply_ln=True, pos_slice=pos_slice, batch_slice=batch_slice
        )
        if reading.scale is not None and reading.scale.shape[:-1] != stack.shape[1:-1]:
            raise InputError(
                wanted=f"a stack [part, {', '.join(map(str, reading.scale.shape[:-1]))}, {cfg.d_model}]",
                got=f"shape {tuple(stack.shape)}",
                remedy="pass the pos_slice and batch_slice that the stack was made with",
            )
        return reading.of(stack)

    def logit_attrs(
        self,
        residual_stack: Tensor,
        tokens: TokenIds,
        incorrect_tokens: TokenIds | None = None,
        pos_slice: AnySlice = None,
        batch_slice: AnySlice = None,
        has_batch_dim: bool = True,
    ) -> Tensor:
        """Each part's direct share of the logit of `tokens`: `[part, *batch_and_pos]`.

        Shares of a whole decomposition sum to the logit, before any soft-cap, less what is no
        part's: `b_U`, and `b @ W_U` for the bias `b` of the final norm, all of them times
        `logit_multiplier`. (Elhage et al., 2021,
        "A Mathematical Framework for Transformer Circuits".)

        Args:
            residual_stack: `[part, *batch_and_pos, d_model]`, without a norm applied.
            tokens: one token, or as many as there are sequences and positions in the result, 1
                standing for any number.
            incorrect_tokens: of the same shape; shares of the difference of logits, then.
            pos_slice, batch_slice, has_batch_dim: see `apply_ln_to_stack`.

        Raises:
            InputError: for tokens outside the vocabulary or of another shape.
        """
        self._require_additive()
        stack = self.apply_ln_to_stack(residual_stack, None, False, pos_slice, batch_slice, has_batch_dim)
        right = self._token_ids(tokens)
        directions = self._token_directions(right, stack)
        if incorrect_tokens is not None:
            wrong = self._token_ids(incorrect_tokens)
            if wrong.shape != right.shape:
                raise InputError(
                    wanted=f"incorrect_tokens of shape {tuple(right.shape)}, as tokens",
                    got=f"shape {tuple(wrong.shape)}",
                    remedy="name as many of the one as of the other",
                )
            directions = directions - self._token_directions(wrong, stack)
        shares = (stack * directions).sum(-1)
        times = self._opened().cfg.logit_multiplier
        return shares if times == 1.0 else shares * times

    def _token_ids(self, tokens: TokenIds) -> Tensor:
        if isinstance(tokens, str):
            raise InputError(
                wanted="tokens as whole numbers",
                got=repr(tokens),
                remedy="tokenize first, and pass its number",
            )
        ids, size = torch.as_tensor(tokens), self._opened().cfg.d_vocab_out
        if ids.is_floating_point() or ids.dtype == torch.bool or ((ids < 0) | (ids >= size)).any():
            raise InputError(
                wanted=f"tokens as whole numbers from 0 to {size - 1}",
                got=f"{ids.dtype} {ids.flatten()[:5].tolist()}",
                remedy="check the vocabulary that they were made with",
            )
        return ids

    def _token_directions(self, ids: Tensor, stack: Tensor) -> Tensor:
        """The unembedding of each token, `[*batch_and_pos, d_model]` or `[d_model]`."""
        w_u, around = self._opened().W_U, stack.shape[1:-1]
        ids = (ids.reshape(()) if ids.numel() == 1 else ids).to(w_u.device)
        fits = ids.ndim == len(around) and all(n in (1, m) for n, m in zip(ids.shape, around, strict=True))
        if ids.ndim and not fits:
            raise InputError(
                wanted=f"one token, or tokens of shape {tuple(around)} (1 for any number)",
                got=f"shape {tuple(ids.shape)}",
                remedy="write tokens[:, None] for one token a sequence, or slice the positions",
            )
        return w_u[:, ids].movedim(0, -1)

    def _normalised(self, stack: Tensor, layer: int, mlp_input: bool) -> Tensor:
        _, norm = self._norm(layer, mlp_input)
        return stack if norm is None else norm.quiet(stack)

    def _embeddings(self, pos_slice: Slice) -> dict[str, Tensor]:
        names = ["embed"]
        if self._opened().cfg.positional_embedding_type in ADDED_POSITIONS:
            names.append("pos_embed")
        if self._opened().cfg.n_token_types:
            names.append("token_type_embed")
        missing = [name for name in names if name not in self]
        if missing:
            raise MissingActivation(
                wanted=f"{missing[0]}, a part of the residual stream",
                got="a cache without it",
                remedy=f"cache hook_{missing[0]} too",
            )
        return {name: pos_slice.apply(self[name], -2) for name in names}

    def _require_mlp(self, layer: int, mlp_input: bool) -> None:
        if mlp_input and layer == self._layer_count():
            raise InputError(
                wanted="a layer whose MLP is meant by mlp_input",
                got=f"layer {layer}, the unembedding",
                remedy="name a layer below n_layers",
            )
        if mlp_input and self._opened().cfg.attn_only:
            raise InputError(
                wanted="a layer whose MLP is meant by mlp_input",
                got="a model of attention alone",
                remedy="leave mlp_input out",
            )

    def _require_mid(self) -> None:
        cfg = self._opened().cfg
        if cfg.attn_only or cfg.parallel_attn_mlp:
            raise InputError(
                wanted="a model whose MLPs read what attention wrote, for incl_mid",
                got="attention alone" if cfg.attn_only else "attention and MLPs that are parallel",
                remedy="leave incl_mid out: there is no resid_mid",
            )

    def _after_attention(self, mlp_input: bool) -> bool:
        """Whether the input that is meant has this layer's own attention in it."""
        return mlp_input and not self._opened().cfg.parallel_attn_mlp
