"""What a user can get wrong: one line on stderr that names file and line, exit status 1, nothing left behind."""

import shutil
from pathlib import Path

import pytest

from head2head.cli.hydra_command_line import train

TINY = ["encoder=random-tiny", "trainer.max_steps=2", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]


def fails(arguments, capsys, tmp_path):
    """Run the command line; give back the one line it prints, after checking what must hold for all."""
    output_dir = tmp_path / "runs" / "here"
    with pytest.raises(SystemExit) as stop:
        train([*TINY, f"output_dir={output_dir}", *arguments])
    assert stop.value.code == 1
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len([line for line in lines if line.startswith("error: ")]) == 1
    assert "Traceback" not in captured.err
    assert not (tmp_path / "runs").exists()
    return next(line for line in lines if line.startswith("error: "))


@pytest.fixture
def data(tmp_path):
    """A data folder with small, sound RTE, STS-B and CoNLL files."""
    rte, stsb, conll = (tmp_path / "data" / name for name in ("glue/RTE", "glue/STS-B", "conll2003"))
    for folder in (rte, stsb, conll):
        folder.mkdir(parents=True)
    for split in ("train", "dev"):
        rows = [f"{i}\tthe key {i}\tthe door\t{'not_' * (i % 2)}entailment" for i in range(8)]
        (rte / f"{split}.tsv").write_text("\n".join(["index\tsentence1\tsentence2\tlabel", *rows]) + "\n")
        header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
        rows = [f"{i}\tg\tf\ty\t0\ts\ts\tthe key\tthe door {i}\t{i / 2}" for i in range(8)]
        (stsb / f"{split}.tsv").write_text("\n".join([header, *rows]))
    for name in ("eng.train", "eng.testa", "eng.testb"):
        words = "Jordan NNP I-NP I-PER\nsaid VBD I-VP O\n\nParis NNP I-NP I-LOC\n"
        (conll / name).write_text(f"-DOCSTART- -X- O O\n\n{words}")
    return tmp_path / "data"


def test_a_missing_data_folder_is_named(capsys, tmp_path):
    message = fails(["task=rte", f"data_dir={tmp_path}/nowhere"], capsys, tmp_path)
    assert f"{tmp_path}/nowhere" in message


def test_a_wrong_number_of_columns_is_found_with_its_line(data, capsys, tmp_path):
    path = data / "glue/RTE/train.tsv"
    path.write_text(path.read_text().replace("3\tthe key 3\tthe door", "3\tthe key 3"))
    message = fails(["task=rte", f"data_dir={data}"], capsys, tmp_path)
    assert message == f"error: {path}:5: expected 4 columns, found 3"


def test_an_unknown_label_is_found_with_its_line(data, capsys, tmp_path):
    path = data / "glue/RTE/dev.tsv"
    path.write_text(path.read_text().replace("7\tthe key 7\tthe door\tnot_entailment", "7\tthe key 7\tthe door\tmaybe"))
    message = fails(["task=rte", f"data_dir={data}"], capsys, tmp_path)
    assert message == f"error: {path}:9: unknown label 'maybe'; expected entailment or not_entailment"


def test_an_empty_file_is_said_to_be_empty(data, capsys, tmp_path):
    (data / "glue/RTE/train.tsv").write_text("")
    assert "train.tsv: the file is empty" in fails(["task=rte", f"data_dir={data}"], capsys, tmp_path)


def test_invalid_utf8_is_found_with_its_line(data, capsys, tmp_path):
    path = data / "glue/RTE/train.tsv"
    path.write_bytes(path.read_bytes().replace(b"key 4", b"key \xff"))
    assert f"{path}:6: not valid UTF-8 (byte 0xff)" in fails(["task=rte", f"data_dir={data}"], capsys, tmp_path)


def test_a_score_that_is_no_number_is_found_with_its_line(data, capsys, tmp_path):
    path = data / "glue/STS-B/train.tsv"
    path.write_text(path.read_text().replace("door 2\t1.0", "door 2\thigh"))
    assert f"{path}:4: expected a number, found 'high'" in fails(["task=stsb", f"data_dir={data}"], capsys, tmp_path)


def test_a_column_line_with_too_few_columns_is_found(data, capsys, tmp_path):
    path = data / "conll2003/eng.train"
    path.write_text(path.read_text().replace("said VBD I-VP O", "said VBD"))
    message = fails(["task=conll2003", "head=ner", f"data_dir={data}"], capsys, tmp_path)
    assert message == f"error: {path}:4: expected 4 columns, found 2"


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("head=meanmax", "unknown head 'meanmax'; did you mean mean_max, mean or max?"),
        ("task=colla", "unknown task 'colla'; did you mean cola or conll?"),
        (
            "encoder=mini-lm",
            "'mini-lm'; did you mean minilm? (from the hub or a folder: encoder=any encoder.name=mini-lm)",
        ),
        ("head/pool=mena", "unknown head/pool 'mena'; did you mean mean"),
        ("trainer.max_step=3", "unknown setting trainer.max_step; did you mean trainer.max_steps"),
        ("sead=3", "unknown setting sead; did you mean seed"),
    ],
)
def test_an_unknown_name_is_answered_with_the_near_ones(override, hint, capsys, tmp_path):
    assert hint in fails([override], capsys, tmp_path)


def test_near_names_are_looked_for_among_what_users_set(capsys, tmp_path):
    for wrong in ("head.pool.partial_", "head.pool.target_"):
        assert "_partial_" not in fails([f"{wrong}=1"], capsys, tmp_path).partition(";")[2]


def test_near_names_are_found_beside_a_head_of_the_users_own(capsys, tmp_path, monkeypatch):
    (tmp_path / "configs" / "head").mkdir(parents=True)
    text = "# my own\ndefaults: [layers: last, pool: max, classifier: mlp, _self_]\nwidth: 3\n"
    (tmp_path / "configs" / "head" / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    message = fails(["head=mine", "head.widht=1"], capsys, tmp_path)
    assert "unknown setting head.widht; did you mean head.width" in message


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["head=mean", "task=entities"], "task entities is token-level: it needs a token head, such as head=ner"),
        (["head=ner", "task=agreement"], "needs a sentence head, such as head=mean"),
        (["head=ner", "task=entities", "head/pool=cls"], "has no pool"),
        (["head=mean", "head/classifier=bilstm"], "reads a sequence of words"),
        (["head=second_to_last", "head/pool=pooler"], "use head/layers=last"),
        (["head=weighted_sum"], "head.layers.n=4: the encoder has 2 layers"),
        (["head/layers=layer"], "head.layers.index=VALUE"),
        (["head/layers=layer", "head.layers.index=7"], "layer 7: the encoder's hidden states are 0 (embeddings) to 2"),
        (["trainer.max_epochs=-3", "trainer.max_steps=-1"], "trainer.max_epochs=-3: a whole number above 0"),
        (["trainer.max_epochs=-1", "trainer.max_steps=-1"], "training would not end"),
        (["trainer.precision=17"], "trainer:"),
        (["batch_size=0"], "batch_size=0"),
        (["seed=-1"], "seed=-1"),
        (["task.max_length=9999"], "the encoder reads at most 512"),
        (["task.train_rows=0"], "task.train_rows=0"),
        (["optimizer.schedule=linar"], "did you mean linear?"),
        (["encoder.frozen=9"], "encoder.frozen=9"),
        (["task=ax"], "has no training split"),
        (["task=table"], "needs task.train=FILE and task.validation=FILE"),
        (["threads=0"], "threads=0"),
        (["key"], "not of the form key=value"),
        (["--head=mean"], "write head=mean"),
        (["--head", "mean"], "write head=mean"),
        (["--train", "x.csv"], "--train: settings have no dashes; write task.train=x.csv"),
        (["--lr=0.1"], "--lr=0.1: settings have no dashes; write optimizer.lr=0.1"),
        (["--batch-size", "16"], "write batch_size=16"),
        (["lr=0.1"], "unknown setting lr; did you mean optimizer.lr?"),
        (["seed=1,2"], "several values for seed: put -m first (python train.py -m seed=1,2)"),
        (["head=mean,max"], "several values for head: put -m first (python train.py -m head=mean,max)"),
        (["task.train=a,b.csv"], """for one value with a comma: 'task.train="a,b.csv"'"""),
        (["task.train=x~.csv("], """needs quotes: 'task.train="x~.csv("'"""),
        (["task.train='x.csv"], """needs quotes: 'task.train="x.csv"'"""),
        (["task.train=~/x.csv"], f"does not expand ~ there; give the full path: task.train={Path.home()}/x.csv"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(arguments, part, capsys, tmp_path):
    assert part in fails(arguments, capsys, tmp_path)


def test_a_checkpoint_without_pooler_is_refused_by_the_pooler_head(capsys, tmp_path):
    from transformers import BertConfig, BertModel

    from head2head.data.vocabulary import built_in_tokenizer

    folder = tmp_path / "no-pooler"
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=512, **size), add_pooling_layer=False).save_pretrained(folder)
    built_in_tokenizer().save_pretrained(folder)
    arguments = ["encoder=any", f"encoder.name={folder}", "head=pooler"]
    assert "has no pooler weights" in fails(arguments, capsys, tmp_path)
    shutil.rmtree(folder)


def test_without_hub_and_data_folder_the_error_says_what_to_do(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("HEAD2HEAD_DATA", raising=False)
    message = fails(["task=rte"], capsys, tmp_path)
    assert "cannot be read from the hub" in message
    assert "give data_dir=DIR (or $HEAD2HEAD_DATA)" in message


def test_an_encoder_that_is_neither_at_hand_nor_on_the_hub_says_what_to_do(capsys, tmp_path):
    message = fails(["encoder=any", "encoder.name=nobody/nothing"], capsys, tmp_path)
    assert "encoder nobody/nothing: cannot be loaded from the hub" in message
    assert "encoder.name=DIR" in message


@pytest.mark.parametrize("folder", ["/dev/null/runs", "/proc/runs"])
def test_a_folder_that_cannot_be_written_is_named(folder, capsys):
    with pytest.raises(SystemExit) as stop:
        train([*TINY, f"output_dir={folder}"])
    assert stop.value.code == 1
    assert f"error: output_dir: {folder}" in capsys.readouterr().err
