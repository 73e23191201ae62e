"""Methods of papers on molecules and language."""
