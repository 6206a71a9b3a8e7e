"""Where a number came from: commit, command, machine."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import torch


def git_commit() -> str | None:
    """The commit of the working tree, with '+' when tracked files differ from it; None outside a repository."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    return commit and commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def command_line() -> str:
    """The command that runs, as one would type it in the repository's root."""
    script = Path(sys.argv[0])
    if script.is_absolute() and script.is_relative_to(Path.cwd()):
        script = script.relative_to(Path.cwd())
    return shlex.join(["python", str(script), *sys.argv[1:]])


def machine() -> str:
    """The processor, with the vector instructions that torch uses, its cores, and torch."""
    vectors = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} ({vectors}), {os.cpu_count()} cores, torch {torch.__version__}"


def _git(*args: str) -> str | None:
    try:
        done = subprocess.run(["git", *args], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
