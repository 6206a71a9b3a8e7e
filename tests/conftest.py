"""One thread each, before torch and LibRaw load OpenMP: Markesteijn is then the same from run to run."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
