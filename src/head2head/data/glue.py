"""GLUE (Wang et al. 2019): the official TSV files, or the hub's copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from head2head.data.labels import label_number, number, numbering, unpublished
from head2head.data.task import Task, from_hub
from head2head.errors import UserError, enumerated
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

        header, wanted, lines = self._header(path, split)
        rows: dict[str, list] = {name: [] for name in wanted}
        numbers: list[int] = []
        skipped = 0
        for line_number, line in lines:
            cells = line.split("\t")
            if len(cells) != len(header):
                if self.skip_broken:
                    skipped += 1
                    continue
                raise UserError(f"{path}:{line_number}: expected {len(header)} columns, found {len(cells)}")
            for name, place in wanted.items():
                rows[name].append(cells[place])
            numbers.append(line_number)
        if skipped:
            self.note(f"{path}: skipped {skipped} rows with a wrong number of columns")
        if "label" in rows:
            labels = self._labels(rows.pop("label"), numbers, path, split)
            rows |= {} if labels is None else {"label": labels}
        return Dataset.from_dict(rows)

    def _header(self, path: Path, split: str) -> tuple[list[str], dict[str, int], Iterator[tuple[int, str]]]:
        """Names of the columns, the places of those that are wanted, and the lines that follow.

        Raises:
            UserError: a wanted one is not there, or twice.
        """
        lines = numbered_lines(path)
        headless = self.header is not None and not split.startswith("test")
        header = list(self.header or ()) if headless else next(lines)[1].split("\t")
        wanted = {name: header.index(column) for name, column in self.columns.items() if column in header}
        for name, column in self.columns.items():
            if name not in wanted and not (name == "label" and split.startswith("test")):
                raise UserError(f"{path}:1: no column {column!r}; found: {enumerated(header)}")
            if header.count(column) > 1:
                raise UserError(f"{path}:1: column {column!r} stands there {header.count(column)} times")
        return header, wanted, lines

    def _labels(self, written: list[str], lines: list[int], path: Path, split: str) -> list[int] | list[float] | None:
        """Labels as numbers; None for a test split whose labels are not published."""
        names = [str(i) for i in range(len(self.labels))] if self.label_numbers else self.labels
        if split.startswith("test") and unpublished(written, names):
            return None
        rows = zip(written, lines, strict=True)
        if self.regression:
            return [number(text, f"{path}:{line}") for text, line in rows]
        known = numbering(names)
        return [known[text] if text in known else label_number(text, known, f"{path}:{line}") for text, line in rows]

    def _from_hub(self, split: str) -> Dataset:
        from datasets import Dataset

        hint = f"give data_dir=DIR (or $HEAD2HEAD_DATA) with the official files in DIR/glue/{self.folder}"
        table = from_hub(self.hub, self.name, split, self.hub_revision, hint)
        columns = self.hub_columns or self.columns
        rows = {name: table[column][:] for name, column in columns.items()}
        if "label" in rows and all(label == -1 for label in rows["label"]):  # the hub's mark for: not published
            del rows["label"]
        elif any(label < 0 for label in rows.get("label", ())):
            row = next(row for row, label in enumerate(rows["label"], start=1) if label < 0)
            raise UserError(f"{self.hub}/{self.name} {split}: row {row} has no label, and others have one")
        elif "label" in rows and not self.regression:
            names, known = table.features[columns["label"]].names, numbering(self.labels)
            rows["label"] = [label_number(names[i], known, f"{self.hub}/{self.name}") for i in rows["label"]]
        return Dataset.from_dict(rows)
