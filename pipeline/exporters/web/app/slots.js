// Placeholders as the model sees them: each a slot, one character that tells its kind and which of that kind it is. The counterpart of
// pipeline/runtime/slots.py, which says more.

const FIRST = 0xe000;
const LOST = "\ufffd";

export class Slots {
  // `patterns`: regular expressions as JavaScript has them (pipeline/exporters/web/patterns.py), each a kind; `number`: slots of each;
  // `unknown`: "copy" puts slots for unknown characters, "mark" leaves them to SentencePiece; `known`: a set of the characters that have
  // pieces.
  constructor({ patterns, number, unknown = "copy" }, known) {
    this.number = number;
    this.patterns = patterns.map((pattern) => new RegExp(pattern, "gu"));
    this.size = number ? (patterns.length + 1) * number : 0;
    this.known = unknown === "mark" ? null : new Set([...known].filter((character) => !this.isSlot(character)));
  }

  isSlot(character) {
    const place = character.codePointAt(0) - FIRST;
    return place >= 0 && place < this.size;
  }

  // {text with slots, kept: slot -> what stood in its place}
  mask(text) {
    const kept = new Map();
    if (!this.number) return { text, kept };
    const used = new Array(this.patterns.length + 1).fill(0);
    let masked = "", end = 0;
    for (const [start, stop, kind] of this.spans(text)) {
      if (used[kind] >= this.number) continue;
      const slot = String.fromCharCode(FIRST + kind * this.number + used[kind]++);
      kept.set(slot, text.slice(start, stop));
      masked += this.plain(text.slice(end, start)) + slot;
      end = stop;
    }
    return { text: masked + this.plain(text.slice(end)), kept };
  }

  unmask(text, kept) {
    if (!this.number) return text;
    return [...text].map((character) => (this.isSlot(character) ? kept.get(character) ?? "" : character)).join("");
  }

  // Whether there are slots for all that wants one.
  fits(text) {
    if (!this.number) return true;
    const used = new Array(this.patterns.length + 1).fill(0);
    return this.spans(text).every(([, , kind]) => ++used[kind] <= this.number);
  }

  plain(text) {
    return [...text].map((character) => (this.isSlot(character) ? LOST : character)).join("");
  }

  // [start, end, kind] of what slots may stand for, from left to right.
  spans(text) {
    const found = [];
    this.patterns.forEach((pattern, kind) => {
      for (const match of text.matchAll(pattern)) found.push([match.index, match.index + match[0].length, kind]);
    });
    found.sort((a, b) => a[0] - b[0] || a[2] - b[2]);
    const spans = [];
    let end = 0;
    for (const span of [...found, [text.length, text.length, -1]]) {
      if (span[0] < end) continue;
      spans.push(...this.foreign(text, end, span[0]));
      if (span[2] >= 0) spans.push(span);
      end = span[1];
    }
    return spans;
  }

  // Text without pieces, its words in a row as one; where all is known, only what looks like a slot.
  foreign(text, start, end) {
    const spans = [];
    let position = start;
    for (const character of text.slice(start, end)) {
      const next = position + character.length;
      if (this.known ? !/[\t-\r ]/.test(character) && !this.known.has(character) : this.isSlot(character)) {
        const last = spans.at(-1);
        if (last && /^ *$/.test(text.slice(last[1], position))) last[1] = next;
        else spans.push([position, next, this.patterns.length]);
      }
      position = next;
    }
    return spans;
  }
}
