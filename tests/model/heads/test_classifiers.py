"""Classifiers: sizes, numbers worked out by hand, and words that are padding."""

import math

import pytest
import torch

from head2head.model.heads import BiLstm, Linear, Mlp


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_linear_is_a_dot_product_and_a_bias():
    classifier = Linear(2, 1, dropout=0.0)
    with torch.no_grad():
        classifier.output.weight.copy_(torch.tensor([[2.0, -1.0]]))
        classifier.output.bias.fill_(0.5)
    assert classifier(torch.tensor([[3.0, 4.0]])).tolist() == [[2.5]]


def test_mlp_is_a_dense_layer_and_tanh_before_the_linear_one():
    classifier = Mlp(1, 1, dropout=0.0)
    with torch.no_grad():
        for parameter, value in zip(classifier.parameters(), (2.0, 1.0, 3.0, -1.0), strict=True):
            parameter.fill_(value)
    expected = 3 * math.tanh(2 * 0.25 + 1) - 1
    assert classifier(torch.tensor([[0.25]])).item() == pytest.approx(expected, abs=1e-6)


def test_mlp_has_as_many_more_parameters_than_linear_as_the_pooler_has():
    assert parameters(Mlp(768, 3, 0.1)) - parameters(Linear(768, 3, 0.1)) == 768 * 768 + 768


def test_mlp_width_is_a_setting():
    assert parameters(Mlp(8, 3, 0.1, hidden=5)) == (8 * 5 + 5) + (5 * 3 + 3)


@pytest.mark.parametrize("classifier", [Linear, Mlp])
def test_dropout_acts_in_training_alone_and_in_the_given_strength(classifier):
    torch.manual_seed(0)
    built = classifier(4, 2, dropout=1.0)
    features = torch.randn(3, 4)
    assert torch.equal(built(features), built.output.bias.expand(3, 2))
    assert not torch.equal(built.eval()(features), built.output.bias.expand(3, 2))


def bilstm(**settings) -> BiLstm:
    torch.manual_seed(0)
    return BiLstm(6, 3, dropout=0.5, **({"hidden": 5} | settings)).eval()


def test_bilstm_is_two_layers_of_768_each_way_by_default():
    classifier = BiLstm(768, 9, dropout=0.1)
    assert (classifier.lstm.num_layers, classifier.lstm.hidden_size, classifier.lstm.bidirectional) == (2, 768, True)
    # an LSTM direction: 4 gates of (input + 768 + 2 biases) x 768
    first, second = 4 * 768 * (768 + 768 + 2), 4 * 768 * (1536 + 768 + 2)
    assert parameters(classifier) == 2 * (first + second) + (1536 * 9 + 9)


def test_bilstm_reads_a_sentence_both_ways():
    features = torch.randn(1, 4, 6)
    other = features.clone()
    other[0, 3] += 1
    mask = torch.ones(1, 4, dtype=torch.bool)
    classifier = bilstm()
    assert (classifier(features, mask)[0, 0] - classifier(other, mask)[0, 0]).abs().max() > 1e-4
    other = features.clone()
    other[0, 0] += 1
    assert (classifier(features, mask)[0, 3] - classifier(other, mask)[0, 3]).abs().max() > 1e-4


def test_bilstm_gives_a_sentence_the_same_logits_alone_and_padded_among_others():
    torch.manual_seed(1)
    features = torch.randn(3, 7, 6)
    lengths = [4, 7, 1]
    mask = torch.arange(7) < torch.tensor(lengths).unsqueeze(1)
    classifier = bilstm()
    together = classifier(features, mask)
    assert together.shape == (3, 7, 3)
    for row, length in enumerate(lengths):
        alone = classifier(features[row : row + 1, :length], torch.ones(1, length, dtype=torch.bool))
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-6)


def test_bilstm_takes_rows_without_words():
    classifier = bilstm()
    mask = torch.tensor([[True, True], [False, False]])
    logits = classifier(torch.randn(2, 2, 6), mask)
    assert torch.isfinite(logits).all()
    assert torch.isfinite(classifier(torch.randn(2, 2, 6), torch.zeros(2, 2, dtype=torch.bool))).all()


def test_bilstm_of_one_layer_has_no_dropout_between_layers():
    assert bilstm(num_layers=1).lstm.dropout == 0
    assert bilstm(num_layers=2).lstm.dropout == 0.5


def test_bilstm_without_a_mask_is_an_error():
    with pytest.raises(ValueError, match="mask"):
        bilstm()(torch.randn(1, 2, 6))


def test_bilstm_is_for_words_only_and_the_others_are_for_both():
    assert BiLstm.kinds == {"token"}
    assert Linear.kinds == Mlp.kinds == {"sentence", "token"}
