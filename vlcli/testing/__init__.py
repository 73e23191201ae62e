"""Contract checks and tiny fixtures that the tests of plugins call."""
