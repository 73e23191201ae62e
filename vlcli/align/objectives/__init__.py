"""Objectives: one loss, one file."""
