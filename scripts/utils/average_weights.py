"""The mean of the weights of networks that were trained on from the same ones, to go on from (start_from).

    python scripts/utils/average_weights.py checkpoints/a/best.pt checkpoints/b/best.pt --to checkpoints/mean/best.pt

Source: Wortsman et al. 2022, model soups, arXiv:2203.05482.
"""

import argparse
import sys
from pathlib import Path

import torch

from lincfa.checkpoint import CheckpointError, find_weights, load_weights, save_weights
from lincfa.raw import file_sha256


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+", help="checkpoints or released models")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="a checkpoint to write")
    args = parser.parse_args()
    try:
        first, *others = loaded = [load_weights(name) for name in args.weights]
        for name, other in zip(args.weights[1:], others, strict=True):
            if (other.model, other.family) != (first.model, first.family):
                raise CheckpointError(f"{name}: another network than {args.weights[0]}: {other.model}, {first.model}")
        states = [weights.network.state_dict() for weights in loaded]
        mean = {key: torch.stack([s[key].double() for s in states]).mean(0).to(v.dtype) for key, v in states[0].items()}
        hashes = [file_sha256(find_weights(name)) for name in args.weights]
        save_weights(args.to, first.model, mean, first.family, {"name": args.to.parent.name, "mean_of_sha256": hashes})
    except (CheckpointError, OSError) as error:
        print(f"average_weights: {error}", file=sys.stderr)
        return 1
    print(args.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
