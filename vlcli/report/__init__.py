"""Self-contained HTML pages and PNG contact sheets; they open without a network, in light and dark, on a phone."""
