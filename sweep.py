"""A resumable sweep: python sweep.py experiment=NAME [overrides] [hydra/launcher=joblib] (see --help)."""

import sys

from head2head.cli.hydra_command_line import sweep

if __name__ == "__main__":
    sweep(sys.argv[1:])
