"""Self-contained HTML reports and pictures."""
