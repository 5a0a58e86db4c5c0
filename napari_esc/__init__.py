"""The napari door: a panel, menu commands, sample data and writers, all named in ``napari.yaml``.

Importing a module of this package imports no torch, and no Qt binding by name. Arrays are the core's work; what is done
here is to say where a result lies (`geometry`), what it looks like (`layers`), and to keep the window alive meanwhile
(`threads`).
"""
