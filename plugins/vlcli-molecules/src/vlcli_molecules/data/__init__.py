"""Data sets of molecules: those that installed packages hold, and loaders for the usual files."""
