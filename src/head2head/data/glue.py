"""GLUE (Wang et al. 2019): the official TSV files, or the hub's copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from head2head.data.task import Task, from_hub, label_number, number
from head2head.errors import UserError
from head2head.files import numbered_lines

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(kw_only=True)
class Glue(Task):
    """One task of GLUE.

    data_dir: holds `glue/<folder>/`; None reads from the hub.
    columns: text, text_pair and label -> column of the official files.
    hub_columns: the same on the hub; None when they are the same.
    header: column names of training and dev files that have no header line (CoLA).
    label_numbers: the files write a label's number, not its name.
    skip_broken: rows with a wrong number of columns are skipped and counted, not an error (QQP, whose
        official file has a few).
    files: split -> file name.
    """

    folder: str
    columns: Mapping[str, str]
    # Not in base/glue.yaml: Hydra would add MNLI's splits to these instead of putting them in their place.
    files: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
    )
    data_dir: str | None = None
    hub: str = "nyu-mll/glue"
    hub_revision: str | None = None
    hub_columns: Mapping[str, str] | None = None
    header: Sequence[str] | None = None
    label_numbers: bool = False
    skip_broken: bool = False

    @property
    def regression(self) -> bool:
        return not self.labels

    @property
    def has_pairs(self) -> bool:
        return "text_pair" in self.columns

    @property
    def official_splits(self) -> tuple[str, ...]:
        return tuple(split for split in self.files if split.startswith("validation"))

    def sources(self) -> dict[str, Path | str]:
        if self.data_dir is None:
            return {split: f"{self.hub}@{self.hub_revision}/{self.name}/{split}" for split in self.files}
        return {split: Path(self.data_dir, "glue", self.folder, file) for split, file in self.files.items()}

    def load(self, split: str) -> Dataset:
        source = self.sources()[split]
        return self._from_file(source, split) if isinstance(source, Path) else self._from_hub(split)

    def _from_file(self, path: Path, split: str) -> Dataset:
        from datasets import Dataset

        lines = numbered_lines(path)
        headless = self.header is not None and not split.startswith("test")
        header = list(self.header or ()) if headless else next(lines)[1].split("\t")
        wanted = {name: header.index(column) for name, column in self.columns.items() if column in header}
        for name, column in self.columns.items():
            if name not in wanted and not (name == "label" and split.startswith("test")):
                raise UserError(f"{path}:1: no column {column!r}; found: {', '.join(header)}")
        rows: dict[str, list] = {name: [] for name in wanted}
        skipped = 0
        for line_number, line in lines:
            cells = line.split("\t")
            if len(cells) != len(header):
                if self.skip_broken:
                    skipped += 1
                    continue
                raise UserError(f"{path}:{line_number}: expected {len(header)} columns, found {len(cells)}")
            for name, place in wanted.items():
                cell = cells[place]
                rows[name].append(self._label(cell, f"{path}:{line_number}") if name == "label" else cell)
        if skipped:
            self.note(f"{path}: skipped {skipped} rows with a wrong number of columns")
        return Dataset.from_dict(rows)

    def _label(self, text: str, where: str) -> int | float:
        if self.regression:
            return number(text, where)
        if not self.label_numbers:
            return label_number(text, self.labels, where)
        return label_number(text, [str(i) for i in range(len(self.labels))], where)

    def _from_hub(self, split: str) -> Dataset:
        from datasets import Dataset

        hint = f"give data_dir=DIR (or $HEAD2HEAD_DATA) with the official files in DIR/glue/{self.folder}"
        table = from_hub(self.hub, self.name, split, self.hub_revision, hint)
        columns = self.hub_columns or self.columns
        rows = {name: table[column][:] for name, column in columns.items()}
        if not self.regression and "label" in rows:
            names = table.features[columns["label"]].names
            if any(label < 0 for label in rows["label"]):  # the hub's mark for labels that are not published
                del rows["label"]
            else:
                rows["label"] = [label_number(names[i], self.labels, f"{self.hub}/{self.name}") for i in rows["label"]]
        elif self.regression and any(label < 0 for label in rows["label"]):
            del rows["label"]
        return Dataset.from_dict(rows)
