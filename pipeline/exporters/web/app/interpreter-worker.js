// The interpreter of a .tflite file, in a thread of its own: while it searches, the page draws and takes keys. The page's side of it is
// interpreter.js.

const RUNTIME = "litert/wasm/";

// A classic worker, not a module: LiteRT's loader calls importScripts. Its WebAssembly would be looked for beside this file.
self.Module = { locateFile: (file) => RUNTIME + file };
const runtime = import("./litert/core.js").then(async (core) => {
  await core.loadLiteRt(RUNTIME);
  return core;
});
let model;

const answers = {
  // The bytes of a .tflite file -> {signatures: their names, files: addresses of the runtime that this browser uses, of which there are two}.
  async load(content) {
    const { loadAndCompile } = await runtime;
    model = await loadAndCompile(content, { accelerator: "wasm" });
    const fetched = performance.getEntriesByType("resource").map((entry) => entry.name);
    return { signatures: Object.keys(model.signatures), files: [...new Set(fetched.filter((url) => url.includes(`/${RUNTIME}`)))] };
  },

  // inputs: name -> [typed array, shape]; gives name -> typed array.
  async run(signature, arrays) {
    const { Tensor } = await runtime;
    const inputs = Object.fromEntries(Object.entries(arrays).map(([name, [array, shape]]) => [name, new Tensor(array, shape)]));
    const outputs = await model.run(signature, inputs);
    const found = {};
    for (const [name, tensor] of Object.entries(outputs)) found[name] = (await tensor.data()).slice();
    for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) if (!tensor.deleted) tensor.delete();
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
