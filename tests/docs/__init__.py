"""The documentation, as its readers take it: what it tells them to type is typed, and what it lists is there."""
