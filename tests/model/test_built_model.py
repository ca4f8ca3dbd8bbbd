"""A run's LightningModule in plain Lightning: its checkpoint holds the settings that it is made of."""

import pytest
import pytorch_lightning as pl
import torch

from composed import compose
from head2head.errors import UserError
from head2head.model.build import BuiltModel, build_data, build_model, targets_of
from head2head.run.key import build_task

SMALL = ["encoder=random-tiny", "task.rows.train=24", "task.rows.validation=8"]


def fitted(tmp_path, *overrides):
    """A model that plain Lightning has trained and saved, and its validation batch."""
    config = compose([*SMALL, *overrides, f"cache_dir={tmp_path}/cache"])
    task = build_task(config)
    model, data = build_model(config, task, 0), build_data(config, task, 0, ["train", "validation"])
    model.targets = targets_of(data, ["validation"])
    trainer = pl.Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_progress_bar=False, use_distributed_sampler=False,
        enable_checkpointing=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, datamodule=data)
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    return model, next(iter(data.evaluation_dataloader("validation")))


@pytest.mark.parametrize(
    "overrides",
    [
        ("head=weighted_sum", "head.layers.n=2"),
        ("head=ner", "task=entities"),
        ("head=mean", "head.standardize=true", "encoder.frozen=1"),
    ],
)
def test_load_from_checkpoint_needs_nothing_but_the_file(overrides, tmp_path):
    model, batch = fitted(tmp_path, *overrides)
    loaded = BuiltModel.load_from_checkpoint(tmp_path / "plain.ckpt", weights_only=True)
    assert loaded.labels == model.labels
    assert loaded.history == model.history
    with torch.no_grad():
        assert torch.equal(loaded.eval()(batch), model.eval()(batch))


def test_a_checkpoint_says_not_whom_to_trust(tmp_path):
    fitted(tmp_path)
    content = torch.load(tmp_path / "plain.ckpt", weights_only=True)
    assert set(content["hyper_parameters"]) == {"config", "labels", "metrics", "seed", "compare"}
    content["hyper_parameters"]["config"]["head"]["pool"] = {"_target_": "os.system", "_partial_": True}
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"_target_: os\.system"):
        BuiltModel.load_from_checkpoint(tmp_path / "other.ckpt")
