"""Heads: which layers are read, how a sentence is pooled, how a pair is compared, what classifies it."""

from head2head.model.heads.classifiers import BiLstm, Linear, Mlp
from head2head.model.heads.crf import Crf
from head2head.model.heads.heads import SentenceHead, TokenHead
from head2head.model.heads.layers import ConcatLast, FirstLast, Layer, WeightedSum
from head2head.model.heads.pairs import Comparison, Cosine, Differences, Similarity
from head2head.model.heads.pooling import (
    Attention,
    Cls,
    LastToken,
    Max,
    Mean,
    MeanMax,
    Pooler,
    SqrtMean,
    WeightedMean,
)

__all__ = [
    "Attention", "BiLstm", "Cls", "Comparison", "ConcatLast", "Cosine", "Crf", "Differences", "FirstLast", "LastToken",
    "Layer", "Linear", "Max", "Mean", "MeanMax", "Mlp", "Pooler", "SentenceHead", "Similarity", "SqrtMean", "TokenHead",
    "WeightedMean", "WeightedSum",
]  # fmt: skip
