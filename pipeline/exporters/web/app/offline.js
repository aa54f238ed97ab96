// The page's side of sw.js: lets it keep this version of the page in the browser, and lets a newer one take its place.

const workers = navigator.serviceWorker; // undefined where the page does not come from a safe origin

// Shows a newer version, once it is stored, by loading the page again. `untouched` tells whether nobody has typed anything yet: where
// somebody has, the newer version waits until the page is opened the next time. `settled`: a promise, of when the page has loaded all.
export async function followUpdates(untouched, settled) {
  if (!workers?.controller) return; // this page comes from the server: there is no newer one
  workers.addEventListener("controllerchange", () => {
    if (untouched()) location.reload();
  });
  // In Chromium 150 a worker that is asked for something just while another takes its place keeps it, for minutes.
  await settled;
  const registration = await workers.ready;
  const offer = (worker) => {
    if (worker?.state === "installed" && untouched()) worker.postMessage("take over");
  };
  const watch = (worker) => {
    offer(worker);
    worker?.addEventListener("statechange", () => offer(worker));
  };
  registration.addEventListener("updatefound", () => watch(registration.installing));
  watch(registration.waiting);
  watch(registration.installing);
  await registration.update().catch(() => {}); // no network: nothing newer either
}

// Keeps the page: its files, and those of the runtime that this browser uses. False where the browser cannot.
export async function keep(runtime) {
  if (!workers) return false;
  const registration = await workers.register("sw.js");
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  await new Promise((resolve, reject) => {
    const look = () => {
      if (worker.state === "activated" || worker === registration.active) resolve();
      if (worker.state === "redundant") reject(new Error("a file is missing or is another one than it should be, or there is no room"));
    };
    worker.addEventListener("statechange", look);
    look();
  });
  const { port1, port2 } = new MessageChannel();
  const answer = new Promise((resolve) => { port1.onmessage = ({ data }) => resolve(data); });
  worker.postMessage({ keep: runtime }, [port2]);
  const { error } = await answer;
  if (error) throw new Error(error);
  return true;
}
