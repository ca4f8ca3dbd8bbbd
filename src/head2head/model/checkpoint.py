"""Where encoders come from: the hub, a folder, an installed package, or random weights."""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import normalizers
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerBase
from transformers import logging as transformers_logging

from head2head.data.vocabulary import built_in_tokenizer
from head2head.errors import UserError, did_you_mean
from head2head.files import sha256
from head2head.model.encoder import STACKED, Encoder, NoPooler, layer_stack, spec_of
from head2head.model.output import EncoderSpec, Needs
from head2head.model.packages import PACKAGES
from head2head.model.trained import PREFIX, WEIGHTS, TrainedEncoder, is_run

HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*(/[\w.-]+)?", re.ASCII)

# Checkpoints are strangers': a folder's own Python files (`auto_map`) are never imported, and nobody is asked whether
# they should be; a pickle may hold tensors alone. Where there are safetensors, transformers takes these.
NO_CODE = {"trust_remote_code": False}
ONLY_TENSORS = {"weights_only": True}

# What an encoder with random weights must say of itself; the rest is as in BertConfig.
SIZES = frozenset({"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"})
# What the families call the dropout of layers and attention: BERT and most; DistilBERT; ModernBERT.
DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob"),
    *("dropout", "attention_dropout", "embedding_dropout", "mlp_dropout"),
)


@dataclass(frozen=True)
class Checkpoint:
    """Where an encoder comes from.

    name: hub id or local folder.
    revision: branch, tag or commit on the hub.
    config: BertConfig fields of an encoder with random weights (seed 0) instead of a checkpoint.
    dropout: probability in the layers and in attention; None: the checkpoint's own. As in transformers, it is the
        default of what is dropped out before a classifier, too, unless the checkpoint has a number for that.

    Raises:
        UserError: `config` stands beside the name of a checkpoint or lacks sizes, or `dropout` is no probability.
    """

    name: str
    revision: str | None = None
    config: Mapping[str, Any] | None = None
    dropout: float | None = None

    def __post_init__(self) -> None:
        p = self.dropout
        if p is not None and (not isinstance(p, (int, float)) or isinstance(p, bool) or not 0 <= p < 1):
            raise UserError(f"encoder.dropout={p}: a probability, 0 or above and below 1")
        if self.config is None:
            return
        if "/" in self.name or Path(self.name).is_dir() or SIZES - set(self.config):
            raise UserError(
                f"encoder.config would make random weights of encoder.name={self.name}, with BERT's sizes where it "
                "gives none; for another dropout write encoder.dropout=P; for random weights take encoder=random-tiny"
            )

    def path(self) -> str:
        """Folder or hub id to load from: the installed package that holds the same weights, if there is one.

        Raises:
            UserError: the packaged weights are not the ones expected, or a folder is not there.
        """
        if not HUB_ID.fullmatch(self.name) and not (self.name and Path(self.name).is_dir()):
            whole = Path(self.name).expanduser() if self.name.startswith("~/") else None
            hint = f"; write encoder.name={whole}" if whole is not None and whole.is_dir() else ""
            raise UserError(f"encoder.name={self.name}: no such folder{hint}")
        package = PACKAGES.get(self.name)
        if package is None or self.revision is not None:
            return self.name
        folder = package.folder()
        if folder is None:
            return self.name
        weights = folder / "model.safetensors"
        if not weights.is_file() or sha256(weights) != package.sha256:
            raise UserError(f"{weights}: not the weights of {self.name} (sha256 differs); reinstall {package.pip_name}")
        return str(folder)

    @property
    def trained(self) -> TrainedEncoder | None:
        """The encoder of a finished run, where `name` is a run's folder."""
        folder = Path(self.name)
        return TrainedEncoder(folder) if self.config is None and self.name and is_run(folder) else None

    def below(self, trained: TrainedEncoder) -> "Checkpoint":
        """What a finished run has started from, with the dropout of this one, where it has one.

        Raises:
            UserError: the run says that it has started from itself.
        """
        name, revision, config, dropout = (
            trained.settings.get(setting) for setting in ("name", "revision", "config", "dropout")
        )
        if Path(str(name)).is_dir() and Path(str(name)).resolve() == trained.folder.resolve():
            raise UserError(f"encoder.name={self.name}: the run says that it has started from itself")
        return Checkpoint(str(name), revision, config, dropout if self.dropout is None else self.dropout)

    def spec(self) -> EncoderSpec:
        """Sizes of the encoder, from its configuration alone.

        Raises:
            UserError: there is no such checkpoint within reach, or it is no encoder of a known make.
        """
        return spec_of(self.model_config())

    def model_config(self) -> Any:
        """The encoder's configuration as transformers has it.

        Raises:
            UserError: there is none within reach, or `config` has a field or value that cannot be.
        """
        if self.config is not None:
            return random_config(self.config, **self.dropouts(BertConfig()))
        if (trained := self.trained) is not None:
            return with_depth(self.below(trained).model_config(), trained.depth)
        config = self.fetch(AutoConfig.from_pretrained)
        for name, value in self.dropouts(config).items():
            setattr(config, name, value)
        return config

    def dropouts(self, config: Any) -> dict[str, float]:
        """`dropout` under the names that a family's configuration has for it; empty where it is None.

        Raises:
            UserError: it has none of them.
        """
        if self.dropout is None:
            return {}
        names = [name for name in DROPOUTS if name in config.to_dict()]
        if not names:
            raise UserError(f"encoder.dropout={self.dropout}: not to be set in {config.model_type} encoders")
        return dict.fromkeys(names, float(self.dropout))

    def tokenizer(self, words: bool = False) -> PreTrainedTokenizerBase:
        """The checkpoint's tokenizer; the built-in word pieces for an encoder with random weights.

        Args:
            words: it will be given words one by one, for a token task. Byte-level BPE (RoBERTa, ModernBERT)
                encodes a word that follows a blank differently from one that does not: each word gets its blank.

        Raises:
            UserError: there is none within reach, or the encoder has fewer embeddings than it has pieces.
        """
        if (trained := self.trained) is not None:
            return self.below(trained).tokenizer(words)
        if self.config is None:
            found = self.fetch(AutoTokenizer.from_pretrained)
            return with_blank_before_words(found) if words else found
        found, config = built_in_tokenizer(), self.model_config()
        for name, least in (("vocab_size", len(found)), ("type_vocab_size", 2)):
            if getattr(config, name) < least:
                raise UserError(f"encoder.config: {name}={getattr(config, name)}: {least} or above")
        return found

    def fetch(self, loader: Any, **options: Any) -> Any:
        """What a `from_pretrained` gives for this checkpoint.

        Raises:
            UserError: there is no such checkpoint within reach.
        """
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()  # of reading weights, over before it can be read
        path = self.path()
        try:
            return loader(path, revision=None if Path(path).is_dir() else self.revision, **NO_CODE, **options)
        except (OSError, ValueError, ImportError, SafetensorError, UnpicklingError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            if Path(path).is_dir():
                raise UserError(
                    f"encoder.name={self.name}: not a model that transformers can load: {reason}"
                ) from error
            hint = f", or `pip install {PACKAGES[self.name].pip_name}`" if self.name in PACKAGES else ""
            raise UserError(
                f"encoder {self.name}: cannot be loaded from the hub ({reason}); "
                f"give a local folder with encoder.name=DIR{hint}"
            ) from error


def load_encoder(
    checkpoint: Checkpoint,
    needs: Needs,
    frozen: bool | int = False,
    reinit_pooler: bool = False,
    attention: Literal["sdpa", "eager"] = "sdpa",
) -> Encoder:
    """Load in float32, with the pooler only if it is needed.

    Args:
        reinit_pooler: start the pooler from random values (drawn from torch's global generator).
        attention: attention implementation; attentions are only returned by "eager".

    Raises:
        UserError: no such checkpoint; or it lacks weights, the pooler's for instance.
    """
    model, missing = load_model(checkpoint, needs.pooler, attention)
    pooler = {name for name in missing if name.startswith("pooler.")}
    if pooler and not reinit_pooler:
        raise NoPooler(
            f"encoder {checkpoint.name} has no pooler weights, so head pool=pooler would read random values; "
            "choose another head, or ask for a random start with encoder.reinit_pooler=true"
        )
    if missing - pooler:
        raise UserError(
            f"encoder {checkpoint.name} lacks {len(missing - pooler)} of the model's weights "
            f"(first: {min(missing - pooler)}); is it an encoder checkpoint?"
        )
    digest = state_sha256(model)
    encoder = Encoder(model, needs, frozen)
    encoder.checkpoint_sha256 = digest
    if reinit_pooler and needs.pooler and checkpoint.config is None:  # random weights are so already
        nn.init.normal_(encoder.pooler.dense.weight, std=model.config.initializer_range)
        nn.init.zeros_(encoder.pooler.dense.bias)
    return encoder


def load_model(checkpoint: Checkpoint, pooler: bool, attention: str) -> tuple[Any, set[str]]:
    """A transformers encoder in float32, and names of those of its weights that the checkpoint lacks.

    Args:
        pooler: its pooler is read.

    Raises:
        UserError: there is no such checkpoint within reach.
    """
    if checkpoint.config is not None:
        config = random_config(checkpoint.config, attn_implementation=attention, **checkpoint.dropouts(BertConfig()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return BertModel(config), set()
    if (trained := checkpoint.trained) is not None:
        return load_trained(trained, checkpoint.below(trained), pooler, attention)
    options: dict[str, Any] = {
        "dtype": torch.float32,
        "attn_implementation": attention,
        "output_loading_info": True,
        **ONLY_TENSORS,
    }
    found = checkpoint.model_config()
    options |= checkpoint.dropouts(found)
    if found.model_type in STACKED - {"distilbert", "electra"}:
        options["add_pooling_layer"] = pooler
    model, info = checkpoint.fetch(AutoModel.from_pretrained, **options)
    return model, {name for name in info["missing_keys"] if pooler or not name.startswith("pooler.")}


def load_trained(trained: TrainedEncoder, start: Checkpoint, pooler: bool, attention: str) -> tuple[Any, set[str]]:
    """The encoder of a finished run, likewise. A pooler that the run has not trained with the layers below it counts as
    missing.

    Args:
        start: what the run has started from.

    Raises:
        UserError: that is not what it is said to be, or the run's weights do not fit it.
    """
    model, missing = load_model(start, pooler, attention)
    if state_sha256(model) != trained.started_from:
        raise UserError(
            f"encoder.name={trained.folder}: {start.name}, which the run started from, has other weights now"
        )
    if trained.depth is not None:
        with_depth(model.config, trained.depth)
        if model.config.model_type in STACKED:
            del layer_stack(model)[trained.depth :]
        if pooler:
            missing |= {name for name in model.state_dict() if name.startswith("pooler.")}
    state = {
        name.removeprefix(PREFIX).removeprefix("model."): tensor
        for name, tensor in load_file(trained.folder / WEIGHTS).items()
        if name in trained.names and (pooler or not name.startswith(f"{PREFIX}pooler."))
    }
    if unknown := sorted(state.keys() - model.state_dict().keys()):
        raise UserError(f"{trained.folder / WEIGHTS}: {unknown[0]} is no weight of {start.name}")
    try:
        model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise UserError(f"{trained.folder / WEIGHTS}: {' '.join(str(error).split())}") from None
    return model, missing - state.keys()


def with_depth(config: Any, depth: int | None) -> Any:
    """A transformers configuration with as many layers; None leaves it as it is."""
    if depth is not None:
        config.num_hidden_layers = depth
    return config


def random_config(fields: Mapping[str, Any], **options: Any) -> BertConfig:
    """The configuration of an encoder with random weights: BERT's with these fields. Draws no random number.

    Raises:
        UserError: an unknown field, or a value that BERT cannot have.
    """
    known = BertConfig().to_dict()
    for name, value in fields.items():
        if name not in known:
            raise UserError(f"encoder.config: unknown field {name!r}; {did_you_mean(name, known)}")
        if type(known[name]) is int and type(value) is int and value < min(1, known[name]):
            raise UserError(f"encoder.config: {name}={value}: {min(1, known[name])} or above")
    try:
        config = BertConfig(**{**fields, **options})
        build_without_weights(json.dumps({**fields, **options}))
    except (TypeError, ValueError, KeyError, AssertionError, StrictDataclassError) as error:
        reason = f"unknown value {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise UserError(f"encoder.config: {reason}") from error
    return config


@functools.lru_cache(maxsize=64)
def build_without_weights(settings: str) -> None:
    """Build a BERT that has no memory, which checks what its configuration does not; once for the same settings, since
    a run asks for its configuration several times.

    Args:
        settings: fields of the configuration, as json.

    Raises:
        TypeError, ValueError, KeyError, AssertionError: it cannot be built.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        BertModel(BertConfig(**json.loads(settings)))


def with_blank_before_words(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer with a blank before each word that it is given, where it is byte-level BPE; else as it is.

    The argument add_prefix_space does the same, but transformers heeds it only for some of its classes.
    """
    backend = tokenizer.backend_tokenizer
    if "ByteLevel(" in str(backend.pre_tokenizer):
        own = [backend.normalizer] if backend.normalizer is not None else []
        backend.normalizer = normalizers.Sequence([*own, normalizers.Prepend(" ")])
    return tokenizer


@torch.no_grad()
def state_sha256(model: nn.Module) -> str:
    """Hash of an encoder's weights, by name and content, wherever they were loaded from. The pooler is
    left out, since it is only loaded for heads that read it: all heads see the same encoder."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith("pooler."):
            continue
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
