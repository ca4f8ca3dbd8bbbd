"""train.py, ended at its first training step: python benchmarks/first_step.py head=mean task=cola"""

import os
import sys

from head2head.cli.hydra_command_line import train
from head2head.model.finetuner import FineTuner


def stop(*_) -> None:
    print("first step", flush=True)
    os._exit(0)


if __name__ == "__main__":
    FineTuner.on_train_batch_start = stop
    train(sys.argv[1:])
    sys.exit("no training step was reached")
