"""Measuring spaces: retrieval, zero-shot, probes, statistics."""
