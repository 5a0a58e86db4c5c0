"""The napari door."""
