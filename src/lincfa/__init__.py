"""Linear-space CFA demosaicing."""

from lincfa.checkpoint import load_weights
from lincfa.infer import Demosaicer
from lincfa.raw import read_raw

__all__ = ["Demosaicer", "load_weights", "read_raw"]
