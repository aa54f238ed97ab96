// Keeps the files of the page in this browser, so that it works without a network. Each export has a version, and each version a cache
// of its own, which has either every file of that export or is not there. The page's side of it is offline.js.

const VERSION = ""; // a hash of all files: the export writes it here, so that a browser sees in this file that the others are new
const RUNTIMES = {}; // the hashes of LiteRT's files, by name: two builds of it, of which a browser uses one; written here, too
const NAME = `pocketnmt ${self.registration.scope} `;

const older = async () => (await caches.keys()).filter((key) => key.startsWith(NAME) && key !== NAME + VERSION);

// Puts a file into the cache; it must be the one that the export has described: half a new export may lie on the server, or the server may
// call what this browser has of it up to date, by the files' times, though it is not.
async function fetchInto(cache, file, sha256) {
  for (const mode of ["no-cache", "reload"]) {
    const answer = await fetch(new Request(file, { cache: mode }));
    if (!answer.ok) throw new Error(`${file}: ${answer.status} ${answer.statusText}`);
    if ((await hash(answer.clone())) === sha256) return cache.put(file, answer);
  }
  throw new Error(`${file}: is of another export than sw.js`);
}

const nameOf = (url) => url.slice(self.registration.scope.length);
const fetchRuntime = (cache, url) => fetchInto(cache, url, RUNTIMES[nameOf(url)]);

async function hash(answer) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await answer.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Which of the two builds of LiteRT this browser uses is known to the page alone; an earlier version's cache tells it, too.
async function runtimeOfBefore() {
  const kept = await Promise.all((await older()).map((key) => caches.open(key)));
  const requests = (await Promise.all(kept.map((cache) => cache.keys()))).flat();
  return new Set(requests.map(({ url }) => url).filter((url) => nameOf(url) in RUNTIMES));
}

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const { version, files } = await (await fetch("files.json", { cache: "no-store" })).json();
    if (version !== VERSION) throw new Error("files.json: is of another export than sw.js");
    await caches.delete(NAME + VERSION);
    const cache = await caches.open(NAME + VERSION);
    try {
      await Promise.all([["./", files["index.html"]], ...Object.entries(files)].map((entry) => fetchInto(cache, ...entry)));
      await Promise.all([...await runtimeOfBefore()].map((url) => fetchRuntime(cache, url)));
    } catch (error) {
      await caches.delete(NAME + VERSION);
      throw error;
    }
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    await Promise.all((await older()).map((key) => caches.delete(key)));
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== location.origin) return;
  event.respondWith((async () => {
    const cache = await caches.open(NAME + VERSION);
    return (await cache.match(event.request, { ignoreSearch: true })) ?? fetch(event.request);
  })());
});

// From the page: "take over" from the version before; {keep: addresses of the runtime}, answered with {error}, null if they are kept.
self.addEventListener("message", (event) => {
  if (event.data === "take over") return event.waitUntil(self.skipWaiting());
  event.waitUntil((async () => {
    const [port] = event.ports;
    try {
      const cache = await caches.open(NAME + VERSION);
      await Promise.all(event.data.keep.map(async (url) => (await cache.match(url)) ?? fetchRuntime(cache, url)));
      port.postMessage({ error: null });
    } catch (error) {
      port.postMessage({ error: error.message });
    }
  })());
});
