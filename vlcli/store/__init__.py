"""The store: ledger, vectors, search."""
