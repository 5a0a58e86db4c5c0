"""What values mean, and every change of an array that needs no network: axes, levels, sizes, planes, filters."""
