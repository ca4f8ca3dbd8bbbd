"""Standardised features are scikit-learn's StandardScaler's, and can be folded into the layer that reads them."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn

from head2head.model.heads.standardization import Moments, Standardization, fit, folded


@pytest.fixture
def features():
    """(200, 6) float32 of unlike means and spreads; the fourth does not vary, the last varies by rounding alone."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 6)) * [1e-3, 1, 50, 0, 3, 0] + [5, -1, 1000, 0.3, 0, 0]
    values[:, 5] = 0.7 + rng.choice([0, 1e-8], size=200)
    return values.astype(np.float32)


def fitted(features: np.ndarray) -> Standardization:
    module = nn.Sequential(Standardization(features.shape[1]))
    fit(module, lambda: torch.from_numpy(features).split(37), module)
    return module[0]


def test_mean_and_scale_are_those_of_all_rows_however_they_are_batched(features):
    expected = StandardScaler().fit(features[:, :5].astype(np.float64))
    moments = Moments()
    for batch in torch.from_numpy(features).split([1, 0, 150, 49]):
        moments.add(batch)
    np.testing.assert_allclose(moments.mean[:5], expected.mean_, rtol=1e-13)
    np.testing.assert_allclose(moments.scale[:5], expected.scale_, rtol=1e-10)
    assert moments.scale[3] == 1.0


def test_what_differs_by_rounding_alone_is_not_blown_up(features):
    assert fitted(features)(torch.from_numpy(features))[:, [3, 5]].abs().max() < 1e-6


def test_standardised_rows_are_scikit_learns(features):
    expected = StandardScaler().fit_transform(features[:, :5].astype(np.float64))
    found = fitted(features)(torch.from_numpy(features))[:, :5]
    assert found.dtype == torch.float32
    # The first two digits of the first feature are lost where its mean is taken away in single precision.
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:], atol=2e-5)
    np.testing.assert_allclose(found[:, 0], expected[:, 0], atol=2e-3)


def test_what_the_mask_leaves_out_does_not_count(features):
    tokens = torch.from_numpy(features).view(50, 4, 6)
    mask = torch.ones(50, 4).index_fill(1, torch.tensor([2]), 0)

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = Standardization(6)

        def forward(self, rows):
            return self.part(tokens[rows], mask[rows])

    head = Head()
    fit(head, lambda: torch.arange(50).split(7), head)
    np.testing.assert_allclose(head.part.mean, tokens[mask.bool()].double().mean(dim=0), rtol=1e-6)


def test_before_it_is_fitted_nothing_comes_out_that_could_be_taken_for_a_number():
    part = Standardization(3)
    assert not part.fitted
    assert part(torch.zeros(2, 3)).isnan().all()


def test_what_comes_later_is_fitted_on_what_comes_earlier_and_what_is_fitted_stays(features):
    module = nn.Sequential(Standardization(6), nn.Linear(6, 2), Standardization(2)).double()
    batches = torch.from_numpy(features).double().split(64)
    fit(module, lambda: batches, module)
    out = module(torch.cat(batches))
    np.testing.assert_allclose(out.mean(dim=0).detach(), 0, atol=1e-10)
    np.testing.assert_allclose(out.std(dim=0, correction=0).detach(), 1, rtol=1e-10)
    before = [buffer.clone() for buffer in module.buffers()]
    nn.init.ones_(module[1].weight)
    fit(module, lambda: batches, module)
    assert all(torch.equal(a, b) for a, b in zip(before, module.buffers(), strict=True))


@pytest.mark.parametrize("bias", [True, False])
def test_folded_into_a_linear_layer_it_computes_the_same(features, bias):
    rows = torch.from_numpy(features[:, 1:5]).double()
    part = fitted(features[:, 1:5]).double()
    linear = nn.Linear(4, 3, bias=bias, dtype=torch.float64)
    one = folded(part, linear)
    assert type(one) is nn.Linear
    torch.testing.assert_close(one(rows), linear(part(rows)), rtol=1e-12, atol=1e-10)
