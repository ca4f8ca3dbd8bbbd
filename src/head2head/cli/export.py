"""Hand a finished run on, in a form that other libraries load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase
from transformers import logging as transformers_logging

from head2head.errors import UserError, did_you_mean
from head2head.export import classification, embedding, onnx_model
from head2head.export.card import card
from head2head.export.logits import fold_standardization
from head2head.files import new_folder
from head2head.model.build import checkpoint_of
from head2head.run.load import LoadedRun, load_run
from head2head.run.run import quiet

FORMS: dict[str, Callable[[LoadedRun, PreTrainedTokenizerBase, Path], None]] = {
    "transformers": classification.write,
    "sentence-transformers": embedding.write,
    "onnx": onnx_model.write,
}


def export(run: Path, folder: Path, form: str, trust: Sequence[str] = ()) -> None:
    """Write a finished run's model into a new folder, with tokenizer, label names and model card. What has been written
    is loaded again by the library it is for and compared with the run, before the folder gets its name.

    Args:
        form: one of FORMS.
        trust: packages with classes of the user's own that the run's configuration may name.

    Raises:
        UserError: no finished run with weights, its head has no equal in this form, a library is missing, or there is
            such a folder.
    """
    quiet()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if form not in FORMS:
        raise UserError(f"--to {form}: unknown form; {did_you_mean(form, FORMS)}")
    with new_folder(folder) as place:
        loaded = load_run(run, trust)
        loaded.model.eval()
        fold_standardization(loaded.model.head)
        tokenizer = checkpoint_of(loaded.config).tokenizer(words=loaded.task.kind == "token")
        tokenizer.model_max_length = loaded.task.max_length
        FORMS[form](loaded, tokenizer, place)
        tokenizer.save_pretrained(place)
        (place / "README.md").write_text(card(loaded, form), encoding="utf-8")
    print(f"{loaded.result.task} · {loaded.result.head} · seed {loaded.result.seed} · {form} · {folder}")
