"""Images for vlcli."""
