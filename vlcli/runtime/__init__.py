"""What every room stands on: device, seed, precision, offline, atomic files, paths, progress."""
