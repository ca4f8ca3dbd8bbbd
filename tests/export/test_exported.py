"""What `head2head export` writes gives the run's numbers, in libraries that know nothing of this one."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from exported import TEXTS, WORDS, change_weights, finished, made_up, of_run
from typer.testing import CliRunner

from head2head.cli.export import export
from head2head.cli.main import app
from head2head.errors import UserError
from head2head.export.card import card
from head2head.export.licences import of_data
from head2head.model.build import checkpoint_of
from head2head.model.heads import Cosine, Mlp
from head2head.run.configuration import options
from head2head.run.result import read_result

NAMED = sorted(options("head"))
# What sentence-transformers has modules for: named heads, and others as overrides of one.
VECTORS = {
    **{
        head: (head,)
        for head in "pooler cls mean max sqrt_mean mean_max weighted_mean last_token first_last second_to_last".split()
    },
    # The next three get other weights, in runs of their own.
    "weighted_sum": ("weighted_sum", "seed=1"),
    "weighted_sum_max": ("weighted_sum", "head/pool=max", "seed=1"),
    "weighted_sum_raw": ("weighted_sum", "head.layers.normalize=false", "head/pool=sqrt_mean", "seed=1"),
    "weighted_sum_all": ("weighted_sum", "head/layers=weighted_sum_all", "head/pool=cls"),
    "mlp": ("mean", "head/classifier=mlp"),
    "standardized_mlp": ("mean", "head/classifier=mlp", "head.standardize=true"),
    "frozen": ("mean", "encoder.frozen=true"),
}
GRAPHS = {
    **{head: (head,) for head in NAMED if head != "ner_crf"},
    "without special tokens": ("mean", "head.pool.special_tokens=false"),
    "standardized": ("mean_max", "head.standardize=true"),
    "standardized attention": ("attention", "head.standardize=true"),
    "standardized ner": ("ner", "head.standardize=true", "head.subword=last"),
}
CLASSES = {
    "pooler": ("pooler",),
    "cls and mlp": ("cls", "head/classifier=mlp"),
    "lower layer": ("cls", "head/layers=second_to_last", "head/classifier=mlp"),
    "standardized pooler": ("pooler", "head.standardize=true"),
    "ner": ("ner",),
    "lower ner": ("ner", "head/layers=second_to_last", "head.standardize=true"),
}


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """A run for each choice of overrides, made when it is first asked for."""
    place = tmp_path_factory.mktemp("exported")
    trained = finished(place, "pooler")
    made = {("pooler",): trained}

    def find(*overrides):
        if overrides not in made:
            made[overrides] = made_up(place, read_result(trained), *overrides)
        return made[overrides]

    return find


def inputs(run, texts, **options):
    tokenizer = checkpoint_of(run.config).tokenizer()
    return tokenizer(
        texts, padding=True, truncation=True, max_length=run.task.max_length, return_tensors="pt", **options
    )


@torch.no_grad()
def logits_of_texts(folder, texts=TEXTS):
    """(B, C) from the run, by its own route."""
    run = of_run(folder)
    batch = inputs(run, texts, return_special_tokens_mask=True)
    return run.model.head(run.model.encoder(**batch)).numpy()


@torch.no_grad()
def logits_of_words(folder, words):
    """(W, C) from the run, of one sentence."""
    run = of_run(folder)
    encoded = checkpoint_of(run.config).tokenizer()(words, is_split_into_words=True, return_tensors="pt")
    pieces = encoded.word_ids(0)
    places = [[i for i, word in enumerate(pieces) if word == number] for number in range(len(words))]
    spans = torch.tensor([[[found[0], found[-1] + 1] for found in places]])
    return run.model.head(run.model.encoder(encoded["input_ids"], encoded["attention_mask"]), spans)[0].numpy()


@torch.no_grad()
def vectors_of_texts(folder, texts=TEXTS):
    """(B, D): what enters the last linear layer, or the pool's own vector where that is standardised."""
    run = of_run(folder)
    head = run.model.head
    found = head.pooled(run.model.encoder(**inputs(run, texts, return_special_tokens_mask=True)), head.layers)
    if isinstance(head.classifier, Mlp):
        found = torch.tanh(head.classifier.dense(head.standardize(found)))
    return (torch.nn.functional.normalize(found) if isinstance(head.compare, Cosine) else found).numpy()


def softmax(logits):
    return torch.from_numpy(logits).softmax(dim=-1).numpy()


# Run in a process that cannot import head2head: what a stranger does with the folders.
STRANGER = """
import json, sys
sys.modules["head2head"] = None
from pathlib import Path
from sentence_transformers import SentenceTransformer
from transformers import pipeline

given = json.load(sys.stdin)
found = {}
for name, folder in given["vectors"].items():
    found[name] = SentenceTransformer(folder, device="cpu").encode(given["texts"], convert_to_numpy=True).tolist()
for name, folder in given["texts_to_labels"].items():
    found[name] = pipeline("text-classification", folder, device="cpu", top_k=None)(given["texts"], truncation=True)
for name, folder in given["words_to_labels"].items():
    read = pipeline("token-classification", folder, device="cpu", ignore_labels=[])
    found[name] = [
        [{"index": int(piece["index"]), "entity": piece["entity"], "score": float(piece["score"])}
         for piece in read(text)]
        for text in map(" ".join, given["words"])
    ]
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def abroad(run_of, tmp_path_factory):
    """name -> what a process without head2head makes of the exported folder."""
    place = tmp_path_factory.mktemp("folders")
    change_weights(run_of(*VECTORS["weighted_sum"]), scale=torch.tensor(-1.7))
    change_weights(run_of(*VECTORS["weighted_sum_max"]), scale=torch.tensor(1.3))
    change_weights(run_of(*VECTORS["weighted_sum_raw"]), weights=torch.tensor([0.9, -0.4, 0.2, 1.1]))
    given = {"vectors": {}, "texts_to_labels": {}, "words_to_labels": {}, "texts": TEXTS, "words": WORDS}
    for name, overrides in VECTORS.items():
        given["vectors"][f"vectors {name}"] = str(place / f"vectors {name}")
        export(run_of(*overrides), place / f"vectors {name}", "sentence-transformers")
    for name, overrides in CLASSES.items():
        kind = "words_to_labels" if "ner" in name else "texts_to_labels"
        given[kind][name] = str(place / name)
        export(run_of(*overrides), place / name, "transformers")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STRANGER],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=place,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout[done.stdout.index("{") :])


@pytest.mark.parametrize("name", VECTORS)
def test_sentence_transformers_gives_the_runs_vectors_without_this_package(name, run_of, abroad):
    ours = vectors_of_texts(run_of(*VECTORS[name]))
    np.testing.assert_allclose(abroad[f"vectors {name}"], ours, atol=1e-5 * max(1, np.abs(ours).max()), rtol=0)


@pytest.mark.parametrize("name", [name for name in CLASSES if "ner" not in name])
def test_a_pipeline_gives_the_runs_probabilities_without_this_package(name, run_of, abroad):
    folder = run_of(*CLASSES[name])
    labels = of_run(folder).task.labels
    ours = softmax(logits_of_texts(folder))
    for row, found in zip(ours, abroad[name], strict=True):
        theirs = {entry["label"]: entry["score"] for entry in found}
        np.testing.assert_allclose([theirs[label] for label in labels], row, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [name for name in CLASSES if "ner" in name])
def test_a_token_pipeline_gives_a_words_probabilities_at_its_first_piece(name, run_of, abroad):
    folder = run_of(*CLASSES[name])
    labels = of_run(folder).task.labels
    for words, found in zip(WORDS, abroad[name], strict=True):
        encoded = checkpoint_of(of_run(folder).config).tokenizer()(words, is_split_into_words=True)
        at = {entry["index"]: entry for entry in found}
        firsts = [at[encoded.word_to_tokens(number).start] for number in range(len(words))]
        ours = softmax(logits_of_words(folder, words))
        assert [entry["entity"] for entry in firsts] == [labels[number] for number in ours.argmax(axis=1)]
        np.testing.assert_allclose([entry["score"] for entry in firsts], ours.max(axis=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", GRAPHS)
def test_onnxruntime_gives_the_runs_logits(name, run_of, tmp_path):
    folder = run_of(*GRAPHS[name])
    export(folder, tmp_path / "out", "onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    names = [entry.name for entry in session.get_inputs()]
    for count in (1, 7):
        for length in (1, 8, 31):  # words
            if "ner" in name:
                check_words(folder, session, names, [["pear", "U.S.", "ann"][i % 3] for i in range(length)])
                continue
            texts = [" ".join(["the pears are red"[: 3 + i]] * max(length - i, 1)) for i in range(count)]
            batch = inputs(of_run(folder), texts, return_special_tokens_mask=True)
            theirs = session.run(["logits"], {name: batch[name].numpy() for name in names})[0]
            np.testing.assert_allclose(theirs, logits_of_texts(folder, texts), atol=1e-4, rtol=0)


def check_words(folder, session, names, words):
    run = of_run(folder)
    encoded = checkpoint_of(run.config).tokenizer()(words, is_split_into_words=True, return_tensors="np")
    theirs = session.run(["logits"], {name: encoded[name] for name in names})[0][0]
    pieces = encoded.word_ids(0)
    positions = [i for i, word in enumerate(pieces) if word is not None]
    first = {word: i for i, word in reversed(list(enumerate(pieces))) if word is not None}
    last = {pieces[i]: i for i in positions}
    chosen = last if run.model.head.subword == "last" else first
    ours = logits_of_words(folder, words)
    np.testing.assert_allclose(theirs[[chosen[i] for i in range(len(words))]], ours, atol=1e-4, rtol=0)


@pytest.mark.parametrize("to", ["transformers", "sentence-transformers", "onnx"])
def test_a_folder_has_tokenizer_labels_length_and_card(to, run_of, tmp_path):
    folder = run_of("pooler")
    done = CliRunner().invoke(app, ["export", str(folder), str(tmp_path / "out"), "--to", to])
    assert done.exit_code == 0, done.output
    assert f"agreement · pooler · seed 0 · {to}" in done.output
    config = json.loads((tmp_path / "out/config.json").read_text())
    labels = of_run(folder).task.labels
    assert config["id2label"] == {str(number): label for number, label in enumerate(labels)}
    assert (
        json.loads((tmp_path / "out/tokenizer_config.json").read_text())["model_max_length"]
        == of_run(folder).task.max_length
    )
    card = (tmp_path / "out/README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "apache-2.0"
    result = of_run(folder).result
    assert f"| validation | 8 | accuracy | {result.score:.4f} | 0.5000 |" in card
    assert "seed 0" in card
    assert "head2head train encoder=random-tiny" in card
    assert "made by head2head from a seed: Apache-2.0" in card
    assert "## Not for" in card
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("task", "licence", "commercial"),
    [("agreement", "apache-2.0", True), ("mrpc", "other", False), ("conll2003", "other", False), ("mine", None, True)],
)
def test_a_card_grants_no_more_than_the_terms_of_the_data(task, licence, commercial, run_of):
    run = of_run(run_of("pooler"))
    renamed = dataclasses.replace(run, result=dataclasses.replace(run.result, task=task))
    text = card(renamed, "onnx")
    assert yaml.safe_load(text.split("---")[1]).get("license") == licence
    assert ("Commercial use" not in text) is commercial
    assert of_data(task) in text


REFUSED = {
    ("mean", "transformers"): "BertForSequenceClassification reads pooler_output .* take --to onnx, or --to sentence",
    ("ner_crf", "transformers"): "BertForTokenClassification .* head2head predict",
    ("ner_concat_last4", "transformers"): "take --to onnx",
    ("ner_crf", "onnx"): "a crf looks for .* head=ner",
    ("attention", "sentence-transformers"): "no pool like Attention; take --to onnx",
    ("concat_last4", "sentence-transformers"): "side by side.* take --to onnx",
    ("ner", "sentence-transformers"): "labels words.* take --to transformers or --to onnx",
}


@pytest.mark.parametrize(("head", "to"), REFUSED)
def test_a_head_without_an_equal_is_refused_with_what_to_take_instead(head, to, run_of, tmp_path):
    with pytest.raises(UserError, match=REFUSED[head, to]):
        export(run_of(head), tmp_path / "out", to)
    assert list(tmp_path.iterdir()) == []


def test_layers_that_the_library_cannot_weigh_so_are_refused(run_of, tmp_path):
    folder = run_of("weighted_sum", "head/pool=max", "seed=2")
    change_weights(folder, scale=torch.tensor(-1.0))
    with pytest.raises(UserError, match=r"multiplies the layers by -1\.00.* take --to onnx"):
        export(folder, tmp_path / "out", "sentence-transformers")
    raw = run_of("weighted_sum", "head.layers.normalize=false", "seed=2")
    change_weights(raw, weights=torch.tensor([1.0, -1.0, 1.0, -1.0]))
    with pytest.raises(UserError, match="divides by their sum; take --to onnx"):
        export(raw, tmp_path / "out", "sentence-transformers")


def test_pooling_without_special_tokens_and_half_a_word_are_refused(run_of, tmp_path):
    with pytest.raises(UserError, match=r"leaves out \[CLS\] and \[SEP\]"):
        export(run_of("mean", "head.pool.special_tokens=false"), tmp_path / "out", "sentence-transformers")
    with pytest.raises(UserError, match="several pieces stand for a word"):
        export(run_of("ner", "head.subword=mean"), tmp_path / "out", "onnx")


def test_an_export_that_differs_from_the_run_is_not_kept(run_of, tmp_path, monkeypatch):
    monkeypatch.setattr("head2head.cli.export.fold_standardization", lambda _: None)
    with pytest.raises(UserError, match="differs from the run by"):
        export(run_of("pooler", "head.standardize=true"), tmp_path / "out", "transformers")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_left_alone(run_of, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(UserError, match="exists already"):
        export(run_of("pooler"), tmp_path / "out", "transformers")
    with pytest.raises(UserError, match=r"--to tensorflow: unknown form; .*transformers"):
        export(run_of("pooler"), tmp_path / "new", "tensorflow")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("to", "module"), [("onnx", "onnxruntime"), ("sentence-transformers", "sentence_transformers")]
)
def test_a_missing_library_is_named_with_its_extra(to, module, run_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r"pip install 'head2head\[export\]'"):
        export(run_of("pooler"), tmp_path / "out", to)
