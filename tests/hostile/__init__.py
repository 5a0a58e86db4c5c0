"""Hostile input by the thousand: made from seeds, tried in processes under watch, and counted by what became of it."""
