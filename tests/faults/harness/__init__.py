"""Faults on purpose: a recorder of file system calls, simulated power cuts, and commands to try them on."""
