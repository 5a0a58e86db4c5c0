// Before and after, one over the other, with a line between them; zoom and pan by wheel, fingers, mouse, keys and buttons.
import { Tiles } from "./tiles.js";
import { say } from "./text.js";

const LARGEST_ZOOM = 16;
// A small picture isn't blown up beyond this many pixels of the screen for one of its result.
const LARGEST_FIT = 4;
const STEP = 1.25;
// From here on single pixels are shown as they are.
const SHARP_ZOOM = 3;
const PAN_STEP = 60;
// CSS pixels around the line in which it can be taken.
const GRIP = 28;

export class Viewer {
  constructor({ pane, canvas, line, slider, scale, buttons }) {
    Object.assign(this, { pane, canvas, line, slider, scale });
    this.context = canvas.getContext("2d");
    this.pointers = new Map();
    this.fitted = true;
    this.view = { zoom: 1, x: 0, y: 0 };
    new ResizeObserver(() => (this.fitted ? this.fit() : this.redraw())).observe(pane);
    slider.addEventListener("input", () => this.redraw());
    this.listen(buttons);
  }

  // Show a picture before, at the size that it will have.
  show(bitmap, width, height) {
    this.clear();
    Object.assign(this, { bitmap, width, height });
    this.fit();
  }

  // Give the result of this size room; its bands come by `add`.
  expect(width, height) {
    this.after?.drop();
    const keeps = this.width ? width / this.width : 1;
    Object.assign(this, { width, height, after: new Tiles(width, height, () => this.redraw()) });
    if (this.fitted) return this.fit();
    this.view = { zoom: this.view.zoom / keeps, x: this.view.x * keeps, y: this.view.y * keeps };
    this.redraw();
  }

  add(band) {
    return this.after.add(band);
  }

  clear() {
    this.after?.drop();
    this.bitmap?.close();
    this.after = this.bitmap = null;
    this.fitted = true;
  }

  listen(buttons) {
    const { pane } = this;
    buttons.smaller.addEventListener("click", () => this.zoomBy(1 / STEP));
    buttons.larger.addEventListener("click", () => this.zoomBy(STEP));
    buttons.fit.addEventListener("click", () => this.fit());
    buttons.pixels.addEventListener("click", () => this.zoomTo(1));
    pane.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), this.place(event));
    }, { passive: false });
    pane.addEventListener("keydown", (event) => this.key(event));
    pane.addEventListener("pointerdown", (event) => this.down(event));
    pane.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) pane.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    pane.addEventListener("dblclick", (event) => (this.fitted ? this.zoomTo(1, this.place(event)) : this.fit()));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const zooms = { "+": () => this.zoomBy(STEP), "=": () => this.zoomBy(STEP), "-": () => this.zoomBy(1 / STEP), 0: () => this.fit(), 1: () => this.zoomTo(1) };
    const onSlider = event.target === this.slider;
    if (zooms[event.key]) zooms[event.key]();
    else if (moves[event.key] && !onSlider) this.pan(...moves[event.key].map((step) => step * PAN_STEP));
    else return;
    event.preventDefault();
  }

  down(event) {
    if (event.button > 0) return;
    this.pane.setPointerCapture(event.pointerId);
    const { x } = this.place(event);
    const onLine = Math.abs(x - this.splitAt()) < GRIP || this.fitted;
    this.pointers.set(event.pointerId, { ...this.place(event), onLine: onLine && !this.pointers.size });
    if (this.pointers.size === 1 && onLine) this.dragLine(x);
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.place(event);
    if (this.pointers.size === 2) this.pinch(event.pointerId, before, now);
    else if (before.onLine) this.dragLine(now.x);
    else this.pan(before.x - now.x, before.y - now.y);
    this.pointers.set(event.pointerId, { ...before, ...now });
  }

  pinch(id, before, now) {
    const [, other] = [...this.pointers].find(([key]) => key !== id);
    const distance = (place) => Math.hypot(place.x - other.x, place.y - other.y) || 1;
    this.pan((before.x - now.x) / 2, (before.y - now.y) / 2);
    this.zoomBy(distance(now) / distance(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
  }

  dragLine(x) {
    const { left, right } = this.edges();
    this.slider.value = Math.round((100 * (x - left)) / (right - left));
    this.redraw();
  }

  place(event) {
    const box = this.pane.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  get size() {
    return { width: this.pane.clientWidth, height: this.pane.clientHeight };
  }

  // CSS pixels for one pixel of the result.
  get unit() {
    return this.view.zoom / devicePixelRatio;
  }

  fit() {
    if (!this.bitmap) return;
    const { width, height } = this.size;
    const zoom = Math.min(width / this.width, height / this.height) * devicePixelRatio;
    this.view = { zoom: Math.min(zoom, LARGEST_FIT), x: this.width / 2, y: this.height / 2 };
    this.fitted = true;
    this.redraw();
  }

  zoomTo(zoom, place) {
    this.zoomBy(zoom / this.view.zoom, place);
  }

  // Zoom so that what lies at a place of the pane stays there.
  zoomBy(factor, place = { x: this.size.width / 2, y: this.size.height / 2 }) {
    if (!this.bitmap) return;
    const { width, height } = this.size;
    const least = Math.min(1, width / this.width, height / this.height) * devicePixelRatio * 0.5;
    const [dx, dy] = [place.x - width / 2, place.y - height / 2];
    const point = { x: this.view.x + dx / this.unit, y: this.view.y + dy / this.unit };
    this.view.zoom = Math.min(LARGEST_ZOOM, Math.max(least, this.view.zoom * factor));
    this.moveTo(point.x - dx / this.unit, point.y - dy / this.unit);
  }

  pan(dx, dy) {
    if (this.bitmap) this.moveTo(this.view.x + dx / this.unit, this.view.y + dy / this.unit);
  }

  moveTo(x, y) {
    this.view.x = Math.min(this.width, Math.max(0, x));
    this.view.y = Math.min(this.height, Math.max(0, y));
    this.fitted = false;
    this.redraw();
  }

  // What of the pane the picture covers, in CSS pixels.
  edges() {
    const { width, height } = this.size;
    const x = width / 2 - this.view.x * this.unit;
    const y = height / 2 - this.view.y * this.unit;
    return {
      left: Math.max(0, x), right: Math.max(1, Math.min(width, x + this.width * this.unit)),
      top: Math.max(0, y), bottom: Math.min(height, y + this.height * this.unit),
    };
  }

  splitAt() {
    const { left, right } = this.edges();
    return left + ((right - left) * this.slider.value) / 100;
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.bitmap && this.size.width) this.draw();
    });
  }

  draw() {
    const { canvas, context, view } = this;
    const { width, height } = this.size;
    const density = devicePixelRatio;
    const [w, h] = [Math.round(width * density), Math.round(height * density)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, w, h);
    const split = Math.round(this.splitAt() * density);
    const base = [view.zoom, 0, 0, view.zoom, w / 2 - view.x * view.zoom, h / 2 - view.y * view.zoom];
    const hasAfter = this.after && this.after.bottom > 0;
    this.part(0, hasAfter ? split : w, base, () => context.drawImage(this.bitmap, 0, 0, this.width, this.height), true);
    if (hasAfter) this.part(split, w, base, () => this.drawAfter(), view.zoom < SHARP_ZOOM);
    this.showLine(split / density, hasAfter);
  }

  part(from, to, transform, paint, smooth) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, this.canvas.height);
    context.clip();
    context.setTransform(...transform);
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    paint();
    context.restore();
  }

  // What isn't there yet is as before. The edge lies between two pixels of the screen, so that no line shows there.
  drawAfter() {
    const { context, after, view, canvas } = this;
    const transform = context.getTransform();
    const edge = after.bottom < this.height ? Math.round(transform.f + after.bottom * view.zoom) : canvas.height;
    const within = (top, bottom, paint) => {
      context.save();
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.beginPath();
      context.rect(0, top, canvas.width, bottom - top);
      context.clip();
      context.setTransform(transform);
      paint();
      context.restore();
    };
    if (edge < canvas.height) within(edge, canvas.height, () => context.drawImage(this.bitmap, 0, 0, this.width, this.height));
    if (edge <= 0) return;
    const [halfWidth, halfHeight] = [canvas.width / 2 / view.zoom, canvas.height / 2 / view.zoom];
    within(0, edge, () =>
      after.draw(context, view.x - halfWidth, view.y - halfHeight, view.x + halfWidth, view.y + halfHeight, view.zoom));
  }

  showLine(x, visible) {
    const { top, bottom } = this.edges();
    this.pane.classList.toggle("compared", Boolean(visible));
    Object.assign(this.line.style, { left: `${x}px`, top: `${top}px`, height: `${Math.max(0, bottom - top)}px` });
    this.slider.setAttribute("aria-valuetext", say("sliderValue", { percent: this.slider.value }));
    this.slider.disabled = !visible;
    this.scale.textContent = `${Math.round(100 * this.view.zoom)} %`;
  }
}
