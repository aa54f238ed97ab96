// The page's side of interpreter-worker.js.

export class Interpreter {
  constructor() {
    this.waiting = new Map(); // number of a question -> what its answer settles
    this.asked = 0;
    this.worker = new Worker(new URL("interpreter-worker.js", import.meta.url));
    this.worker.addEventListener("message", ({ data: { number, found, error } }) => {
      const { resolve, reject } = this.waiting.get(number);
      this.waiting.delete(number);
      if (error === undefined) resolve(found);
      else reject(new Error(error));
    });
    this.worker.addEventListener("error", ({ message }) => {
      this.broken = new Error(message || "interpreter-worker.js could not be loaded. Copy the whole folder to the server.");
      for (const { reject } of this.waiting.values()) reject(this.broken);
      this.waiting.clear();
    });
  }

  // Takes the bytes of a .tflite file over; gives {signatures: their names, files: addresses of the runtime that is in use}.
  load(content) {
    return this.ask("load", [content], [content.buffer]);
  }

  // inputs: name -> [typed array, shape]; gives name -> typed array.
  run(signature, inputs) {
    return this.ask("run", [signature, inputs]);
  }

  ask(name, values, handedOver = []) {
    if (this.broken) return Promise.reject(this.broken);
    const number = this.asked++;
    return new Promise((resolve, reject) => {
      this.waiting.set(number, { resolve, reject });
      this.worker.postMessage({ number, name, values }, handedOver);
    });
  }
}
