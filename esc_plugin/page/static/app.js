// The page: from a picture to a larger one.
import { Choice } from "./choice.js";
import { prepareOffline } from "./offline.js";
import { takePictures } from "./picture.js";
import { texts } from "./strings.js";
import { duration, element, fill, fillPage, number, say, short } from "./text.js";
import { Viewer } from "./viewer.js";
import { Cancelled, Failure, Work } from "./work.js";

const $ = (id) => document.getElementById(id);
const pane = $("pane");
fillPage();
$("late").remove();
$("limit-list").replaceChildren(...texts.limitList.map((text) => element("li", { textContent: text })));

const viewer = new Viewer({
  pane, canvas: pane.querySelector("canvas"), line: $("line"), slider: $("slider"), scale: $("scale"),
  buttons: { smaller: $("smaller"), larger: $("larger"), fit: $("fit"), pixels: $("pixels") },
});
const work = new Work(new URL("engine/worker.js", document.baseURI), hear);
let choice = null;
let picture = null;  // the file, its bitmap
let run = 0;  // counts pictures and starts, so that what belongs to an earlier one is left out
let told = "";  // the last thing that was said aloud of how far it is
let address = "";  // of the result

function state(name) {
  document.body.dataset.state = name;
  $("drop").hidden = name !== "empty";
  $("viewer").hidden = name === "empty";
  $("progress").hidden = name !== "working";
  $("result").hidden = name === "empty" || name === "working";
  $("start").hidden = name !== "ready" && name !== "changed";
  $("download").hidden = name !== "done" && name !== "changed";
  $("start").textContent = say(name === "changed" ? "again" : "start");
}

function status(text) {
  $("status").textContent = text;
}

function problem(error) {
  const values = { ...error.values, name: short(picture?.file.name || "?", 60) };
  if (values.pixels) Object.assign(values, { megapixels: Math.ceil(values.pixels / 1e6), limit: Math.floor(values.limit / 1e6) });
  if (values.reason) values.reason = short(values.reason, 200);
  if (values.status === 0) values.status = say("noAnswer");
  $("problem").hidden = false;
  $("problem").querySelector("p").textContent = fill(texts.problem[error.code] ?? error.message, values);
}

function notice({ code, message, values = {} }) {
  if (code === "one-thread") return;  // which the foot of the page says
  const told = { ...values, reason: short(values.reason ?? ""), what: [].concat(values.what ?? []).join(", ") };
  $("notices").append(element("li", { textContent: fill(texts.notice[code] ?? message, told) }));
}

function forget() {
  $("problem").hidden = true;
  $("notices").replaceChildren();
  $("record").hidden = true;
  if (address) URL.revokeObjectURL(address);
  address = "";
}

// A new picture, from wherever.
async function take(file) {
  const own = ++run;
  forget();
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    await work.stop();
    if (own !== run) return;
    picture = { file };
    problem({ code: "no-image" });
    viewer.clear();
    state("empty");
    return;
  }
  if (own !== run) return bitmap.close();
  picture = { file, width: bitmap.width, height: bitmap.height };
  const scale = choice?.model.scale ?? 2;
  state("ready");
  viewer.show(bitmap, bitmap.width * scale, bitmap.height * scale);
  $("sizes").textContent = say("sizeBefore", { width: number(bitmap.width), height: number(bitmap.height) });
  status(say("chosen", { name: short(file.name || "?", 60) }));
  $("stage").focus({ preventScroll: true });
  if ($("at-once").checked) await start();
  else await work.stop();
}

const loading = () => ({
  model: choice.forEngine, runtime: new URL("runtime/", document.baseURI).href, backend: $("backend").value,
});
const wishes = () => ({ load: loading(), survey: $("exact").checked ? "exact" : "auto" });

async function start() {
  const own = ++run;
  forget();
  state("working");
  showProgress(say("loadingRuntime"));
  try {
    await ready;
    if (own !== run) return;
    const begun = performance.now();
    const wished = wishes();  // they may be others when this is done
    await work.stop(["upscale"]);
    if (own !== run) return;
    showBackend(await work.load(wished.load));
    if (own !== run) return;
    showProgress(say("opening"));
    const done = await work.upscale({ picture: picture.file, name: picture.file.name, survey: wished.survey });
    await viewer.after?.queue;
    if (own === run) finish(done, wished, (performance.now() - begun) / 1000);
  } catch (error) {
    if (own !== run) return;
    state("ready");
    if (error instanceof Cancelled) status(say("cancelled"));
    else if (error instanceof Failure) problem(error);
    else throw error;
  }
}

// Also where there is nothing yet that the worker could stop.
async function cancel() {
  const own = run;
  await work.stop();
  if (own !== run || document.body.dataset.state !== "working") return;
  run++;
  state("ready");
  status(say("cancelled"));
}

function finish(done, wished, seconds) {
  const values = { outputWidth: number(done.width), outputHeight: number(done.height), time: duration(seconds) };
  address = URL.createObjectURL(done.png);
  const stem = (picture.file.name || "picture").replace(/\.[^.]*$/, "");
  Object.assign($("download"), { href: address, download: `${stem}_x${wished.load.model.scale}.png` });
  showRecord(done.record);
  state(JSON.stringify(wished) === JSON.stringify(wishes()) ? "done" : "changed");
  status(say("doneStatus", values));
  $("notices").prepend(element("li", { className: "good", textContent: say("done", values) }));
  // Not if somebody compares already.
  if ([document.body, $("stage")].includes(document.activeElement)) $("download").focus({ preventScroll: true });
}

function showRecord(record) {
  const rows = Object.entries(texts.record).filter(([key]) => record[key] !== undefined).flatMap(([key, label]) => [
    element("dt", { textContent: label }), element("dd", { textContent: fact(key, record[key]) })]);
  $("record").querySelector("dl").replaceChildren(...rows);
  $("record").hidden = false;
}

function fact(key, value) {
  if (key === "size") return say("sizeOfRecord", { width: number(value[1]), height: number(value[0]) });
  if (key === "seconds") return value.toFixed(1);
  if (key !== "survey") return String(value);
  const drift = value.drift == null ? "" : say("drift", { drift: value.drift.toExponential(1) });
  return fill(texts.surveyMethod[value.method] ?? value.method, value) + drift;
}

// What the worker tells while it works.
function hear(message) {
  if (message.type === "notice") return notice(message);
  if (document.body.dataset.state !== "working") return;
  if (message.type === "loading") showProgress(say("loadingModel"), message.total ? message.received / message.total : null);
  else if (message.type === "picture") expect(message);
  else if (message.type === "progress") showProgress(say(message.stage), message.done / message.total, message.seconds);
  else if (message.type === "band") viewer.add(message);
}

function expect({ width, height, outputWidth, outputHeight }) {
  viewer.expect(outputWidth, outputHeight);
  const values = { width, height, outputWidth, outputHeight };
  $("sizes").textContent = say("sizes", Object.fromEntries(Object.entries(values).map(([key, value]) => [key, number(value)])));
}

function showProgress(text, share = null, seconds = null) {
  const bar = $("progress").querySelector("progress");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  $("stage-text").textContent = text;
  $("left").textContent = seconds == null ? "" : say("left", { time: duration(seconds) });
  // Aloud only now and then.
  const aloud = share === null ? text : `${text}, ${say("percentDone", { percent: 25 * Math.floor(4 * share) })}`;
  if (aloud !== told) status(aloud);
  told = aloud;
}

function showBackend({ backend, threads }) {
  const key = backend === "webgpu" ? "onGpu" : threads > 1 ? "onCpu" : "onOneThread";
  $("backend-text").textContent = say(key, { threads });
  document.body.dataset.backend = backend;
}

function changed() {
  if (document.body.dataset.state === "done") state("changed");
  if (document.body.dataset.state === "empty") preload();
}

function reset() {
  run++;
  picture = null;
  forget();
  viewer.clear();
  state("empty");
  status("");
  $("choose").focus();
}

// Everything that doesn't need a picture, so that the first one doesn't wait, and so that all of it is there without a connection.
async function preload() {
  if (navigator.connection?.saveData) return;
  try {
    showBackend(await work.load(loading()));
  } catch (error) {
    if (error instanceof Failure) problem(error);
  }
}

async function prepare() {
  if (typeof WebAssembly !== "object") throw new Failure({ code: "no-wasm" });
  let about;
  try {
    const response = await fetch("models.json");
    if (!response.ok) throw new Error(`${response.status}`);
    about = await response.json();
  } catch (error) {
    throw new Failure({ code: "no-models", message: String(error), values: { reason: short(error.message) } });
  }
  const isEmpty = () => document.body.dataset.state === "empty";
  if (about.offline && await prepareOffline(isEmpty)) {
    $("offline-text").hidden = false;
    $("offline-text").textContent = say("offlineReady");
  }
  choice = new Choice({ kinds: document.querySelector(".kinds"), scales: document.querySelector(".segments"), card: $("card"), about, onChange: changed });
  document.body.dataset.ready = "yes";
}

takePictures({
  page: document.body, choose: $("choose"), photograph: $("photograph"), file: $("file"), camera: $("camera"),
  onFile: take, onNothing: () => problem({ code: "no-file" }),
});
$("settings").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["backend", "exact"]) $(id).addEventListener("change", changed);
$("start").addEventListener("click", start);
$("cancel").addEventListener("click", cancel);
$("another").addEventListener("click", reset);
$("problem").querySelector("button").addEventListener("click", () => { $("problem").hidden = true; });

state("empty");
const ready = prepare();
ready.then(preload, (error) => {
  if (!(error instanceof Failure)) throw error;
  problem(error);
  $("choose").disabled = $("photograph").disabled = true;
});
