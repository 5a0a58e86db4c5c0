"""From features to pixels: one file a head."""
