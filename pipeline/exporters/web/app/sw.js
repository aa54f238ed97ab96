// Keeps the files of the page in this browser, so that it works without a network. `files.json` lists them, with a hash of them all:
// another export is another cache. The runtime, of which there are two, is added by the page when it knows which it uses.

const NAME = `pocketnmt ${self.registration.scope} `;

async function listed() {
  const answer = await fetch("files.json", { cache: "no-store" });
  return answer.json();
}

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const { version, files } = await listed();
    const cache = await caches.open(`${NAME}${version}`);
    await cache.addAll(["./", "files.json", ...files].map((file) => new Request(file, { cache: "no-cache" })));
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const own = (await caches.keys()).filter((key) => key.startsWith(NAME));
    const { version } = await listed().catch(() => ({}));
    if (version) await Promise.all(own.filter((key) => key !== `${NAME}${version}`).map((key) => caches.delete(key)));
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== location.origin) return;
  event.respondWith(caches.match(event.request, { ignoreSearch: true }).then((found) => found ?? fetch(event.request)));
});
