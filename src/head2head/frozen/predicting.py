"""What a head on features predicts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from head2head.frozen.batches import Batches
from head2head.frozen.head_parts import TrainableHead


def logits_of(head: TrainableHead, batches: Batches, rows: np.ndarray) -> Tensor:
    """(B, C) logits of some rows, or (B, W, C) of their words."""
    if head.reads_rows:
        return head([batches.vectors(spec, rows) for spec in head.specs], None, None)
    return head(*batches.sequences(head.specs, rows))


@torch.no_grad()
def predict(head: TrainableHead, batches: Batches, num_predictions: int) -> np.ndarray:
    """(N, C) float32 logits of a split, NaN for a word that has no word piece.

    Raises:
        FloatingPointError: one is not finite.
    """
    head.eval()
    unit, found = head.specs[0].unit, None
    for rows in batches.evaluation():
        logits = logits_of(head, batches, rows).float().cpu().numpy()
        numbers = batches.prediction_ids(unit, rows)
        if found is None:
            found = np.full((num_predictions, logits.shape[-1]), np.nan, dtype=np.float32)
        if not np.isfinite(logits[numbers >= 0]).all():
            raise FloatingPointError
        found[numbers[numbers >= 0]] = logits[numbers >= 0]
    assert found is not None
    return found
