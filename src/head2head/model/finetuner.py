"""The LightningModule: encoder + head + loss + metrics + optimizer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from torch import Tensor

from head2head.data.batching import Batch, EvaluationBatches
from head2head.errors import UserError
from head2head.metrics import score
from head2head.model.encoder import Encoder
from head2head.model.exact import ExactSettings
from head2head.model.heads import SentenceHead, Similarity, TokenHead, standardization
from head2head.model.optimizer import OptimizerSettings, build_optimizer, rates_of
from head2head.model.step import SCALES_GRADIENTS, can_fuse, clip_in_step, log_interval, loss_sum, seed_dropout

# Attributes that a checkpoint keeps.
PROGRESS = ("history", "tokens_seen", "validation_seconds", "losses", "_epoch_loss", "_epoch_labels")
CHECK_EVERY = 10  # steps between looks at the loss, each of which makes a GPU wait


@dataclass(frozen=True)
class Targets:
    """What a split's predictions are held against.

    labels: (N,) numbers of the labels, or values; None where they are not known.
    num_predictions: number N of them: one for each text, or word.
    sentences: token tasks: words of each sentence.
    """

    labels: np.ndarray | None
    num_predictions: int
    sentences: np.ndarray | None = None


class FineTuner(pl.LightningModule):
    """Fine-tunes an encoder with a head on it.

    Args:
        labels: names of the labels; empty for regression.
        metrics: names of the metrics, the primary one first.
        targets: of the validation splits, in the order of their dataloaders.
        seed: of the dropout stream, which is set anew before each step from (seed, step), so that it
            does not depend on what ran before.

    Attributes:
        history: for each validation: epoch, step, and metrics by split.
        logits: split -> (N, C) float32 of the last validation; NaN for a word that has no word piece.
        batch_shape: (B, T) of the batch that was computed last; None before the first.
        losses: mean training loss of each epoch, over its labels.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: SentenceHead | TokenHead,
        labels: Sequence[str],
        metrics: Sequence[str],
        targets: Mapping[str, Targets],
        seed: int,
        optimizer: OptimizerSettings | ExactSettings | None = None,
    ):
        super().__init__()
        self.encoder, self.head = encoder, head
        self.labels, self.metrics, self.targets, self.seed = list(labels), list(metrics), dict(targets), seed
        self.optimizer_settings = optimizer or OptimizerSettings()
        self.history: list[dict[str, Any]] = []
        self.logits: dict[str, np.ndarray] = {}
        self.tokens_seen = 0
        self.validation_seconds = 0.0
        self.batch_shape: tuple[int, ...] | None = None
        self.losses: list[float] = []
        self._epoch_loss: Tensor | float = 0.0  # summed over this process's labels
        self._epoch_labels = 0  # of all processes
        self._step_loss: Tensor | float = 0.0
        self._found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}

    def forward(self, batch: Batch) -> Tensor:
        """(B, C) logits, or (B, W, C) from a token head."""
        self.batch_shape = tuple(batch.input_ids.shape)
        output = self.encoder(
            batch.input_ids, batch.attention_mask, batch.token_type_ids, batch.special_tokens_mask, batch.states
        )
        if isinstance(self.head, TokenHead):
            assert batch.words is not None
            return self.head(output, batch.words)
        return self.head(output)

    def untrained(self, max_epochs: int | None) -> str | None:
        """Why the model is scored as it is, without training; None for one that is trained."""
        if max_epochs == 0:
            return "not trained: trainer.max_epochs=0"
        if isinstance(self.head.classifier, Similarity) and not any(p.requires_grad for p in self.parameters()):
            return "not trained: the encoder is frozen, and the head has nothing to learn"
        return None

    def loss(self, logits: Tensor, labels: Tensor, words: Tensor | None = None) -> Tensor:
        """Sum over the batch's labels of the cross-entropy, or of the squared error for regression; of labels that are
        predicted together, the negative log likelihood.

        Args:
            words: (B, W), 1 where there is a word; token heads.
        """
        if isinstance(self.head, TokenHead) and self.head.classifier.joint:
            assert words is not None
            return self.head.classifier.loss(logits, labels, words)
        return loss_sum(logits, labels, regression=not self.labels)

    def on_fit_start(self) -> None:
        """Find the mean and scale of a head that standardises, in the training rows and with the weights of now; a run
        that goes on from a checkpoint has them from there."""
        if all(part.fitted for part in self.head.modules() if isinstance(part, standardization.Standardization)):
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        rows = data.splits["train"].rows
        steps = EvaluationBatches(rows.lengths, data.evaluation_tokens)
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        with self.trainer.precision_plugin.val_step_context():
            standardization.fit(self.head, lambda: (rows.__getitems__(step).to(self.device) for step in steps), self)
        for module, mode in modes:
            module.training = mode

    def on_train_start(self) -> None:
        trainer: Any = self.trainer
        trainer.log_every_n_steps = log_interval(trainer.log_every_n_steps, int(trainer.estimated_stepping_batches))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        seed_dropout(self.device, self.seed, self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # The step's loss is the mean over all its labels, wherever they lie. Lightning averages gradients
        # over ranks and divides by the number of accumulated batches: undo both.
        accumulate = self.trainer.accumulate_grad_batches
        assert batch.labels is not None
        summed = self.loss(self(batch), batch.labels, batch.has_word)
        share = summed * self.trainer.world_size / max(batch.labels_in_step, 1)
        self._epoch_loss = self._epoch_loss + summed.detach()
        self.tokens_seen += batch.tokens
        self._step_loss = self._step_loss + share.detach()
        if (batch_idx + 1) % accumulate == 0:
            self._epoch_labels += batch.labels_in_step
            # Lightning takes a millisecond for a value that it then writes only every so many steps.
            every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
            due = bool(every) and (self.global_step + 1) % every == 0
            if due:
                assert isinstance(self.optimizer_settings, OptimizerSettings)
                rates = rates_of(self.optimizers(), self.optimizer_settings)
                self.log_dict(rates | {"epoch": float(self.current_epoch + 1)}, batch_size=1)
            if due or self.trainer.is_last_batch:
                distributed = self.trainer.world_size > 1
                self.log("train/loss", self._step_loss, prog_bar=True, batch_size=1, sync_dist=distributed)
            self._step_loss = 0.0
        if batch_idx % CHECK_EVERY == 0 and not torch.isfinite(share):
            raise Diverged(f"the training loss is {share.item()} at step {self.global_step}; try a lower optimizer.lr")
        return share * accumulate

    def on_train_epoch_end(self) -> None:
        total = torch.as_tensor(self._epoch_loss, device=self.device)
        if self.trainer.world_size > 1:
            total = self.trainer.strategy.reduce(total, reduce_op="sum")
        self.losses.append(float(total) / max(self._epoch_labels, 1))
        self._epoch_loss, self._epoch_labels = 0.0, 0

    def on_validation_start(self) -> None:
        self._validation_started = time.perf_counter()

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        split = list(self.targets)[dataloader_idx]
        logits = self(batch).float()
        kept = batch.prediction_ids >= 0
        numbers = batch.prediction_ids[kept].cpu().numpy()
        self._found.setdefault(split, []).append((numbers, logits[kept].cpu().numpy()))

    def on_validation_epoch_end(self) -> None:
        for split, targets in self.targets.items():
            self.logits[split] = self._gathered(split, targets.num_predictions)
        metrics = self.scores()
        self._found.clear()
        # The closing validation of a run that ends within an epoch comes after Lightning has counted it.
        epoch = self.current_epoch + (self.trainer.state.fn == "fit")
        self.history.append({"epoch": epoch, "step": self.global_step, "metrics": metrics})
        self.validation_seconds += time.perf_counter() - self._validation_started
        self.log("epoch", float(epoch), rank_zero_only=True)  # as it is printed; Lightning's own count begins with 0
        for split, values in metrics.items():
            primary = self.metrics[0]
            for name, value in values.items():
                self.log(f"{split}/{name}", value, prog_bar=name == primary, rank_zero_only=True)
                if (split, name) == (next(iter(self.targets)), primary):
                    self.log("score", value, rank_zero_only=True)  # what sweeps maximise

    def _gathered(self, split: str, count: int) -> np.ndarray:
        """(N, C) logits of the split from all batches and ranks, in the order of the data."""
        found = self._found.get(split, [])
        if self.trainer.world_size > 1:
            shares: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(shares, found)
            found = [pair for share in shares for pair in share]
        logits = np.full((count, found[0][1].shape[-1]), np.nan, dtype=np.float32)
        predicted = sum(len(numbers) for numbers, _ in found)
        if isinstance(self.head, SentenceHead) and predicted != count:
            raise RuntimeError(f"{split}: {predicted} of {count} texts were predicted; a score would be of a part")
        for numbers, values in found:
            if not np.isfinite(values).all():
                raise Diverged(
                    f"the model's outputs are not finite at step {self.global_step}; try a lower optimizer.lr"
                )
            logits[numbers] = values
        return logits

    def scores(self) -> dict[str, dict[str, float]]:
        """Metrics of the last validation's splits that have labels."""
        return {
            split: score(self.metrics, self.labels, self.predictions(split), targets.labels, targets.sentences)
            for split, targets in self.targets.items()
            if targets.labels is not None
        }

    def predictions(self, split: str) -> np.ndarray:
        """(N,) predicted label numbers, or values; a word without logits is label 0, which is O."""
        return self.predicted(self.logits[split])

    def predicted(self, logits: np.ndarray) -> np.ndarray:
        """(N,) what logits (N, C) predict."""
        if not self.labels:
            return logits[:, 0]
        return np.where(np.isnan(logits).any(axis=1), 0, np.nan_to_num(logits).argmax(axis=1))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Between optimizer steps and outside of validations there is no other state than this."""
        checkpoint["progress"] = {name: getattr(self, name) for name in PROGRESS}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name in PROGRESS:
            setattr(self, name, checkpoint["progress"][name])

    def configure_optimizers(self) -> Any:
        assert isinstance(self.optimizer_settings, OptimizerSettings)
        optimizer, schedule = build_optimizer(
            self.encoder,
            self.head,
            self.optimizer_settings,
            int(self.trainer.estimated_stepping_batches),
            fused=can_fuse(self.trainer.precision, self.device, self.trainer.gradient_clip_algorithm == "value"),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        plugin = self.trainer.precision_plugin
        # Gradients of single precision, whole, and not scaled.
        plain = type(plugin) is Precision or (type(plugin) is MixedPrecision and plugin.scaler is None)
        scales = plain and self.device.type in SCALES_GRADIENTS
        if scales and gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            clip_in_step(optimizer, gradient_clip_val)
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)


class Diverged(UserError):
    """Training has produced numbers that are not finite. The run has failed; others may go on."""
