"""Embedding with more than one process: workers that write shards or send vectors back, here or in a Ray cluster."""
