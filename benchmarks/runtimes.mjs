// onnxruntime-web in Node.js for runtimes.py: node runtimes.mjs FILE.onnx THREADS [FOLDER with node_modules]
// In: height and width (uint32) and the pixels (float32, 3 x H x W). Out: height, width, peak memory in KiB, the pixels.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [file, threads, folder] = process.argv.slice(2);
const require = createRequire(folder ? join(folder, "package.json") : import.meta.url);
const ort = await import(pathToFileURL(require.resolve("onnxruntime-web")).href);
ort.env.wasm.numThreads = Number(threads);
const options = { executionProviders: ["wasm"] };
const session = await ort.InferenceSession.create(readFileSync(file), options);

let held = Buffer.alloc(0);
for await (const part of process.stdin) {
  held = Buffer.concat([held, part]);
  if (held.length < 8) continue;
  const [height, width] = [held.readUInt32LE(0), held.readUInt32LE(4)];
  const length = 8 + 12 * height * width;
  if (held.length < length) continue;
  const pixels = new Float32Array(new Uint8Array(held.subarray(8, length)).buffer);
  held = held.subarray(length);
  const image = new ort.Tensor("float32", pixels, [1, 3, height, width]);
  const { upscaled } = await session.run({ image });
  const head = Buffer.alloc(12);
  head.writeUInt32LE(upscaled.dims[2], 0);
  head.writeUInt32LE(upscaled.dims[3], 4);
  head.writeUInt32LE(process.resourceUsage().maxRSS, 8);
  process.stdout.write(head);
  process.stdout.write(Buffer.from(upscaled.data.buffer, upscaled.data.byteOffset, upscaled.data.byteLength));
}
