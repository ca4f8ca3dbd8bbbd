"""Keys and tokens stay in the environment."""

from pathlib import Path

import pytest

from composed import compose
from head2head.errors import UserError
from head2head.run import key
from head2head.run.key import identify
from head2head.run.run import run

SECRETS = {"WANDB_API_KEY": "0123456789abcdef" * 2 + "01234567", "HF_TOKEN": "hf_abcdefghijklmnop"}
SMALL = [
    *("encoder=random-tiny", "trainer.max_steps=2", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"),
    *("task.rows.train=64", "task.rows.validation=100", "threads=1", "save_model=false", "logger=wandb"),
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def go(tmp_path: Path, *overrides: str) -> list[Path]:
    """A run; which files below tmp_path hold a secret."""
    typed = [*SMALL, f"output_dir={tmp_path}/runs", *overrides]
    run(compose(typed), typed)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("result.json" in str(path) for path in files)
    return [path for path in files if any(secret.encode() in path.read_bytes() for secret in SECRETS.values())]


def test_no_file_of_a_run_holds_a_key_of_the_environment(tmp_path):
    assert go(tmp_path) == []


def test_without_the_check_a_key_among_the_settings_would_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(key, "check_secrets", lambda _: None)
    assert go(tmp_path, "logger.tags=['${oc.env:WANDB_API_KEY}']")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("logger.tags=['${oc.env:WANDB_API_KEY}']", "logger.tags holds $WANDB_API_KEY, and settings are written"),
        ("logger.name=my-${oc.env:HF_TOKEN}", "logger.name holds $HF_TOKEN, and settings are written"),
        ("+logger.settings.api_key=abc", "logger.settings.api_key looks like a key or token, and settings are written"),
        ("+encoder.hf_token=abc", "encoder.hf_token looks like a key or token, and settings are written"),
    ],
)
def test_a_setting_that_holds_a_key_is_refused_and_not_repeated(override, message):
    with pytest.raises(UserError) as error:
        identify(compose(["logger=wandb", override]))
    assert message in str(error.value)
    assert not any(secret in str(error.value) for secret in SECRETS.values())


@pytest.mark.parametrize("override", ["evaluation_tokens=512", "head.pool.special_tokens=false", "logger.name=tokens"])
def test_settings_about_word_pieces_are_no_secrets(override):
    assert identify(compose(["logger=wandb", override])).key


def test_a_short_value_of_such_a_variable_may_stand_anywhere(monkeypatch):
    monkeypatch.setenv("OTHER_API_KEY", "a")
    assert identify(compose([])).key
