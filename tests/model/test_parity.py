"""Our heads against the heads of transformers: the same logits, and the same losses in training."""

import copy
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification, BertModel

from head2head.data.batching import Batch
from head2head.model.encoder import Encoder, spec_of
from head2head.model.finetuner import FineTuner
from head2head.model.heads import Layer, Linear, Pooler, SentenceHead, TokenHead
from head2head.model.optimizer import OptimizerSettings

STEPS, WARMUP = 30, 3
LABELS = ["a", "b", "c"]
SETTINGS = OptimizerSettings(lr=3e-3, weight_decay=0.1, schedule="linear", warmup_ratio=WARMUP / STEPS)
TOLERANCES = [("32-true", torch.float32, 1e-5), ("64-true", torch.float64, 1e-9)]


def config() -> BertConfig:
    return BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, num_labels=len(LABELS), hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, initializer_range=0.1,
    )  # fmt: skip


def batches(kind: str, count: int = STEPS) -> list[dict]:
    """Right-padded batches of 4 texts of 3 to 10 pieces; words have one, two or three pieces."""
    generator = torch.Generator().manual_seed(0)

    def draw(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    result = []
    for _ in range(count):
        lengths = draw(3, 11, 4)
        mask = (torch.arange(int(lengths.max())) < lengths.unsqueeze(1)).long()
        batch = {
            "input_ids": draw(5, 40, *mask.shape) * mask,
            "attention_mask": mask,
            "token_type_ids": draw(0, 2, *mask.shape) * mask,
            "special_tokens_mask": 1 - mask,
        }
        if kind == "sentence":
            batch |= {"labels": draw(0, 3, 4), "labels_in_step": 4, "tokens": 0}
        else:
            rows = [cut(int(length), draw) for length in lengths]
            width = max(len(row) for row in rows)
            batch["words"] = torch.tensor([row + [[0, 0]] * (width - len(row)) for row in rows])
            real = batch["words"][..., 1] > 0
            batch["labels"] = draw(0, 3, *real.shape).masked_fill(~real, -100)
            batch |= {"labels_in_step": int(real.sum()), "tokens": 0}
        result.append(Batch(prediction_ids=torch.arange(4), **batch))
    return result


def cut(length: int, draw) -> list[list[int]]:
    """Words of one to three pieces between [CLS] and [SEP]: (first piece, the one behind the last)."""
    words, start = [], 1
    while start < length - 1:
        end = min(start + int(draw(1, 4, 1)), length - 1)
        words.append([start, end])
        start = end
    return words


def piece_labels(batch: Batch) -> Tensor:
    """Labels as transformers wants them: one a piece, -100 on all but a word's first."""
    labels = torch.full_like(batch.input_ids, -100)
    for row, words in enumerate(batch.words):
        for number, (start, end) in enumerate(words):
            if end > 0:
                labels[row, start] = batch.labels[row, number]
    return labels


def twins(kind: str) -> tuple[FineTuner, nn.Module]:
    """Our model and transformers', with the same weights."""
    torch.manual_seed(0)
    theirs = (BertForSequenceClassification if kind == "sentence" else BertForTokenClassification)(config())
    spec = spec_of(theirs.config)
    if kind == "sentence":
        head = SentenceHead(Layer, Pooler, Linear, spec, len(LABELS))
    else:
        head = TokenHead(Layer, Linear, spec, len(LABELS), subword="first")
    bert = BertModel(config(), add_pooling_layer=kind == "sentence")
    bert.load_state_dict(theirs.bert.state_dict())
    head.classifier.output.load_state_dict(theirs.classifier.state_dict())
    return FineTuner(Encoder(bert, head.needs), head, LABELS, ["accuracy"], {}, 0, SETTINGS), theirs


def their_logits(model: nn.Module, batch: Batch, kind: str) -> Tensor:
    """(B, C), or (B, W, C) at each word's first piece."""
    logits = model(batch.input_ids, batch.attention_mask, batch.token_type_ids).logits
    if kind == "sentence":
        return logits
    rows = torch.arange(len(logits)).unsqueeze(1)
    return logits[rows, batch.words[..., 0]]


class Losses(pl.Callback):
    """What each training step gave."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.values.append(outputs["loss"].item())


def our_losses(
    model: FineTuner, data: list[Batch], precision: str, folder, accumulate: int = 1, clip: float | None = None
) -> list[float]:
    losses = Losses()
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, precision=precision, max_steps=STEPS, accumulate_grad_batches=accumulate,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[losses], default_root_dir=folder, gradient_clip_val=clip,
    )  # fmt: skip
    trainer.fit(model, DataLoader(data, batch_size=None))
    return losses.values


def their_losses(
    model: nn.Module, data: list[Batch], kind: str, dtype: torch.dtype, clip: float | None = None
) -> list[float]:
    """Devlin et al.'s recipe as everybody writes it: AdamW without decay on biases and LayerNorm, linear warm-up
    and decay, the model's own loss."""
    model = model.to(dtype).train()
    plain = {n: p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n}
    decayed = [p for n, p in model.named_parameters() if n not in plain]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": list(plain.values()), "weight_decay": 0.0}],
        lr=3e-3, betas=(0.9, 0.999), eps=1e-8, fused=False,
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: step / WARMUP if step < WARMUP else (STEPS - step) / (STEPS - WARMUP)
    )
    losses = []
    for batch in data:
        labels = batch.labels if kind == "sentence" else piece_labels(batch)
        loss = model(batch.input_ids, batch.attention_mask, batch.token_type_ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", ["sentence", "token"])
def test_logits_are_those_of_transformers(kind):
    ours, theirs = twins(kind)
    ours.eval()
    theirs.eval()
    for batch in batches(kind, 5):
        with torch.no_grad():
            found, expected = ours(batch), their_logits(theirs, batch, kind)
        real = batch.labels != -100
        torch.testing.assert_close(found[real], expected[real], rtol=0, atol=1e-6)
        assert expected.abs().max() > 0.1


@pytest.mark.parametrize("kind", ["sentence", "token"])
@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(("precision", "dtype", "tolerance"), TOLERANCES)
def test_losses_of_30_steps_are_those_of_transformers_in_a_plain_loop(
    kind, clip, precision, dtype, tolerance, tmp_path
):
    ours, theirs = twins(kind)
    data = batches(kind)
    start = copy.deepcopy(theirs.state_dict())
    expected = their_losses(theirs, data, kind, dtype, clip)
    found = our_losses(ours, data, precision, tmp_path, clip=clip)
    assert len(found) == STEPS
    assert found == pytest.approx(expected, rel=0, abs=tolerance)
    moved = max((theirs.state_dict()[name] - value).abs().max().item() for name, value in start.items())
    assert moved > 0.02  # the two could not drift apart if they stood still
    torch.testing.assert_close(
        ours.head.classifier.output.weight.detach(), theirs.classifier.weight.detach(), rtol=0, atol=100 * tolerance
    )


def test_accumulated_micro_batches_of_unequal_label_counts_train_like_one_batch(tmp_path):
    """A token loss averaged per micro-batch would weigh a word by how few words share its micro-batch."""
    whole = batches("token")
    halves = []
    for batch in whole:
        for rows in (slice(0, 1), slice(1, None)):
            cut_out = {name: value[rows] for name, value in vars(batch).items() if isinstance(value, Tensor)}
            halves.append(replace(batch, **cut_out))
    ours, _ = twins("token")
    in_parts, _ = twins("token")
    together = our_losses(ours, whole, "64-true", tmp_path)
    apart = our_losses(in_parts, halves, "64-true", tmp_path, accumulate=2)
    assert len(apart) == 2 * STEPS
    for (name, a), b in zip(ours.named_parameters(), in_parts.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-9, msg=name)
    assert together[0] != together[-1]
