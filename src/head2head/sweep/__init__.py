"""From a W&B sweep file to the runs that are still to do, and their doing. Imports no torch."""
