"""The parts of the model, under 3.9's names."""

from __future__ import annotations

from unweave.model.attention import Attention, GroupedQueryAttention
from unweave.model.attention import Attention as AbstractAttention
from unweave.model.block import PostNormBlock as BertBlock
from unweave.model.block import TransformerBlock
from unweave.model.embedding import Embed, TokenTypeEmbed, Unembed
from unweave.model.encoder_parts import BertEmbed, BertMLMHead, BertNSPHead, BertPooler
from unweave.model.experts import MoE
from unweave.model.mlp import MLP, GatedMLP
from unweave.model.norm import LayerNorm, LayerNormPre, RMSNorm, RMSNormPre
from unweave.model.positions import PosEmbed

__all__ = [
    "MLP",
    "AbstractAttention",
    "Attention",
    "BertBlock",
    "BertEmbed",
    "BertMLMHead",
    "BertNSPHead",
    "BertPooler",
    "Embed",
    "GatedMLP",
    "GroupedQueryAttention",
    "LayerNorm",
    "LayerNormPre",
    "MoE",
    "PosEmbed",
    "RMSNorm",
    "RMSNormPre",
    "TokenTypeEmbed",
    "TransformerBlock",
    "Unembed",
]
