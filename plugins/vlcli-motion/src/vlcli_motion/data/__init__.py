"""Motions to learn from: a kinematic generator of captioned motions, and loaders for files that the user brings."""
