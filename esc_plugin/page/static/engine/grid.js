// Rectangles of pixels, and how a picture is cut: as esc_plugin/network/grid.py and engine/partition.py do it in Python.

/**
 * A rectangle of pixels: rows `top` up to `bottom`, columns `left` up to `right`, ends excluded.
 * @typedef {{top: number, left: number, bottom: number, right: number}} Region
 */

/**
 * Height and width of a picture in pixels.
 * @typedef {readonly [number, number]} Size
 */

/**
 * What a network sees of a picture to make a part of it.
 * @typedef {object} Crop
 * @property {Region} region What is made, in pixels of the picture.
 * @property {Region} area What the network is shown.
 */

/** @param {Region} region */
export const heightOf = (region) => region.bottom - region.top;

/** @param {Region} region */
export const widthOf = (region) => region.right - region.left;

/** @param {Region} region */
export const pixelsOf = (region) => heightOf(region) * widthOf(region);

/**
 * Return all of a picture.
 * @param {Size} size
 * @returns {Region}
 */
export const wholeOf = ([height, width]) => ({ top: 0, left: 0, bottom: height, right: width });

/**
 * Add `halo` pixels on every side, clipped to a picture.
 * @param {Region} region
 * @param {number} halo
 * @param {Size} size
 * @returns {Region}
 */
export function grow(region, halo, [height, width]) {
  return {
    top: Math.max(region.top - halo, 0),
    left: Math.max(region.left - halo, 0),
    bottom: Math.min(region.bottom + halo, height),
    right: Math.min(region.right + halo, width),
  };
}

/**
 * Grow to whole windows of `multiple` pixels of a picture.
 *
 * The last window of an axis is filled up by reflection, which reads up to a window further left (or up), so that who needs
 * a part of it also needs the one before.
 * @param {Region} region
 * @param {number} multiple
 * @param {Size} size
 * @returns {Region}
 */
export function aligned(region, multiple, [height, width]) {
  const [top, bottom] = wholeWindows(region.top, region.bottom, multiple, height);
  const [left, right] = wholeWindows(region.left, region.right, multiple, width);
  return { top, left, bottom, right };
}

/**
 * @param {number} start
 * @param {number} stop
 * @param {number} multiple
 * @param {number} length
 */
function wholeWindows(start, stop, multiple, length) {
  const last = Math.max(Math.floor(length / multiple) - 1, 0) * multiple; // where the last whole window starts
  const first = Math.floor(start / multiple) * multiple;
  const end = Math.min(Math.ceil(stop / multiple) * multiple, length);
  return [end % multiple ? Math.min(first, last) : first, end];
}

/**
 * Return a region as counted from the corner of `origin`.
 * @param {Region} region
 * @param {Region} origin
 * @returns {Region}
 */
export function within(region, origin) {
  return {
    top: region.top - origin.top,
    left: region.left - origin.left,
    bottom: region.bottom - origin.top,
    right: region.right - origin.left,
  };
}

/**
 * Cut 0..length, at multiples, into parts as equal as can be; a rest below `multiple` joins its neighbour.
 * @param {number} length
 * @param {number} parts
 * @param {number} multiple
 * @returns {[number, number][]}
 */
export function spans(length, parts, multiple) {
  const units = Math.max(Math.floor(length / multiple), 1);
  const starts = Array.from({ length: parts }, (_, i) => Math.floor((units * i) / parts) * multiple);
  return starts.map((start, i) => [start, starts[i + 1] ?? length]);
}

/**
 * Return what a network must see of a picture to make a region of it.
 * @param {Region} region
 * @param {number} reach How far a pixel of the result depends on the picture.
 * @param {number} multiple Pixels along the edge of an attention window.
 * @param {Size} size
 * @returns {Crop}
 */
export const cropFor = (region, reach, multiple, size) => ({
  region,
  area: aligned(grow(region, reach, size), multiple, size),
});

/**
 * Cut a picture into rows of crops, each of up to `limit` pixels, with as little work as can be: neighbours overlap.
 * @param {Size} size
 * @param {number} reach
 * @param {number} multiple
 * @param {number} limit Where even one window with its reach has more pixels, crops are as small as they get.
 * @returns {Crop[][]} From the top to the bottom.
 */
export function partition(size, reach, multiple, limit) {
  const [most, wide] = size.map((length) => Math.max(Math.floor(length / multiple), 1));
  let best = cut(size, most, wide, reach, multiple);
  let least = Infinity;
  // What an axis costs doesn't depend on the other one: lengths are enough, and few of them fit.
  const rows = axisCuts(size[0], most, reach, multiple);
  for (const across of axisCuts(size[1], wide, reach, multiple)) {
    const down = rows.find((axis) => axis.largest * across.largest <= limit);
    if (down && down.total * across.total < least) {
      least = down.total * across.total;
      best = cut(size, down.parts, across.parts, reach, multiple);
    }
  }
  return best;
}

/**
 * @typedef {{parts: number, largest: number, total: number}} AxisCut Lengths of crops along one axis: the largest, and all.
 * @param {number} length
 * @param {number} most
 * @param {number} reach
 * @param {number} multiple
 * @returns {AxisCut[]}
 */
function axisCuts(length, most, reach, multiple) {
  return Array.from({ length: most }, (_, i) => {
    const lengths = spans(length, i + 1, multiple).map(([start, stop]) => {
      const [first, end] = wholeWindows(Math.max(start - reach, 0), Math.min(stop + reach, length), multiple, length);
      return end - first;
    });
    return { parts: i + 1, largest: Math.max(...lengths), total: lengths.reduce((sum, n) => sum + n, 0) };
  });
}

/**
 * @param {Size} size
 * @param {number} down
 * @param {number} across
 * @param {number} reach
 * @param {number} multiple
 * @returns {Crop[][]}
 */
function cut(size, down, across, reach, multiple) {
  const columns = spans(size[1], across, multiple);
  return spans(size[0], down, multiple).map(([top, bottom]) =>
    columns.map(([left, right]) => cropFor({ top, left, bottom, right }, reach, multiple, size)),
  );
}
