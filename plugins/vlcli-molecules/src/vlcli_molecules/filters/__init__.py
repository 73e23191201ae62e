"""Filters of molecules."""
