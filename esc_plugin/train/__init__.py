"""Training (the extra ``train``): a recipe, a folder of images, and at the end a file that `load_model` opens."""

from ..errors import needs

needs("train")  # here it comes before every module that imports something of it
