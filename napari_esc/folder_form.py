"""The controls for many image files with the same settings."""

from __future__ import annotations

import os
from glob import has_magic
from typing import Any

from magicgui.widgets import CheckBox, LineEdit
from qtpy.QtWidgets import QFileDialog

from esc_plugin import EscError
from esc_plugin.session.folder import FolderOrder
from esc_plugin.session.task import Settings

from .controls import SEPARATOR, choice
from .model_form import LEVELS, ModelForm
from .preferences import limits

Mode = QFileDialog.FileMode
FORMATS = {"": "As each image", ".tif": "TIFF", ".png": "PNG"}
EXISTING = {"skip": "Skip them", "refuse": "Report them", "replace": "Replace them"}
HELP = {
    "images": "A folder, or image files, with '; ' between them, or a pattern such as ~/cells/*.tif.",
    "recursive": "Images in folders inside the folder too; results go into folders of the same names.",
    "output": "The folder for results, which is made if need be. Empty: beside the images, with the factor in the name.",
    "format": "The format of the results. A TIFF stays the kind of TIFF that its image is, with everything that it carries.",
    "existing": "What to do where a result is there already. The images themselves are never replaced.",
}
#: Stands for the bundled model that each image's kind asks for.
EACH = "each"
#: What is taken over from another form.
SHARED = ("purpose", "model", "source", "factor", "intensity", "strength", "consistency")


class FolderForm(ModelForm):
    """All controls."""

    def __init__(self) -> None:
        super().__init__(HELP, LEVELS)
        self.images, self.output = LineEdit(name="images"), LineEdit(name="output")
        self.images.native.setPlaceholderText("a folder, or files")
        self.output.native.setPlaceholderText("beside the images")
        folder = self.browse(self.images, "Choose a folder", Mode.Directory, text="Folder...")
        files = self.browse(self.images, "Choose image files", Mode.ExistingFiles, text="Files...")
        self.add("Images", self.images, folder, files)
        self.recursive = self.add("", CheckBox(name="recursive", text="Folders inside, too"))
        self.add_model()
        self.add("Factor", self.factor)
        self.add("Intensity", self.intensity)
        self.add("Strength", self.strength)
        self.add("", self.consistency)
        self.add("Write to", self.output, self.browse(self.output, "Choose a folder", Mode.Directory))
        self.format = self.add("Format", choice("format", FORMATS))
        self.existing = self.add("Existing", choice("existing", EXISTING))
        self.fill_models()

    def take_over(self, other: ModelForm) -> None:
        """Start with the settings of another form, as far as they mean something here."""
        for name in SHARED if other.by_hand else set(SHARED) - {"model", "source"}:
            ours, value = getattr(self, name), getattr(other, name).value
            if value in getattr(ours, "choices", [value]):
                ours.value = value

    def _models(self, box: Any) -> list[tuple[str, Any]]:
        return [("The one for each image", EACH), *super()._models(box)]

    def _proposed(self, factor: float | None) -> tuple[str, str]:
        """Return what stands for the model of each image."""
        return EACH, "the bundled model for it upscales each image"

    def order(self) -> FolderOrder:
        """Return what is to be done as it is set up now.

        Raises
        ------
        EscError
            If something is missing.
        """
        names, output = self.images.value.strip(), self.output.value.strip()
        if not names:
            raise EscError("Choose a folder, or image files.")
        self.check_model()
        values = {name: getattr(self, name).value for name in ("intensity", "strength", "consistency")}
        model = "" if self.model_name == EACH else self.model_name
        settings = Settings(model, self.factors, **values, **limits())
        existing = self.existing.value
        return FolderOrder(
            tuple(map(os.path.expanduser, _separated(names))),
            settings,
            output=os.path.expanduser(output) or None,  # noqa: PTH111  # a slash at the end says that it is a folder
            suffix=self.format.value or None,
            skip=existing == "skip",
            replace=existing == "replace",
            recursive=self.recursive.value,
            how=f"'Existing: {EXISTING['replace']}'",
            purpose=self.purpose.value,
        )


def _separated(names: str) -> list[str]:
    """Return several names; one name may hold what separates them."""
    if os.path.exists(os.path.expanduser(names)) or has_magic(names):  # noqa: PTH110, PTH111  # as above
        return [names]
    return [name for part in names.split(SEPARATOR) if (name := part.strip())]
