"""The version, in a file of its own that build tools and registries read without importing anything."""

__version__ = "0.1.0"
