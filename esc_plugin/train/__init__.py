"""Training (the extra ``train``): a recipe, a folder of images, and at the end a file that `load_model` opens."""
