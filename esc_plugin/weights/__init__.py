"""From a name to a network with weights. `load` is the way in; importing this package alone is cheap."""
