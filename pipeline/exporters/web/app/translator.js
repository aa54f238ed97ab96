// A translator around a .tflite file: what pipeline/runtime/translator.py is in Python. Whoever has an interpreter, in a browser or
// elsewhere, hands it over as a function.

import { SentencePiece } from "./sentencepiece.js";
import { Slots } from "./slots.js";
import { clean, joinTranslations, splitText, trimmed } from "./text.js";

const SCHEMA_VERSION = 2;
const REMEMBERED = 1000; // segments of which the translations are kept

export class Translator {
  // details: translator.json; source, target: bytes of the SentencePiece models (the same where the model is joint);
  // search: async (ids [N], length) -> {ids, score}; attend: async (ids [N], length, target [L], length) -> weights [L * N], or nothing.
  constructor(details, source, target, search, attend) {
    if (details.schema_version !== SCHEMA_VERSION) {
      throw new Error(`translator.json has schema_version ${details.schema_version}, expected ${SCHEMA_VERSION}. Export again.`);
    }
    this.details = details;
    this.source = new SentencePiece(source);
    this.target = target === source ? this.source : new SentencePiece(target);
    this.slots = new Slots(details.slots, this.source.characters);
    this.limit = details.max_source_tokens;
    this.search = search;
    this.attend = attend;
    this.translated = new Map(); // segment -> what `translateSentence` gave for it
  }

  // {text, sentences: [{source, ids, found, text, kept}]} of a text of any length; null where `outdated` said so between two segments.
  async translate(text, outdated = () => false) {
    const cleaned = clean(text, this.details.cleaning);
    const segments = splitText(cleaned, this.limit, (part) => this.count(part), this.slots.patterns);
    const sentences = [];
    for (const segment of segments) {
      const source = trimmed(segment.replace(/[ \n]+/g, " "));
      if (!this.translated.has(source) && outdated()) return null;
      sentences.push(await this.remembered(source));
    }
    return { text: joinTranslations(segments, sentences.map((sentence) => sentence.text)), sentences };
  }

  // The translation of a segment; who types at the end of a text does not have its beginning translated anew.
  async remembered(source) {
    const found = this.translated.get(source) ?? (await this.translateSentence(source));
    this.translated.delete(source);
    this.translated.set(source, found); // the latest is the last
    if (this.translated.size > REMEMBERED) this.translated.delete(this.translated.keys().next().value);
    return found;
  }

  async translateSentence(source) {
    const { ids, kept } = this.encode(source);
    if (!ids.length) return { source, ids, found: [], text: "", kept };
    const { found, score } = await this.translateIds(ids.slice(0, this.limit));
    return { source, ids, found, score, kept, text: this.decode(found, kept).replace(/\s*\n\s*/g, " ") };
  }

  encode(sentence) {
    const masked = this.slots.mask(sentence);
    return { ids: this.source.encode(masked.text), kept: masked.kept };
  }

  decode(ids, kept) {
    return this.slots.unmask(this.target.decode(ids), kept);
  }

  // Ids of a sentence, without EOS, to those of its translation.
  async translateIds(ids) {
    const { ids: found, score } = await this.search(this.padded(ids, this.limit + 1), ids.length + 1);
    const { pad, eos } = this.details.ids;
    return { found: [...found].filter((id) => id !== pad && id !== eos), score };
  }

  // Attention of a translated sentence: {sources, targets, weights}, a row of weights for each target piece.
  async attention({ ids, found, kept }) {
    const [size, most] = [this.limit + 1, this.details.max_target_tokens];
    const weights = await this.attend(this.padded(ids, size), ids.length + 1, this.padded(found, most), found.length + 1);
    const shown = (pieces, all) => all.map((id) => this.slots.unmask(pieces.pieces[id].piece, kept));
    return {
      sources: [...shown(this.source, ids), "⏎"],
      targets: [...shown(this.target, found), "⏎"],
      weights: Array.from({ length: found.length + 1 }, (_, row) => [...weights.slice(row * size, row * size + ids.length + 1)]),
    };
  }

  count(text) {
    return this.slots.fits(text) ? this.encode(text).ids.length : this.limit + 1;
  }

  padded(ids, size) {
    const { pad, eos } = this.details.ids;
    return Int32Array.from({ length: size }, (_, place) => (place < ids.length ? ids[place] : place === ids.length ? eos : pad));
  }
}
