"""One image on many machines."""
