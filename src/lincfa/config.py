"""Typed, frozen configs: from plain data and back, changed by key, compared."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing

import yaml


class ConfigError(ValueError):
    """A setting that does not exist or has the wrong type; the message names its key."""


def to_dict(config) -> dict:
    """Nested plain data: dicts, lists, numbers, strings."""
    return _plain(dataclasses.asdict(config))


def from_dict(cls, data: dict, key: str = ""):
    """A dataclass from nested plain data; what is left out keeps its default. Raises ConfigError."""
    hints = _hints(cls)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise ConfigError(f"unknown setting {key}{unknown[0]}; there are: {', '.join(key + k for k in hints)}")
    values = {k: _typed(hints[k], v, f"{key}{k}") for k, v in data.items()}
    required = [f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING]
    if missing := [name for name in required if name not in values]:
        raise ConfigError(f"missing setting {key}{missing[0]}")
    return cls(**values)


def override(config, assignments: list[str]):
    """A copy with settings changed, each written 'data.augment.exposure_ev=[-1, 1]'. Raises ConfigError."""
    data = to_dict(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"a setting is written key=value, not {assignment!r}")
        *parents, last = path.split(".")
        place = data
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise ConfigError(f"unknown setting {path}")
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is no YAML: {text!r}") from error
    return from_dict(type(config), data)


_hints = functools.cache(typing.get_type_hints)


def difference(before: dict, after: dict) -> dict[str, tuple]:
    """{dotted key: (value before, value after)} of every setting that differs; None where there is none."""
    a, b = _flat(before), _flat(after)
    return {k: (a.get(k), b.get(k)) for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)}


def _typed(kind, value, key: str):
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{key} has settings of its own, and is not {value!r}")
        return from_dict(kind, value, f"{key}.")
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _typed(next(a for a in args if a is not type(None)), value, key)
    if origin is tuple and args[-1] is Ellipsis:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{key} takes a list, not {value!r}")
        return tuple(_typed(args[0], v, key) for v in value)
    if origin is tuple:
        if not isinstance(value, (list, tuple)) or len(value) != len(args):
            raise ConfigError(f"{key} takes {len(args)} values, not {value!r}")
        return tuple(_typed(a, v, key) for a, v in zip(args, value, strict=True))
    if origin is dict:
        kind = dict
    if kind in (int, float) and isinstance(value, (int, float, str)) and not isinstance(value, (bool, kind)):
        try:  # YAML reads 1e-4 and 1e6 as text
            number = float(value)
            if kind is float or number.is_integer():
                return kind(number)
        except ValueError:
            pass
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{key} is {kind.__name__}, and not {value!r}")
    return value


def _plain(value):
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _flat(data: dict, key: str = "") -> dict:
    flat = {}
    for k, v in data.items():
        flat.update(_flat(v, f"{key}{k}.") if isinstance(v, dict) else {f"{key}{k}": v})
    return flat
