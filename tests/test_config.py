import json
from dataclasses import dataclass, field

import pytest

from lincfa.config import ConfigError, difference, from_dict, override, to_dict


@dataclass(frozen=True)
class Inner:
    span: tuple[float, float] = (-2.0, 1.0)
    on: bool = True
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    name: str
    images: int = 100
    lr: float = 1e-3
    start_from: str | None = None
    model: dict = field(default_factory=lambda: {"name": "unet", "width": 64})
    inner: Inner = field(default_factory=Inner)


def test_a_config_survives_json():
    config = Outer("a", images=7, lr=0.5, start_from="b.pt", inner=Inner((0.0, 0.25), False))
    assert from_dict(Outer, json.loads(json.dumps(to_dict(config)))) == config


def test_what_is_left_out_keeps_its_default():
    assert from_dict(Outer, {"name": "a", "inner": {"on": False}}) == Outer("a", inner=Inner(on=False))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"name": "a", "imagse": 3}, "unknown setting imagse; there are: name, images"),
        ({"name": "a", "inner": {"spam": 3}}, r"unknown setting inner\.spam"),
        ({"name": "a", "inner": 3}, "inner has settings of its own"),
        ({"name": "a", "images": "many"}, "images is int, and not 'many'"),
        ({"name": "a", "images": 1.5}, "images is int"),
        ({"name": "a", "images": True}, "images is int"),
        ({"name": "a", "lr": "fast"}, "lr is float"),
        ({"name": "a", "lr": True}, "lr is float"),
        ({"name": 3}, "name is str"),
        ({"name": "a", "start_from": 3}, "start_from is str"),
        ({"name": "a", "inner": {"on": 1}}, r"inner\.on is bool"),
        ({"name": "a", "inner": {"span": [1]}}, r"inner\.span takes 2 values"),
        ({"name": "a", "inner": {"span": [1, "x"]}}, r"inner\.span is float"),
        ({"name": "a", "inner": {"names": "x"}}, r"inner\.names takes a list"),
        ({"name": "a", "inner": {"names": [1]}}, r"inner\.names is str"),
        ({}, "missing setting name"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_key(data, said):
    with pytest.raises(ConfigError, match=said):
        from_dict(Outer, data)


@pytest.mark.parametrize(
    ("assignment", "wanted"),
    [
        ("lr=1e-4", Outer("a", lr=1e-4)),
        ("lr=2", Outer("a", lr=2.0)),
        ("images=1e6", Outer("a", images=1_000_000)),
        ("inner.span=[-1, 1e-1]", Outer("a", inner=Inner(span=(-1.0, 0.1)))),
        ("inner.names=[a, b, c]", Outer("a", inner=Inner(names=("a", "b", "c")))),
        ("inner.names=[]", Outer("a")),
        ("model.width=8", Outer("a", model={"name": "unet", "width": 8})),
        ("start_from=x=y.pt", Outer("a", start_from="x=y.pt")),
        ("start_from=null", Outer("a")),
    ],
)
def test_a_setting_is_changed_by_its_dotted_key(assignment, wanted):
    changed = override(Outer("a"), [assignment])
    assert changed == wanted
    assert type(changed.images) is int
    assert type(changed.lr) is float


def test_an_override_leaves_the_config_itself_alone():
    config = Outer("a")
    override(config, ["model.width=8", "inner.on=false"])
    assert config == Outer("a")


@pytest.mark.parametrize(
    "assignment", ["lr", "learning=1", "inner.spam=1", "inner.on.off=1", "nothing.at=1", "lr=[1,", "images=12.5"]
)
def test_a_wrong_assignment_is_refused_by_its_key(assignment):
    with pytest.raises(ConfigError, match=assignment.partition("=")[0].partition(".")[0]):
        override(Outer("a"), [assignment])


def test_the_difference_lists_what_changed_came_and_went():
    before = {"lr": 1, "inner": {"on": True, "span": [1, 2]}, "gone": 5}
    after = {"lr": 1, "inner": {"on": False, "span": [1, 3]}, "new": 6}
    assert difference(before, after) == {
        "gone": (5, None),
        "inner.on": (True, False),
        "inner.span": ([1, 2], [1, 3]),
        "new": (None, 6),
    }
    assert difference(before, before) == {}
