// Keeps the page for offline use, and adds the headers that threads need where a host can't send them.
// What there is, by sha256, is filled in when the site is built; so this file changes with any of them, and with it the page.
"use strict";

const BUILD = /* files */ {};
const FILES = BUILD.files ?? {};
const HEADERS = BUILD.headers ?? {};
const SCOPE = new URL(self.registration.scope);
const CACHE = `esc-try ${SCOPE.pathname}`;
// Large, and not all of them needed by everybody: kept when they are first asked for.
const LATER = /^(runtime|models)\//;

const nameOf = (url) => url.origin === SCOPE.origin && url.pathname.startsWith(SCOPE.pathname)
  ? decodeURIComponent(url.pathname.slice(SCOPE.pathname.length)) || "index.html" : "";

// Kept under its hash, so that an update fetches only what has changed.
const keyOf = (name) => new URL(`${name}?sha256=${FILES[name]}`, SCOPE).href;

async function digest(buffer) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", buffer));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function withHeaders(response) {
  if (response.type === "opaque" || response.type === "opaqueredirect" || !response.ok) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

// A file from the host, not from the browser's own cache, which may hold that of an earlier build. It is kept only if it is the
// one that belongs to this build, for good.
async function fetchAndKeep(name) {
  const response = await fetch(new URL(name, SCOPE), { cache: "reload" });
  if (!response.ok) return response;
  const body = await response.arrayBuffer();
  const whole = new Response(body, { headers: { "Content-Type": response.headers.get("Content-Type") ?? "" } });
  if (await digest(body) === FILES[name]) {
    try {
      await (await caches.open(CACHE)).put(keyOf(name), whole.clone());
    } catch { /* no room: the page works all the same, with a connection */ }
  }
  return whole;
}

async function keptOf(name) {
  try {
    return await (await caches.open(CACHE)).match(keyOf(name));
  } catch {
    return undefined;  // the browser's store is damaged, or its disk is full: there is still the host
  }
}

async function answer(name) {
  return withHeaders(await keptOf(name) ?? await fetchAndKeep(name));
}

self.addEventListener("install", (event) => event.waitUntil((async () => {
  const kept = await caches.open(CACHE);
  for (const name of Object.keys(FILES)) {
    if (LATER.test(name) || await kept.match(keyOf(name))) continue;
    const response = await fetchAndKeep(name);
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
  }
})()));

self.addEventListener("activate", (event) => event.waitUntil((async () => {
  const wanted = new Set(Object.keys(FILES).map(keyOf));
  const kept = await caches.open(CACHE);
  for (const request of await kept.keys()) if (!wanted.has(request.url)) await kept.delete(request);
  await self.clients.claim();
})()));

self.addEventListener("message", (event) => {
  if (event.data === "activate") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const name = nameOf(new URL(event.request.url));
  if (event.request.method === "GET" && name in FILES) event.respondWith(answer(name));
});
