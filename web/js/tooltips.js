// Translates the tooltips of inputs that appear with a choice of a menu: ComfyUI's page translates only their names.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

let known;

async function translations() {
  const languages = await (await api.fetchApi("/i18n")).json();
  return languages[app.extensionManager?.setting?.get("Comfy.Locale")]?.nodeDefs ?? {};
}

app.registerExtension({
  name: "ESC.Tooltips",
  async beforeRegisterNodeDef(_, definition) {
    if (!definition.name.startsWith("ESC_")) return;
    known ??= translations().catch(() => ({}));
    const texts = (await known)[definition.name]?.inputs ?? {};
    for (const [menu, [, shown]] of Object.entries(definition.input?.required ?? {})) {
      for (const option of shown?.options ?? []) {
        for (const [field, [, values]] of Object.entries(option?.inputs?.required ?? {})) {
          const text = texts[`${menu}_${field}`]?.tooltip;
          if (values && text) values.tooltip = text;
        }
      }
    }
  },
});
