// Text as the model knows it, and cutting what is too long for it. The counterpart of pipeline/runtime/text.py and segmentation.py,
// which say more.

const BREAKS = /[\n\r\v\f\x85\u2028\u2029]+/;
const NEVER_TEXT = /[\x00-\x1f\x7f-\x9f\u2581]/g;
const INVISIBLE = /[\u00ad\u200b\u2060\ufeff]/g;
// A space is [^\S\ufeff]: to JavaScript's \s and trim() a byte order mark is one as well, to Python's it is not.
const SENTENCE_END = /(?<![.!?…])[.!?…]+["'»”’)\]]*[^\S\ufeff]+|[。！？｡]+[”’」』）]*[^\S\ufeff]*|[\n\r\v\f\x85\u2028\u2029]+[^\S\ufeff]*/g;
const CLAUSE_END = /[,;:][^\S\ufeff]+|[^\S\ufeff][–—-][^\S\ufeff]+|[，、；：][^\S\ufeff]*/g;
const SPACE = /[^\S\ufeff]+/g;
const SPACES_AT_ENDS = /^[^\S\ufeff]+|[^\S\ufeff]+$/g;
const WIDE = /^[\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff65\u{20000}-\u{3ffff}]/u;

// A text without spaces at its ends.
export const trimmed = (text) => text.replace(SPACES_AT_ENDS, "");

// A text cleaned as the training text was; line breaks become "\n", a place to cut; a blank text becomes empty.
export function clean(text, { normalize, control_characters: controls }) {
  return text.split(BREAKS).map((part) => {
    part = part.replace(NEVER_TEXT, " ").toWellFormed();
    if (normalize) part = part.normalize(normalize);
    return trimmed(controls ? part.replace(INVISIBLE, "").replace(SPACE, " ") : part);
  }).filter((part) => part).join("\n");
}

// Segments of at most `limit` tokens, as `count` counts them, which joined give the text back; cut at the ends of sentences, failing
// that of clauses, words, characters; never inside a match of `patterns`, if it can be helped.
export function splitText(text, limit, count, patterns = []) {
  if (!text) return [];
  const inside = new Set();
  for (const pattern of patterns) {
    for (const match of text.matchAll(pattern)) {
      for (let place = match.index + 1; place < match.index + match[0].length; place++) inside.add(place);
    }
  }
  const levels = [sentenceEnds, endsOf(CLAUSE_END), endsOf(SPACE), characterEnds];

  const split = (start, end, level) => {
    const part = text.slice(start, end);
    if (count(part) <= limit || [...part].length === 1) return [part];
    let ends;
    if (level < levels.length) ends = levels[level](part).map((place) => start + place).filter((place) => !inside.has(place));
    else ends = anyEnds(part).map((place) => start + place);
    const bounds = [start, ...ends.filter((place) => start < place && place < end), end];
    return packed(bounds).flatMap(([first, last]) => split(first, last, level + 1));
  };

  // Joins neighbouring parts while they fit; doubles, then halves the step, so that few texts have to be counted.
  const packed = (bounds) => {
    const parts = [];
    const last = bounds.length - 1;
    const fit = (index, number) => index + number <= last && count(text.slice(bounds[index], bounds[index + number])) <= limit;
    for (let index = 0; index < last;) {
      let fits = 1, step = 1;
      while (fit(index, fits + step)) {
        fits += step;
        step *= 2;
      }
      while (step > 1) {
        step = Math.floor(step / 2);
        if (fit(index, fits + step)) fits += step;
      }
      parts.push([bounds[index], bounds[index + fits]]);
      index += fits;
    }
    return parts;
  };

  return split(0, text.length, 0);
}

// One line of the translations of segments; a space where the source had one, or is written without.
export function joinTranslations(segments, translations) {
  let line = "";
  translations.forEach((translation, number) => {
    const before = number ? segments[number - 1] : "";
    const lastOf = (one) => [...one].at(-1) ?? "";
    if (line && translation && (/[^\S\ufeff]/.test(lastOf(before)) || WIDE.test(lastOf(before)))) {
      if (!WIDE.test(lastOf(line)) && !WIDE.test(translation)) line += " ";
    }
    line += translation;
  });
  return line;
}

const endsOf = (pattern) => (text) => [...text.matchAll(pattern)].map((match) => match.index + match[0].length);

// "approx. five": a sentence does not begin with a small letter.
const sentenceEnds = (text) => endsOf(SENTENCE_END)(text).filter((place) => !/^\p{Lowercase}/u.test(text.slice(place, place + 2)));

function anyEnds(text) {
  const ends = [];
  let place = 0;
  for (const character of text) ends.push((place += character.length));
  return ends;
}

// Between characters as a reader sees them: an accent, a joiner or a skin tone stays with what it changes.
function characterEnds(text) {
  const characters = [...text];
  const ends = anyEnds(text);
  return ends.slice(0, -1).filter((_, number) => {
    const [before, after] = [characters[number], characters[number + 1]];
    return before !== "\u200d" && after !== "\u200d" && !/^[\p{M}\u{1f3fb}-\u{1f3ff}]/u.test(after);
  });
}
