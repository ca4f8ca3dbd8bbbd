"""One run: python train.py head=mean task=rte data_dir=DIR seed=1 (see --help)."""

import sys

from head2head.cli.hydra_command_line import train

if __name__ == "__main__":
    train(sys.argv[1:])
