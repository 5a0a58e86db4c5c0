"""``python -m esc_plugin.cli``."""

from .main import main

main()
