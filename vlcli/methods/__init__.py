"""Methods that belong to no modality, registered by the built-in plugin."""
