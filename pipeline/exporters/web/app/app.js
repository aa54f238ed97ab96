// The page: what is typed is translated as it is typed, by the .tflite file, in this browser; nothing is sent anywhere.

import { copied } from "./clipboard.js";
import { heatMap } from "./heat-map.js";
import { Interpreter } from "./interpreter.js";
import { followUpdates, keep } from "./offline.js";
import { Translator } from "./translator.js";

const WAIT = 120; // milliseconds without a key until a translation begins

const element = (id) => document.getElementById(id);
const state = element("state");

async function bytes(name) {
  const answer = await fetch(`model/${name}`);
  if (!answer.ok) throw new Error(`model/${name}: ${answer.status} ${answer.statusText}. Copy the whole folder to the server.`);
  return new Uint8Array(await answer.arrayBuffer());
}

// Makes sure that a file is the very one that translator.json describes. Only pages from a safe origin can.
async function checked({ file, sha256 }) {
  const content = await bytes(file);
  if (crypto.subtle) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
    const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (found !== sha256) {
      throw new Error(`model/${file}: is file ${found.slice(0, 8)}… (${content.length} bytes), but translator.json describes `
        + `${sha256.slice(0, 8)}…: it is damaged, or of another export. Copy the whole folder again.`);
    }
  }
  return content;
}

async function load() {
  const details = JSON.parse(new TextDecoder().decode(await bytes("translator.json")));
  const precision = ["int8", "float16", "float32"].find((name) => name in details.files);
  const joint = details.source_subwords.file === details.target_subwords.file;
  const interpreter = new Interpreter();
  const [content, source, other] = await Promise.all([
    checked(details.files[precision]),
    checked(details.source_subwords),
    joint ? null : checked(details.target_subwords),
  ]);
  const size = content.length;
  const { signatures, files } = await interpreter.load(content);
  const sentence = (ids, length) => ({ source_ids: [ids, [1, ids.length]], length: [Int32Array.of(length), [1]] });
  const search = async (ids, length) => {
    const { ids: found, score } = await interpreter.run("translate", sentence(ids, length));
    return { ids: found, score: score[0] };
  };
  const attend = signatures.includes("attention")
    ? async (ids, length, target) =>
      (await interpreter.run("attention", { ...sentence(ids, length), target_ids: [target, [1, target.length]] })).weights
    : null;
  return { translator: new Translator(details, source, other ?? source, search, attend), precision, size, runtime: files };
}

const tag = (code) => code.replaceAll("_", "-"); // "pt_BR" is "pt-BR" to browsers

function name(code) {
  try {
    return new Intl.DisplayNames(undefined, { type: "language" }).of(tag(code)) ?? code;
  } catch {
    return code;
  }
}

let typed = false; // since the page was opened, perhaps before it was ready
element("source").addEventListener("input", () => { typed = true; });
let ready = "Ready"; // what the page says while all is well

function say(message, isError = false) {
  if (state.textContent !== message) state.textContent = message;
  state.className = isError ? "error" : "";
}

function failed(error) {
  const message = error.message ?? String(error);
  say(message, true);
  window.pocketnmt = { ...window.pocketnmt, error: message };
}

function succeeded() {
  say(ready);
  if (window.pocketnmt) delete window.pocketnmt.error;
}

async function main() {
  const begun = performance.now();
  const { translator, precision, size, runtime } = await load();
  const { details } = translator;
  element("from").textContent = name(details.source_language);
  element("into").textContent = name(details.target_language);
  element("source").lang = tag(details.source_language);
  element("target").lang = tag(details.target_language);
  document.title = `${name(details.source_language)} → ${name(details.target_language)}`;
  element("about").textContent =
    `${precision}, ${(size / 1e6).toFixed(1)} MB, beam ${details.search.beam_size}. Runs in this browser alone: what you type stays here.`;

  let latest = null; // the last translation
  let wanted = null; // text that waits for its turn; only the last one counts
  let busy = false;
  async function show(text) {
    wanted = text;
    if (busy) return;
    busy = true;
    while (wanted !== null) {
      const now = wanted;
      wanted = null;
      await translated(now).catch(failed);
    }
    busy = false;
  }

  async function translated(text) {
    const start = performance.now();
    const found = await translator.translate(text, () => wanted !== null);
    if (!found) return;
    latest = found;
    const milliseconds = performance.now() - start;
    element("target").textContent = latest.text;
    element("time").textContent = latest.text ? `${milliseconds.toFixed(0)} ms` : "";
    element("copy").disabled = !latest.text;
    element("look").disabled = !latest.text || !translator.attend;
    if (!latest.text) look(false);
    await showAttention();
    succeeded();
  }

  function look(open) {
    element("maps").replaceChildren();
    element("attention").hidden = !open;
    element("look").setAttribute("aria-expanded", String(open));
  }

  async function showAttention() {
    const translation = latest;
    const outdated = () => element("attention").hidden || latest !== translation || wanted !== null;
    if (!translation || !translator.attend) return;
    const tables = [];
    for (const sentence of translation.sentences) {
      if (outdated()) return;
      if (sentence.found.length) tables.push(heatMap(await translator.attention(sentence)));
    }
    if (outdated()) return;
    element("maps").replaceChildren(...tables);
    element("cell").textContent = "";
  }

  let timer;
  element("source").addEventListener("input", ({ target }) => {
    clearTimeout(timer);
    timer = setTimeout(() => show(target.value), WAIT);
  });
  element("clear").addEventListener("click", () => {
    clearTimeout(timer);
    element("source").value = "";
    element("source").focus();
    show("");
  });
  element("copy").addEventListener("click", async () => {
    if (await copied(element("target"))) say("Copied");
    else say("This browser does not let the page copy: the translation is selected, copy it by hand", true);
  });
  element("look").addEventListener("click", () => {
    look(element("attention").hidden);
    showAttention().catch(failed);
  });
  // What a mouse shows of a cell by itself, for fingers.
  element("maps").addEventListener("click", ({ target }) => {
    element("cell").textContent = target.closest("td[title]")?.title ?? "";
  });
  say(ready);
  window.pocketnmt = { translator, loaded: performance.now() - begun };
  if (element("source").value) await show(element("source").value);
  return runtime;
}

// Stores the page for later, and the files of the runtime. The translator works without: a failure is told, and is no error.
async function store(runtime) {
  try {
    if (!(await keep(runtime))) return;
    ready = "Ready, also without a network";
    document.body.dataset.offline = "ready";
  } catch (error) {
    ready = `Ready, but only with a network: the page could not be stored (${error.message})`;
    document.body.dataset.offline = "failed";
  }
  if (!window.pocketnmt.error) say(ready);
}

// Also where this version fails: a newer one may not.
followUpdates(() => !typed, main().then(store, failed)).catch(() => {});
