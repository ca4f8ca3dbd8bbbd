"""Sentence and token heads, and the contract that every head in configs/head keeps."""

import functools

import pytest
import torch
from torch import Tensor

from composed import compose
from head2head.errors import UserError
from head2head.model.build import build_head
from head2head.model.checkpoint import Checkpoint, load_encoder
from head2head.model.encoder import Encoder
from head2head.model.heads import (
    BiLstm,
    Cls,
    ConcatLast,
    Layer,
    Linear,
    Max,
    Mean,
    Mlp,
    Pooler,
    SentenceHead,
    TokenHead,
    WeightedSum,
)
from head2head.model.output import EncoderOutput, EncoderSpec, Needs
from head2head.run.configuration import options

LABELS = ["O", "B-X", "I-X"]
LENGTHS = (9, 6, 2, 12)
# BERT's sizes that an encoder with random weights must give.
SMALL = {
    "vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
}  # fmt: skip
LEFT, RIGHT = "left", "right"


@functools.cache
def config_of(name: str) -> dict:
    # Five layers, for heads that read the last four; a wide initialisation makes attention and positions matter.
    return compose(
        [
            f"head={name}", "encoder=random-tiny", "encoder.config.num_hidden_layers=5",
            "+encoder.config.initializer_range=0.3",
        ]
    )  # fmt: skip


def built(name: str) -> tuple[Encoder, SentenceHead | TokenHead]:
    """A random encoder and the configured head on it, without dropout."""
    config = config_of(name)
    checkpoint = Checkpoint(config["encoder"]["name"], config=config["encoder"]["config"])
    head = build_head(config, checkpoint, len(LABELS), seed=0, labels=LABELS)
    return load_encoder(checkpoint, head.needs).eval(), head.eval()


def rows(lengths=LENGTHS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randint(5, 500, (n,), generator=generator) for n in lengths]


def batch_of(texts: list[Tensor], side: str = RIGHT, extra: int = 0) -> dict[str, Tensor]:
    """Texts padded on one side; each word has two pieces (the last one where the number is odd) between [CLS] and
    [SEP]. Padding holds ordinary pieces, which nothing may read."""
    width = max(len(text) for text in texts) + extra
    shape = (len(texts), width)
    batch = {
        "input_ids": torch.full(shape, 77),
        "attention_mask": torch.zeros(shape, dtype=torch.long),
        "token_type_ids": torch.ones(shape, dtype=torch.long),
        "special_tokens_mask": torch.ones(shape, dtype=torch.long),
        "words": torch.zeros(len(texts), max(number_of_words(text) for text in texts) + (extra > 0), 2).long(),
    }
    for i, text in enumerate(texts):
        start = width - len(text) if side == LEFT else 0
        here = slice(start, start + len(text))
        batch["input_ids"][i, here] = text
        batch["attention_mask"][i, here] = 1
        batch["token_type_ids"][i, here] = 0
        batch["special_tokens_mask"][i, start + 1 : start + len(text) - 1] = 0
        for word in range(number_of_words(text)):
            first = start + 1 + 2 * word
            batch["words"][i, word] = torch.tensor([first, min(first + 2, start + len(text) - 1)])
    return batch


def number_of_words(text: Tensor) -> int:
    return max(len(text) - 1, 0) // 2


def encode(encoder: Encoder, batch: dict[str, Tensor]) -> EncoderOutput:
    names = ("input_ids", "attention_mask", "token_type_ids", "special_tokens_mask")
    return encoder(*(batch[name] for name in names))


def apply(head: SentenceHead | TokenHead, output: EncoderOutput, batch: dict[str, Tensor]) -> Tensor:
    return head(output, batch["words"]) if isinstance(head, TokenHead) else head(output)


def logits_of(encoder: Encoder, head: SentenceHead | TokenHead, batch: dict[str, Tensor]) -> list[Tensor]:
    """Each row's logits: (C,), or (words of the row, C)."""
    with torch.no_grad():
        logits = apply(head, encode(encoder, batch), batch)
    if isinstance(head, TokenHead):
        return [row[words[:, 1] > 0] for row, words in zip(logits, batch["words"], strict=True)]
    return list(logits)


def assert_rows_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for row, other in zip(found, expected, strict=True):
        torch.testing.assert_close(row, other, rtol=0, atol=2e-5)


every_head = pytest.mark.parametrize("name", options("head"))


@every_head
def test_head_keeps_the_contract(name):
    encoder, head = built(name)
    texts = rows()
    batch = batch_of(texts)
    alone = [logits_of(encoder, head, batch_of([text]))[0] for text in texts]

    # Shape; and logits that differ between texts, without which the comparisons below would be empty.
    logits = apply(head, encode(encoder, batch), batch)
    assert logits.shape == ((4, 5, 3) if head.kind == "token" else (4, 3))
    assert (logits[0] - logits[3]).abs().max() > 1e-2

    # Batch-mates, the amount of padding and its side change nothing.
    assert_rows_close(logits_of(encoder, head, batch), alone)
    assert_rows_close(logits_of(encoder, head, batch_of(texts, extra=5)), alone)
    assert_rows_close(logits_of(encoder, head, batch_of(texts, LEFT)), alone)
    assert_rows_close(logits_of(encoder, head, batch_of(texts, LEFT, extra=5)), alone)
    assert_rows_close(logits_of(encoder, head, batch_of(texts[::-1]))[::-1], alone)

    # A row of padding alone is finite, forwards and backwards, and leaves the others as they are.
    empty = torch.zeros(0, dtype=torch.long)
    holed = batch_of([texts[0], empty, *texts[1:]])
    output = encode(encoder, holed)
    logits = apply(head, output, holed)
    assert torch.isfinite(logits).all()
    found = logits_of(encoder, head, holed)
    assert_rows_close([found[0], *found[2:]], alone)
    logits.sum().backward()
    parameters = [*head.parameters(), *encoder.parameters()]
    assert all(torch.isfinite(p.grad).all() for p in parameters if p.grad is not None)
    assert torch.isfinite(apply(head, encode(encoder, batch_of([empty], extra=3)), batch_of([empty], extra=3))).all()


@every_head
def test_gradient_reaches_every_parameter_of_head_and_encoder(name):
    encoder, head = built(name)
    batch = batch_of(rows())
    logits = apply(head, encode(encoder, batch), batch)
    (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    parameters = dict(head.named_parameters()) | dict(encoder.named_parameters())
    assert [n for n, p in parameters.items() if p.grad is None or p.grad.abs().max() == 0] == []
    assert ("pooler.dense.weight" in parameters) == (name == "pooler")


@every_head
def test_head_changes_neither_batch_nor_hidden_states(name):
    encoder, head = built(name)
    batch = batch_of(rows(), LEFT)
    before = {key: value.clone() for key, value in batch.items()}
    with torch.no_grad():
        output = encode(encoder, batch)
        states = {i: state.clone() for i, state in output.hidden_states.items()}
        apply(head, output, batch)
    assert all(torch.equal(batch[key], value) for key, value in before.items())
    assert all(torch.equal(output.hidden_states[i], state) for i, state in states.items())


@every_head
def test_head_reads_no_more_than_it_says(name):
    encoder, head = built(name)
    batch = batch_of(rows())
    output = encode(encoder, batch)
    assert set(output.hidden_states) == head.needs.layers
    assert len(encoder.layers) == (5 if head.needs.pooler else max(head.needs.layers))
    assert (output.pooled is not None) == head.needs.pooler


@every_head
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-2), (torch.bfloat16, 6e-2), (torch.float64, 1e-5)])
def test_head_gives_the_same_in_other_precisions(name, dtype, tolerance):
    encoder, head = built(name)
    batch = batch_of([*rows(), torch.zeros(0, dtype=torch.long)])
    with torch.no_grad():
        exact = encode(encoder, batch)
        expected = apply(head, exact, batch)
        pooled = None if exact.pooled is None else exact.pooled.to(dtype)
        states = {i: state.to(dtype) for i, state in exact.hidden_states.items()}
        output = EncoderOutput(5, batch["attention_mask"], batch["special_tokens_mask"], states, pooled)
        found = apply(head.to(dtype), output, batch)
    assert found.dtype == dtype
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=tolerance * expected.abs().max().item())


SPEC = EncoderSpec(hidden_size=2, num_layers=1, dropout=0.25, initializer_range=0.02)


def output_of(tokens: list, mask: list, special: list | None = None) -> EncoderOutput:
    special_mask = None if special is None else torch.tensor(special)
    return EncoderOutput(1, torch.tensor(mask), special_mask, {1: torch.tensor(tokens, dtype=torch.float32)})


class Same(Linear):
    """Hands on what comes in."""

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        return features


def sentence_head(pool, layers=Layer, classifier=Same, **settings) -> SentenceHead:
    return SentenceHead(layers, pool, classifier, SPEC, num_labels=2, **settings)


def token_head(classifier=Same, **settings) -> TokenHead:
    return TokenHead(Layer, classifier, SPEC, num_labels=2, **settings)


# [CLS] (9, 9), text (1, 2) (3, 4), [SEP] (8, 8), padding
TEXT = [[[9, 9], [1, 2], [3, 4], [8, 8], [50, 50]]]
TEXT_MASK, SPECIAL = [[1, 1, 1, 1, 0]], [[1, 0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("pool", "with_special", "without"), [(Mean, [5.25, 5.75], [2.0, 3.0]), (Max, [9.0, 9.0], [3.0, 4.0])]
)
def test_special_tokens_are_pooled_unless_they_are_left_out(pool, with_special, without):
    output = output_of(TEXT, TEXT_MASK, SPECIAL)
    assert sentence_head(pool)(output).tolist() == [with_special]
    assert sentence_head(functools.partial(pool, special_tokens=False))(output).tolist() == [without]


def test_leaving_special_tokens_out_needs_to_know_them():
    head = sentence_head(functools.partial(Mean, special_tokens=False))
    with pytest.raises(LookupError, match="special_tokens_mask"):
        head(output_of(TEXT, TEXT_MASK))


def test_a_text_of_special_tokens_alone_pools_to_zeros_where_they_are_left_out():
    head = sentence_head(functools.partial(Mean, special_tokens=False))
    assert head(output_of([[[9, 9], [8, 8]]], [[1, 1]], [[1, 1]])).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("subword", "expected"),
    [
        ("first", [[[1, 1], [6, 6]], [[20, 20], [0, 0]]]),
        ("last", [[[4, 4], [6, 6]], [[20, 20], [0, 0]]]),
        ("mean", [[[2, 2], [6, 6]], [[20, 20], [0, 0]]]),
        ("first_last", [[[1, 1, 4, 4], [6, 6, 6, 6]], [[20, 20, 20, 20], [0, 0, 0, 0]]]),
    ],
)
def test_a_word_is_its_first_or_last_piece_their_mean_or_both_side_by_side(subword, expected):
    pieces = [[9, 1, 1, 4, 6], [9, 20, 9, 70, 70]]  # [CLS], one word of three pieces and one of one; one word and [SEP]
    tokens = [[[value, value] for value in row] for row in pieces]
    output = output_of(tokens, [[1] * 5, [1, 1, 1, 0, 0]])
    words = torch.tensor([[[1, 4], [4, 5]], [[1, 2], [0, 0]]])
    torch.testing.assert_close(token_head(subword=subword)(output, words), torch.tensor(expected, dtype=torch.float32))


def test_mean_of_pieces_does_not_overflow_in_half_precision():
    tokens = torch.full((1, 400, 2), 200.0, dtype=torch.float16)
    output = EncoderOutput(1, torch.ones(1, 400).long(), hidden_states={1: tokens})
    assert token_head(subword="mean").half()(output, torch.tensor([[[0, 400]]])).tolist() == [[[200.0, 200.0]]]


def test_mean_of_pieces_is_not_rounded_to_float32():
    tokens = torch.tensor([[[1.0, 1.0], [1.0 + 2e-12, 1.0]]], dtype=torch.float64)
    output = EncoderOutput(1, torch.ones(1, 2).long(), hidden_states={1: tokens})
    mean = token_head(subword="mean").double()(output, torch.tensor([[[0, 2]]]))
    assert mean[0, 0, 0].item() - 1 == pytest.approx(1e-12, rel=1e-3, abs=0)


def test_an_unknown_subword_choice_is_a_user_error():
    with pytest.raises(UserError, match=r"head\.subword=middle: choose from: first, last, mean, first_last"):
        token_head(subword="middle")


@pytest.mark.parametrize("layers", [functools.partial(Layer, index=0), functools.partial(WeightedSum, n=1)])
def test_the_pooler_reads_the_last_layer_alone(layers):
    if layers.func is WeightedSum:
        assert sentence_head(Pooler, layers).needs == Needs(frozenset({1}), pooler=True)
        return
    with pytest.raises(UserError, match="head/pool=pooler reads the last layer"):
        sentence_head(Pooler, layers)


def test_a_bilstm_over_a_sentence_vector_is_a_user_error():
    with pytest.raises(UserError, match="BiLstm reads a sequence of words"):
        sentence_head(Mean, classifier=BiLstm)


def test_a_bilstm_token_head_gives_a_sentence_the_same_logits_alone_and_among_others():
    torch.manual_seed(0)
    head = token_head(classifier=functools.partial(BiLstm, hidden=4)).eval()
    tokens = torch.randn(2, 5, 2)
    words = torch.tensor([[[1, 2], [2, 4], [4, 5]], [[1, 2], [0, 0], [0, 0]]])
    together = head(EncoderOutput(1, torch.ones(2, 5), hidden_states={1: tokens}), words)
    alone = head(EncoderOutput(1, torch.ones(1, 5), hidden_states={1: tokens[1:]}), words[1:, :1])
    assert together.shape == (2, 3, 2)
    torch.testing.assert_close(together[1, :1], alone[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dropout", "expected"), [(None, 0.25), (0.0, 0.0), (0.5, 0.5)])
def test_classifier_dropout_is_the_encoders_unless_one_is_given(dropout, expected):
    assert sentence_head(Mean, classifier=Linear, dropout=dropout).classifier.dropout.p == expected
    assert token_head(classifier=Linear, dropout=dropout).classifier.dropout.p == expected


def test_new_linear_layers_start_as_berts_do():
    torch.manual_seed(0)
    spec = EncoderSpec(hidden_size=200, num_layers=4, initializer_range=0.02)
    head = SentenceHead(functools.partial(ConcatLast, n=1), Cls, Mlp, spec, num_labels=100)
    for layer in (head.classifier.dense, head.classifier.output):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert layer.bias.abs().max() == 0


def test_needs_are_the_layers_read_and_the_pooler_only_for_its_head():
    spec = EncoderSpec(hidden_size=2, num_layers=12)
    assert SentenceHead(WeightedSum, Mean, Linear, spec, 2).needs == Needs(frozenset({9, 10, 11, 12}))
    assert SentenceHead(Layer, Pooler, Linear, spec, 2).needs == Needs(frozenset({12}), pooler=True, first_only=True)
    assert SentenceHead(Layer, Cls, Linear, spec, 2).needs == Needs(frozenset({12}), first_only=True)
    assert TokenHead(functools.partial(Layer, index=-2), Linear, spec, 2).needs == Needs(frozenset({11}))


def test_every_pool_and_classifier_can_be_put_on_a_head():
    checkpoint = Checkpoint("random", config=SMALL | {"num_hidden_layers": 12})
    for pool in options("head/pool"):
        head = build_head(compose(["head=mean", f"head/pool={pool}"]), checkpoint, 2, seed=0)
        assert type(head.pool).__name__.lower() == pool.replace("_", "")
    for classifier in options("head/classifier"):
        head = build_head(compose(["head=ner", f"head/classifier={classifier}"]), checkpoint, 2, seed=0)
        assert type(head.classifier).__name__.lower() == classifier


def test_parts_that_do_not_fit_are_a_user_error_of_one_line():
    checkpoint = Checkpoint("random", config=SMALL | {"vocab_size": 30522})
    for overrides in (["head=weighted_sum"], ["head=mean", "head/classifier=bilstm"], ["head=ner", "head.subword=x"]):
        with pytest.raises(UserError) as error:
            build_head(compose(overrides), checkpoint, 2, seed=0)
        assert "\n" not in str(error.value)
