// The page: what is typed is translated as it is typed, by the .tflite file, in this browser; nothing is sent anywhere.

import { Tensor, loadAndCompile, loadLiteRt } from "./litert/core.js";
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
  const [, content, source, other] = await Promise.all([
    loadLiteRt("litert/wasm/"),
    checked(details.files[precision]),
    checked(details.source_subwords),
    joint ? null : checked(details.target_subwords),
  ]);
  const model = await loadAndCompile(content, { accelerator: "wasm" });

  const run = async (signature, arrays) => {
    const inputs = Object.fromEntries(Object.entries(arrays).map(([name, [array, shape]]) => [name, new Tensor(array, shape)]));
    const outputs = await model.run(signature, inputs);
    const found = {};
    for (const [name, tensor] of Object.entries(outputs)) found[name] = (await tensor.data()).slice();
    for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) if (!tensor.deleted) tensor.delete();
    return found;
  };
  const sentence = (ids, length) => ({ source_ids: [ids, [1, ids.length]], length: [Int32Array.of(length), [1]] });
  const search = async (ids, length) => {
    const { ids: found, score } = await run("translate", sentence(ids, length));
    return { ids: found, score: score[0] };
  };
  const attend = "attention" in model.signatures
    ? async (ids, length, target) =>
      (await run("attention", { ...sentence(ids, length), target_ids: [target, [1, target.length]] })).weights
    : null;
  return { translator: new Translator(details, source, other ?? source, search, attend), precision, size: content.length };
}

function name(code) {
  try {
    return new Intl.DisplayNames(undefined, { type: "language" }).of(code.replace("_", "-")) ?? code;
  } catch {
    return code;
  }
}

function heatMap({ sources, targets, weights }) {
  const shown = (piece) => piece.replace(/^▁/, "") || "␣";
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  head.append(document.createElement("th"));
  for (const piece of sources) {
    const cell = document.createElement("th");
    const text = document.createElement("span");
    text.textContent = shown(piece);
    cell.append(text);
    head.append(cell);
  }
  const body = table.createTBody();
  targets.forEach((piece, row) => {
    const line = body.insertRow();
    const cell = document.createElement("th");
    cell.textContent = shown(piece);
    line.append(cell);
    weights[row].forEach((weight, column) => {
      const one = line.insertCell();
      one.style.setProperty("--weight", weight.toFixed(3));
      one.title = `${shown(piece)} looks at ${shown(sources[column])}: ${weight.toFixed(2)}`;
    });
  });
  return table;
}

async function main() {
  const begun = performance.now();
  const { translator, precision, size } = await load();
  const { details } = translator;
  element("from").textContent = name(details.source_language);
  element("into").textContent = name(details.target_language);
  element("source").lang = details.source_language;
  element("target").lang = details.target_language;
  document.title = `${name(details.source_language)} → ${name(details.target_language)}`;
  element("about").textContent =
    `${precision}, ${(size / 1e6).toFixed(1)} MB, beam ${details.search.beam_size}. Runs in this browser alone: what you type stays here.`;
  state.textContent = "Ready";

  let latest = null; // the last translation
  let wanted = null; // text that waits for its turn; only the last one counts
  let busy = false;
  async function show(text) {
    wanted = text;
    if (busy) return;
    busy = true;
    try {
      while (wanted !== null) {
        const now = wanted;
        wanted = null;
        const start = performance.now();
        latest = await translator.translate(now);
        const milliseconds = performance.now() - start;
        element("target").textContent = latest.text;
        element("time").textContent = latest.text ? `${milliseconds.toFixed(0)} ms` : "";
        element("copy").disabled = !latest.text;
        element("look").disabled = !latest.text || !translator.attend;
        await showAttention();
      }
    } finally {
      busy = false;
    }
  }

  async function showAttention() {
    const place = element("attention");
    if (place.hidden || !latest || !translator.attend) return;
    const tables = [];
    for (const sentence of latest.sentences) if (sentence.found.length) tables.push(heatMap(await translator.attention(sentence)));
    const caption = document.createElement("p");
    caption.textContent = "What each piece of the translation (rows) looked at in the source (columns):";
    place.replaceChildren(caption, ...tables);
  }

  let timer;
  element("source").addEventListener("input", ({ target }) => {
    clearTimeout(timer);
    timer = setTimeout(() => show(target.value).catch(failed), WAIT);
  });
  element("clear").addEventListener("click", () => {
    element("source").value = "";
    element("source").focus();
    show("").catch(failed);
  });
  element("copy").addEventListener("click", () => navigator.clipboard.writeText(latest.text));
  element("look").addEventListener("click", () => {
    const place = element("attention");
    place.hidden = !place.hidden;
    element("look").setAttribute("aria-expanded", String(!place.hidden));
    showAttention().catch(failed);
  });
  if (element("source").value) await show(element("source").value);
  window.pocketnmt = { translator, loaded: performance.now() - begun };
}

function failed(error) {
  state.textContent = error.message ?? String(error);
  state.className = "error";
  window.pocketnmt = { error: state.textContent };
}

// Keeps the page for later: the service worker does it for its files, and the page for the runtime that it has loaded.
async function keep() {
  if (!("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register("sw.js");
  const { scope } = await navigator.serviceWorker.ready;
  const { version } = await (await fetch("files.json")).json();
  const used = performance.getEntriesByType("resource").map((entry) => entry.name).filter((url) => url.includes("/litert/wasm/"));
  await (await caches.open(`pocketnmt ${scope} ${version}`)).addAll(new Set(used));
  state.textContent = "Ready, also without a network";
  document.body.dataset.offline = "ready";
}

main().then(keep).catch(failed);
