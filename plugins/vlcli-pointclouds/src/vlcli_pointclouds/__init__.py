"""The pointclouds plugin of vlcli."""
