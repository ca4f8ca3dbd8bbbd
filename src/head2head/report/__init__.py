"""What an experiment's results show: statistics, tables, plots. Imports no torch; reads results alone."""
