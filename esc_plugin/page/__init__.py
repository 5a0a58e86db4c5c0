"""The page where a picture is dropped and comes out larger, in a browser alone: its files, and what builds and serves it.

`static/` is the page as it is written, without a build step; `runtime` brings ONNX Runtime Web, `models` the networks as
ONNX, `site` puts them together, `write` writes them for any web host, and `serve` shows them on this machine.
"""
