"""Techniques: one a file. Each takes a model and tokens, never a path."""

from unweave.analysis import circuits, das, edges, features, patching, paths, scrub, steer, store
from unweave.analysis.checks import check
from unweave.analysis.component_ablation import ablate_components
from unweave.analysis.das import distributed_alignment_search, interchange_accuracy
from unweave.analysis.direct_logits import direct_logit_attribution
from unweave.analysis.erasure import Eraser, Erasure, erase, leace
from unweave.analysis.fourier import fourier_basis, fourier_logits, fourier_norms, fourier_pairs
from unweave.analysis.gradients import attribution_patching
from unweave.analysis.head_kinds import head_kinds
from unweave.analysis.lens import lens_logits, logit_lens
from unweave.analysis.max_activating import Examples, max_activating
from unweave.analysis.nodes import nodes
from unweave.analysis.noising import noising_and_denoising
from unweave.analysis.paths import path_patching
from unweave.analysis.probing import probe
from unweave.analysis.qk_ov import (
    OVDirections,
    composition,
    copying_scores,
    ov_circuit,
    ov_directions,
    qk_circuit,
)
from unweave.analysis.scrub import causal_scrubbing
from unweave.analysis.self_repair import self_repair
from unweave.analysis.sparse_probes import sparse_probe
from unweave.analysis.steer import dose_response, mean_difference
from unweave.analysis.subspaces import patch_subspace
from unweave.analysis.tuned_lens import TunedLens, tuned_lens
from unweave.analysis.views import view_attention, view_logit_lens, view_predictions

__all__ = [
    "Eraser",
    "Erasure",
    "Examples",
    "OVDirections",
    "TunedLens",
    "ablate_components",
    "attribution_patching",
    "causal_scrubbing",
    "check",
    "circuits",
    "composition",
    "copying_scores",
    "das",
    "direct_logit_attribution",
    "distributed_alignment_search",
    "dose_response",
    "edges",
    "erase",
    "features",
    "fourier_basis",
    "fourier_logits",
    "fourier_norms",
    "fourier_pairs",
    "head_kinds",
    "interchange_accuracy",
    "leace",
    "lens_logits",
    "logit_lens",
    "max_activating",
    "mean_difference",
    "nodes",
    "noising_and_denoising",
    "ov_circuit",
    "ov_directions",
    "patch_subspace",
    "patching",
    "path_patching",
    "paths",
    "probe",
    "qk_circuit",
    "scrub",
    "self_repair",
    "sparse_probe",
    "steer",
    "store",
    "tuned_lens",
    "view_attention",
    "view_logit_lens",
    "view_predictions",
]
