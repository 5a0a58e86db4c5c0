"""Disks that are full, programs that are killed, servers that die: what becomes of files, see README.md."""
