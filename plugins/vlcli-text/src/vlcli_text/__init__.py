"""Text for vlcli."""
