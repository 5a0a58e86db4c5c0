"""From a name to a file: the models on offer, downloads, the Hugging Face Hub."""
