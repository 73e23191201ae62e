"""Data sets, inputs, batching, loading."""

from vlcli.data.dataset import Dataset, Example

__all__ = ["Dataset", "Example"]
