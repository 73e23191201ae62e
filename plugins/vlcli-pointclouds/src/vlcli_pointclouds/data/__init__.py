"""Data sets of point clouds: a procedural world of shapes, and loaders for files that the user brings."""
