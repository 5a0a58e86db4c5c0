// How a picture was made, as esc_plugin/provenance.py and files/xmp.py write and read it: the same programs that tell of a
// result of theirs tell of one from a browser.

import { textChunk } from "./png_write.js";

/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./upscale.js").Account} Account */

/** Escapes of attributes in XML. @type {Record<string, string>} */
const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;" };

/**
 * Return the record of a result.
 * @param {Network} network
 * @param {Account} account
 * @param {{name?: string, width: number, height: number, seconds: number}} result Name of the original's file; pixels.
 */
export function recordOf({ model, runtime }, { method, ...survey }, { name, width, height, seconds }) {
  return {
    software: `esc-plugin ${model.version ?? "page"}`,
    command: "upscale",
    ...(name ? { image: name } : {}),
    model: model.name,
    sha256: model.sha256,
    model_scale: model.scale,
    runtime,
    size: [height, width],
    precision: "float32",
    levels: [[0, 255]],
    ...(method === "whole" ? {} : { survey: { method, ...survey } }),
    seconds: Math.round(seconds * 10) / 10,
  };
}

/**
 * Return a record as a chunk of a PNG: an XMP packet.
 * @param {object} record
 */
export function recordChunk(record) {
  const words = JSON.stringify(record).replace(/[&<>"']/g, (letter) => ESCAPES[letter]);
  const about = `<rdf:Description rdf:about="" xmlns:esc="urn:esc-plugin:1.0/" esc:provenance="${words}"/>`;
  const packet =
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">' +
    `<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">${about}</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>`;
  return textChunk("XML:com.adobe.xmp", packet);
}
