"""Where encoders come from, and what a checkpoint must have to be one."""

import contextlib
import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    BertConfig,
    BertForTokenClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    T5Config,
)

from head2head import files
from head2head.errors import UserError
from head2head.model import checkpoint
from head2head.model.checkpoint import Checkpoint, load_encoder, state_sha256
from head2head.model.encoder import NoPooler
from head2head.model.heads import Cls, Mean
from head2head.model.output import Needs
from head2head.model.packages import PACKAGES, Package

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
SIZES = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 40, "initializer_range": 0.3,
}  # fmt: skip
LAST = Needs(frozenset({2}))
POOLER = Needs(frozenset({2}), pooler=True)
IDS = torch.tensor([[7, 8, 9, 10, 11], [12, 13, 14, 1, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def saved(model, folder) -> Checkpoint:
    model.save_pretrained(folder)
    return Checkpoint(str(folder))


@pytest.fixture
def no_pooler(tmp_path) -> Checkpoint:
    torch.manual_seed(3)
    return saved(BertModel(BertConfig(**SIZES), add_pooling_layer=False), tmp_path / "no-pooler")


def distilbert() -> DistilBertModel:
    torch.manual_seed(3)
    return DistilBertModel(
        DistilBertConfig(
            vocab_size=60, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=40,
            initializer_range=0.3,
        )
    ).eval()  # fmt: skip


def roberta() -> RobertaModel:
    torch.manual_seed(3)
    return RobertaModel(RobertaConfig(**SIZES, type_vocab_size=1, pad_token_id=1)).eval()


def test_weights_load_as_they_were_saved_pooler_included(tmp_path):
    torch.manual_seed(3)
    model = BertModel(BertConfig(**SIZES)).eval()
    encoder = load_encoder(saved(model, tmp_path), POOLER).eval()
    with torch.no_grad():
        output, theirs = encoder(IDS, MASK), model(IDS, MASK)
    assert torch.equal(output.last_hidden_state[MASK.bool()], theirs.last_hidden_state[MASK.bool()])
    torch.testing.assert_close(output.pooler_output, theirs.pooler_output, rtol=0, atol=1e-6)


def test_a_checkpoint_without_pooler_is_refused_for_a_head_that_reads_it(no_pooler):
    with pytest.raises(NoPooler, match=r"has no pooler weights.*encoder\.reinit_pooler=true"):
        load_encoder(no_pooler, POOLER)


def test_a_checkpoint_without_pooler_serves_all_other_heads(no_pooler):
    assert load_encoder(no_pooler, LAST).pooler is None


def test_reinit_pooler_draws_the_pooler_anew(no_pooler):
    torch.manual_seed(0)
    first = load_encoder(no_pooler, POOLER, reinit_pooler=True)
    second = load_encoder(no_pooler, POOLER, reinit_pooler=True)
    weight = first.pooler.dense.weight
    assert weight.std().item() == pytest.approx(0.3, rel=0.2)
    assert first.pooler.dense.bias.abs().max() == 0
    assert not torch.equal(weight, second.pooler.dense.weight)
    assert state_sha256(first.model) == state_sha256(second.model)


def test_a_fine_tuned_checkpoint_is_an_encoder_but_has_no_pooler(tmp_path):
    torch.manual_seed(3)
    model = BertForTokenClassification(BertConfig(**SIZES)).eval()
    checkpoint = saved(model, tmp_path)
    with torch.no_grad():
        ours = load_encoder(checkpoint, LAST).eval()(IDS, MASK).last_hidden_state
        theirs = model.bert(IDS, MASK).last_hidden_state
    assert torch.equal(ours[MASK.bool()], theirs[MASK.bool()])
    with pytest.raises(UserError, match="no pooler weights"):
        load_encoder(checkpoint, POOLER)


def test_a_checkpoint_that_lacks_encoder_weights_is_refused(tmp_path):
    torch.manual_seed(3)
    checkpoint = saved(BertModel(BertConfig(**SIZES | {"num_hidden_layers": 1})), tmp_path)
    BertConfig(**SIZES).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"lacks 16 of the model's weights \(first: encoder\.layer\.1\."):
        load_encoder(checkpoint, LAST)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_checkpoints_load_in_float32(tmp_path, dtype):
    torch.manual_seed(3)
    model = BertModel(BertConfig(**SIZES)).to(dtype)
    encoder = load_encoder(saved(model, tmp_path), POOLER)
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    word = "embeddings.word_embeddings.weight"
    assert torch.equal(encoder.model.state_dict()[word], model.state_dict()[word].float())


@pytest.mark.parametrize("make", [distilbert, roberta])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_other_families_give_their_own_hidden_states(tmp_path, make, layer):
    model = make()
    encoder = load_encoder(saved(model, tmp_path), Needs(frozenset({layer}))).eval()
    with torch.no_grad():
        output = encoder(IDS, MASK, torch.zeros_like(IDS))
        theirs = model(IDS, MASK, output_hidden_states=True).hidden_states[layer]
    assert torch.equal(output.hidden_state(layer)[MASK.bool()], theirs[MASK.bool()])
    assert torch.equal(Cls(16)(output.hidden_state(layer), MASK), theirs[:, 0])
    torch.testing.assert_close(Mean(16)(output.hidden_state(layer), MASK)[1], theirs[1, :3].mean(dim=0))


@pytest.mark.parametrize("reinit_pooler", [False, True])
def test_an_encoder_family_without_pooler_is_a_user_error(tmp_path, reinit_pooler):
    with pytest.raises(UserError, match="distilbert encoders have no pooler like BERT's"):
        load_encoder(saved(distilbert(), tmp_path), POOLER, reinit_pooler=reinit_pooler)


def test_roberta_reads_as_many_pieces_as_it_has_positions_behind_its_padding_index(tmp_path):
    encoder = load_encoder(saved(roberta(), tmp_path), LAST).eval()
    assert encoder.max_length == 38
    ids = torch.full((1, encoder.max_length), 7)
    assert encoder(ids, torch.ones_like(ids)).last_hidden_state.shape == (1, 38, 16)


def test_roberta_has_a_pooler(tmp_path):
    model = roberta()
    with torch.no_grad():
        ours = load_encoder(saved(model, tmp_path), POOLER).eval()(IDS, MASK).pooler_output
        torch.testing.assert_close(ours, model(IDS, MASK).pooler_output, rtol=0, atol=1e-6)


def test_random_weights_are_the_same_whatever_is_needed_and_draw_no_number():
    checkpoint = Checkpoint("random", config=SIZES)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = load_encoder(checkpoint, LAST), load_encoder(checkpoint, POOLER)
    assert torch.equal(torch.get_rng_state(), state)
    assert state_sha256(first.model) == state_sha256(second.model)
    assert checkpoint.spec().num_layers == 2


def test_state_hash_is_of_names_and_values():
    torch.manual_seed(0)
    module = torch.nn.Linear(2, 2)
    before = state_sha256(module)
    assert state_sha256(torch.nn.Sequential(module)) != before
    with torch.no_grad():
        module.bias[0] += 1e-6
    assert state_sha256(module) != before


@pytest.fixture
def package(tmp_path, monkeypatch) -> str:
    """An installed package that holds a folder with weights."""
    folder = tmp_path / "head2head_test_weights" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    (folder / "model.safetensors").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    yield "head2head-test-weights"
    sys.modules.pop("head2head_test_weights", None)


def test_packaged_weights_with_another_hash_are_refused(package, monkeypatch):
    monkeypatch.setitem(PACKAGES, MINILM, Package(package, "0" * 64))
    with pytest.raises(UserError, match=r"not the weights of .*MiniLM.*reinstall head2head-test-weights"):
        Checkpoint(MINILM).path()


def test_a_package_without_its_weights_file_is_refused(package, monkeypatch, tmp_path):
    (tmp_path / "head2head_test_weights" / "model" / "model.safetensors").unlink()
    monkeypatch.setitem(PACKAGES, MINILM, Package(package, "0" * 64))
    with pytest.raises(UserError, match="reinstall head2head-test-weights"):
        Checkpoint(MINILM).path()


def test_packaged_weights_with_the_right_hash_are_taken_unless_a_revision_is_asked_for(package, monkeypatch, tmp_path):
    # printf weights | sha256sum
    digest = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    monkeypatch.setitem(PACKAGES, MINILM, Package(package, digest))
    assert Checkpoint(MINILM).path() == str(tmp_path / "head2head_test_weights" / "model")
    assert Checkpoint(MINILM, revision="main").path() == MINILM


def test_without_the_package_the_hub_is_asked(monkeypatch):
    monkeypatch.setitem(PACKAGES, MINILM, Package("head2head-not-installed", "0" * 64))
    assert Checkpoint(MINILM).path() == MINILM


def test_an_encoder_out_of_reach_is_a_user_error_of_one_line():
    with pytest.raises(UserError, match=r"^encoder no-such/encoder: cannot be loaded .*encoder\.name=DIR") as error:
        Checkpoint("no-such/encoder").spec()
    assert "\n" not in str(error.value)


def test_a_folder_without_a_model_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="not a model that transformers can load"):
        load_encoder(Checkpoint(str(tmp_path)), LAST)


def test_a_half_written_weights_file_is_a_user_error(no_pooler, tmp_path):
    weights = tmp_path / "no-pooler" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a model that transformers can load"):
        load_encoder(no_pooler, LAST)


@pytest.mark.usefixtures("minilm_folder")
def test_the_example_sentence_has_the_word_pieces_of_bert_base_uncased():
    tokenizer = Checkpoint(MINILM).tokenizer()
    ids = tokenizer("Let's see all hidden-states and attentions on this text")["input_ids"]
    assert ids == [101, 2292, 1005, 1055, 2156, 2035, 5023, 1011, 2163, 1998, 3086, 2015, 2006, 2023, 3793, 102]


def test_minilm_is_a_bert_of_six_layers_and_384_with_its_own_pooler(minilm_folder):
    checkpoint = Checkpoint(MINILM)
    spec = checkpoint.spec()
    assert (spec.num_layers, spec.hidden_size) == (6, 384)
    encoder = load_encoder(checkpoint, Needs(frozenset({6}), pooler=True)).eval()
    encoded = checkpoint.tokenizer()(["a short text", "a text that is longer"], padding=True, return_tensors="pt")
    with torch.no_grad():
        output = encoder(**encoded)
        theirs = AutoModel.from_pretrained(minilm_folder, dtype=torch.float32).eval()(**encoded)
    assert output.pooler_output.shape == (2, 384)
    torch.testing.assert_close(output.pooler_output, theirs.pooler_output, rtol=0, atol=1e-5)
    real = encoded["attention_mask"].bool()
    torch.testing.assert_close(output.last_hidden_state[real], theirs.last_hidden_state[real], rtol=0, atol=1e-5)


def test_packaged_weights_are_hashed_once_until_they_change(package, monkeypatch, tmp_path):
    digest = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    monkeypatch.setitem(PACKAGES, MINILM, Package(package, digest))
    hashed, original = [], files.hashlib.sha256
    monkeypatch.setattr(files.hashlib, "sha256", lambda *content: hashed.append(content) or original(*content))
    for _ in range(3):
        Checkpoint(MINILM).path()
    assert len(hashed) == 1
    weights = tmp_path / "head2head_test_weights" / "model" / "model.safetensors"
    weights.write_bytes(b"others!")
    os.utime(weights, ns=(1, 1))
    with pytest.raises(UserError, match="sha256 differs"):
        Checkpoint(MINILM).path()


@pytest.mark.parametrize("name", ["./nope", "../nope", "/nope/x", "~/nope", "~nope", "a/b/c", "my model", "nope/", ""])
def test_a_name_that_can_only_be_a_folder_is_not_asked_of_the_hub(name):
    with pytest.raises(UserError, match=f"^encoder.name={name}: no such folder$"):
        Checkpoint(name).spec()


def test_a_home_folder_is_not_expanded_but_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bert").mkdir()
    with pytest.raises(UserError, match=f"no such folder; write encoder.name={tmp_path / 'bert'}$"):
        Checkpoint("~/bert").spec()


def test_an_encoder_without_positions_is_a_user_error(tmp_path):
    T5Config(d_model=16, num_layers=2).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="t5 models cannot be used: the configuration has no max_position_embeddings"):
        Checkpoint(str(tmp_path)).spec()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_attention_heads": 3}, "The hidden size (16) is not a multiple of the number of attention heads (3)"),
        ({"hidden_size": "wide"}, "Validation error for field 'hidden_size'"),
        ({"hidden_size": 0}, "hidden_size=0: 1 or above"),
        ({"num_hidden_layers": -1}, "num_hidden_layers=-1: 1 or above"),
        ({"hidden_dropout_prob": 2.0}, "dropout probability"),
        ({"hidden_act": "nope"}, "unknown value 'nope'"),
        ({"hiden_size": 8}, "unknown field 'hiden_size'; did you mean hidden_size"),
    ],
)
def test_random_weights_of_impossible_sizes_are_a_user_error_of_one_line(change, message):
    checkpoint = Checkpoint("random", config=SIZES | change)
    for call in (checkpoint.spec, lambda: load_encoder(checkpoint, LAST)):
        with pytest.raises(UserError, match=r"^encoder\.config: ") as error:
            call()
        assert message in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "value"), [("vocab_size", 60), ("type_vocab_size", 1)])
def test_random_weights_have_an_embedding_for_all_that_the_built_in_tokenizer_gives(name, value):
    checkpoint = Checkpoint("random", config=SIZES | {"vocab_size": 512, name: value})
    with pytest.raises(UserError, match=rf"^encoder.config: {name}={value}: \d+ or above$"):
        checkpoint.tokenizer()
    least = len(Checkpoint("random", config=SIZES | {"vocab_size": 512}).tokenizer())
    assert len(Checkpoint("random", config=SIZES | {"vocab_size": least}).tokenizer()) == least


def test_asking_for_the_sizes_of_random_weights_draws_no_number():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    Checkpoint("random", config=SIZES).spec()
    assert torch.equal(torch.get_rng_state(), state)


BYTE_LEVEL = {
    "roberta": (None, pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "prefix": (None, pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "modernbert": (normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "split": (
        None,
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(" ", "merged_with_next"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        ),
    ),
}


@pytest.mark.parametrize("class_", ["TokenizersBackend", "RobertaTokenizer"])
@pytest.mark.parametrize("kind", BYTE_LEVEL)
def test_byte_level_tokenizers_read_each_word_with_its_blank(tmp_path, kind, class_):
    bpe = Tokenizer(models.BPE())
    if BYTE_LEVEL[kind][0] is not None:
        bpe.normalizer = BYTE_LEVEL[kind][0]
    bpe.pre_tokenizer = BYTE_LEVEL[kind][1]
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, special_tokens=special, initial_alphabet=alphabet)
    bpe.train_from_iterator(["see the key the door the keys a key"] * 5, trainer)
    bpe.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = dict(zip(("cls_token", "pad_token", "sep_token", "unk_token", "mask_token"), special, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=bpe, **names).save_pretrained(tmp_path)
    RobertaConfig(**SIZES).save_pretrained(tmp_path)
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"tokenizer_class": class_}))
    checkpoint = Checkpoint(str(tmp_path))
    words = ["the", "key", "the", "door"]
    plain = checkpoint.tokenizer()
    expected = plain(" " + " ".join(words), add_special_tokens=False).tokens()
    found = checkpoint.tokenizer(words=True)(words, is_split_into_words=True, add_special_tokens=False)
    assert found.tokens() == expected
    assert found.tokens()[0].startswith("\u0120")
    assert set(found.word_ids()) == {0, 1, 2, 3}
    if kind != "prefix":
        assert plain(words, is_split_into_words=True, add_special_tokens=False).tokens() != expected


@pytest.mark.usefixtures("minilm_folder")
def test_word_piece_tokenizers_read_words_as_they_are():
    plain, words = Checkpoint(MINILM).tokenizer(), Checkpoint(MINILM).tokenizer(words=True)
    assert plain.backend_tokenizer.to_str() == words.backend_tokenizer.to_str()


@pytest.mark.parametrize("name", [MINILM, "google-bert/bert-base-uncased"])
def test_fields_beside_the_name_of_a_checkpoint_are_refused(name):
    with pytest.raises(UserError, match=r"would make random weights of encoder\.name=.*encoder\.dropout=P"):
        Checkpoint(name, config={"hidden_dropout_prob": 0})
    with pytest.raises(UserError, match="random weights"):
        Checkpoint(name, config=SIZES)


def test_fields_without_sizes_or_beside_a_folder_are_refused(tmp_path):
    for name, config in (("bert-base-uncased", {"hidden_dropout_prob": 0}), (str(tmp_path), SIZES)):
        with pytest.raises(UserError, match=r"^encoder\.config would make random weights"):
            Checkpoint(name, config=config)


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, float("nan"), "half", True])
def test_a_dropout_that_is_no_probability_is_refused(value):
    with pytest.raises(UserError, match=rf"^encoder\.dropout={value}: a probability"):
        Checkpoint("random", config=SIZES, dropout=value)


def rates(encoder) -> set[float]:
    """Of all dropout modules, and of attention, which keeps its rate itself."""
    found = {m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)}
    return found | {m.attention_dropout for m in encoder.modules() if hasattr(m, "attention_dropout")}


@pytest.mark.parametrize("make", [lambda: BertModel(BertConfig(**SIZES)), distilbert, roberta])
def test_dropout_is_set_in_layers_and_attention_of_each_family_and_nothing_else(make, tmp_path):
    own = load_encoder(saved(make(), tmp_path), LAST)
    checkpoint = Checkpoint(str(tmp_path), dropout=0.3)
    changed = load_encoder(checkpoint, LAST)
    assert {r for r in rates(own) if not callable(r)} == {0.1}
    assert {r for r in rates(changed) if not callable(r)} == {0.3}
    assert changed.checkpoint_sha256 == own.checkpoint_sha256
    assert checkpoint.spec().dropout == 0.3


def test_a_checkpoint_with_a_rate_for_classifiers_keeps_it(tmp_path):
    model = BertModel(BertConfig(**SIZES, classifier_dropout=0.2))
    saved(model, tmp_path)
    assert Checkpoint(str(tmp_path), dropout=0.3).spec().dropout == 0.2


def test_dropout_is_set_in_random_weights():
    encoder = load_encoder(Checkpoint("random", config=SIZES, dropout=0.0), POOLER)
    assert {m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)} == {0.0}


# Checkpoints are strangers': nothing in them is run.

CODE = """import pathlib
pathlib.Path({marker!r}).touch()
from transformers import BertConfig, BertModel
class Config(BertConfig):
    model_type = {kind!r}
class Model(BertModel):
    config_class = Config
"""


def with_code(folder, kind, marker):
    """A checkpoint that brings Python files of its own."""
    saved(BertModel(BertConfig(**SIZES)), folder)
    (folder / "own_code.py").write_text(CODE.format(marker=str(marker), kind=kind))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": kind, "auto_map": {"AutoConfig": "own_code.Config", "AutoModel": "own_code.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def yes(monkeypatch, tmp_path):
    """As `yes |` in front of the command; what transformers copies of a folder's code goes to the test's own."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n" * 100))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.usefixtures("yes")
@pytest.mark.parametrize("guarded", [True, False])
def test_a_folder_with_code_is_refused_without_a_question(guarded, tmp_path, monkeypatch, capsys):
    theirs = Checkpoint(str(with_code(tmp_path / "theirs", "theirs", tmp_path / "marker")))
    if not guarded:
        monkeypatch.setattr(checkpoint, "NO_CODE", {})
        with contextlib.suppress(Exception):
            load_encoder(theirs, LAST)
        assert "Do you wish to run the custom code?" in capsys.readouterr().out
    else:
        with pytest.raises(UserError, match=r"not a model that transformers can load: .*contains custom code") as error:
            load_encoder(theirs, LAST)
        assert "\n" not in str(error.value)
        assert capsys.readouterr().out == ""
    assert (tmp_path / "marker").exists() is not guarded


@pytest.mark.usefixtures("yes")
def test_a_folder_with_code_of_a_known_architecture_is_loaded_as_that_alone(tmp_path, capsys):
    theirs = Checkpoint(str(with_code(tmp_path / "theirs", "bert", tmp_path / "marker")))
    assert load_encoder(theirs, LAST).checkpoint_sha256
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "marker").exists()


class Touches:
    """What unpickling it does."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_a_pickle_may_hold_tensors_alone(tmp_path):
    folder, marker = tmp_path / "theirs", tmp_path / "marker"
    torch.manual_seed(3)
    model = BertModel(BertConfig(**SIZES))
    pickled = saved(model, folder)
    (folder / "model.safetensors").unlink()
    file = folder / "pytorch_model.bin"
    torch.save(model.state_dict(), file)
    assert load_encoder(pickled, LAST).checkpoint_sha256 == state_sha256(model)
    torch.save({**model.state_dict(), "more": Touches(marker)}, file)
    with pytest.raises(UserError, match="not a model that transformers can load") as error:
        load_encoder(pickled, LAST)
    assert "\n" not in str(error.value)
    assert not marker.exists()
    torch.load(file, weights_only=False)  # what would happen without the guard
    assert marker.exists()


def test_safetensors_are_taken_where_there_are_both(tmp_path):
    torch.manual_seed(3)
    model = BertModel(BertConfig(**SIZES))
    both = saved(model, tmp_path / "theirs")
    torch.save({"more": Touches(tmp_path / "marker")}, tmp_path / "theirs/pytorch_model.bin")
    assert load_encoder(both, LAST).checkpoint_sha256 == state_sha256(model)
    assert not (tmp_path / "marker").exists()


def test_half_of_an_encoder_in_the_hubs_cache_is_one_line(tmp_path, monkeypatch):
    place = tmp_path / "models--somebody--encoder"
    snapshot = place / "snapshots/0"
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs/main").write_text(snapshot.name)
    saved(BertModel(BertConfig(**SIZES)), tmp_path / "whole")
    shutil.copy(tmp_path / "whole/config.json", snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path), raising=False)
    with pytest.raises(UserError, match=r"^encoder somebody/encoder: cannot be loaded from the hub") as error:
        load_encoder(Checkpoint("somebody/encoder"), LAST)
    assert "\n" not in str(error.value)
