"""Papers, one file or folder each."""
