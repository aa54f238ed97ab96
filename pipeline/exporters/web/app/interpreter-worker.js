// The interpreter of a .tflite file, in a thread of its own: while it searches, the page draws and takes keys. The page's side of it is
// interpreter.js.

const RUNTIME = "litert/wasm/";

// A classic worker, not a module: LiteRT's loader calls importScripts. Its WebAssembly would be looked for beside this file.
self.Module = { locateFile: (file) => RUNTIME + file };
const runtime = import("./litert/core.js").then(async (core) => {
  await core.loadLiteRt(RUNTIME);
  return core;
});

// Tokens of both sides after which the interpreter is made anew: it keeps a little of every step, and slows down; see
// pipeline/runtime/translator.py.
const TOKENS_OF_AN_INTERPRETER = 1500;
let content; // of the .tflite file
let model;
let tokens; // that this model has had

async function begin() {
  const { loadAndCompile } = await runtime;
  const before = model;
  model = undefined;
  before?.delete();
  model = await loadAndCompile(content, { accelerator: "wasm" });
  tokens = 0;
}

const real = (ids = []) => ids.reduce((number, id) => number + (id !== 0), 0);

const answers = {
  // The bytes of a .tflite file -> {signatures: their names, files: addresses of the runtime that this browser uses, of which there are two}.
  async load(file) {
    content = file;
    await begin();
    const fetched = performance.getEntriesByType("resource").map((entry) => entry.name);
    return { signatures: Object.keys(model.signatures), files: [...new Set(fetched.filter((url) => url.includes(`/${RUNTIME}`)))] };
  },

  // inputs: name -> [typed array, shape]; gives name -> typed array.
  async run(signature, arrays) {
    const { Tensor } = await runtime;
    if (!model || tokens > TOKENS_OF_AN_INTERPRETER) await begin();
    const inputs = Object.fromEntries(Object.entries(arrays).map(([name, [array, shape]]) => [name, new Tensor(array, shape)]));
    const outputs = await model.run(signature, inputs);
    const found = {};
    for (const [name, tensor] of Object.entries(outputs)) found[name] = (await tensor.data()).slice();
    for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) if (!tensor.deleted) tensor.delete();
    tokens += real(arrays.source_ids[0]) + real(arrays.target_ids?.[0]) + real(found.ids);
    return found;
  },
};

async function answer({ number, name, values }) {
  try {
    postMessage({ number, found: await answers[name](...values) });
  } catch (error) {
    postMessage({ number, error: error.message ?? String(error) });
  }
}

let last = Promise.resolve(); // one after the other: there is one interpreter
self.addEventListener("message", ({ data }) => { last = last.then(() => answer(data)); });
