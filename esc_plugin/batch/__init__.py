"""Many files: which are meant, where their results go, and one after the other."""
