"""Many configurations, fast: a sweep's runs share most of theirs."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from head2head.configuration import check_names, compose, groups, hydra_initialized, resolved, search_path

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig


class Composer:
    """`configuration.compose`, which takes a tenth of a second, for many runs.

    Configurations are composed by Hydra once for each combination of choices from groups (head, task ...).
    Settings with plain values are then set in a copy, as Hydra would.
    """

    def __init__(self) -> None:
        self._groups = frozenset(groups())
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._parse = functools.cache(_parse)

    def __call__(self, overrides: Sequence[str]) -> dict[str, Any]:
        """The resolved configuration.

        Raises:
            UserError: as `configuration.compose`.
        """
        from hydra.errors import HydraException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        # What is not plain, or does not fit, is left to compose: it knows every form, and the errors' words.
        with contextlib.suppress(HydraException, OmegaConfBaseException):
            parsed = [self._parse(text) for text in overrides]
            if all(_plain(override) for override in parsed):
                choices = tuple(t for t, o in zip(overrides, parsed, strict=True) if o.key_or_group in self._groups)
                settings = [o for o in parsed if o.key_or_group not in self._groups]
                config = copy.deepcopy(self._chosen(choices))
                for override in settings:
                    OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
                return resolved(config)
        return compose(overrides)

    def _chosen(self, choices: tuple[str, ...]) -> DictConfig:
        from hydra import compose as hydra_compose

        if choices not in self._composed:
            check_names(choices)
            with hydra_initialized():
                self._composed[choices] = hydra_compose("train", overrides=[*choices, *search_path()])
        return self._composed[choices]


def _plain(override: Override) -> bool:
    """Whether it is key=value, with one value."""
    from hydra.core.override_parser.types import OverrideType

    return override.type is OverrideType.CHANGE and override.package is None and not override.is_sweep_override()


def _parse(text: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(text)
