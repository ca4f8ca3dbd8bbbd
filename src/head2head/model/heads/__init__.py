"""Heads: which layers are read, how a sentence is pooled, what classifies it."""

from head2head.model.heads.classifiers import BiLstm, Linear, Mlp
from head2head.model.heads.heads import SentenceHead, TokenHead
from head2head.model.heads.layers import ConcatLast, Layer, WeightedSum
from head2head.model.heads.pooling import Attention, Cls, Max, Mean, MeanMax, Pooler, SqrtMean

__all__ = [
    "Attention", "BiLstm", "Cls", "ConcatLast", "Layer", "Linear", "Max", "Mean", "MeanMax", "Mlp", "Pooler",
    "SentenceHead", "SqrtMean", "TokenHead", "WeightedSum",
]  # fmt: skip
