"""Training with a part of the word-embedding table against training with the whole of it."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
)

from composed import compose
from head2head.cli.evaluate import evaluate
from head2head.data.batching import Batch
from head2head.model.checkpoint import Checkpoint, load_encoder
from head2head.model.encoder import Encoder
from head2head.model.finetuner import FineTuner
from head2head.model.heads import Layer, Linear, Mean, SentenceHead
from head2head.model.optimizer import OptimizerSettings
from head2head.model.output import EncoderSpec, Needs
from head2head.run.run import run
from head2head.speed.embeddings import ReducedEmbedding, reduced_embeddings

VOCABULARY, USED = 200, torch.tensor([9, 5, 6, 150, 40, 41, 2, 9])
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.3, "max_position_embeddings": 40,
}  # fmt: skip
DISTILBERT = DistilBertConfig(vocab_size=VOCABULARY, dim=16, n_layers=2, n_heads=2, hidden_dim=24, dropout=0.0,
                              attention_dropout=0.0, max_position_embeddings=40, initializer_range=0.3)  # fmt: skip
MODELS = {
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "roberta": lambda: RobertaModel(RobertaConfig(**SIZES, pad_token_id=1)),
    "distilbert": lambda: DistilBertModel(DISTILBERT),
    "electra": lambda: ElectraModel(ElectraConfig(**SIZES, embedding_size=8)),
}


def encoder(family: str = "bert", frozen: bool | int = False) -> Encoder:
    torch.manual_seed(0)
    return Encoder(MODELS[family](), Needs(frozenset({2})), frozen)


def batches(count: int, padding: int = 0) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    made = []
    for number in range(count):
        ids = USED[torch.randint(0, len(USED), (4, 8), generator=generator)]
        mask = torch.ones(4, 8, dtype=torch.long)
        mask[1, 5:] = 0
        mask[2, : number % 3] = 0
        labels = torch.randint(0, 2, (4,), generator=generator)
        real = ids.where(mask.bool(), padding)
        made.append(
            Batch(real, mask, torch.zeros_like(ids), 1 - mask, torch.arange(4), labels=labels, labels_in_step=4)
        )
    return made


@pytest.mark.parametrize("family", MODELS)
def test_states_and_gradients_are_those_of_the_whole_table(family):
    whole = encoder(family).double()
    part = copy.deepcopy(whole)
    table = whole.model.get_input_embeddings()
    (batch,) = batches(1, table.padding_idx)
    inputs = [batch.input_ids, batch.attention_mask, batch.token_type_ids]
    expected = whole(*inputs).last_hidden_state
    expected.pow(3).sum().backward()
    with reduced_embeddings(part, USED):
        found = part(*inputs).last_hidden_state
        found.pow(3).sum().backward()
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
        small = part.model.get_input_embeddings()
        assert small.weight.shape[0] == len({*USED.tolist(), table.padding_idx})
        torch.testing.assert_close(small.weight.grad, table.weight.grad[small.kept], rtol=1e-9, atol=0)
        for (name, a), b in zip(whole.named_parameters(), part.parameters(), strict=True):
            if a is not table.weight and a.grad is not None:
                torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=0, msg=name)
        assert table.weight.grad.norm() > 0
        torch.testing.assert_close(small.weight.grad.norm(), table.weight.grad.norm(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("number", [3, 199, VOCABULARY])
def test_a_word_piece_that_was_not_taken_raises(number):
    with reduced_embeddings(part := encoder(), USED), pytest.raises(IndexError):
        part(torch.tensor([[5, number]]), torch.ones(1, 2, dtype=torch.long))


class Losses(pl.Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.values.append(outputs["loss"].item())


def train(model: FineTuner, precision: str, folder, steps: int = 20) -> list[float]:
    losses = Losses()
    pl.Trainer(
        accelerator="cpu", devices=1, precision=precision, max_steps=steps, logger=False, enable_checkpointing=False,
        gradient_clip_val=0.5, enable_progress_bar=False, enable_model_summary=False, callbacks=[losses],
        default_root_dir=folder,
    ).fit(model, DataLoader(batches(steps), batch_size=None))  # fmt: skip
    return losses.values


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
@pytest.mark.parametrize(("precision", "tolerance"), [("64-true", 1e-9), ("32-true", 1e-4)])
def test_20_clipped_steps_give_the_losses_and_the_table_of_whole_ones(layer_decay, precision, tolerance, tmp_path):
    settings = OptimizerSettings(lr=1e-2, weight_decay=0.5, layer_decay=layer_decay, schedule="cosine")
    torch.manual_seed(0)
    head = SentenceHead(Layer, Mean, Linear, EncoderSpec(16, 2, dropout=0.0), 2)
    whole = FineTuner(encoder(), head, ["a", "b"], ["accuracy"], {}, 0, settings)
    part = copy.deepcopy(whole)
    start = whole.encoder.model.get_input_embeddings().weight.detach().clone()
    expected = train(whole, precision, tmp_path)
    with reduced_embeddings(part.encoder, USED):
        names = [name for name, _ in part.named_parameters()]
        found = train(part, precision, tmp_path)
    assert found == pytest.approx(expected, rel=0, abs=tolerance)
    assert names == [name for name, _ in whole.named_parameters()]
    for (name, a), b in zip(whole.named_parameters(), part.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=tolerance, msg=name)
    absent = torch.ones(VOCABULARY, dtype=torch.bool)
    absent[USED] = absent[0] = False
    table = part.encoder.model.get_input_embeddings()
    assert type(table) is nn.Embedding
    moved = (table.weight.detach().to(start.dtype) / start)[absent]  # decay alone: one factor for all
    assert moved.max() - moved.min() < 1e-5
    assert moved.max() < 0.99
    assert (table.weight.detach().to(start.dtype) - start)[~absent].abs().max() > 0.01


@pytest.mark.parametrize("frozen", [True, 1])
def test_a_table_that_is_not_trained_stays_whole(frozen):
    with reduced_embeddings(part := encoder(frozen=frozen), USED):
        assert type(part.model.get_input_embeddings()) is nn.Embedding


def test_a_table_of_another_kind_stays_whole():
    class Scaled(nn.Embedding):
        pass

    part = encoder()
    part.model.set_input_embeddings(Scaled(VOCABULARY, 16))
    with reduced_embeddings(part, USED):
        assert type(part.model.get_input_embeddings()) is Scaled


def test_the_table_is_whole_again_when_training_breaks_off():
    def broken(part: Encoder) -> None:
        with reduced_embeddings(part, USED):
            assert type(part.model.get_input_embeddings()) is ReducedEmbedding
            raise RuntimeError("broke off")

    part = encoder()
    table = part.model.get_input_embeddings()
    with pytest.raises(RuntimeError, match="broke off"):
        broken(part)
    assert part.model.get_input_embeddings() is table


def test_a_run_saves_the_whole_table_decayed_where_nothing_occurs_and_evaluate_reads_it(tmp_path):
    overrides = [
        "encoder=random-tiny", "trainer.max_steps=4", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false",
        "task.rows.train=60", "threads=1", "optimizer.lr=0.1", "optimizer.weight_decay=0.5",
        "optimizer.schedule=linear", "optimizer.warmup_ratio=0", f"output_dir={tmp_path}/runs",
        f"cache_dir={tmp_path}/cache",
    ]  # fmt: skip
    config = compose([*overrides, "task.rows.validation=20", "trainer.max_epochs=2"])
    result = run(config)
    (path,) = tmp_path.glob("runs/*/*/*/model.safetensors")
    saved = load_file(path)["encoder.model.embeddings.word_embeddings.weight"]
    checkpoint = Checkpoint("random-tiny", config=config["encoder"]["config"])
    start = load_encoder(checkpoint, Needs(frozenset({2}))).model.get_input_embeddings().weight.detach()
    assert saved.shape == start.shape == (512, 32)
    assert result.parameters["total"] == sum(tensor.numel() for tensor in load_file(path).values())
    factor = (1 - 0.1 * 0.5) * (1 - 0.075 * 0.5) * (1 - 0.05 * 0.5) * (1 - 0.025 * 0.5)
    last = 511  # of the vocabulary, which is shorter than the table
    torch.testing.assert_close(saved[last], start[last] * factor, rtol=1e-6, atol=0)
    assert (saved - start * factor).abs().amax(dim=1).gt(1e-3).sum() > 20
    assert evaluate(path.parent, split="test")  # its word pieces need not be those of training
