"""The yaml files: what they offer, and one configuration composed from them. Imports no torch."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from head2head.errors import UserError, did_you_mean
from head2head.files import CONFIGS, read_yaml
from head2head.run.hints import HEAD_OF, READ_BY, hint

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig


# Settings of earlier versions, and what to write instead.
RETIRED = {
    **dict.fromkeys(
        ("cls_shortcut", "fast_dropout", "compiled_layers"),
        "write speed=exact for the library's own layers and dropout",
    ),
    "frozen_features": "write speed=exact to keep nothing of a frozen encoder",
    "cuda_graphs": "leave it out",
}


def folders() -> list[Path]:
    """Where configurations are looked for: the package's own, then the user's: `configs/` in the working directory,
    unless it has a train.yaml, as a checkout of head2head has, which may be another one than the package that runs."""
    own = Path.cwd() / "configs"
    return [CONFIGS, own] if own.is_dir() and not (own / "train.yaml").is_file() else [CONFIGS]


def options(group: str) -> dict[str, Path]:
    """The choices of a group (`head`, `head/pool`, `task` ...) and their files.

    Raises:
        UserError: one of the user's own files has the name of a built-in one, but says something else.
    """
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted((folder / group).glob("*.yaml")):
            if path.stem in found and path.read_bytes() == found[path.stem].read_bytes():
                continue
            if path.stem in found:
                raise UserError(f"{path}: there is a built-in {group} of that name; give the file another name")
            found[path.stem] = path
    return found


def groups() -> list[str]:
    """Every group that can be chosen from: encoder, head, head/layers, ..."""
    return sorted({str(path.parent.relative_to(folder)) for folder in folders() for path in folder.glob("*/**/*.yaml")})


def description(path: Path) -> str:
    """What a yaml file says of itself: the comment in its first line."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def compose(overrides: Sequence[str]) -> dict[str, Any]:
    """The resolved configuration for some overrides, as plain dicts, lists, strings and numbers.

    Raises:
        UserError: an unknown name, or a value that does not parse, is missing or is one of several.
    """
    from hydra import compose as hydra_compose

    overrides = in_our_names(overrides)
    check_names(overrides)
    with one_line(overrides), hydra_initialized():
        return resolved(hydra_compose("train", overrides=[*overrides, *search_path()]))


@contextmanager
def hydra_initialized() -> Iterator[None]:
    """Hydra ready to compose, also while one of its applications runs, as in a sweep."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = running


FROZEN_LR = 1e-3  # of a head on a frozen encoder: a new layer learns next to nothing at a rate for fine-tuning


def learning_rate(encoder_lr: float, frozen: bool | int) -> float:
    """The rate that a run has where none was given: the encoder's, or FROZEN_LR where it is frozen whole."""
    return FROZEN_LR if frozen is True else encoder_lr


def register_resolvers() -> None:
    """Give OmegaConf what the yaml files call by name."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("learning_rate", learning_rate, replace=True)


def resolved(config: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain data, settled.

    Raises:
        UserError: a setting that must be given is missing, or one cannot be.
    """
    return settled(plain(config))


def plain(config: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain data.

    Raises:
        UserError: a setting that must be given is missing.
    """
    from omegaconf import OmegaConf

    register_resolvers()
    with one_line():
        OmegaConf.resolve(config)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"{missing[0]} has no value; give {missing[0]}=VALUE")
    return OmegaConf.to_container(config)  # type: ignore[return-value]


def settled(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with an answer where one depends on other settings: a head is standardised on an encoder that
    is frozen whole, unless it is said otherwise.

    Raises:
        UserError: it is said neither way.
    """
    head = config["head"]
    if not str(head.get("_target_")).startswith("head2head."):
        return config  # a class of the user's own knows itself what it takes
    if head.get("standardize") not in (None, True, False):
        raise UserError(f"head.standardize={head['standardize']}: choose from: true, false, null")
    wanted = head.get("standardize")
    answer = config["encoder"]["frozen"] is True if wanted is None else wanted
    return config | {"head": head | {"standardize": answer}}


def refuse_several_devices(config: dict[str, Any]) -> None:
    """Check that a run which is one of several needs one device: Lightning starts a process for each further
    one with the very command line, and each would run them all.

    Raises:
        UserError: there are several.
    """
    if str(config["trainer"]["devices"]) != "1" or config["trainer"]["num_nodes"] != 1:
        raise UserError("runs on several devices cannot be several at once; start them one by one with train.py")


def search_path() -> list[str]:
    """The override that puts the user's own `configs/` on Hydra's search path.

    Raises:
        UserError: one of the files there is no yaml, or stands for more than a configuration ever does.
    """
    for path in (path for folder in folders()[1:] for path in sorted(folder.rglob("*.yaml"))):
        _check_yaml(path, path.stat().st_mtime_ns)
    return [f"hydra.searchpath=['file://{folder}']" for folder in folders()[1:]]


@functools.cache
def _check_yaml(path: Path, modified: int) -> None:  # noqa: ARG001 (a file that has changed is read again)
    read_yaml(path)


def check_names(overrides: Sequence[str], several: bool = False) -> None:
    """Check that each `group=choice` names an existing choice, that a setting has one value and is still there.

    Args:
        several: values may be several, as in a multirun.

    Raises:
        UserError: it does not, with the near names.
    """
    known = groups()
    for text in overrides:
        override = _parse(text)
        group = override.get_key_element().lstrip("+~")
        if group in RETIRED:
            raise UserError(f"{group} is no setting any more; {RETIRED[group]}")
        if override.is_sweep_override() and not several:
            raise UserError(_several_values(text, group in known))
        if group in known and not override.is_delete():
            _check_choices(group, _values(override))


def in_our_names(overrides: Sequence[str]) -> list[str]:
    """Overrides with the name of a head in place of the encoder's output that it is: `head=pooled_output` is
    `head=pooler`, also among several values."""
    found = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if equals and key in ("head", "heads"):
            value = re.sub(r"\w+", lambda name: head_called(name[0]), value)
        found.append(key + equals + value)
    return found


def head_called(name: str) -> str:
    """The head that is meant by a name, which may be that of the encoder's output that it is. A head of the user's own
    of that name stays."""
    return name if name not in HEAD_OF or name in options("head") else HEAD_OF[name]


@dataclass(frozen=True)
class Setting:
    """An override, taken apart: its text, the setting's name, and the values it gives."""

    text: str
    name: str
    values: tuple[str, ...]


def taken_apart(overrides: Sequence[str]) -> list[Setting]:
    """Overrides taken apart.

    Raises:
        UserError: one that does not parse.
    """
    parsed = [(text, _parse(text)) for text in overrides]
    return [Setting(text, o.get_key_element(), () if o.is_delete() else tuple(_values(o))) for text, o in parsed]


def value_of(text: str) -> Any:
    """The value that a text stands for in an override: `1e-3` is 0.001, `True` and `true` are the same. What does not
    parse is the text itself."""
    try:
        return _parse(f"value={text}").value()
    except UserError:
        return text


def combinations(overrides: Sequence[str]) -> list[list[str]]:
    """Of a multirun's combinations the first, and those that differ from it in one choice from a group.

    When these compose, all do: which settings there are depends on the choices alone.
    """
    known = groups()
    parsed = [_parse(text) for text in overrides]
    offered = [
        [f"{o.get_key_element()}={value}" for value in _values(o)] if o.is_sweep_override() else [text]
        for text, o in zip(overrides, parsed, strict=True)
    ]
    first = [values[0] for values in offered]
    others = [
        [*first[:place], other, *first[place + 1 :]]
        for place, override in enumerate(parsed)
        if override.get_key_element() in known
        for other in offered[place][1:]
    ]
    return [first, *others]


def _parse(text: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        raise UserError(_not_parsed(text)) from None


def _not_parsed(text: str) -> str:
    """What to write instead of an override that does not parse."""
    key, equals, value = text.partition("=")
    if not equals:
        return f"{text}: not of the form key=value"
    if value.startswith("~/"):
        return f"{text}: the shell does not expand ~ there; give the full path: {key}={Path(value).expanduser()}"
    bare = value.strip("'\"")
    return f"""{text}: a value with special characters needs quotes: '{key}="{bare}"'"""


def _several_values(text: str, is_choice: bool) -> str:
    """What to write instead of `seed=1,2` where there is one run."""
    key, _, value = text.partition("=")
    message = f"several values for {key}: put -m first (python train.py -m {text})"
    return message if is_choice else f"""{message}; for one value with a comma: '{key}="{value}"'"""


def _values(override: Override) -> list[str]:
    """The values that an override stands for: those of a sweep, or its only one.

    Raises:
        UserError: there is none.
    """
    from hydra.core.override_parser.types import Glob, IntervalSweep

    value = override.value()
    if isinstance(value, Glob):
        found = value.filter(list(options(override.get_key_element())))
    elif isinstance(value, IntervalSweep):
        found = [str(value.start), str(value.end)]
    elif override.is_sweep_override():
        found = list(override.sweep_string_iterator())
    else:
        found = [override.get_value_string()]
    if not found:
        raise UserError(f"{override.input_line}: stands for no value")
    return found


def _check_choices(group: str, values: Sequence[str]) -> None:
    choices = options(group)
    for value in values:
        if value.strip("'\"") in choices:
            continue
        if group == "head" and value in READ_BY:
            raise UserError(f"head={value} is no head: {READ_BY[value]}")
        other = f" (from the hub or a folder: encoder=any encoder.name={value})" if group == "encoder" else ""
        raise UserError(f"unknown {group} {value!r}; {did_you_mean(value, choices)}{other}")


@contextmanager
def one_line(overrides: Sequence[str] = ()) -> Iterator[None]:
    """Turn Hydra's and OmegaConf's errors into one line.

    Args:
        overrides: what was asked for, each setting with one value, to look for near names.

    Raises:
        UserError: instead of theirs.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_one_line(error, overrides)) from None


def _one_line(error: Exception, overrides: Sequence[str]) -> str:
    """Hydra's and OmegaConf's messages in one line, with the near names where a key is unknown."""
    while not str(error) and error.__cause__ is not None:
        error = error.__cause__  # type: ignore[assignment]
    text = str(error)
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown is None:
        return " ".join(line.strip() for line in text.splitlines() if line.strip())
    name = unknown.group(1)
    if name in ("head/pool", "head.pool"):
        return "a token head (ner) reads every word and has no pool; leave out head/pool"
    keys = [k for k in known_keys([o for o in overrides if o.partition("=")[0] in groups()]) if k != name]
    return f"unknown setting {name}; {hint(name, keys)}"


def known_keys(choices: Sequence[str]) -> list[str]:
    """Every group, and every dotted setting that can be set under some choices, where they go together."""
    from hydra import compose as hydra_compose
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    def walk(node: dict, prefix: str) -> list[str]:
        found = []
        for key, value in node.items():
            if str(key).startswith("_"):  # _target_, _partial_: not for users
                continue
            found.append(f"{prefix}{key}")
            if isinstance(value, dict):
                found += walk(value, f"{prefix}{key}.")
        return found

    try:
        with hydra_initialized():
            config = OmegaConf.to_container(hydra_compose("train", overrides=[*choices, *search_path()]))
    except HydraException:
        return groups()
    return [*walk(config, ""), *groups()]  # type: ignore[arg-type]
