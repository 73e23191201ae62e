"""Methods on images: one paper, one file."""
