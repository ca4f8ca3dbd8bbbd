"""One run on the real configuration, shrunken: what it writes, and what does and does not change it."""

import json
import math

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
import yaml
from safetensors import safe_open

from composed import compose
from head2head.cli.evaluate import evaluate
from head2head.errors import UserError
from head2head.model import finetuner
from head2head.model.finetuner import Diverged, FineTuner
from head2head.run.configuration import options
from head2head.run.key import identify
from head2head.run.record import device_name
from head2head.run.result import read_result
from head2head.run.run import run

SMALL = [
    "encoder=random-tiny",
    "trainer.max_steps=3",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "threads=1",
]


def go(tmp_path, *overrides):
    """Run on few generated examples."""
    return go_on_files(tmp_path, "task.rows.train=60", "task.rows.validation=100", *overrides)


def go_on_files(tmp_path, *overrides):
    overrides = [*SMALL, f"output_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache", *overrides]
    return run(compose(overrides), overrides)


def folder_of(tmp_path, result):
    return tmp_path / "runs" / result.task / result.head / f"{result.seed}-{result.key[:8]}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run, for tests that only read it."""
    place = tmp_path_factory.mktemp("finished")
    result = go(place, "trainer.max_epochs=2", "trainer.max_steps=-1")
    return result, folder_of(place, result)


def test_a_run_folder_holds_all_that_came_out(finished):
    result, folder = finished
    assert {path.name for path in folder.iterdir()} == {
        "result.json",
        "config.yaml",
        "metrics.csv",
        "model.safetensors",
        "predictions-validation.parquet",
    }
    assert read_result(folder) == result
    assert result.score == result.metrics["last"]["validation"]["accuracy"]
    assert result.metrics["best"]["validation"]["accuracy"] >= result.score
    assert result.baseline == {"validation": {"accuracy": 0.5}}
    assert result.steps == 4
    assert result.tokens > 0
    assert result.failed is None
    assert result.parameters["head"] == 32 * 2 + 2
    assert result.parameters["trainable"] == result.parameters["total"]
    assert set(result.data) == {"train", "validation"}
    assert len(result.encoder) == 64
    assert [point["epoch"] for point in result.curve] == [1, 2]
    assert result.curve[-1]["metrics"] == result.metrics["last"]
    curves = pd.read_csv(folder / "metrics.csv")
    assert curves["validation/accuracy"].dropna().iloc[-1] == pytest.approx(result.score)


def test_the_learned_layer_weights_are_recorded(tmp_path):
    result = go(tmp_path, "head=weighted_sum", "head.layers.n=2", "optimizer.head_lr=0.1")
    with safe_open(folder_of(tmp_path, result) / "model.safetensors", "pt") as weights:
        logits, scale = (weights.get_tensor(f"head.layers.{name}") for name in ("weights", "scale"))
    expected = [scale.item() * value for value in logits.softmax(0).tolist()]
    assert result.layer_weights == {"layers": [1, 2], "weights": pytest.approx(expected)}
    assert expected[0] != expected[1]
    assert go(tmp_path, "head=mean").layer_weights is None


def test_stored_predictions_give_the_score_again(finished):
    result, folder = finished
    table = pd.read_parquet(folder / "predictions-validation.parquet")
    assert list(table.columns) == ["index", "row", "cluster", "prediction", "label", "logits"]
    assert table["row"].tolist() == list(range(100))
    assert len(table) == 100
    assert (table["prediction"] == table["label"]).mean() == pytest.approx(result.score)
    labels = ["unacceptable", "acceptable"]
    assert all(labels[row.logits.argmax()] == row.prediction for row in table.itertuples())


def test_the_last_line_says_what_came_out(tmp_path, capsys):
    result = go(tmp_path)
    line = capsys.readouterr().out.strip().splitlines()[-1]
    assert line.startswith(f"agreement · mean · seed 0 · accuracy {result.score:.4f} (majority baseline 0.5000)")
    assert line.endswith(str(folder_of(tmp_path, result)))


def test_the_same_run_again_gives_the_same_numbers_in_a_folder_of_its_own(tmp_path):
    first, second = go(tmp_path), go(tmp_path)
    folder = folder_of(tmp_path, first)
    again = folder.with_name(folder.name + ".2")
    assert first.key == second.key
    assert first.metrics == second.metrics
    assert (folder / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()


def test_another_seed_gives_another_run(tmp_path):
    first, second = go(tmp_path), go(tmp_path, "seed=1")
    assert first.key != second.key
    weights = [folder_of(tmp_path, result) / "model.safetensors" for result in (first, second)]
    assert weights[0].read_bytes() != weights[1].read_bytes()


def key(*overrides):
    return identify(compose([*SMALL, *overrides])).key


@pytest.mark.parametrize(
    "override",
    [
        "output_dir=x",
        "threads=2",
        "logger=tensorboard",
        "save_model=false",
        "profile=true",
        "trainer.log_every_n_steps=1",
        "cache_dir=y",
    ],
)
def test_what_cannot_change_a_result_is_not_in_the_key(override):
    assert key() == key(override)


@pytest.mark.parametrize(
    "override",
    ["seed=1", "head=max", "optimizer.lr=2e-3", "trainer.precision=bf16-mixed", "batch_size=16", "task.max_length=32",
     "trainer.accumulate_grad_batches=2", "encoder.frozen=true", "head.dropout=0.2", "trainer.max_epochs=9",
     "speed=exact"],
)  # fmt: skip
def test_what_can_change_a_result_is_in_the_key(override):
    assert key() != key(override)


def test_the_key_follows_the_content_of_local_files_not_their_place(tmp_path):
    def key_of(folder, text):
        folder.mkdir()
        for name in ("train.csv", "dev.csv"):
            (folder / name).write_text(text)
        return key("task=table", f"task.train={folder}/train.csv", f"task.validation={folder}/dev.csv")

    first = key_of(tmp_path / "a", "text,label\nx,yes\ny,no\n")
    assert first == key_of(tmp_path / "b", "text,label\nx,yes\ny,no\n")
    assert first != key_of(tmp_path / "c", "text,label\nx,yes\nz,no\n")


def test_the_key_follows_the_content_of_an_encoder_folder(tmp_path):
    from transformers import BertConfig, BertModel

    def key_of(name, seed):
        torch.manual_seed(seed)
        size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        BertModel(BertConfig(vocab_size=512, **size)).save_pretrained(tmp_path / name)
        return key("encoder=any", f"encoder.name={tmp_path / name}")

    assert key_of("a", 0) == key_of("b", 0) != key_of("c", 1)


@pytest.mark.parametrize("head", ["cls", "pooler", "mean", "weighted_sum"])
def test_what_is_faster_changes_no_score_beyond_rounding_without_dropout(head, tmp_path):
    same = ["trainer.precision=64-true", "encoder.dropout=0", "head.dropout=0", "head.layers.n=2", f"head={head}"]
    settings = [setting for setting in same if head == "weighted_sum" or "layers.n" not in setting]
    logits = []
    for speed in ("fast", "exact"):
        folder = folder_of(tmp_path, go(tmp_path, *settings, f"speed={speed}"))
        logits.append(pd.read_parquet(folder / "predictions-validation.parquet")["logits"].map(list).tolist())
    torch.testing.assert_close(*map(torch.tensor, logits), rtol=0, atol=1e-6)
    with pytest.raises(UserError, match="speed=maybe: fast, or exact"):
        go(tmp_path, "speed=maybe")


@pytest.mark.parametrize("head", sorted(options("head")))
def test_every_named_head_trains_on_a_task_of_its_kind(head, tmp_path):
    task = "entities" if head.startswith("ner") else "agreement"
    result = go(tmp_path, f"head={head}", f"task={task}", "encoder.config.num_hidden_layers=4", "save_model=false")
    assert result.steps == 3
    assert 0 <= result.score <= 1
    assert not (folder_of(tmp_path, result) / "model.safetensors").exists()


@pytest.mark.parametrize("task", ["needle", "majority", "agreement", "entities"])
def test_the_generated_tasks_need_no_file(task, tmp_path, monkeypatch):
    monkeypatch.delenv("HEAD2HEAD_DATA", raising=False)
    result = go(tmp_path, f"task={task}", f"head={'ner' if task == 'entities' else 'mean'}", "save_model=false")
    assert result.steps == 3


def test_the_head_does_not_change_batches_and_dropout_of_a_seed(tmp_path, monkeypatch):
    seen = {}
    original = FineTuner.training_step

    def spy(self, batch, batch_idx):
        numbers = torch.rand(3).tolist()  # what dropout would draw next, then put back
        seen.setdefault(type(self.head.pool).__name__, []).append((batch.prediction_ids.tolist(), numbers))
        return original(self, batch, batch_idx)

    monkeypatch.setattr(FineTuner, "training_step", spy)
    for head in ("mean", "attention", "pooler"):
        go(tmp_path, f"head={head}", "save_model=false")
    assert seen["Mean"] == seen["Attention"] == seen["Pooler"]
    assert seen["Mean"][0] != seen["Mean"][1]


def test_a_run_that_diverges_is_recorded_as_failed(tmp_path):
    with pytest.raises(Diverged, match=r"finite|nan"):
        go(tmp_path, "optimizer.lr=1e30", "trainer.gradient_clip_val=null", "optimizer.warmup_ratio=0")
    (path,) = (tmp_path / "runs").glob("agreement/mean/*/result.json")
    stored = json.loads(path.read_text())
    assert stored["score"] is None
    assert stored["failed"]


def test_a_collapsed_run_is_flagged(tmp_path, capsys):
    for name, labels in (("train.csv", "yes no yes yes"), ("dev.csv", "yes no yes no")):
        rows = [f"the key {i},{label}" for i, label in enumerate(labels.split())]
        (tmp_path / name).write_text("\n".join(["text,label", *rows]))
    files = [f"task.train={tmp_path}/train.csv", f"task.validation={tmp_path}/dev.csv"]
    still = ["encoder.frozen=true", "head.standardize=false", "optimizer.schedule=constant", "optimizer.warmup_ratio=0"]
    result = go_on_files(tmp_path, "task=table", *files, *still, "optimizer.head_lr=1", "trainer.max_steps=30")
    table = pd.read_parquet(folder_of(tmp_path, result) / "predictions-validation.parquet")
    assert table["prediction"].nunique() == 1
    assert result.collapsed
    assert "COLLAPSED" in capsys.readouterr().out


def test_accumulated_batches_give_the_same_weights_as_whole_ones(tmp_path):
    """float64 and no dropout: only the order of summation differs."""
    exact = ["trainer.precision=64-true", "encoder.config.hidden_dropout_prob=0",
             "encoder.config.attention_probs_dropout_prob=0", "batch_size=20"]  # fmt: skip
    exact = [f"+{o}" if "dropout_prob" in o else o for o in exact]
    for task, head in (("agreement", "mean"), ("entities", "ner")):
        predictions = []
        for accumulate in (1, 3):
            chosen = [f"task={task}", f"head={head}", f"trainer.accumulate_grad_batches={accumulate}"]
            result = go(tmp_path, *exact, *chosen)
            table = pd.read_parquet(folder_of(tmp_path, result) / "predictions-validation.parquet")
            predictions.append(torch.tensor(table["logits"].tolist()))
        assert torch.allclose(*predictions, atol=1e-6), task


def test_a_run_on_own_files_can_be_evaluated_when_they_are_gone(tmp_path):
    for name in ("train.csv", "dev.csv"):
        rows = [f"the {'key' if i % 2 else 'door'} {i},{'yes' if i % 2 else 'no'}" for i in range(40)]
        (tmp_path / name).write_text("\n".join(["text,label", *rows]))
    files = [f"task.train={tmp_path}/train.csv", f"task.validation={tmp_path}/dev.csv"]
    result = go_on_files(tmp_path, "task=table", *files)
    folder = folder_of(tmp_path, result)
    assert identify(yaml.safe_load((folder / "config.yaml").read_text())).key == result.key
    other = tmp_path / "other.csv"
    other.write_text((tmp_path / "dev.csv").read_text())
    for name in ("train.csv", "dev.csv"):
        (tmp_path / name).unlink()
    metrics = evaluate(folder, file=other)
    assert metrics["accuracy"] == pytest.approx(result.score)
    assert json.loads((folder / f"predictions-{result.task}-other.json").read_text())["metrics"] == metrics
    other.write_text("text\nthe key\n")
    assert evaluate(folder, file=other, output=tmp_path / "p.parquet") is None
    assert len(pd.read_parquet(tmp_path / "p.parquet")) == 1


@pytest.mark.parametrize(("task", "head"), [("agreement", "pooler"), ("entities", "ner")])
@pytest.mark.parametrize("frozen", ["false", "true", "1"])
def test_evaluating_the_validation_split_gives_the_runs_score_again(task, head, frozen, tmp_path):
    result = go(tmp_path, f"task={task}", f"head={head}", f"encoder.frozen={frozen}", "optimizer.lr=1e-2")
    metrics = evaluate(folder_of(tmp_path, result), split="validation")
    assert metrics == pytest.approx(result.metrics["last"]["validation"])
    test = evaluate(folder_of(tmp_path, result), split="test")
    assert all(math.isfinite(value) for value in test.values())


def test_a_real_task_trains_on_the_official_files(real_data, tmp_path):
    result = go_on_files(tmp_path, "task=rte", "head=mean_max", f"data_dir={real_data}")
    assert result.baseline["validation"]["accuracy"] == pytest.approx(146 / 277)  # entailment
    assert len(pd.read_parquet(folder_of(tmp_path, result) / "predictions-validation.parquet")) == 277


def test_conll_trains_on_the_original_files(real_data, tmp_path):
    result = go_on_files(
        tmp_path, "task=conll2003", "head=ner", f"data_dir={real_data}", "task.train_rows=60", "save_model=false"
    )
    assert any("IOB1" in note for note in result.notes)
    table = pd.read_parquet(folder_of(tmp_path, result) / "predictions-validation.parquet")
    assert len(table) == 51362  # words of testa


def test_config_yaml_alone_describes_the_run(finished):
    result, folder = finished
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert identify(config).key == result.key


def test_every_head_records_the_same_hash_of_the_encoder_it_started_from(tmp_path):
    embeddings = ["head=mean", "head/layers=embeddings"]
    hashes = {go(tmp_path, *head, "save_model=false").encoder for head in (["head=mean"], ["head=pooler"], embeddings)}
    assert len(hashes) == 1


@pytest.fixture
def mnli(tmp_path):
    """A data folder with made-up MNLI and AX files."""
    glue, labels = tmp_path / "data/glue", ["entailment", "neutral", "contradiction"]
    for folder in ("MNLI", "diagnostic"):
        (glue / folder).mkdir(parents=True)
    for split in ("train", "dev_matched", "dev_mismatched"):
        rows = [f"{i}\tthe key {i}\tthe door {split}\t{labels[i % 3]}" for i in range(24)]
        (glue / "MNLI" / f"{split}.tsv").write_text("\n".join(["index\tsentence1\tsentence2\tgold_label", *rows]))
    rows = [f"{i}\tthe key {i}\tthe door" for i in range(7)]
    (glue / "diagnostic" / "diagnostic.tsv").write_text("\n".join(["index\tsentence1\tsentence2", *rows]))
    return tmp_path / "data"


def test_mnli_reports_matched_and_mismatched_and_its_run_predicts_ax(mnli, tmp_path):
    result = go_on_files(tmp_path, "task=mnli", f"data_dir={mnli}")
    assert set(result.metrics["last"]) == set(result.baseline) == {"validation_matched", "validation_mismatched"}
    assert result.score == result.metrics["last"]["validation_matched"]["accuracy"]
    folder = folder_of(tmp_path, result)
    for split in ("validation_matched", "validation_mismatched"):
        assert len(pd.read_parquet(folder / f"predictions-{split}.parquet")) == 24
    assert evaluate(folder, split="test", task_name="ax") is None
    predictions = pd.read_parquet(folder / "predictions-ax-test.parquet")["prediction"]
    assert len(predictions) == 7
    assert set(predictions) <= {"entailment", "neutral", "contradiction"}


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
@pytest.mark.parametrize(("task", "head"), [("agreement", "attention"), ("entities", "ner")])
def test_other_precisions_train(precision, task, head, tmp_path):
    bilstm = ["head/classifier=bilstm", "head.classifier.hidden=8"] if head == "ner" else []
    result = go(tmp_path, f"task={task}", f"head={head}", f"trainer.precision={precision}", "save_model=false", *bilstm)
    assert math.isfinite(result.score)


@pytest.mark.parametrize("clipping", ["gradient_clip_val=0.05", "gradient_clip_val=null"])
def test_the_fused_optimizer_clips_under_bfloat16_as_lightning_does(clipping, tmp_path, monkeypatch):
    def weights(place):
        result = go(
            place, "trainer.precision=bf16-mixed", f"trainer.{clipping}", "optimizer.lr=1e-3", "optimizer.eps=1"
        )
        with safe_open(folder_of(place, result) / "model.safetensors", "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    fused = weights(tmp_path / "fused")
    monkeypatch.setattr(finetuner, "can_fuse", lambda *_: False)
    monkeypatch.setattr(finetuner, "SCALES_GRADIENTS", frozenset())
    lightnings = weights(tmp_path / "lightning")
    for name, weight in lightnings.items():
        torch.testing.assert_close(fused[name], weight, rtol=0, atol=1e-7, msg=name)


def test_values_are_clipped_under_bfloat16(tmp_path):
    bf16 = ["trainer.precision=bf16-mixed", "trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_val=0.01"]
    assert math.isfinite(go(tmp_path, *bf16).score)


def test_a_whole_number_is_one_setting_however_it_is_written():
    assert (
        key("trainer.gradient_clip_val=1") == key("trainer.gradient_clip_val=1.0") != key("trainer.gradient_clip_val=2")
    )


def curve(tmp_path, result):
    return pd.read_csv(folder_of(tmp_path, result) / "metrics.csv")["train/loss"].dropna().to_list()


def test_the_logged_loss_and_the_token_count_are_those_of_the_whole_step(tmp_path):
    exact = ["trainer.precision=64-true", "+encoder.config.hidden_dropout_prob=0", "trainer.log_every_n_steps=1",
             "+encoder.config.attention_probs_dropout_prob=0", "batch_size=29"]  # fmt: skip
    whole = go(tmp_path, *exact)  # 60 rows: batches of 29, 29 and 2
    cut = go(tmp_path, *exact, "trainer.accumulate_grad_batches=4")
    assert curve(tmp_path, cut) == pytest.approx(curve(tmp_path, whole), rel=1e-6)
    assert cut.tokens == whole.tokens > 0


def test_epochs_are_counted_alike_within_and_behind_training(tmp_path):
    within = go(tmp_path, "trainer.max_epochs=2", "trainer.max_steps=-1", "optimizer.lr=0")
    assert within.metrics["best"]["epoch"] in (1, 2)
    behind = go(tmp_path, "trainer.max_steps=1")  # of the two steps of the first epoch
    assert behind.steps == 1
    assert behind.metrics["best"]["epoch"] == 1


def test_any_target_of_a_regression_counts_also_minus_100(tmp_path):
    for name in ("train.csv", "dev.csv"):
        (tmp_path / name).write_text("text,label\n" + "\n".join(f"the key {i},{-100 + i}" for i in range(12)))
    files = [f"task.train={tmp_path}/train.csv", f"task.validation={tmp_path}/dev.csv", "task.target=regression"]
    result = go_on_files(tmp_path, "task=table", "trainer.log_every_n_steps=1", "batch_size=12", *files)
    assert curve(tmp_path, result)[0] == pytest.approx(sum((100 - i) ** 2 for i in range(12)) / 12, rel=0.01)
    assert set(result.metrics["last"]["validation"]) == {"spearman", "pearson"}


def test_a_random_pooler_under_a_frozen_encoder_is_the_same_when_evaluated(tmp_path):
    from transformers import BertConfig, BertModel

    from head2head.data.vocabulary import built_in_tokenizer

    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    encoder = tmp_path / "encoder"
    BertModel(BertConfig(vocab_size=512, **size), add_pooling_layer=False).save_pretrained(encoder)
    built_in_tokenizer().save_pretrained(encoder)
    chosen = [
        "encoder=any",
        f"encoder.name={encoder}",
        "encoder.frozen=true",
        "encoder.reinit_pooler=true",
        "head=pooler",
    ]
    result = go(tmp_path, *chosen)
    folder = folder_of(tmp_path, result)
    evaluate(folder, split="validation")
    stored, again = (
        torch.tensor(pd.read_parquet(folder / f"predictions-{name}.parquet")["logits"].tolist())
        for name in ("validation", "agreement-validation")
    )
    assert torch.equal(stored, again)
    BertModel(BertConfig(vocab_size=512, **size), add_pooling_layer=False).save_pretrained(encoder)
    with pytest.raises(UserError, match="its weights differ"):
        evaluate(folder, split="validation")


def test_predictions_are_written_under_a_name_that_says_what_they_are(finished, tmp_path):
    _, folder = finished
    with pytest.raises(UserError, match=r"predictions\.xlsx: unknown form; give --format csv, jsonl"):
        evaluate(folder, split="validation", output=tmp_path / "predictions.xlsx")
    with pytest.raises(UserError, match="not the folder of a finished run"):
        evaluate(folder / "result.json")


@pytest.mark.parametrize("argument", ["limit_val_batches=1", "limit_train_batches=1", "fast_dev_run=true"])
def test_a_score_of_a_part_of_the_data_cannot_be_asked_for(argument, tmp_path):
    with pytest.raises(UserError, match="leaves batches out"):
        go(tmp_path, f"+trainer.{argument}")
    assert not (tmp_path / "runs").exists()


def test_apples_gpu_is_recorded_with_the_processor_that_it_is_part_of():
    cpu = device_name(torch.device("cpu"))
    assert device_name(torch.device("mps")) == f"mps ({cpu})"


def test_a_callback_of_the_callers_sees_every_step(tmp_path):
    class Steps(pl.Callback):
        seen = 0

        def on_train_batch_end(self, *_):
            self.seen += 1

    steps, overrides = Steps(), [*SMALL, f"output_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache"]
    result = run(compose([*overrides, "task.rows.train=60", "task.rows.validation=20"]), overrides, [steps])
    assert steps.seen == result.steps == 3


def test_stored_predictions_say_which_rows_of_the_training_file_hang_together(tmp_path):
    """Rows 0 and 1, 2 and 3 ... share a text; the folds' rows are those of the file, each once."""
    lines = ["text,text_pair,label"]
    lines += [f"the key {i // 2},it is {i} {word},{word}" for i, word in enumerate(["no", "yes"] * 20)]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    tables = []
    for fold in (0, 1):
        files = [f"task.train={tmp_path}/train.csv", "task.text_pair=text_pair", f"fold={fold}", "folds=2"]
        result = go_on_files(tmp_path, "task=table", *files)
        tables.append(pd.read_parquet(folder_of(tmp_path, result) / "predictions-fold.parquet"))
    rows = [set(table["row"]) for table in tables]
    assert rows[0] | rows[1] == set(range(40))
    assert not rows[0] & rows[1]
    clusters = pd.concat(tables).set_index("row")["cluster"]
    assert clusters.to_dict() == {row: row - row % 2 for row in range(40)}


def test_stored_predictions_of_words_say_their_sentence_and_document(tmp_path):
    result = go(tmp_path, "task=entities", "head=ner")
    table = pd.read_parquet(folder_of(tmp_path, result) / "predictions-validation.parquet")
    assert (table["row"].diff().dropna().isin([0, 1])).all()
    assert table["row"].iloc[0] == 0
    assert (table.groupby("row")["cluster"].nunique() == 1).all()
