"""What of a run goes into the experiment's results.jsonl."""

import errno
import json
import os
from dataclasses import asdict

import pytest
import torch
from transformers import BertConfig, BertModel

from composed import compose
from head2head.errors import Unwritable
from head2head.model.memory import out_of_memory
from head2head.run.key import identify
from head2head.sweep.job import Run, as_result, failed, portable
from head2head.sweep.plan import Planned


def test_results_for_others_say_nothing_of_where_files_lie(tmp_path):
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=512, **size)).save_pretrained(tmp_path / "mine")
    for name in ("train.csv", "dev.csv"):
        (tmp_path / name).write_text("text,label\nx,yes\ny,no\n")
    overrides = (
        "task=table", f"task.train={tmp_path}/train.csv", f"task.validation={tmp_path}/dev.csv", "encoder=any",
        f"encoder.name={tmp_path}/mine", f"output_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache", "threads=1",
        f"data_dir={tmp_path}", "seed=3", "logger=csv", "optimizer.lr=0.1",
    )  # fmt: skip
    config = compose(overrides)
    planned = Planned(overrides, {}, identify(config))
    result = failed(config, planned, "made up")
    result.folder = None
    stored = portable(result, planned.identity)
    assert str(tmp_path) not in json.dumps(asdict(stored))
    assert stored.config["encoder"]["name"] == "mine"
    assert stored.overrides == ["task=table", "encoder=any", "encoder.name=mine", "seed=3", "optimizer.lr=0.1"]
    assert stored.key == planned.key


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("a mistake"), False),
    ],
)
def test_errors_of_too_little_memory_are_told_from_others(error, short):
    assert out_of_memory(error) is short


def test_a_log_that_cannot_be_written_is_not_a_runs_own_failure():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(Unwritable, match=r"^output_dir: runs cannot be written: No space left on device; make room"):
        as_result(Run({"output_dir": "runs"}, None), full)
