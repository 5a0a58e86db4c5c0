// A picture of any size, to be drawn in parts: a reduced one of all of it, and tiles, of which only those that are looked at
// are held decoded. It comes in bands, from top to bottom.

const OVERVIEW_EDGE = 2048;
const TILE_WIDTH = 1024;
// Pixels that are held decoded, four bytes each; the others lie in blobs, which browsers may keep on the disk.
const HELD_PIXELS = 48e6;

export class Tiles {
  constructor(width, height, onChange) {
    Object.assign(this, { width, height, onChange, bottom: 0, tiles: [], held: 0, clock: 0, dropped: false });
    this.reduction = Math.max(1, Math.ceil(Math.max(width, height) / OVERVIEW_EDGE));
    this.overview = new OffscreenCanvas(Math.ceil(width / this.reduction), Math.ceil(height / this.reduction));
    this.context = this.overview.getContext("2d");
    this.context.imageSmoothingQuality = "high";
    this.queue = Promise.resolve();
  }

  // Add the next band; its pixels are those of an ImageData.
  add({ top, width, height, pixels }) {
    const image = new ImageData(pixels, width, height);
    this.queue = this.queue.then(async () => {
      if (this.dropped) return;
      await this.reduce(image, top);
      if (this.reduction > 1) for (let left = 0; left < width; left += TILE_WIDTH) await this.cut(image, left, top);
      this.bottom = top + height;
      this.onChange();
    });
    return this.queue;
  }

  async reduce(image, top) {
    if (this.reduction === 1) return this.context.putImageData(image, 0, top);
    const bitmap = await createImageBitmap(image);
    // Whole rows: between two halves of one, a line would show.
    const [from, to] = [top, top + image.height].map((y) => Math.round(y / this.reduction));
    if (to > from) this.context.drawImage(bitmap, 0, from, this.overview.width, to - from);
    bitmap.close();
  }

  async cut(image, left, top) {
    const width = Math.min(TILE_WIDTH, image.width - left);
    const tile = { left, top, width, height: image.height, bitmap: null, blob: null, used: 0, coming: false };
    const canvas = new OffscreenCanvas(width, image.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.putImageData(image, -left, 0);
    if (this.width * this.height > HELD_PIXELS) tile.blob = new Blob([context.getImageData(0, 0, width, image.height).data]);
    else tile.bitmap = canvas.transferToImageBitmap();
    this.tiles.push(tile);
  }

  // Draw what lies in a rectangle of the picture; the context is in the picture's pixels. `zoom` are pixels of the screen for one.
  draw(context, left, top, right, bottom, zoom) {
    context.drawImage(this.overview, 0, 0, this.overview.width * this.reduction, this.overview.height * this.reduction);
    if (this.reduction === 1 || zoom * this.reduction <= 1.25) return;
    for (const tile of this.tiles) {
      if (tile.left >= right || tile.top >= bottom || tile.left + tile.width <= left || tile.top + tile.height <= top) continue;
      tile.used = ++this.clock;
      if (tile.bitmap) context.drawImage(tile.bitmap, tile.left, tile.top);
      else this.decode(tile);
    }
  }

  async decode(tile) {
    if (tile.coming || this.dropped) return;
    tile.coming = true;
    const pixels = new Uint8ClampedArray(await tile.blob.arrayBuffer());
    tile.bitmap = await createImageBitmap(new ImageData(pixels, tile.width, tile.height));
    tile.coming = false;
    this.held += tile.width * tile.height;
    this.forget();
    this.onChange();
  }

  // Let go of what was drawn the longest ago.
  forget() {
    const held = this.tiles.filter((tile) => tile.bitmap && tile.blob).sort((a, b) => a.used - b.used);
    while (this.held > HELD_PIXELS && held.length > 1) {
      const tile = held.shift();
      this.held -= tile.width * tile.height;
      tile.bitmap.close();
      tile.bitmap = null;
    }
  }

  drop() {
    this.dropped = true;
    for (const tile of this.tiles) tile.bitmap?.close();
    this.tiles = [];
  }
}
