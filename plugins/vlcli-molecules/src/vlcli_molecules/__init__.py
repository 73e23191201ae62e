"""Molecules for vlcli."""
