// The one thing of EXIF that concerns pixels: how the camera was held.

/** @typedef {import("./values.js").Picture} Picture */

const ORIENTATION = 0x0112;
const ENTRY_BYTES = 12;

/**
 * Return the orientation that EXIF states, 1 to 8; 1, upright, if it states none.
 * @param {Uint8Array} exif A TIFF structure.
 */
export function orientationOf(exif) {
  try {
    const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
    const little = view.getUint16(0) === 0x4949;
    const directory = view.getUint32(4, little);
    for (let i = 0; i < view.getUint16(directory, little); i++) {
      const entry = directory + 2 + i * ENTRY_BYTES;
      if (view.getUint16(entry, little) === ORIENTATION) return checked(view.getUint16(entry + 8, little));
    }
  } catch {
    // It points beyond its end: damaged remarks don't spoil a picture.
  }
  return 1;
}

/** @param {number} value */
const checked = (value) => (value >= 1 && value <= 8 ? value : 1);

/**
 * Turn and flip a picture as its orientation says.
 * @param {Picture} picture
 * @param {number} orientation
 * @returns {Picture}
 */
export function upright(picture, orientation) {
  if (orientation === 1) return picture;
  const { width, height, samples, pixels } = picture;
  const mirrored = [2, 3, 7, 8].includes(orientation);
  const upsideDown = [3, 4, 6, 7].includes(orientation);
  const turned = orientation >= 5;
  const made = new Uint8Array(pixels.length);
  for (let y = 0, from = 0; y < height; y++) {
    const row = upsideDown ? height - 1 - y : y;
    for (let x = 0; x < width; x++, from += samples) {
      const column = mirrored ? width - 1 - x : x;
      const to = (turned ? column * height + row : row * width + column) * samples;
      for (let i = 0; i < samples; i++) made[to + i] = pixels[from + i];
    }
  }
  return turned ? { width: height, height: width, samples, pixels: made } : { width, height, samples, pixels: made };
}
