"""Readers of molecule files: each streams its entries with bounded memory."""
