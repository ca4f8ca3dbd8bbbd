"""Many configurations, fast: a sweep's runs share most of theirs."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf, open_dict

from head2head.run.configuration import (
    check_names,
    compose,
    groups,
    hydra_initialized,
    in_our_names,
    one_line,
    plain,
    search_path,
    settled,
)

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig


class Composer:
    """`configuration.compose`, which takes a tenth of a second, for many runs.

    Configurations are composed by Hydra once for each choice from a group (head, task ...), put together, and resolved
    once for those settings that others refer to. The rest, such as the seed, is set in a copy.
    """

    def __init__(self) -> None:
        self._groups = frozenset(groups())
        self._alone: dict[tuple[str, ...], DictConfig] = {}  # as Hydra has composed them
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._referred: dict[tuple[str, ...], str] = {}
        self._late: dict[tuple[tuple[str, ...], str], bool] = {}
        self._resolved: dict[tuple[str, ...], dict[str, Any]] = {}
        self._chosen_names: dict[tuple[str, ...], dict[str, str]] = {}
        self._parse = functools.cache(_parse)

    def __call__(self, overrides: Sequence[str]) -> dict[str, Any]:
        """The resolved configuration.

        Raises:
            UserError: as `configuration.compose`.
        """
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        overrides = in_our_names(overrides)
        # What is not plain, or does not fit, is left to compose: it knows every form, and the errors' words.
        with contextlib.suppress(HydraException, OmegaConfBaseException):
            parsed = [self._parse(text) for text in overrides]
            if all(_plain(override) for override in parsed):
                choices = tuple(t for t, o in zip(overrides, parsed, strict=True) if o.key_or_group in self._groups)
                settings = {o.key_or_group: o for o in parsed if o.key_or_group not in self._groups}
                return self._with_settings(choices, settings)
        return compose(overrides)

    def choices(self, overrides: Sequence[str]) -> Mapping[str, str]:
        """Group -> the name of what is chosen from it (`{"head": "mean", "head/pool": "mean", ...}`).

        Raises:
            UserError: as `configuration.compose`.
        """
        from hydra import compose as hydra_compose

        chosen = tuple(text for text in in_our_names(overrides) if text.partition("=")[0].lstrip("+~") in self._groups)
        if chosen not in self._chosen_names:
            check_names(chosen)
            with one_line(chosen), hydra_initialized():
                composed = hydra_compose("train", overrides=[*chosen, *search_path()], return_hydra_config=True)
            self._chosen_names[chosen] = dict(composed.hydra.runtime.choices)
        return self._chosen_names[chosen]

    def _with_settings(self, choices: tuple[str, ...], settings: dict[str, Override]) -> dict[str, Any]:
        composed = self._chosen(choices)
        late = {}
        if all(_literal(o.value()) for o in settings.values()):
            late = {name: o for name, o in settings.items() if self._may_be_set_late(choices, name)}
        early = [o for name, o in settings.items() if name not in late]
        key = (*choices, "", *(str(o.input_line) for o in early))
        if key not in self._resolved:
            config = copy.deepcopy(composed)
            for override in early:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
            self._resolved[key] = plain(config)
        copied = copy.deepcopy(self._resolved[key])
        for name, override in late.items():
            *path, last = name.split(".")
            functools.reduce(dict.__getitem__, path, copied)[last] = override.value()
        return settled(copied)

    def _may_be_set_late(self, choices: tuple[str, ...], name: str) -> bool:
        """Whether a setting is plain, and no other refers to it."""
        if (choices, name) not in self._late:
            # Parts of a name count as well: ${optimizer} refers to optimizer.lr.
            referred = any(part in self._referred[choices] for part in _prefixes(name))
            self._late[choices, name] = not referred and _is_leaf(self._composed[choices], name)
        return self._late[choices, name]

    def _chosen(self, choices: tuple[str, ...]) -> DictConfig:
        if choices not in self._composed:
            self._composed[choices] = self._combined(choices)
            text = json.dumps(OmegaConf.to_container(self._composed[choices], resolve=False), default=str)
            self._referred[choices] = " ".join(re.findall(r"\$\{[^\"]*", text))
        return self._composed[choices]

    def _combined(self, choices: tuple[str, ...]) -> DictConfig:
        """The configuration under some choices. What is chosen for the task says nothing of the head, and so on: each
        is composed alone, and its part put in, so that 5 tasks x 20 heads are 25 compositions. Where a choice does
        change another part, all are composed together."""
        parts: dict[str, list[str]] = {}
        for text in choices:
            parts.setdefault(text.partition("=")[0].partition("/")[0], []).append(text)
        if len(parts) < 2:
            return self._by_hydra(choices)
        combined = copy.deepcopy(self._by_hydra(()))
        for name, texts in parts.items():
            alone = self._by_hydra(tuple(texts))
            if _without(alone, name) != _without(self._by_hydra(()), name):
                return self._by_hydra(choices)
            with open_dict(combined):
                combined[name] = alone[name]
        return combined

    def _by_hydra(self, choices: tuple[str, ...]) -> DictConfig:
        from hydra import compose as hydra_compose

        if choices not in self._alone:
            check_names(choices)
            with hydra_initialized():
                self._alone[choices] = hydra_compose("train", overrides=[*choices, *search_path()])
        return self._alone[choices]


def _without(config: DictConfig, name: str) -> dict[str, Any]:
    """All but one part of a configuration, with its references as they are written."""
    plain_ = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain_, dict)
    return {str(key): value for key, value in plain_.items() if key != name}


def _literal(value: Any) -> bool:
    """Whether it is a plain value: one that is there and refers to no other setting."""
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and "${" not in value and value != "???")


def _prefixes(name: str) -> list[str]:
    """optimizer.lr: optimizer, optimizer.lr."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _is_leaf(config: DictConfig, name: str) -> bool:
    """Whether a setting is there and is a plain value that refers to nothing and may stay unset."""
    *path, last = name.split(".")
    node = OmegaConf.select(config, ".".join(path)) if path else config
    if not OmegaConf.is_dict(node) or last not in node or OmegaConf.is_missing(node, last):
        return False
    return not OmegaConf.is_config(node[last])


def _plain(override: Override) -> bool:
    """Whether it is key=value, with one value."""
    from hydra.core.override_parser.types import OverrideType

    return override.type is OverrideType.CHANGE and override.package is None and not override.is_sweep_override()


def _parse(text: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(text)
