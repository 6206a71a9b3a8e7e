"""What a training run writes for people and for the experiment record.

logs/train_<name>.log          lines to follow
logs/<name>/config.yaml        the whole config
logs/<name>/provenance.yaml    commit, command, hashes of data and weights begun with, seed, machine, cost, best
logs/<name>/metrics.jsonl      one object a line: {"kind": "train" | "val", "images": n, ...}
logs/<name>/panel.png          the newest panel of crops
logs/<name>/outputs/<n>.png    panels between validations, where the config asks for them; n: images seen
logs/<name>/events.*           TensorBoard
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from torch.utils.tensorboard import SummaryWriter


class RunLog:
    """Opens the files of a run; a resumed run drops what was logged after images_seen, because it comes again."""

    def __init__(self, root: Path, name: str, config: dict, images_seen: int):
        self.folder = root / name
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        self._metrics = self.folder / "metrics.jsonl"
        part = self._metrics.with_suffix(".part")
        part.write_text("".join(json.dumps(r) + "\n" for r in self.rows() if r["images"] <= images_seen))
        part.replace(self._metrics)
        self._board = SummaryWriter(str(self.folder), purge_step=images_seen + 1 if images_seen else None)
        self._text = logging.Logger(name, logging.INFO)
        for handler in (logging.StreamHandler(sys.stdout), logging.FileHandler(root / f"train_{name}.log")):
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
            self._text.addHandler(handler)

    def rows(self) -> list[dict]:
        """All lines of metrics.jsonl that are whole."""
        if not self._metrics.exists():
            return []
        rows = []
        for line in self._metrics.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:  # a killed run's last line
                continue
        return rows

    def say(self, text: str) -> None:
        self._text.info(text)

    def metrics(self, kind: str, images: int, values: dict[str, float]) -> None:
        with open(self._metrics, "a") as out:
            out.write(json.dumps({"kind": kind, "images": images, **values}) + "\n")
        for key, value in values.items():
            self._board.add_scalar(f"{kind}/{key}", value, images)

    def panel(self, images: int, picture: np.ndarray) -> None:
        Image.fromarray(picture).save(self.folder / "panel.png")
        self._board.add_image("panel", picture, images, dataformats="HWC")

    def provenance(self, facts: dict) -> None:
        (self.folder / "provenance.yaml").write_text(yaml.safe_dump(facts, sort_keys=False))

    def close(self) -> None:
        self._board.close()
        for handler in self._text.handlers:
            handler.close()


class Window:
    """Means since the last log line."""

    def __init__(self):
        self.wait_s, self._step_s, self._steps, self._sums = 0.0, 0.0, 0, {}

    def add(self, step_s: float, losses: dict[str, torch.Tensor]) -> None:
        self._step_s, self._steps = self._step_s + step_s, self._steps + 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def close(self, batch: int) -> dict[str, float]:
        values = {name: float(total) / self._steps for name, total in self._sums.items()}
        values["images_per_s"] = batch * self._steps / self._step_s
        values["data_wait"] = self.wait_s / self._step_s
        self.__init__()
        return values
