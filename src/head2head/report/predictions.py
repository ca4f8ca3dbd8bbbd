"""The predictions behind reported scores: `experiments/NAME/predictions.parquet`.

One row a text, or a sentence and type of entity:

    key, split      of the run, and what it was scored on
    row             number of the text or sentence in the split's file ("fold": in the training file)
    cluster         what rows have in common that share a text or a document, and are not independent
    gold, prediction    class ids, or values (float32); null for token tasks
    type, tp, fp, fn    token tasks: entities of a sentence found, made up and missed, by type; one row without a type
                        for a sentence that has none of either
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from head2head.data.entities import parse_tag, sentence_starts, spans
from head2head.errors import UserError
from head2head.files import write_atomically
from head2head.run.result import Result

FILE = "predictions.parquet"
LARGEST = 20_000_000  # bytes: the file is committed
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("split", pa.string()),
        ("row", pa.int32()),
        ("cluster", pa.int32()),
        ("gold", pa.float32()),
        ("prediction", pa.float32()),
        ("type", pa.string()),
        *((name, pa.int16()) for name in ("tp", "fp", "fn")),
    ]
)
ORDER = ["key", "split", "row", "type"]


@dataclass(frozen=True)
class Predictions:
    """Predictions by key and split, and why those of other runs are missing.

    tables: columns row, cluster and gold, prediction or type, tp, fp, fn; sorted by row and type.
    missing: key -> the reason, in words.
    """

    tables: Mapping[tuple[str, str], pd.DataFrame]
    missing: Mapping[str, str] = field(default_factory=dict)


def collect(folder: Path, results: Iterable[Result], leave_out: Sequence[str] = ()) -> Predictions:
    """What is packed in an experiment's folder already and, of other runs, what their own folders hold.

    Args:
        results: of the runs whose scores are reported.
        leave_out: names of tasks and splits whose predictions are not to be kept.

    Raises:
        UserError: the packed file cannot be read.
    """
    packed = read(folder / FILE)
    tables: dict[tuple[str, str], pd.DataFrame] = {}
    missing: dict[str, str] = {}
    for result in results:
        if result.failed is not None or result.task in leave_out:
            continue
        for split in result.metrics.get("last", {}):
            if split in leave_out:
                continue
            found = packed.get((result.key, split))
            if found is None:
                found = of_run(result, split)
            if isinstance(found, str):
                missing.setdefault(result.key, found)
            else:
                tables[result.key, split] = found
    return Predictions(tables, missing)


def read(path: Path) -> dict[tuple[str, str], pd.DataFrame]:
    """The tables of a packed file; none where there is no file.

    Raises:
        UserError: it is not such a file.
    """
    if not path.is_file():
        return {}
    try:
        table = pa.parquet.read_table(path).cast(SCHEMA).to_pandas()
    except (pa.ArrowInvalid, ValueError, OSError) as error:
        raise UserError(f"{path}: not a file of packed predictions ({str(error).splitlines()[0]}); remove it") from None
    tables = {}
    for (key, split), part in table.groupby(["key", "split"], sort=False, observed=True):
        kept = ["type", "tp", "fp", "fn"] if part["prediction"].isna().all() else ["gold", "prediction"]
        tables[str(key), str(split)] = part[["row", "cluster", *kept]].reset_index(drop=True)
    return tables


def write(predictions: Predictions, path: Path) -> None:
    """Pack predictions. Equal predictions give equal bytes.

    Raises:
        UserError: the file would be larger than may be committed.
    """
    parts = [table.assign(key=key, split=split) for (key, split), table in sorted(predictions.tables.items())]
    if not parts:
        return
    whole = pd.concat(parts, ignore_index=True).reindex(columns=SCHEMA.names)
    buffer = pa.BufferOutputStream()
    pa.parquet.write_table(
        pa.Table.from_pandas(whole, SCHEMA, preserve_index=False).replace_schema_metadata(None),
        buffer,
        compression="zstd",
        compression_level=19,
        use_dictionary=["key", "split", "gold", "prediction", "type", "tp", "fp", "fn"],
        column_encoding={"row": "DELTA_BINARY_PACKED", "cluster": "DELTA_BINARY_PACKED"},
        write_statistics=False,
    )
    content = buffer.getvalue().to_pybytes()
    if len(content) > LARGEST:
        rows = whole.groupby("split").size().sort_values(ascending=False)
        listed = ", ".join(f"{split} {count:,}" for split, count in rows.items())
        raise UserError(
            f"{path}: {len(content) / 1e6:.0f} MB of predictions, and {LARGEST / 1e6:.0f} are allowed; name splits or "
            f"tasks to do without in report.yaml, as leave_out: [...] (rows by split: {listed})"
        )
    write_atomically(path, content)


def of_run(result: Result, split: str) -> pd.DataFrame | str:
    """What a run's own folder holds; or why it does not."""
    path = Path(result.folder or "") / f"predictions-{split}.parquet"
    if not result.folder or not path.is_file():
        return "a run's folder is not here"
    table = pd.read_parquet(path, columns=None)
    if not {"row", "cluster", "label"} <= set(table):
        return "a run's were written before clusters were"
    labels = list(result.config["task"].get("labels") or [])
    if "pool" not in result.config.get("head", {}):
        return entity_counts(table, labels)
    number = {name: i for i, name in enumerate(labels)}
    gold, prediction = (table[name].map(number) if labels else table[name] for name in ("label", "prediction"))
    found = table[["row", "cluster"]].assign(gold=gold.astype(np.float32), prediction=prediction.astype(np.float32))
    return found.astype({"row": np.int32, "cluster": np.int32}).sort_values("row", ignore_index=True)


def entity_counts(words: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Entities found, made up and missed in each sentence by type, as conlleval counts.

    Args:
        words: row, cluster, label and prediction of each word, sentence after sentence.
        labels: names of the tags.

    Returns:
        row, cluster, type, tp, fp, fn; sorted by row and type; of a sentence without entities one row without a type.
    """
    parsed = [parse_tag(label) for label in labels]
    types = sorted({name for _, name in parsed if name})
    prefix = np.array([prefix for prefix, _ in parsed])
    type_number = np.array([types.index(name) if name else -1 for _, name in parsed])
    number = {name: i for i, name in enumerate(labels)}
    sentence = words["row"].to_numpy()
    starts = np.flatnonzero(np.r_[True, sentence[1:] != sentence[:-1]])
    lengths = np.diff(np.r_[starts, len(sentence)])
    place = np.repeat(np.arange(len(starts)), lengths)
    first = sentence_starts(lengths)
    gold, found = (
        spans(prefix[tags], type_number[tags], first)
        for tags in (words[name].map(number).to_numpy() for name in ("label", "prediction"))
    )
    _, i, j = np.intersect1d(found.start, gold.start, assume_unique=True, return_indices=True)
    same = (found.end[i] == gold.end[j]) & (found.type[i] == gold.type[j])

    def count(start: np.ndarray, of_type: np.ndarray) -> np.ndarray:
        table = np.zeros((len(starts), len(types)), dtype=np.int16)
        np.add.at(table, (place[start], of_type), 1)
        return table

    right = count(found.start[i][same], found.type[i][same])
    made_up, missed = count(found.start, found.type) - right, count(gold.start, gold.type) - right
    at, which = np.nonzero(right + made_up + missed)
    empty = np.setdiff1d(np.arange(len(starts)), at)
    zeros = np.zeros(len(empty), dtype=np.int16)
    table = pd.DataFrame(
        {"at": np.r_[at, empty], "type": [*np.array(types, dtype=object)[which], *[None] * len(empty)]}
    )
    for name, counts in (("tp", right), ("fp", made_up), ("fn", missed)):
        table[name] = np.r_[counts[at, which], zeros]
    head = words.iloc[starts][["row", "cluster"]].to_numpy(dtype=np.int32)
    table.insert(0, "row", head[table["at"], 0])
    table.insert(1, "cluster", head[table["at"], 1])
    return table.drop(columns="at").sort_values(["row", "type"], ignore_index=True)
