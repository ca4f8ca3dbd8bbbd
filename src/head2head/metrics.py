"""torchmetrics metrics with the semantics of the field, computed over a whole split.

A constant predictor has MCC 0 and correlation 0 here (sklearn's convention for MCC), where torchmetrics
gives an epsilon's artefact or NaN; and ratios of counts are float64, where torchmetrics rounds to float32.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef

from head2head.data.entities import parse_tag, sentence_starts, spans


class FromCounts(MulticlassConfusionMatrix):
    """A metric of the whole split's confusion matrix, in float64.

    Args:
        function: (K, K) counts, gold in rows -> the metric.
        num_classes: K.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], num_classes: int) -> None:
        super().__init__(num_classes)
        self.function = function

    def compute(self) -> Tensor:
        return self.function(super().compute().double())


def accuracy(confusion: Tensor) -> Tensor:
    """Share of right predictions."""
    return confusion.trace() / confusion.sum()


def f1_by_class(confusion: Tensor) -> Tensor:
    """(K,): 2 tp / (2 tp + fp + fn); 0 for a class never predicted right, NaN for one that never occurs."""
    return 2 * confusion.diagonal() / (confusion.sum(dim=0) + confusion.sum(dim=1))


def f1(confusion: Tensor) -> Tensor:
    """F1 of the second class, the positive one."""
    return f1_by_class(confusion)[1].nan_to_num()


def macro_f1(confusion: Tensor) -> Tensor:
    """Mean F1 of the classes that occur, in gold or in predictions."""
    return f1_by_class(confusion).nanmean()


def matthews(confusion: Tensor) -> Tensor:
    """Matthews correlation for K classes (Gorodkin 2004); 0 where either side is constant."""
    gold, predicted, total = confusion.sum(dim=1), confusion.sum(dim=0), confusion.sum()
    covariance = confusion.trace() * total - (gold * predicted).sum()
    spread = (total**2 - (gold**2).sum()) * (total**2 - (predicted**2).sum())
    return covariance / spread.sqrt() if spread > 0 else torch.zeros_like(covariance)


class Correlation(Metric):
    """A correlation over all pairs at once, in float64; 0 where either side is constant.

    Args:
        function: torchmetrics' functional form.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.preds: list[Tensor]
        self.target: list[Tensor]
        self.add_state("preds", default=[], dist_reduce_fx="cat")
        self.add_state("target", default=[], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Append (N,) predictions and gold values."""
        self.preds.append(preds.double())
        self.target.append(target.double())

    def compute(self) -> Tensor:
        preds, target = torch.cat(self.preds), torch.cat(self.target)
        if len(preds) < 2 or preds.max() == preds.min() or target.max() == target.min():
            return torch.zeros((), dtype=torch.float64)
        # A shift and a scale change neither correlation, and keep tiny spreads away from epsilons.
        preds, target = (values - values.mean() for values in (preds, target))
        return self.function(preds / preds.abs().max(), target / target.abs().max())


class EntityScores(Metric):
    """Precision, recall and F1 of whole entities, per type and over all (micro), as `conlleval` counts.

    Args:
        labels: names of the tags (O, B-X, I-X ...) in the order of their numbers.
    """

    def __init__(self, labels: Sequence[str]):
        super().__init__()
        parsed = [parse_tag(label) for label in labels]
        self.types = sorted({type_ for _, type_ in parsed if type_})
        self.prefix = np.array([prefix for prefix, _ in parsed])
        self.type_number = np.array([self.types.index(type_) if type_ else -1 for _, type_ in parsed])
        self.correct: Tensor
        self.predicted: Tensor
        self.gold: Tensor
        for name in ("correct", "predicted", "gold"):
            self.add_state(name, default=torch.zeros(len(self.types), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor, sentences: Tensor) -> None:
        """Count the entities of whole sentences.

        Args:
            preds, target: (W,) tag numbers of the sentences' words, one sentence behind the other.
            sentences: (S,) number of words of each.
        """
        first = sentence_starts(sentences.cpu().numpy())
        found, gold = (self._spans(tags.cpu().numpy(), first) for tags in (preds, target))
        _, i, j = np.intersect1d(found.start, gold.start, assume_unique=True, return_indices=True)
        same = (found.end[i] == gold.end[j]) & (found.type[i] == gold.type[j])
        for state, types in (("correct", found.type[i][same]), ("predicted", found.type), ("gold", gold.type)):
            counts = torch.from_numpy(np.bincount(types, minlength=len(self.types)))
            setattr(self, state, getattr(self, state) + counts.to(self.device))

    def _spans(self, tags: np.ndarray, first: np.ndarray):  # type: ignore[no-untyped-def]
        return spans(self.prefix[tags], self.type_number[tags], first)

    def compute(self) -> dict[str, Tensor]:
        """entity_f1, entity_precision, entity_recall; and each with `_TYPE` behind it."""
        scores = self._scores(self.correct.sum(), self.predicted.sum(), self.gold.sum(), "")
        for i, type_ in enumerate(self.types):
            scores |= self._scores(self.correct[i], self.predicted[i], self.gold[i], f"_{type_}")
        return scores

    @staticmethod
    def _scores(correct: Tensor, predicted: Tensor, gold: Tensor, suffix: str) -> dict[str, Tensor]:
        def ratio(a: Tensor, b: Tensor) -> Tensor:
            return a.double() / b if b > 0 else torch.zeros((), dtype=torch.float64)

        return {
            f"entity_f1{suffix}": ratio(2 * correct, predicted + gold),
            f"entity_precision{suffix}": ratio(correct, predicted),
            f"entity_recall{suffix}": ratio(correct, gold),
        }


CLASSIFICATION: dict[str, Callable[[Tensor], Tensor]] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "mcc": matthews,
}
REGRESSION: dict[str, Callable[[], Metric]] = {
    "pearson": lambda: Correlation(pearson_corrcoef),
    "spearman": lambda: Correlation(spearman_corrcoef),
}


def score(
    names: Sequence[str],
    labels: Sequence[str],
    predictions: np.ndarray,
    gold: np.ndarray,
    sentences: np.ndarray | None = None,
) -> dict[str, float]:
    """The named metrics over a whole split, as plain numbers in the order asked for.

    Args:
        labels: label names; empty for regression.
        predictions, gold: (N,) label numbers or values.
        sentences: token tasks: number of words of each sentence.

    Raises:
        KeyError: no metric of that name for such a task.
    """
    preds, target = torch.from_numpy(predictions), torch.from_numpy(gold)
    if sentences is not None:
        metric = EntityScores(labels)
        metric.update(preds, target, torch.from_numpy(sentences))
        found = {name: float(value) for name, value in metric.compute().items()}
        return {name: found[name] for name in [*names, *(name for name in found if name not in names)]}
    results = {}
    for name in names:
        built: Metric = FromCounts(CLASSIFICATION[name], len(labels)) if labels else REGRESSION[name]()
        built.update(preds, target)
        results[name] = float(built.compute())
    return results


def majority_baseline(
    names: Sequence[str],
    labels: Sequence[str],
    train: np.ndarray,
    gold: np.ndarray,
    train_sentences: np.ndarray | None = None,
    sentences: np.ndarray | None = None,
) -> dict[str, float]:
    """The best constant prediction: chosen by the primary metric on the training labels, scored on `gold`.

    Correlations of a constant are 0. For F1 the best constant is not always the most frequent label.
    """
    if not labels:
        return dict.fromkeys(names, 0.0)

    def constant(label: int, target: np.ndarray, lengths: np.ndarray | None) -> dict[str, float]:
        return score(names, labels, np.full_like(target, label), target, lengths)

    best = max(range(len(labels)), key=lambda label: constant(label, train, train_sentences)[names[0]])
    return constant(best, gold, sentences)


def constant_predictions(predictions: np.ndarray) -> bool:
    """Whether a model predicts one class, or one value to within rounding, whatever it reads."""
    if np.issubdtype(predictions.dtype, np.integer):
        return len(np.unique(predictions)) == 1
    return float(np.ptp(predictions)) <= 1e-4 * max(1.0, float(np.abs(predictions).max()))
