"""vlcli: align any modality with language and use it, from one command line."""

__version__ = "0.1.0"
