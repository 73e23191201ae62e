"""The life of a plugin beyond loading it: examining, making, installing and removing it."""
