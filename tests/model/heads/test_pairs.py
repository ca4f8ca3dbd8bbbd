"""Heads on pairs whose texts are read apart, worked out by hand, and the contract that every sentence head keeps."""

import pytest
import torch
from test_heads import LEFT, apply, assert_rows_close, batch_of, config_of, encode, logits_of, rows

from head2head.model.build import build_head
from head2head.model.checkpoint import Checkpoint, load_encoder
from head2head.model.heads import Comparison, Cosine, Differences, Similarity
from head2head.run.configuration import options

U, V = torch.tensor([[1.0, -2.0], [0.0, 0.0]]), torch.tensor([[4.0, 2.0], [3.0, 1.0]])
SENTENCE_HEADS = [name for name in options("head") if not name.startswith("ner")]
every_head = pytest.mark.parametrize("name", SENTENCE_HEADS)
both = pytest.mark.parametrize("compare", [Differences, Cosine])


def built(name, compare):
    config = config_of(name)
    checkpoint = Checkpoint(config["encoder"]["name"], config=config["encoder"]["config"])
    head = build_head(config, checkpoint, 1 if compare is Cosine else 3, 0, compare)
    return load_encoder(checkpoint, head.needs).eval(), head.eval()


def test_one_text_is_left_as_it_is():
    assert torch.equal(Comparison(2)(U), U)


def test_u_v_and_their_distance_by_hand():
    compare = Differences(2)
    assert compare(torch.cat([U, V])).tolist() == [[1, -2, 4, 2, 3, 4], [0, 0, 3, 1, 3, 1]]
    assert compare.size == 6


def test_the_cosine_by_hand_and_of_an_empty_text():
    found = Cosine(2)(torch.cat([U, V]))
    torch.testing.assert_close(found, torch.tensor([[0.0], [0.0]]))  # 1 x 4 - 2 x 2; a vector of zeros
    torch.testing.assert_close(Cosine(2)(torch.tensor([[1.0, 1.0], [1.0, 0.0]])), torch.tensor([[0.5**0.5]]))


def test_the_cosine_does_not_overflow_in_half_precision():
    vectors = torch.full((2, 64), 200.0, dtype=torch.float16)
    assert Cosine(64)(vectors).tolist() == [[1.0]]


def test_a_cosine_is_put_on_the_scale_of_the_training_labels():
    classifier = Similarity(1, 1, 0.1)
    classifier.set_range(-1.0, 5.0)
    assert classifier(torch.tensor([[0.0], [1.0], [-1.0]])).tolist() == [[-1.0], [5.0], [-7.0]]
    assert [name for name, _ in classifier.named_parameters()] == []
    assert set(classifier.state_dict()) == {"low", "high"}


@every_head
def test_the_classifier_reads_both_texts_and_their_distance(name):
    _, head = built(name, Differences)
    assert head.compare.size == 3 * head.pool.size
    (first, *_) = [p for p in head.classifier.parameters() if p.ndim == 2]
    assert first.shape[1] == 3 * head.pool.size


@both
@every_head
def test_batch_mates_and_padding_change_nothing(name, compare):
    encoder, head = built(name, compare)
    first, second = rows(), rows()[::-1]
    texts = [*first, *second]
    alone = [logits_of(encoder, head, batch_of([one, other]))[0] for one, other in zip(first, second, strict=True)]
    batch = batch_of(texts)
    assert apply(head, encode(encoder, batch), batch).shape == (4, 1 if compare is Cosine else 3)
    assert (alone[0] - alone[2]).abs().max() > 1e-3
    assert_rows_close(logits_of(encoder, head, batch), alone)
    assert_rows_close(logits_of(encoder, head, batch_of(texts, extra=5)), alone)
    assert_rows_close(logits_of(encoder, head, batch_of(texts, LEFT, extra=2)), alone)


@both
@every_head
def test_logits_are_those_of_each_text_encoded_by_itself(name, compare):
    encoder, head = built(name, compare)
    first, second = rows(), rows()[::-1]
    with torch.no_grad():
        u, v = (
            torch.cat([head.pooled(encode(encoder, batch_of([text])), head.layers) for text in texts])
            for texts in (first, second)
        )
        if compare is Cosine:
            expected = ((u * v).sum(-1) / (u.norm(dim=-1) * v.norm(dim=-1))).unsqueeze(-1)
        else:
            expected = head.classifier(torch.cat([u, v, (u - v).abs()], dim=-1))
    assert_rows_close(logits_of(encoder, head, batch_of([*first, *second])), list(expected))


@both
@every_head
def test_gradients_are_finite_where_texts_are_empty_or_equal(name, compare):
    encoder, head = built(name, compare)
    empty, text = torch.zeros(0, dtype=torch.long), rows()[0]
    batch = batch_of([empty, text, empty, empty, text, text])
    apply(head, encode(encoder, batch), batch).sum().backward()
    parameters = [*head.parameters(), *encoder.parameters()]
    assert all(torch.isfinite(p.grad).all() for p in parameters if p.grad is not None)
