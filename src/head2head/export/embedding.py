"""`--to sentence-transformers`: the vector that a run's head makes of a text, by that library's own modules.

The vector is what the pool gives out; behind the mlp classifier, where texts are not compared, what its dense layer and
tanh make of that; in front of a cosine, of length 1. The linear layer that makes logits of it has no place there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from head2head.errors import UserError
from head2head.export.classification import configuration
from head2head.export.logits import check_equal, samples
from head2head.model import heads
from head2head.model.heads import FirstLast, Layer, SentenceHead, WeightedSum
from head2head.run.load import LoadedRun

WITHIN = 1e-5  # of the vectors, as a share of their largest value

# Pool -> what Pooling calls it. Classes of the user's own are none of these, whatever they inherit.
MODES: dict[type, tuple[str, ...]] = {
    heads.Pooler: ("cls",),
    heads.Cls: ("cls",),
    heads.Mean: ("mean",),
    heads.Max: ("max",),
    heads.SqrtMean: ("mean_sqrt_len_tokens",),
    heads.MeanMax: ("mean", "max"),
    heads.WeightedMean: ("weightedmean",),
    heads.LastToken: ("lasttoken",),
}
# Pools of which a multiple of the tokens gives the same multiple only if it is not negative.
NOT_LINEAR = (heads.Max, heads.MeanMax)
SMALLEST_SUM = 1e-3  # of raw weights, as a share of the sum of their sizes; WeightedLayerPooling divides by it


def write(run: LoadedRun, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save the modules into a folder, and check that the library loads from there what gives the same vectors.

    Raises:
        UserError: the library has no modules for this head.
    """
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Transformer
    except ImportError:
        raise UserError("--to sentence-transformers needs that library: pip install 'head2head[export]'") from None
    head = run.model.head
    if not isinstance(head, SentenceHead):
        raise UserError(
            f"--to sentence-transformers: {run.result.head} labels words, and the library makes one vector of a text; "
            "take --to transformers or --to onnx"
        )
    behind = [*layer_modules(run, head), *pool_modules(run, head)]
    encoder = run.model.encoder
    config = configuration(run)
    config.output_hidden_states = type(head.layers) is not Layer
    with tempfile.TemporaryDirectory(dir=folder) as plain:
        whole, encoder.model.config = encoder.model.config, config
        try:
            encoder.model.save_pretrained(plain)
        finally:
            encoder.model.config = whole
        tokenizer.save_pretrained(plain)
        first = Transformer(plain, max_seq_length=run.task.max_length)
        if hasattr(first.model, "pooler"):
            first.model.pooler = (
                None  # random values: the library loads encoders with a pooler, and nothing here reads it
            )
        cosine = isinstance(head.compare, heads.Cosine)
        built = SentenceTransformer(
            modules=[first, *behind], device="cpu", similarity_fn_name="cosine" if cosine else None
        )
        built.save(str(folder), create_model_card=False)
    check(run, tokenizer, SentenceTransformer(str(folder), device="cpu", local_files_only=True))


def layer_modules(run: LoadedRun, head: SentenceHead) -> list[nn.Module]:
    """What makes one hidden state of several: none where the head reads one, which is then the exported encoder's last.

    Raises:
        UserError: they are not summed, or with weights that WeightedLayerPooling cannot have.
    """
    from sentence_transformers.models import WeightedLayerPooling

    layers, depth = head.layers, run.model.encoder.depth
    if type(layers) is Layer:
        return []
    if type(layers) not in (WeightedSum, FirstLast):
        raise UserError(
            f"--to sentence-transformers: {run.result.head} puts layers side by side, and the library has no module "
            "for that; take --to onnx"
        )
    start = min(layers.reads)
    weights = torch.zeros(depth + 1 - start)
    weights[[number - start for number in layers.reads]] = mixture(layers)
    if float(weights.sum().abs()) < SMALLEST_SUM * float(weights.abs().sum()):
        raise UserError(
            f"--to sentence-transformers: the layer weights of {run.result.head} sum to {float(weights.sum()):.1e}, "
            "and WeightedLayerPooling divides by their sum; take --to onnx"
        )
    pooling = WeightedLayerPooling(
        run.model.encoder.spec.hidden_size,
        num_hidden_layers=depth,
        layer_start=start,
        layer_weights=nn.Parameter(weights),
    )
    return [pooling]


def mixture(layers: Any) -> Tensor:
    """(n,): what each hidden state that is read is multiplied by."""
    if isinstance(layers, WeightedSum):
        return layers.mixture().detach()
    return torch.full((len(layers.reads),), 1 / len(layers.reads))


def pool_modules(run: LoadedRun, head: SentenceHead) -> list[nn.Module]:
    """Pooling, and what the head does with its vector before it is classified.

    Raises:
        UserError: the library has no such pool.
    """
    from sentence_transformers.models import Dense, Normalize, Pooling

    label, pool = run.result.head, head.pool
    if type(pool) not in MODES:
        raise UserError(
            f"--to sentence-transformers: {label}: the library has no pool like {type(pool).__name__}; take --to onnx"
        )
    if not pool.special_tokens and type(pool) is not heads.Cls:
        raise UserError(
            f"--to sentence-transformers: {label} leaves out [CLS] and [SEP], and the library pools them; "
            "take --to onnx"
        )
    found: list[nn.Module] = [Pooling(head.layers.size, MODES[type(pool)])]
    if type(pool) is heads.Pooler:
        found.append(dense(run.model.encoder.pooler.dense))
    if type(head.layers) is WeightedSum and (factor := float(mixture(head.layers).sum())) != 1:
        # WeightedLayerPooling has divided by the sum of the weights.
        if factor < 0 and type(pool) in NOT_LINEAR:
            raise UserError(
                f"--to sentence-transformers: {label} multiplies the layers by {factor:.2f}, and {type(pool).__name__} "
                "of what is negative is another; take --to onnx"
            )
        scaling = Dense(pool.size, pool.size, bias=False, activation_function=nn.Identity())
        scaling.linear.weight.data = factor * torch.eye(pool.size)
        found.append(scaling)
    if type(head.compare) is heads.Comparison and type(head.classifier) is heads.Mlp:
        classifier: Any = head.classifier
        found.append(dense(classifier.dense))
    if isinstance(head.compare, heads.Cosine):
        found.append(Normalize())
    return found


def dense(linear: nn.Linear) -> nn.Module:
    """Dense with tanh and the weights of a linear layer."""
    from sentence_transformers.models import Dense

    return Dense(
        linear.in_features,
        linear.out_features,
        activation_function=nn.Tanh(),
        init_weight=linear.weight.detach().clone(),
        init_bias=linear.bias.detach().clone(),
    )


@torch.no_grad()
def vectors(run: LoadedRun, batch: dict[str, Tensor]) -> Tensor:
    """(B, D): what is exported, as the run computes it; standardisation must have been folded."""
    head = run.model.head
    assert isinstance(head, SentenceHead)
    found = head.pooled(run.model.encoder(**batch), head.layers)
    if type(head.compare) is heads.Comparison and isinstance(head.classifier, heads.Mlp):
        return torch.tanh(head.classifier.dense(found))
    return nn.functional.normalize(found) if isinstance(head.compare, heads.Cosine) else found


@torch.no_grad()
def check(run: LoadedRun, tokenizer: PreTrainedTokenizerBase, loaded: Any) -> None:
    """Check what the library has loaded against the run.

    Raises:
        UserError: it gives other vectors.
    """
    loaded.eval()
    for batch in samples(tokenizer, run.model.encoder):
        inputs = {name: tensor for name, tensor in batch.items() if name != "special_tokens_mask"}
        if run.model.encoder.family == "distilbert":
            del inputs["token_type_ids"]
        theirs = loaded(inputs)["sentence_embedding"]
        check_equal(vectors(run, batch), theirs, WITHIN, batch, "model for sentence-transformers")
