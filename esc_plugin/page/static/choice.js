// The models on offer: what a picture shows, and how much larger it shall be, name one.
import { element, say } from "./text.js";

export class Choice {
  constructor({ kinds, scales, card, about, onChange }) {
    Object.assign(this, { kinds, scales, card, models: about.models, onChange });
    this.model = this.models.find((model) => model.name === about.default) ?? this.models[0];
    this.fill();
  }

  fill() {
    const titles = [...new Set(this.models.map((model) => model.title))];
    this.kinds.replaceChildren(...titles.map((title) => this.option("kind", title, title, title === this.model.title)));
    this.fillScales();
  }

  fillScales() {
    const alike = this.models.filter((model) => model.title === this.model.title).sort((a, b) => a.scale - b.scale);
    this.scales.replaceChildren(...alike.map((model) =>
      this.option("scale", model.scale, say("times", { scale: model.scale }), model === this.model)));
    this.card.replaceChildren(element("h2", { textContent: this.model.name }),
      ...this.model.card.map((line) => element("p", { textContent: line })));
  }

  option(name, value, text, checked) {
    const input = element("input", { type: "radio", name, value, checked });
    input.addEventListener("change", () => this.choose(name, value));
    return element("label", {}, input, element("span", { textContent: text }));
  }

  choose(name, value) {
    const title = name === "kind" ? value : this.model.title;
    const scale = name === "scale" ? value : this.model.scale;
    const alike = this.models.filter((model) => model.title === title);
    const distance = (model) => Math.abs(model.scale - scale);
    this.model = alike.reduce((best, model) => (distance(model) < distance(best) ? model : best));
    this.fillScalesKeepingFocus(name, value);
    this.onChange();
  }

  fillScalesKeepingFocus(name, value) {
    this.fillScales();
    if (name === "scale") this.scales.querySelector(`input[value="${value}"]`)?.focus();
  }

  // As the engine wants it.
  get forEngine() {
    const absolute = (file) => file && { ...file, url: new URL(file.url, document.baseURI).href };
    return { ...this.model, regions: absolute(this.model.regions), whole: absolute(this.model.whole) };
  }
}
