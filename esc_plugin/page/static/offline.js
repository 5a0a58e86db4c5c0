// The service worker: it keeps the page for use without a connection, and where the host doesn't send the headers that threads
// need, it adds them, for which the page has to be loaded once more.

const ONCE = "esc-reloaded";
const LONGEST_MS = 15000;

// Return whether the page works without a connection from now on. `mayReload` says whether nothing would be lost by that.
export async function prepareOffline(mayReload) {
  if (!("serviceWorker" in navigator) || !isSecureContext) return false;
  try {
    const registration = await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" });
    await takeUpdate(registration, mayReload);
    registration.update().catch(() => {});  // browsers look for one when they have time; what there is waits for the next visit
    if (!await controlled()) return false;
  } catch {
    return false;  // forbidden, or no room for it: the page works all the same
  }
  if (!crossOriginIsolated && mayReload() && !remembered()) {
    location.reload();
    await new Promise(() => {});
  }
  return true;
}

// A new version that has been waiting since the last visit takes over now, before there is any work.
async function takeUpdate(registration, mayReload) {
  if (!registration.waiting || !mayReload()) return;
  const changed = new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
  registration.waiting.postMessage("activate");
  await Promise.race([changed, pause()]);
  location.reload();
  await new Promise(() => {});
}

async function controlled() {
  if (navigator.serviceWorker.controller) return true;
  const changed = new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
  await Promise.race([changed, pause()]);
  return Boolean(navigator.serviceWorker.controller);
}

const pause = () => new Promise((resolve) => setTimeout(resolve, LONGEST_MS));

// One attempt a visit: inside of another site's frame, say, no header helps.
function remembered() {
  try {
    const before = sessionStorage.getItem(ONCE);
    sessionStorage.setItem(ONCE, "yes");
    return Boolean(before);
  } catch {
    return true;
  }
}
