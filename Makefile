# Each target builds its own virtual environment. The README has the same lines for people without make.
PYTHON ?= python3
TORCH ?= torch==2.13.0
# Where it comes from, if not from where pip looks. On Linux PyPI's brings gigabytes for NVIDIA's cards; the build for processors
# alone is at https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
FROM = $(addprefix --index-url ,$(TORCH_INDEX))
PIP = pip install --quiet --disable-pip-version-check
SCHEMA = check-jsonschema --quiet --builtin-schema vendor

.PHONY: demo test test-napari test-export test-large test-comfyui test-floors test-newest package docs clean

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
	.venv-test/bin/pytest tests --ignore tests/napari -n logical --dist loadfile

test-napari: .venv-napari/done  ## the napari plugin, in a real napari: needs a display, or Xvfb and the libraries in .ci/packages
	.venv-napari/bin/pytest tests/napari --timeout-method=thread

test-export: .venv-export/done  ## files for other runtimes, in those runtimes; `make test` knows ONNX Runtime only
	.venv-export/bin/pytest tests/test_export_ncnn.py tests/test_export_mobile.py

test-large: .venv-test/done  ## what takes minutes: a picture of 12 megapixels in the browser
	.venv-test/bin/pytest tests -m large --ignore tests/napari

test-comfyui: .venv-test/done .venv-comfyui/done  ## what ComfyUI's registry makes of this repository, and what tools for packs say of it
	COMFYUI_TOOLS=.venv-comfyui/bin .venv-test/bin/pytest tests/test_registry.py tests/test_stubs_against_comfyui.py

package: .venv-package/done .venv-test/done  ## what is released, in dist/, and what registries and linters say of it
	.venv-package/bin/validate-pyproject pyproject.toml
	.venv-package/bin/$(SCHEMA).citation-file-format --force-filetype yaml CITATION.cff
	.venv-package/bin/$(SCHEMA).dependabot .github/dependabot.yml
	.venv-package/bin/$(SCHEMA).github-workflows .github/workflows/*.yml
	.venv-package/bin/$(SCHEMA).github-issue-forms $(filter-out %/config.yml, $(wildcard .github/ISSUE_TEMPLATE/*.yml))
	.venv-package/bin/zizmor --offline --quiet .github
	rm -rf dist
	.venv-package/bin/python -m build
	.venv-package/bin/twine check --strict dist/*
	.venv-package/bin/check-wheel-contents dist/*.whl
	# Whoever packages it for a distribution tests what the sdist has.
	rm -rf build/sdist && mkdir -p build/sdist && tar xf dist/*.tar.gz -C build/sdist --strip-components 1
	cd build/sdist && ../../.venv-test/bin/python -m pytest -q tests/test_package.py tests/test_metadata.py tests/test_links.py tests/test_catalog.py

docs: .venv-docs/done  ## the site, in docs/_build/site, with its links checked; TRY=1 puts the page to try models on into it
	rm -rf docs/_build
	.venv-docs/bin/sphinx-build --quiet --fail-on-warning --keep-going $(if $(TRY),--tag try) docs docs/_build/site
	$(if $(TRY),.venv-docs/bin/$(PIP) -e ".[export]")
	$(if $(TRY),.venv-docs/bin/esc-sr try --write docs/_build/site/try)
	.venv-docs/bin/python docs/check_links.py docs/_build/site

test-floors: .venv-uv/done  ## the oldest dependencies that pyproject.toml allows: PYTHON=python3.10 EXTRAS="core zarr"
	.venv-uv/bin/python tests/floors.py lowest --python $(PYTHON) $(EXTRAS)

test-newest: .venv-uv/done  ## the newest ones: PYTHON=python3.13 EXTRAS="core zarr"
	.venv-uv/bin/python tests/floors.py newest --python $(PYTHON) $(EXTRAS)

.venv-demo/done: WANTED = -e ".[cli]" scikit-image
.venv-napari/done: WANTED = -e ".[napari,test]" "napari[pyqt6]" pytest-qt pytest-xvfb
.venv-export/done: WANTED = -e ".[export,ncnn,executorch,coreml,openvino]" pytest pytest-timeout hypothesis
.venv-docs/done: WANTED = -e ".[docs]"
.venv-%/done: pyproject.toml
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/$(PIP) "$(TORCH)" $(FROM)
	.venv-$*/bin/$(PIP) $(WANTED)
	touch $@

.venv-test/done: pyproject.toml
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/$(PIP) "$(TORCH)" $(FROM)
	.venv-test/bin/$(PIP) -e ".[dev]"
	# Without their needs: torchvision's would replace the torch above.
	.venv-test/bin/$(PIP) --no-deps spandrel==0.4.2 einops
	.venv-test/bin/$(PIP) --no-deps torchvision==0.28.0 $(FROM)
	touch $@

.venv-comfyui/done: Makefile
	$(PYTHON) -m venv .venv-comfyui
	.venv-comfyui/bin/$(PIP) comfy-cli==1.23.0 comfy-test==0.4.15 comfy-import-guard==1.3.0
	touch $@

.venv-package/done: Makefile
	$(PYTHON) -m venv .venv-package
	.venv-package/bin/$(PIP) build==1.6.1 twine==7.0.0 check-wheel-contents==0.6.3 validate-pyproject==0.27 \
		check-jsonschema==0.39.0 zizmor==1.32.0
	touch $@

.venv-uv/done: Makefile
	python3 -m venv .venv-uv
	.venv-uv/bin/$(PIP) uv
	touch $@

clean:
	rm -rf .venv-demo .venv-test .venv-napari .venv-export .venv-comfyui .venv-package .venv-docs .venv-floors .venv-uv demo dist build docs/_build
