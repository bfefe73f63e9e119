"""What single heads and neurons wrote to the residual stream, stacked over layers."""

from __future__ import annotations

import torch
from torch import Tensor

from unweave.core.errors import InputError, MissingActivation
from unweave.core.sites import attn_site, block_site, norm_site
from unweave.core.slices import Slice, SliceInput, as_slice
from unweave.model.cached import CachedActivations
from unweave.model.neurons import neuron_labels, neurons_of
from unweave.model.norm import Norm
from unweave.model.reading import Reading, require_directions, require_sum

AnySlice = Slice | SliceInput
Stack = Tensor | tuple[Tensor, list[str]]

# What a layer's output goes through before it is added to the stream, where there is such a norm.
POST_NORMS = {"attn": "ln1_post", "mlp": "ln2_post"}


class Components(CachedActivations):
    """Stacks begin with a dimension of components; `layer` is what they are the input to.

    `layer` goes from 0 to n_layers; None and -1 mean n_layers, the input of the unembedding.
    `pos_slice` is what TransformerLens calls a slice: an int drops the dimension.
    """

    def stack_activation(
        self, activation_name: str, layer: int | None = -1, sublayer_type: str | None = None
    ) -> Tensor:
        """One activation of every layer before `layer`: `[layer, ...]`.

        Raises:
            MissingActivation: for a layer at which it was not cached.
        """
        layers = range(self._up_to(layer))
        if not layers:
            raise InputError(wanted="a layer above 0", got="0", remedy="name the layer after those to stack")
        return torch.stack([self[activation_name, at, sublayer_type] for at in layers])

    def compute_head_results(self) -> None:
        """Put each head's own output, `hook_result` `[batch, pos, head, d_model]`, into this cache.

        Computed from `hook_z`; what was cached stays. A layer's attn_out is their sum plus `b_O`,
        through the norm after it and times the multiplier, where a config has these.
        """
        for layer in range(self._up_to(None)):
            name = attn_site(layer, "result")
            if name not in self.cache_dict:
                self.cache_dict[name] = self._head_results(layer, Slice()).movedim(0, -2)

    def stack_head_results(
        self,
        layer: int | None = -1,
        return_labels: bool = False,
        incl_remainder: bool = False,
        pos_slice: AnySlice = None,
        apply_ln: bool = False,
    ) -> Stack:
        """What each head before `layer` wrote: `[layer*head, *batch_and_pos, d_model]`, "L0H0" first.

        That is its `hook_result`, through the norm after attention (with the scale that this had in
        the run) and times the multiplier, where a config has these. TransformerLens leaves both out.

        Args:
            return_labels: return (stack, labels).
            incl_remainder: a last row, "remainder", is the rest of the residual stream.
            apply_ln: see `apply_ln_to_stack`.

        Raises:
            InputError: if the heads of a layer and `b_O` don't sum to its attn_out, where that is cached.
        """
        upto, where = self._up_to(layer), as_slice(pos_slice)
        rows = [self._head_rows(at, where) for at in range(upto)]
        stack = torch.cat(rows) if rows else self._stream(0, False, where)[None][:0]
        labels = [f"L{at}H{head}" for at in range(upto) for head in range(len(rows[at]))]
        reading = self._reading(upto, apply_ln=apply_ln, pos_slice=where)
        return self._labelled(reading.of(stack), labels, upto, reading, where, incl_remainder, return_labels)

    def get_neuron_results(
        self,
        layer: int,
        neuron_slice: AnySlice = None,
        pos_slice: AnySlice = None,
        project_output_onto: Tensor | None = None,
    ) -> Tensor:
        """What each neuron of one layer wrote: `[*batch_and_pos, neuron, d_model]`.

        A mixture of experts has those of every expert, one expert after the other; each wrote as
        much as the router weighs it, and nothing for tokens that were not sent there.

        Args:
            neuron_slice: which neurons, of each expert where there are several; there an int keeps
                the dimension.
            project_output_onto: `[d_model]` or `[d_model, n_outputs]`: its products with that instead,
                `[*batch_and_pos, neuron]` or `[..., n_outputs]`, without making the whole.
        """
        neurons = as_slice(neuron_slice)
        reading = self._reading(0, directions=project_output_onto)
        rows = self._neuron_rows(self._inside(layer), Slice.unwrap(neurons), as_slice(pos_slice), reading)
        if neurons.mode == "int" and len(rows) == 1:
            return rows[0]
        single = project_output_onto is not None and project_output_onto.ndim == 1
        return rows.movedim(0, -1 if single else -2)

    def stack_neuron_results(
        self,
        layer: int | None,
        pos_slice: AnySlice = None,
        neuron_slice: AnySlice = None,
        return_labels: bool = False,
        incl_remainder: bool = False,
        apply_ln: bool = False,
        project_output_onto: Tensor | None = None,
    ) -> Stack:
        """What each neuron before `layer` wrote: `[layer*neuron, *batch_and_pos, d_model]`, "L0N0" first.

        Of a mixture of experts the first is "L0E0N0"; see `get_neuron_results`.

        That is large. With `project_output_onto`, `[d_model]` or `[d_model, n_outputs]`, products
        with it take the place of d_model (or drop it), and the whole is never made, with a norm or
        without.

        Args:
            neuron_slice: which neurons, the same in every layer; of each expert, where there are some.
            return_labels: return (stack, labels).
            incl_remainder: a last row, "remainder", is the rest of the residual stream.
            apply_ln: see `apply_ln_to_stack`.

        Raises:
            InputError: for a layer without neurons, or whose neurons and `b_out` don't sum to its
                mlp_out, where that is cached.
        """
        upto, where, neurons = self._up_to(layer), as_slice(pos_slice), Slice.unwrap(neuron_slice)
        reading = self._reading(upto, apply_ln=apply_ln, pos_slice=where, directions=project_output_onto)
        rows = [self._neuron_rows(at, neurons, where, reading) for at in range(upto)]
        stack = torch.cat(rows) if rows else reading.of(self._stream(0, False, where)[None])[:0]
        labels = [label for at in range(upto) for label in self._neuron_labels(at, neurons)]
        return self._labelled(stack, labels, upto, reading, where, incl_remainder, return_labels)

    def _labelled(
        self,
        stack: Tensor,
        labels: list[str],
        layer: int,
        reading: Reading,
        pos_slice: Slice,
        incl_remainder: bool,
        return_labels: bool,
    ) -> Stack:
        if incl_remainder:
            self._require_additive()
            whole = reading.of(self._stream(layer, False, pos_slice)[None])
            stack = torch.cat([stack, whole - stack.sum(0)])
            labels = [*labels, "remainder"]
        return (stack, labels) if return_labels else stack

    def _head_results(self, layer: int, pos_slice: Slice) -> Tensor:
        """`hook_result`, `[head, *batch_and_pos, d_model]`."""
        if ("result", layer) in self:
            return pos_slice.apply(self["result", layer], -3).movedim(-2, 0)
        w_o = self._opened().blocks[layer].get_submodule("attn").get_parameter("W_O")
        return torch.einsum("...he,hed->h...d", pos_slice.apply(self["z", layer], -3), w_o)

    def _head_rows(self, layer: int, pos_slice: Slice) -> Tensor:
        """What each head writes, `[head, *batch_and_pos, d_model]`."""
        rows = self._after(layer, "attn", pos_slice).of(self._head_results(layer, pos_slice))
        if ("attn_out", layer) in self:
            written = pos_slice.apply(self["attn_out", layer], -2) - self._written_bias(
                layer, "attn", pos_slice
            )
            self.require_sum(rows, written, f"heads and b_O of layer {layer}", "output of its attention")
        return rows

    def _neuron_rows(self, layer: int, neurons: Slice, pos_slice: Slice, reading: Reading) -> Tensor:
        """What each neuron writes, `[neuron, *batch_and_pos, ...]`, as `reading` sees it."""
        after = self._after(layer, "mlp", pos_slice)
        parts = neurons_of(self, self._opened().blocks[layer], layer, pos_slice)
        if neurons.mode == "identity" and ("mlp_out", layer) in self:
            whole = sum(
                (part.factors @ part.vectors for part in parts), start=torch.zeros(()).to(parts[0].vectors)
            )
            made = after.of(whole) + self._written_bias(layer, "mlp", pos_slice)
            written = pos_slice.apply(self["mlp_out", layer], -2)
            self.require_sum(made[None], written, f"neurons and b_out of layer {layer}", "output of its MLP")
        picked = [
            after.through(neurons.apply(part.factors, -1), neurons.apply(part.vectors, 0)) for part in parts
        ]
        return torch.cat([reading.of_products(*part) for part in picked])

    def _neuron_labels(self, layer: int, neurons: Slice) -> list[str]:
        return neuron_labels(self._opened().blocks[layer], layer, neurons)

    def _after(self, layer: int, part: str, pos_slice: Slice) -> Reading:
        """How what a layer's "attn" or "mlp" sums up goes into the stream: a norm, a multiplier, or as it is.

        The norm's scale is that of the run, so that parts still sum.
        """
        model = self._opened()
        norm, times = self._post_norm(layer, part), model.cfg.residual_multiplier
        factor = None if times == 1.0 else model.W_U.new_tensor(times)
        if norm is None:
            return Reading(weight=factor)
        scale = self[norm_site(POST_NORMS[part], "scale", layer)]
        weight = norm.w if factor is None else factor if norm.w is None else norm.w * factor
        return Reading(norm.centres, weight, pos_slice.apply(scale, -2))

    def _written_bias(self, layer: int, part: str, pos_slice: Slice) -> Tensor:
        """What a layer's "attn" or "mlp" writes that is no head's or neuron's, `[..., d_model]`."""
        model = self._opened()
        bias = getattr(model.blocks[layer].get_submodule(part), {"attn": "b_O", "mlp": "b_out"}[part], None)
        # A mixture of experts has none.
        bias = bias if isinstance(bias, Tensor) else model.W_U.new_zeros(model.cfg.d_model)
        bias, norm = self._after(layer, part, pos_slice).of(bias), self._post_norm(layer, part)
        if norm is None or norm.b is None:
            return bias
        return bias + norm.b * model.cfg.residual_multiplier

    def _post_norm(self, layer: int, part: str) -> Norm | None:
        norm = getattr(self._opened().blocks[layer], POST_NORMS[part], None)
        return norm if isinstance(norm, Norm) else None

    def _stream(self, layer: int, mlp_input: bool, pos_slice: Slice) -> Tensor:
        """The residual stream that is the input to this layer, `[*batch_and_pos, d_model]`."""
        before = [block_site(layer, "resid_pre")] if layer < self._layer_count() else []
        post_norm = self._opened().cfg.norm_position == "stream"
        written = "normalized_resid_post" if post_norm else "resid_post"
        after = [block_site(layer - 1, written)] if layer else []
        # Where attention and MLP are parallel, both read the same.
        middle = mlp_input and not self._opened().cfg.parallel_attn_mlp
        names = [block_site(layer, "resid_mid")] if middle else before + after
        for name in names:
            if name in self.cache_dict:
                return pos_slice.apply(self.cache_dict[name], -2)
        raise MissingActivation(
            wanted=f"the residual stream at {' or '.join(names) or 'a layer'}",
            got="a cache without it",
            remedy="cache it too: what is decomposed is checked against it",
        )

    def _reading(
        self,
        layer: int,
        *,
        mlp_input: bool = False,
        apply_ln: bool = False,
        pos_slice: AnySlice = None,
        batch_slice: AnySlice = None,
        directions: Tensor | None = None,
    ) -> Reading:
        cfg = self._opened().cfg
        if directions is not None:
            require_directions(directions, cfg.d_model)
        name, norm = self._norm(layer, mlp_input)
        if not apply_ln or norm is None:
            return Reading(directions=directions)
        scale = as_slice(pos_slice).apply(self[f"{name}.hook_scale"], -2)
        if self.has_batch_dim:
            scale = as_slice(batch_slice).apply(scale, 0)
        return Reading(norm.centres, norm.w, scale, directions)

    def _norm(self, layer: int, mlp_input: bool) -> tuple[str, Norm | None]:
        """The norm through which this layer reads the residual stream, if there is one, and its name."""
        model = self._opened()
        # A stream that is normed after every addition is read by attention as it is.
        first, second = ("", "ln1") if model.cfg.norm_position == "stream" else ("ln1", "ln2")
        part = second if mlp_input else first
        name = "ln_final" if layer == model.cfg.n_layers else f"blocks.{layer}.{part}"
        norm = model.get_submodule(name) if part else None
        return name, norm if isinstance(norm, Norm) else None

    def require_sum(self, rows: Tensor, whole: Tensor, what: str, to: str) -> None:
        """Raise InputError if `rows` don't sum to `whole`; see `unweave.model.reading.require_sum`."""
        require_sum(rows, whole, what, to)

    def _require_additive(self) -> None:
        """Raise InputError where a norm comes after every addition, so that no part stays what it was."""
        if self._opened().cfg.norm_position == "stream":
            raise InputError(
                wanted="a residual stream that layers add to",
                got="norm_position='stream', by which it is normed after every addition",
                remedy="read the stream itself, by cache.accumulated_resid()",
            )

    def _up_to(self, layer: int | None) -> int:
        n_layers = self._layer_count()
        if layer is None or layer == -1:
            return n_layers
        if not 0 <= layer <= n_layers:
            raise InputError(
                wanted=f"a layer from 0 to {n_layers}, or None for the last",
                got=str(layer),
                remedy="name the layer that what is decomposed is the input to",
            )
        return layer

    def _inside(self, layer: int) -> int:
        n_layers = self._layer_count()
        if not -n_layers <= layer < n_layers:
            raise InputError(
                wanted=f"a layer from {-n_layers} to {n_layers - 1}", got=str(layer), remedy="name another"
            )
        return layer % n_layers
