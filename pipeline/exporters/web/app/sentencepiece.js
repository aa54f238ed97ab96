// SentencePiece (Kudo & Richardson, 2018) as far as a translator needs it: unigram models with identity normalisation, read from their
// own file; ids from text by Viterbi's algorithm (Kudo, 2018, 3.2), rounded to 32 bits as the library rounds, and text from ids.

const SPACE = "\u2581";
const NORMAL = 1, UNKNOWN = 2, USER_DEFINED = 4;
const UNKNOWN_PENALTY = 10;
const UNIGRAM = 1;

export class SentencePiece {
  // `bytes`: content of a .model file.
  constructor(bytes) {
    const { pieces, type } = parseModel(bytes);
    if (type !== UNIGRAM) throw new Error("The SentencePiece model is not a unigram model.");
    this.pieces = pieces;
    this.ids = new Map();
    this.longest = 1;
    let least = Infinity, most = -Infinity;
    pieces.forEach(({ piece, score, kind }, id) => {
      if (kind === UNKNOWN) this.unknown = id;
      if (kind === NORMAL) [least, most] = [Math.min(least, score), Math.max(most, score)];
      if (kind === NORMAL || kind === USER_DEFINED) {
        this.ids.set(piece, id);
        this.longest = Math.max(this.longest, [...piece].length);
      }
    });
    this.unknownScore = Math.fround(least - UNKNOWN_PENALTY);
    this.scores = pieces.map(({ piece, score, kind }) =>
      kind === USER_DEFINED ? new TextEncoder().encode(piece).length * most - 0.1 : score);
  }

  // The characters that are pieces by themselves, as a set.
  get characters() {
    return new Set([...this.ids.keys()].filter((piece) => [...piece].length === 1 && piece !== SPACE));
  }

  // Ids of the best segmentation; none for a blank text.
  encode(text) {
    const words = text.split(" ").filter((word) => word);
    if (!words.length) return [];
    const characters = [...(SPACE + words.join(SPACE))];
    const best = Array.from({ length: characters.length + 1 }, () => ({ score: 0, start: -1, id: -1 }));
    for (let start = 0; start < characters.length; start++) {
      const before = best[start].score;
      const reach = (end, id, candidate) => {
        const node = best[end];
        if (node.start === -1 || candidate > node.score) Object.assign(node, { score: candidate, start, id });
      };
      let piece = "", single = false;
      for (let end = start + 1; end <= Math.min(characters.length, start + this.longest); end++) {
        piece += characters[end - 1];
        const id = this.ids.get(piece);
        if (id === undefined) continue;
        reach(end, id, Math.fround(this.scores[id] + before));
        single ||= end === start + 1;
      }
      if (!single) reach(start + 1, this.unknown, Math.fround(this.unknownScore + before));
    }
    const found = [];
    for (let end = characters.length; end > 0; end = best[end].start) {
      // Unknown characters in a row are one piece.
      if (best[end].id !== this.unknown || found.at(-1) !== this.unknown) found.push(best[end].id);
    }
    return found.reverse();
  }

  // Text of ids; control pieces are left out, an unknown one becomes ⁇.
  decode(ids) {
    const shown = ids.map((id) => {
      const { piece, kind } = this.pieces[id];
      if (kind === UNKNOWN) return " \u2047 ";
      return kind === NORMAL || kind === USER_DEFINED ? piece : "";
    });
    return shown.join("").replace(new RegExp(`^${SPACE}+`), "").replaceAll(SPACE, " ");
  }
}

// What we read of a ModelProto: field 1, pieces {1: text, 2: score, 3: kind}, and of field 2, the trainer's settings, field 3, the type.
function parseModel(bytes) {
  const pieces = [];
  let type = UNIGRAM;
  for (const [field, value] of fields(bytes)) {
    if (field === 1) {
      const entry = { piece: "", score: 0, kind: NORMAL };
      for (const [inner, content] of fields(value)) {
        if (inner === 1) entry.piece = new TextDecoder().decode(content);
        if (inner === 2) entry.score = new DataView(content.buffer, content.byteOffset, 4).getFloat32(0, true);
        if (inner === 3) entry.kind = content;
      }
      pieces.push(entry);
    } else if (field === 2) {
      for (const [inner, content] of fields(value)) if (inner === 3) type = content;
    }
  }
  if (!pieces.length) throw new Error("The SentencePiece model is damaged: it has no pieces.");
  return { pieces, type };
}

// The fields of a protocol buffer: [number, value]; the value is a number, or the bytes of what has a length.
function* fields(bytes) {
  let position = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      if (position >= bytes.length) throw new Error("The SentencePiece model is damaged: it ends too early.");
      const byte = bytes[position++];
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (position < bytes.length) {
    const key = varint();
    const wire = key % 8;
    if (wire === 0) {
      yield [Math.floor(key / 8), varint()];
      continue;
    }
    const length = wire === 5 ? 4 : wire === 1 ? 8 : wire === 2 ? varint() : NaN;
    if (!(position + length <= bytes.length)) throw new Error("The SentencePiece model is damaged: it ends too early.");
    yield [Math.floor(key / 8), bytes.subarray(position, position + length)];
    position += length;
  }
}
