"""What single heads and neurons wrote to the residual stream, stacked over layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unweave.core.errors import InputError, MissingActivation
from unweave.core.sites import attn_site, block_site, norm_site
from unweave.core.slices import Slice, SliceInput, as_slice
from unweave.model.cached import CachedActivations
from unweave.model.reading import Reading, require_directions, require_sum

AnySlice = Slice | SliceInput
Stack = Tensor | tuple[Tensor, list[str]]

CENTRED = ("LN", "LNPre")


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

        Computed from `hook_z`; what was cached stays. A layer's attn_out is their sum plus `b_O`.
        """
        for layer in range(self._up_to(None)):
            name = attn_site(layer, "result")
            if name not in self.cache_dict:
                self.cache_dict[name] = self._head_rows(layer, Slice()).movedim(0, -2)

    def stack_head_results(
        self,
        layer: int | None = -1,
        return_labels: bool = False,
        incl_remainder: bool = False,
        pos_slice: AnySlice = None,
        apply_ln: bool = False,
    ) -> Stack:
        """What each head before `layer` wrote: `[layer*head, *batch_and_pos, d_model]`, "L0H0" first.

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

        Args:
            project_output_onto: `[d_model]` or `[d_model, n_outputs]`: its products with that instead,
                `[*batch_and_pos, neuron]` or `[..., n_outputs]`, without making the whole.
        """
        neurons = as_slice(neuron_slice)
        reading = self._reading(0, directions=project_output_onto)
        rows = self._neuron_rows(self._inside(layer), Slice.unwrap(neurons), as_slice(pos_slice), reading)
        if neurons.mode == "int":
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

        That is large. With `project_output_onto`, `[d_model]` or `[d_model, n_outputs]`, products
        with it take the place of d_model (or drop it), and the whole is never made, with a norm or
        without.

        Args:
            neuron_slice: which neurons, the same in every layer.
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
        numbers = [neurons.indices(self._w_out(at).shape[0]) for at in range(upto)]
        labels = [f"L{at}N{neuron}" for at in range(upto) for neuron in numbers[at]]
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
            whole = reading.of(self._stream(layer, False, pos_slice)[None])
            stack = torch.cat([stack, whole - stack.sum(0)])
            labels = [*labels, "remainder"]
        return (stack, labels) if return_labels else stack

    def _head_rows(self, layer: int, pos_slice: Slice) -> Tensor:
        """`[head, *batch_and_pos, d_model]`."""
        if ("result", layer) in self:
            rows = pos_slice.apply(self["result", layer], -3).movedim(-2, 0)
        else:
            w_o = self._opened().blocks[layer].get_submodule("attn").get_parameter("W_O")
            rows = torch.einsum("...he,hed->h...d", pos_slice.apply(self["z", layer], -3), w_o)
        if ("attn_out", layer) in self:
            written = pos_slice.apply(self["attn_out", layer], -2) - self._bias(layer, "attn", "b_O")
            require_sum(rows, written, f"heads and b_O of layer {layer}", "output of its attention")
        return rows

    def _neuron_rows(self, layer: int, neurons: Slice, pos_slice: Slice, reading: Reading) -> Tensor:
        """`[neuron, *batch_and_pos, ...]`, as `reading` sees them."""
        w_out = self._w_out(layer)
        post = pos_slice.apply(self["post", layer], -2)
        if neurons.mode == "identity" and ("mlp_out", layer) in self:
            made = post @ w_out + self._bias(layer, "mlp", "b_out")
            written = pos_slice.apply(self["mlp_out", layer], -2)
            require_sum(made[None], written, f"neurons and b_out of layer {layer}", "output of its MLP")
        return reading.of_products(neurons.apply(post, -1), neurons.apply(w_out, 0))

    def _w_out(self, layer: int) -> Tensor:
        mlp = getattr(self._opened().blocks[layer], "mlp", None)
        weight = getattr(mlp, "W_out", None)
        if not isinstance(weight, Tensor):
            raise InputError(
                wanted=f"neurons with one output weight W_out in layer {layer}",
                got="no MLP" if mlp is None else type(mlp).__name__,
                remedy="decompose without neurons",
            )
        return weight

    def _bias(self, layer: int, part: str, name: str) -> Tensor:
        bias = getattr(self._opened().blocks[layer].get_submodule(part), name, None)
        # Some models have none.
        return bias if isinstance(bias, Tensor) else self._opened().W_U.new_zeros(())

    def _stream(self, layer: int, mlp_input: bool, pos_slice: Slice) -> Tensor:
        """The residual stream that is the input to this layer, `[*batch_and_pos, d_model]`."""
        before = [block_site(layer, "resid_pre")] if layer < self._layer_count() else []
        after = [block_site(layer - 1, "resid_post")] if layer else []
        names = [block_site(layer, "resid_mid")] if mlp_input else before + after
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
        if not apply_ln or cfg.normalization_type is None:
            return Reading(directions=directions)
        final = layer == cfg.n_layers
        name = "ln_final" if final else "ln2" if mlp_input else "ln1"
        scale = as_slice(pos_slice).apply(self[norm_site(name, "scale", None if final else layer)], -2)
        if self.has_batch_dim:
            scale = as_slice(batch_slice).apply(scale, 0)
        weight = getattr(self._norm(layer, mlp_input), "w", None)
        return Reading(cfg.normalization_type in CENTRED, weight, scale, directions)

    def _norm(self, layer: int, mlp_input: bool) -> nn.Module:
        model = self._opened()
        if layer == model.cfg.n_layers:
            return model.ln_final
        return model.blocks[layer].get_submodule("ln2" if mlp_input else "ln1")

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
