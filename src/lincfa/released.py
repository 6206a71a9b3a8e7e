"""Released models: where they lie, and what their cards say. Nothing is loaded, so this is quick."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FACTS = "metrics.json"
_PACKAGE = Path(__file__).resolve().parent


class ReleasedError(ValueError):
    """A released model's folder that cannot be used; the message names the file."""


@dataclass(frozen=True)
class Released:
    """folder: models/<id>. facts: its metrics.json (see lincfa.release)."""

    id: str
    folder: Path
    facts: dict

    @property
    def family(self) -> str:
        return self.facts["family"]

    @property
    def takes_noise(self) -> bool:
        """Whether its network is told how strong the noise is, and takes it away (see lincfa.models)."""
        return bool(self.facts.get("takes_noise"))


def model_places(root: Path = Path()) -> list[Path]:
    """The folders that may hold models/<id>, the first counts: root's models/, then what came with the package.

    A wheel has the models in the package (setup.py); an editable install has the repository's.
    """
    return [root / "models", _PACKAGE / "released_models", _PACKAGE.parents[1] / "models"]


def released_models(root: Path = Path()) -> dict[str, Released]:
    """Every released model by its id, in order. Raises ReleasedError for facts that cannot be read."""
    found = {}
    for place in reversed(model_places(root)):
        for path in place.glob(f"*/{FACTS}"):
            if facts := _facts(path):
                found[path.parent.name] = Released(path.parent.name, path.parent, facts)
    return dict(sorted(found.items()))


def model_for(family: str, root: Path = Path(), *, denoise: bool = False) -> Released | None:
    """The released model that costs least for a CFA family, or None where there is none.

    denoise: one that takes noise away; otherwise such a one, told of no noise, stands in only where no other is.
    """
    own = [m for m in released_models(root).values() if m.family == family and m.takes_noise >= denoise]
    return min(own, key=lambda model: (model.takes_noise, model.facts["gmac_per_megapixel"]), default=None)


def _facts(path: Path) -> dict | None:
    """The content of a metrics.json, or None where it belongs to something else than a released model."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReleasedError(f"{path}: cannot be read ({error})") from error
    return facts if isinstance(facts, dict) and facts.keys() >= {"family", "gmac_per_megapixel"} else None
