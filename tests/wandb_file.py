"""What an offline W&B run has written down."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_finished(path: Path, seconds: float = 60) -> dict[str, Any]:
    """The same of a run that has ended: W&B's own process writes when it gets to it."""
    end = time.monotonic() + seconds
    while (found := read(path))["exit"] is None and time.monotonic() < end:
        time.sleep(0.25)
    return found


def read(path: Path) -> dict[str, Any]:
    """run (group, job type, tags, name), config, history (names logged), summary and exit code of a .wandb file."""
    from wandb.proto import wandb_internal_pb2

    found: dict[str, Any] = {"config": {}, "history": [], "summary": {}, "exit": None}
    for data in records(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["run"] = record.run
        for update in [*record.run.config.update, *record.config.update]:
            found["config"][update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
        found["history"] += [item.key or "/".join(item.nested_key) for item in record.history.item]
        for update in record.summary.update:
            found["summary"][update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
        if kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def records(path: Path) -> Iterator[bytes]:
    """The whole records of the file: a LevelDB log of 32 KiB blocks behind a header of 7 bytes."""
    content, position, whole = path.read_bytes(), 7, b""
    while position < len(content):
        if 32768 - position % 32768 < 7:  # too little is left in the block for a record's head
            position += 32768 - position % 32768
        if position + 7 > len(content):
            return
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        if position + 7 + length > len(content):
            return
        whole += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield whole
            whole = b""
