"""The claims, in the order in which they are told. One a file."""

from unweave.core.claims import Claim
from unweave.experiments.no_position.claims.counting import layer_0_counts
from unweave.experiments.no_position.claims.pattern import pattern_is_positional
from unweave.experiments.no_position.claims.positional_code import mlp_0_writes_positions
from unweave.experiments.no_position.claims.previous import recency_finds_previous
from unweave.experiments.no_position.claims.self_attention import self_is_a_by_product
from unweave.experiments.no_position.claims.solved import solved_without_positions

CLAIMS: tuple[Claim, ...] = (
    solved_without_positions,
    layer_0_counts,
    mlp_0_writes_positions,
    pattern_is_positional,
    recency_finds_previous,
    self_is_a_by_product,
)
