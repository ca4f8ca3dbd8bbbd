"""`head2head VERB`: train and sweep take Hydra's key=value form, the rest is an ordinary command line."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from head2head.run.importing import importing

app = typer.Typer(
    help="Which pooling head should I put on BERT? Fine-tune encoders with swappable heads and compare them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"head2head {version('head2head')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def train(context: typer.Context) -> None:
    """One run, in Hydra's key=value form: head2head train head=mean task=rte (the same as train.py)."""
    from head2head.cli import hydra_command_line

    hydra_command_line.train(context.args)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def sweep(context: typer.Context) -> None:
    """A resumable sweep: head2head sweep experiment=NAME (the same as sweep.py)."""
    from head2head.cli import hydra_command_line

    hydra_command_line.sweep(context.args)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def compare(context: typer.Context) -> None:
    """Which head is best on these data, answered by a race: head2head compare task=rte data_dir=DIR."""
    from head2head.cli import hydra_command_line

    hydra_command_line.compare(context.args)


@app.command()
def outputs(
    text: Annotated[str, typer.Argument(help="What the encoder reads.")],
    pair: Annotated[str | None, typer.Option(help="A second text, read as the second segment.")] = None,
    encoder: Annotated[str, typer.Option(help="Name of an encoder, hub id or folder.")] = "minilm",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Folder for figures: attention, word pieces over the layers, pools.")
    ] = None,
    tensors: Annotated[
        Path | None, typer.Option(help="File (.safetensors) for all outputs and pools as they are.")
    ] = None,
) -> None:
    """Show the encoder's four outputs for a text, and the vector that every pool computes from them."""
    from head2head.cli.hydra_command_line import one_line_errors

    def work() -> None:
        with importing():
            from head2head.cli.outputs import described, draw, read, show, write_tensors

        reading = read(text, pair, encoder)
        show(described(reading), json)
        files = [] if plot is None else draw(reading, plot)
        if tensors is not None:
            write_tensors(reading, tensors)
            files.append(tensors)
        for file in () if json else files:  # JSON is all that --json prints
            print(file)

    one_line_errors(work)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    split: Annotated[str, typer.Option(help="Split of the run's task, or of --task.")] = "test",
    input: Annotated[
        Path | None,
        typer.Option(
            help="Own file instead: csv, tsv, jsonl or parquet with text, text_pair, label; a column file for tokens."
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Another task with the same labels: ax for a run on mnli.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the data lie, if not where the run found them.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where predictions go; by default the run's folder, as parquet.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="csv, jsonl, parquet or conll; by default as --output ends.", show_default=False)
    ] = None,
    trust: Annotated[
        list[str] | None, typer.Option(help="Package or module with classes of your own that the run was trained with.")
    ] = None,
) -> None:
    """Score a finished run on another split or file, and write its predictions."""
    from head2head.cli.hydra_command_line import one_line_errors

    def work() -> None:
        with importing():
            from head2head.cli.evaluate import evaluate as evaluate_run

        evaluate_run(run, split, input, task, data_dir, output, trust or (), format)

    one_line_errors(work)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    text: Annotated[str | None, typer.Argument(help="What to predict.", show_default=False)] = None,
    pair: Annotated[str | None, typer.Option(help="The second text, for a run on pairs.")] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            help="Instead of TEXT: a text a line (.txt, or - for standard input), a row (csv, tsv, jsonl, parquet), or "
            "for a run on words a column file."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where predictions go; by default standard output.")] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="csv, jsonl, parquet or conll; by default as --output ends, and jsonl on standard output.",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        bool, typer.Option("--columns", help="The input is a column file, one word a line, whatever its name.")
    ] = False,
    trust: Annotated[
        list[str] | None, typer.Option(help="Package or module with classes of your own that the run was trained with.")
    ] = None,
) -> None:
    """Predict texts with a finished run: labels by name with their probability, values, or entities."""
    from head2head.cli.hydra_command_line import one_line_errors

    def work() -> None:
        # Each shape of a batch has products of its own, which oneDNN keeps, 1,024 by default: memory grew with the
        # file's length. It is read when torch is loaded.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
        with importing():
            from head2head.cli.predict import predict as predict_with

        predict_with(run, text, pair, input, output, format, columns, trust or ())

    one_line_errors(work)


@app.command()
def errors(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    other: Annotated[
        Path | None, typer.Argument(help="Another run on the same data: where the two differ.", show_default=False)
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split that was predicted; by default the one that the run's score is of.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="How many examples of each kind are listed.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write a page (.html) as well.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the data lie, if not where the run found them.")] = None,
    trust: Annotated[
        list[str] | None, typer.Option(help="Package or module with classes of your own that the run was trained with.")
    ] = None,
) -> None:
    """What a finished run gets wrong: confusions, confident mistakes, entities by kind; or where two runs differ."""
    from head2head.cli.hydra_command_line import one_line_errors

    def work() -> None:
        with importing():
            from head2head.cli.mistakes import errors as show_errors

        runs = [run] if other is None else [run, other]
        show_errors(runs, split, data_dir, most, json, output, trust or [])

    one_line_errors(work)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
    to: Annotated[str, typer.Option(help="transformers, sentence-transformers or onnx.", show_default=False)],
    trust: Annotated[
        list[str] | None, typer.Option(help="Package or module with classes of your own that the run was trained with.")
    ] = None,
) -> None:
    """Write a finished run as a model that transformers, sentence-transformers or onnxruntime loads."""
    from head2head.cli.hydra_command_line import one_line_errors

    def work() -> None:
        with importing():
            from head2head.cli.export import export as export_run

        export_run(run, folder, to, trust or ())

    one_line_errors(work)


@app.command()
def submit(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of finished runs on tasks of GLUE, one a task.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The zip file to write.", show_default=False)],
    data_dir: Annotated[Path | None, typer.Option(help="Where the data lie, if not where the runs found them.")] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(help="Package or module with classes of your own that the runs were trained with."),
    ] = None,
) -> None:
    """Predict GLUE's test splits, and write the zip file that the benchmark's server takes."""
    from head2head.cli.hydra_command_line import one_line_errors

    def work() -> None:
        with importing():
            from head2head.cli.submit import submit as submit_runs

        submit_runs(runs, out, data_dir, trust or ())

    one_line_errors(work)


@app.command()
def reproduce(
    run: Annotated[Path | None, typer.Argument(help="Folder of a finished run.", show_default=False)] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Instead of RUN: an experiment, some of whose committed runs are repeated.")
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="How many runs of the experiment, drawn by chance.")] = 3,
    seed: Annotated[int | None, typer.Option(help="Of the draw; by default another draw each time.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the data lie, if not where they lay.")] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Where something else lies: task.train=FILE, encoder.name=FOLDER."),
    ] = None,
) -> None:
    """Repeat a finished run, or some of an experiment's, and say whether every number comes out again."""
    from head2head.cli.hydra_command_line import one_line_errors
    from head2head.cli.reproduce import reproduce_run, reproduce_sample
    from head2head.errors import UserError

    def work() -> None:
        if (run is None) == (experiment is None):
            raise UserError("give the folder of a finished run, or --experiment NAME")
        if run is not None:
            reproduce_run(run, data_dir, set or [])
        if experiment is not None:
            reproduce_sample(experiment, sample, seed, data_dir, set or [])

    one_line_errors(work)


@app.command()
def report(
    name: Annotated[
        str, typer.Argument(help="Name of an experiment: a folder under experiments/.", show_default=False)
    ],
    reference: Annotated[
        str | None,
        typer.Option(help="Head that the others are compared with; by default pooler, else mean, else the first."),
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Level of the tests; 0.05.", show_default=False)] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="Heads are practically equal within it; 0.01, a point, by default.", show_default=False),
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(help="A task or split whose predictions are not kept; may be repeated.", show_default=False),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where the files go; by default the experiment's folder.")] = None,
) -> None:
    """Tables (Markdown, LaTeX, CSV), figures and one page (report.html) of an experiment's results.

    Options that are not given are those of experiments/NAME/report.yaml, where there is one.
    """
    from head2head.cli.hydra_command_line import one_line_errors

    def work() -> None:
        with importing():
            from head2head.report.report import report as write_report

        given = {"reference": reference, "alpha": alpha, "margin": margin, "leave_out": leave_out or None}
        write_report(name, given, output)

    one_line_errors(work)


@app.command()
def cache(
    clear: Annotated[
        list[str] | None, typer.Option(help="Clear a kind: tokenized, features, compiled, or all; may be repeated.")
    ] = None,
    limit: Annotated[
        str | None, typer.Option(help="Clear what was used longest ago until the rest fits: --limit 10GB.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="The cache folder, if not $HEAD2HEAD_CACHE or ~/.cache/head2head.")
    ] = None,
) -> None:
    """Show what the cache holds, and clear it; all of it is made again when it is needed."""
    from head2head.cli.hydra_command_line import one_line_errors

    def work() -> None:
        from head2head.cli.cache import manage

        manage(folder, clear or (), limit)

    one_line_errors(work)


def main() -> None:
    """The console script."""
    app()
