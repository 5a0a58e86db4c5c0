// What Python has written for a test: a folder of cases, named by an environment variable.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.env.ESC_ENGINE_CASES;

/** For tests that need them. */
export const needsCases = folder ? {} : { skip: "needs cases that test_engine.py writes" };

/** Where a case is. */
export const pathOf = (name) => join(folder ?? "", name);

/** Read a case as JSON. */
export const caseOf = (name) => JSON.parse(readFileSync(pathOf(name), "utf-8"));

/** Read bytes of a case. */
export const bytesOf = (name) => new Uint8Array(readFileSync(pathOf(name)));

/** Hand something back to Python. */
export const handBack = (name, bytes) => writeFileSync(pathOf(name), bytes);
