"""Files for other runtimes, each checked in its own."""
