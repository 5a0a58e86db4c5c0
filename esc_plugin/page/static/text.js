// Texts with values, numbers and times as people write them.
import { texts } from "./strings.js";

export const fill = (text, values = {}) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

export const say = (key, values) => fill(texts[key], values);

export const number = (value) => value.toLocaleString("en");

export function duration(seconds) {
  if (seconds < 90) return say("seconds", { count: Math.max(1, Math.round(seconds)) });
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? say("minutes", { count: minutes }) : say("hours", { count: (seconds / 3600).toFixed(1) });
}

// Names and reasons come from elsewhere and may be of any length.
export const short = (text, most = 80) => (text = String(text), text.length > most ? `${text.slice(0, most - 1)}…` : text);

export function fillPage(root = document) {
  document.title = texts.title;
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = texts[element.dataset.text];
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", texts[element.dataset.label]);
}

export const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
