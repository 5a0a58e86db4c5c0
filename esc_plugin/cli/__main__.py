"""``python -m esc_plugin.cli``."""

from . import main

main()
