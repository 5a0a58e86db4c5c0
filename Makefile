# Each target builds its own virtual environment. The README has the same lines for people without make.
PYTHON ?= python3
# The processor-only build: a bare `torch` brings gigabytes of CUDA. With a GPU, install the torch you want first.
TORCH ?= torch==2.13.0
PIP = pip install --quiet --disable-pip-version-check

.PHONY: demo test test-napari test-export test-large test-comfyui test-floors test-newest clean

demo: .venv-demo/done  ## a photo as phones give it, upscaled, next to bicubic and the original: demo/comparison.png
	mkdir -p demo
	.venv-demo/bin/python -c "from skimage import data, io; io.imsave('demo/photo.png', data.astronaut(), check_contrast=False)"
	.venv-demo/bin/esc-sr upscale demo/photo.png -o demo/photo_x2.png --overwrite
	.venv-demo/bin/esc-sr compare demo/photo.png --degrade noise=10,jpeg=80 \
		--detail 175,72,110,100 --zoom 2 -o demo/comparison.png

test: .venv-test/done  ## everything that runs without a display
	.venv-test/bin/ruff format --check .
	.venv-test/bin/ruff check .
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports
	.venv-test/bin/deptry .
	.venv-test/bin/pytest tests --ignore tests/napari

test-napari: .venv-napari/done  ## the napari plugin, in a real napari: needs a display, or Xvfb and the libraries in .ci/run
	.venv-napari/bin/pytest tests/napari --timeout-method=thread

test-export: .venv-export/done  ## files for other runtimes, in those runtimes; `make test` knows ONNX Runtime only
	.venv-export/bin/pytest tests/test_export_ncnn.py tests/test_export_mobile.py

test-large: .venv-test/done  ## what takes minutes: a picture of 12 megapixels in the browser
	.venv-test/bin/pytest tests -m large --ignore tests/napari

test-comfyui: .venv-test/done .venv-comfyui/done  ## what ComfyUI's registry makes of this repository, and what tools for packs say of it
	COMFYUI_TOOLS=.venv-comfyui/bin .venv-test/bin/pytest tests/test_registry.py

test-floors: .venv-uv/done  ## the oldest dependencies that pyproject.toml allows: PYTHON=python3.10 EXTRAS="core zarr"
	.venv-uv/bin/python tests/floors.py lowest --python $(PYTHON) $(EXTRAS)

test-newest: .venv-uv/done  ## the newest ones: PYTHON=python3.13 EXTRAS="core zarr"
	.venv-uv/bin/python tests/floors.py newest --python $(PYTHON) $(EXTRAS)

.venv-demo/done: pyproject.toml
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/$(PIP) "$(TORCH)"
	.venv-demo/bin/$(PIP) -e ".[cli]" scikit-image
	touch $@

.venv-test/done: pyproject.toml
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/$(PIP) "$(TORCH)"
	.venv-test/bin/$(PIP) -e ".[dev]"
	# Without their needs: torchvision's would replace the torch above.
	.venv-test/bin/$(PIP) --no-deps spandrel==0.4.2 einops torchvision==0.28.0
	touch $@

.venv-napari/done: pyproject.toml
	$(PYTHON) -m venv .venv-napari
	.venv-napari/bin/$(PIP) "$(TORCH)"
	.venv-napari/bin/$(PIP) -e ".[napari,test]" "napari[pyqt6]" pytest-qt pytest-xvfb
	touch $@

.venv-export/done: pyproject.toml
	$(PYTHON) -m venv .venv-export
	.venv-export/bin/$(PIP) "$(TORCH)"
	.venv-export/bin/$(PIP) -e ".[export,ncnn,executorch,coreml,openvino]" pytest pytest-timeout hypothesis
	touch $@

.venv-comfyui/done: Makefile
	$(PYTHON) -m venv .venv-comfyui
	.venv-comfyui/bin/$(PIP) comfy-cli==1.23.0 comfy-test==0.4.15 comfy-import-guard==1.3.0
	touch $@

.venv-uv/done: Makefile
	python3 -m venv .venv-uv
	.venv-uv/bin/$(PIP) uv
	touch $@

clean:
	rm -rf .venv-demo .venv-test .venv-napari .venv-export .venv-comfyui .venv-floors .venv-uv demo dist
