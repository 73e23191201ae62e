"""The motion plugin of vlcli."""
