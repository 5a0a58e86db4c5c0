// Shows what is known of each model in the menu of Load ESC Model. Workflows keep the plain names, so that they open anywhere.
import { app } from "../../../scripts/app.js";

const NODE = "ESC_LoadModel";
let labels = {};

function learn(definition) {
  labels = definition?.input?.required?.model?.[1]?.labels ?? {};
}

app.registerExtension({
  name: "ESC.ModelMenu",
  beforeRegisterNodeDef(_, definition) {
    if (definition.name === NODE) learn(definition);
  },
  refreshComboInNodes(definitions) {
    learn(definitions[NODE]);
  },
  nodeCreated(node) {
    const menu = node.comfyClass === NODE && node.widgets?.find((widget) => widget.name === "model");
    if (menu) menu.options.getOptionLabel = (value) => labels[value] ?? value ?? "";
  },
});
