"""From a name to a file, and to a model: what is on offer, downloads, the Hugging Face Hub.

`lookup` says what a name means, `load` makes a model of it. `manifest` and `menu` are the models on offer; `downloads`,
`record`, `fetch` and `https` the models folder and how files get there; the files that begin with `hub` the Hub.
"""
