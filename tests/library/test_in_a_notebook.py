"""What `import head2head` offers."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModel

import head2head
from head2head.errors import UserError

PAGE = Path(__file__).parents[2] / "docs/library.md"
QUICK = ["trainer.max_steps=4", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "threads=1"]
THINGS = ["film", "book", "play", "song", "meal"]
TEXTS = [f"the {thing} was {how}" for thing in THINGS for how in ("good", "great", "bad", "dull")]
NAMES = ["pos", "pos", "neg", "neg"] * len(THINGS)


@pytest.fixture
def settings(tmp_path):
    return [*QUICK, f"output_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache"]


def model(settings, head="mean", *own):
    return head2head.Model(head=head, encoder="random-tiny", settings=[*settings, *own])


def test_importing_it_loads_no_large_library():
    code = (
        "import sys, head2head; dir(head2head); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'pandas', 'numpy', 'yaml')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_name_is_there_and_no_other():
    assert set(head2head.__all__) <= set(dir(head2head))
    for name in head2head.__all__:
        assert getattr(head2head, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'modle'"):
        _ = head2head.modle


def test_the_page_runs_from_its_first_line_to_its_last(tmp_path, monkeypatch, settings):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S)
    experiments = Path(__file__).parents[2] / "experiments"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(experiments)
    code = "\n".join(blocks)
    for word in ("Model(", "load(", ".predict(", "encode(", "results("):
        assert word in code
    # The same lines on a smaller encoder, and not to the end.
    code = code.replace('"minilm"', '"random-tiny"').replace("settings=[", f"settings=[*{settings!r}, ")
    assert code.count("random-tiny") >= 2
    exec(compile(code, str(PAGE), "exec"), {})


def test_a_fitted_model_predicts_the_names_it_was_given_and_so_does_the_loaded_one(settings):
    fitted = model(settings).fit(TEXTS, NAMES)
    found = fitted.predict(TEXTS)
    assert set(found) <= {"neg", "pos"}
    again = head2head.load(fitted.folder)
    assert again.predict(TEXTS) == found
    assert again.labels == fitted.labels == ["neg", "pos"]
    np.testing.assert_array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    proba = fitted.predict_proba(TEXTS)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert [fitted.labels[i] for i in proba.argmax(axis=1)] == found
    assert fitted.result.score == again.result.score
    assert not fitted.module.training


def test_held_out_is_a_fifth_unless_validation_data_are_given(settings):
    assert model(settings).fit(TEXTS, NAMES).result.split == "fold"
    assert model(settings).fit(TEXTS, NAMES, validation=(TEXTS[:4], NAMES[:4])).result.split == "validation"


def test_floats_are_values_and_numpys_are_pythons(settings):
    fitted = model(settings).fit(TEXTS, np.linspace(0, 1, len(TEXTS)))
    assert all(isinstance(value, float) for value in fitted.predict(TEXTS[:3]))
    whole = model(settings).fit(TEXTS, np.array([0, 1] * 10))
    assert set(whole.predict(TEXTS)) <= {"0", "1"}
    with pytest.raises(UserError, match="predict_proba"):
        fitted.predict_proba(TEXTS)


def test_pairs_have_second_texts_in_fit_and_predict(settings):
    fitted = model(settings).fit(TEXTS, NAMES, pairs=TEXTS[::-1])
    assert len(fitted.predict(TEXTS[:3], pairs=TEXTS[3:6])) == 3
    with pytest.raises(UserError, match="reads two texts"):
        fitted.predict(TEXTS)
    with pytest.raises(UserError, match="3 texts and 2 second texts"):
        fitted.predict(TEXTS[:3], pairs=TEXTS[:2])


def test_a_head_on_words_takes_lists_of_words_and_gives_tags_and_entities(settings):
    sentences = [[name, verb, "in", "New", "York"] for name in THINGS for verb in ("lives", "works")]
    tags = [["B-PER", "O", "O", "B-LOC", "I-LOC"]] * len(sentences)
    fitted = model(settings, "ner", "trainer.max_steps=40", "optimizer.lr=1e-2").fit(sentences, tags)
    assert [len(found) for found in fitted.predict(sentences)] == [5] * len(sentences)
    (found,) = fitted.predict(["Jo lives in New York."])
    assert len(found) == 6
    for text, entities in zip(["Jo saw York.", "Oslo"], fitted.entities(["Jo saw York.", "Oslo"]), strict=True):
        for entity in entities:
            assert text[entity["start"] : entity["end"]] == entity["text"]


def test_mistakes_are_told_in_one_line(settings):
    for call, told in (
        (lambda: model(settings).predict(TEXTS), "call fit"),
        (lambda: model(settings).fit(TEXTS, NAMES[1:]), "20 texts and 19 labels"),
        (lambda: model(settings, "meen").fit(TEXTS, NAMES), "unknown head 'meen'; did you mean"),
        (lambda: model(settings, "ner").fit([["a"]], [["O", "O"]]), "text 0: 1 words and 2 tags"),
        (lambda: model(settings, "ner").fit([["a b"]], [["O"]]), "'a b' is no word or tag"),
        (lambda: head2head.load("no/such/run"), "not the folder of a finished run"),
        (lambda: head2head.encode(" "), "the text is empty"),
        (lambda: head2head.results("no_such"), "unknown experiment 'no_such'"),
    ):
        with pytest.raises(UserError, match=told) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_encode_gives_what_transformers_gives(minilm_folder):
    from transformers import AutoTokenizer

    output = head2head.encode("mean or max?", encoder="minilm")
    expected = AutoModel.from_pretrained(minilm_folder, attn_implementation="eager")(
        **AutoTokenizer.from_pretrained(minilm_folder)("mean or max?", return_tensors="pt"),
        output_hidden_states=True,
        output_attentions=True,
    )
    for ours, theirs in (
        (output.last_hidden_state, expected.last_hidden_state),
        (output.pooler_output, expected.pooler_output),
        (output.hidden_state(0), expected.hidden_states[0]),
        (output.attentions[2], expected.attentions[2]),
    ):
        np.testing.assert_allclose(ours.detach(), theirs.detach(), atol=1e-5)


def test_results_are_a_row_a_run(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    frame = head2head.results("diagnostics")
    assert {"task", "head", "run", "score", "baseline", "key"} <= set(frame.columns)
    assert frame["key"].is_unique
