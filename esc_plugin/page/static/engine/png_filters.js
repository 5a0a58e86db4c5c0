// PNG's filters: each row is stored as its difference to what its neighbours let expect, in one of five ways.

/**
 * Return what the byte before, the one above and the one before that let expect.
 * @param {number} before
 * @param {number} above
 * @param {number} corner
 */
function paeth(before, above, corner) {
  const [a, b, c] = [Math.abs(above - corner), Math.abs(before - corner), Math.abs(before + above - 2 * corner)];
  return a <= b && a <= c ? before : b <= c ? above : corner;
}

/**
 * Undo a filter, in place.
 * @param {number} kind 0 to 4
 * @param {Uint8Array} row
 * @param {Uint8Array} previous The row above, zeros for the first.
 * @param {number} step Bytes of a pixel, at least 1.
 * @returns {boolean} Whether there is such a filter.
 */
export function unfilter(kind, row, previous, step) {
  for (let i = 0; i < row.length; i++) {
    const before = i < step ? 0 : row[i - step];
    if (kind === 1) row[i] += before;
    else if (kind === 2) row[i] += previous[i];
    else if (kind === 3) row[i] += (before + previous[i]) >> 1;
    else if (kind === 4) row[i] += paeth(before, previous[i], i < step ? 0 : previous[i - step]);
  }
  return kind <= 4;
}

/** Those that are tried for each row: for photos, Paeth is nearly always the best; for drawings, Sub or Up. */
const TRIED = [1, 2, 4];

/** Filters rows one after the other, each by what leaves the smallest differences: they take the fewest bytes, as a rule. */
export class Filter {
  /**
   * @param {number} length Of a row, in bytes.
   * @param {number} step Bytes of a pixel.
   */
  constructor(length, step) {
    this.step = step;
    this.previous = new Uint8Array(length);
    this.tried = TRIED.map((kind) => {
      const filtered = new Uint8Array(length + 1);
      filtered[0] = kind;
      return filtered;
    });
  }

  /**
   * Write a row behind the number of its filter.
   * @param {Uint8Array} row
   * @param {Uint8Array} to
   * @param {number} at
   */
  write(row, to, at) {
    let best = this.tried[0];
    let least = Infinity;
    for (const filtered of this.tried) {
      const size = this.#filter(row, filtered);
      if (size < least) [least, best] = [size, filtered];
    }
    to.set(best, at);
    this.previous.set(row);
  }

  /**
   * Return how large the differences are together.
   * @param {Uint8Array} row
   * @param {Uint8Array} to Its first byte says by which filter.
   */
  #filter(row, to) {
    const { previous, step } = this;
    const kind = to[0];
    let size = 0;
    for (let i = 0; i < row.length; i++) {
      const before = i < step ? 0 : row[i - step];
      const expected =
        kind === 1 ? before : kind === 2 ? previous[i] : paeth(before, previous[i], i < step ? 0 : previous[i - step]);
      const difference = (row[i] - expected) & 255;
      to[i + 1] = difference;
      size += difference < 128 ? difference : 256 - difference;
    }
    return size;
  }
}
