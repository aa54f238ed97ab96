// A translator for iOS around the files of export/tflite/: the counterpart of pipeline/runtime/ in Python, which says more.
//
// Put the folder into the app's bundle, and into its Podfile:  pod 'TensorFlowLiteSwift'
//
//     let translator = try Translator(folder: Bundle.main.url(forResource: "tflite", withExtension: nil)!)
//     try translator.translate("Turn on the light.")
//
// One translator is for one thread at a time.

import CryptoKit
import Foundation
import TensorFlowLite

let schemaVersion = 2
let signature = "translate"
let smallestFirst = ["int8", "float16", "float32"]

struct TranslatorError: LocalizedError {
  let errorDescription: String?
}

/// translator.json, as far as it is needed here.
private struct Details: Decodable {
  struct File: Decodable { let file: String, sha256: String }
  struct Ids: Decodable { let pad: Int32, eos: Int32 }
  struct SlotsOf: Decodable { let patterns: [String], number: Int, unknown: String? }
  struct Cleaning: Decodable { let normalize: String?, control_characters: Bool }
  let schema_version: Int
  let files: [String: File]
  let source_subwords: File
  let target_subwords: File
  let ids: Ids
  let max_source_tokens: Int
  let slots: SlotsOf
  let cleaning: Cleaning
}

/// Translates text of any length.
final class Translator {
  private let details: Details
  private let source: SentencePiece
  private let target: SentencePiece
  private let slots: Slots
  private let modelPath: String
  private let threads: Int
  private var running: (interpreter: Interpreter, runner: SignatureRunner)
  private var tokens = 0  // of both sides, that this interpreter has had
  private static let tokensOfAnInterpreter = 1500  // it keeps a little of every step, and slows down; see pipeline/runtime/translator.py

  init(folder: URL, threads: Int = 1) throws {
    details = try JSONDecoder().decode(Details.self, from: Data(contentsOf: folder.appendingPathComponent("translator.json")))
    guard details.schema_version == schemaVersion else {
      throw TranslatorError(errorDescription: "translator.json has another schema_version than \(schemaVersion). Export again.")
    }
    let files = details.files
    guard let precision = smallestFirst.first(where: { files[$0] != nil }), let model = files[precision] else {
      throw TranslatorError(errorDescription: "translator.json names no model.")
    }
    source = try SentencePiece(Translator.checked(details.source_subwords, in: folder))
    target = try SentencePiece(Translator.checked(details.target_subwords, in: folder))
    _ = try Translator.checked(model, in: folder)
    let copies = (details.slots.unknown ?? "copy") == "copy"
    slots = try Slots(patterns: details.slots.patterns, number: details.slots.number, characters: source.characters, copies: copies)
    modelPath = folder.appendingPathComponent(model.file).path
    self.threads = threads
    running = try Translator.begin(modelPath, threads)
  }

  private static func begin(_ modelPath: String, _ threads: Int) throws -> (Interpreter, SignatureRunner) {
    var options = Interpreter.Options()
    options.threadCount = threads
    let interpreter = try Interpreter(modelPath: modelPath, options: options)
    return (interpreter, try interpreter.signatureRunner(with: signature))
  }

  /// The content of a file, which must be that of this export: a model with another one's pieces would translate nonsense.
  private static func checked(_ described: Details.File, in folder: URL) throws -> Data {
    let content = try Data(contentsOf: folder.appendingPathComponent(described.file), options: .mappedIfSafe)
    guard SHA256.hash(data: content).map({ String(format: "%02x", $0) }).joined() == described.sha256 else {
      throw TranslatorError(
        errorDescription: "\(described.file) is damaged, or of another export. Put all files of the folder back.")
    }
    return content
  }

  /// The translation, on one line; empty for a blank text.
  func translate(_ text: String) throws -> String {
    let segments = Segmentation.split(clean(text), limit: details.max_source_tokens, patterns: slots.patterns, count: count)
    let sentences = segments.map { $0.replacing(Expressions.runOfSpaces) { _ in " " }.trimmed }
    return try Segmentation.join(segments, sentences.map(translateSentence))
  }

  private func translateSentence(_ sentence: String) throws -> String {
    let (masked, kept) = slots.mask(sentence)
    let ids = source.encode(masked).prefix(details.max_source_tokens)
    if ids.isEmpty { return "" }
    var padded = [Int32](repeating: details.ids.pad, count: details.max_source_tokens + 1)
    for (place, id) in ids.enumerated() { padded[place] = Int32(id) }
    padded[ids.count] = details.ids.eos
    let length = [Int32(ids.count + 1)]
    if tokens > Translator.tokensOfAnInterpreter {
      running = try Translator.begin(modelPath, threads)
      tokens = 0
    }
    try running.runner.invoke(with: ["source_ids": padded.withUnsafeBytes { Data($0) }, "length": length.withUnsafeBytes { Data($0) }])
    let found = try running.runner.output(named: "ids").data.withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
    let written = found.filter { $0 != details.ids.pad && $0 != details.ids.eos }.map { Int($0) }
    tokens += ids.count + written.count
    return slots.unmask(target.decode(written), kept)
  }

  /// A text cleaned as the training text was; line breaks become "\n", a place to cut.
  private func clean(_ text: String) -> String {
    let parts = text.components(separatedBy: .newlines).map { part -> String in
      var cleaned = part.replacing(Expressions.neverText) { _ in " " }
      if details.cleaning.normalize == "NFC" { cleaned = cleaned.precomposedStringWithCanonicalMapping }
      if details.cleaning.normalize == "NFKC" { cleaned = cleaned.precomposedStringWithCompatibilityMapping }
      if details.cleaning.control_characters {
        cleaned = cleaned.replacing(Expressions.invisible) { _ in "" }.replacing(Expressions.spaces) { _ in " " }
      }
      return cleaned.trimmed
    }
    return parts.filter { !$0.isEmpty }.joined(separator: "\n")
  }

  /// Pieces of a text; too many where it has more placeholders than there are slots, so that it is cut.
  private func count(_ text: String) -> Int {
    slots.fits(text) ? source.encode(slots.mask(text).0).count : details.max_source_tokens + 1
  }
}

/// The regular expressions of cleaning and cutting.
private enum Expressions {
  static let neverText = expression(#"[\x00-\x1f\x7f-\x9f\u2581]"#)
  static let invisible = expression(#"[\u00ad\u200b\u2060\ufeff]"#)
  static let runOfSpaces = expression(#"[ \n]+"#)
  static let spaces = expression(#"[\s\p{Z}]+"#)
  static let spacesAtEnds = expression(#"\A[\s\p{Z}]+|[\s\p{Z}]+\z"#)
  static let sentenceEnd = expression(
    #"(?<![.!?…])[.!?…]++["'»”’)\]]*+[\s\p{Z}]+|[。！？｡]+[”’」』）]*[\s\p{Z}]*|[\n\r\x0b\f\x85\u2028\u2029]+[\s\p{Z}]*"#)
  static let clauseEnd = expression(#"[,;:][\s\p{Z}]+|[\s\p{Z}][–—-][\s\p{Z}]+|[，、；：][\s\p{Z}]*"#)
}

private func expression(_ pattern: String) -> NSRegularExpression {
  try! NSRegularExpression(pattern: pattern)  // ours, and known to be right
}

/// Places in a text are UTF-16 offsets, as regular expressions give them; characters are scalars, as the model counts them.
extension String {
  fileprivate func part(_ start: Int, _ end: Int) -> String {
    String(self[String.Index(utf16Offset: start, in: self)..<String.Index(utf16Offset: end, in: self)])
  }

  fileprivate func matches(_ pattern: NSRegularExpression) -> [NSRange] {
    pattern.matches(in: self, range: NSRange(location: 0, length: utf16.count)).map { $0.range }
  }

  /// Each match of a pattern replaced by what `change` makes of it.
  fileprivate func replacing(_ pattern: NSRegularExpression, _ change: (String) -> String) -> String {
    var changed = ""
    var end = 0
    for range in matches(pattern) {
      changed += part(end, range.lowerBound) + change(part(range.lowerBound, range.upperBound))
      end = range.upperBound
    }
    return changed + part(end, utf16.count)
  }

  /// Without spaces at its ends.
  fileprivate var trimmed: String { replacing(Expressions.spacesAtEnds) { _ in "" } }
}

/// Cutting a text that is too long for the model, and joining the translations; see pipeline/runtime/segmentation.py.
enum Segmentation {
  private static let joiner: Unicode.Scalar = "\u{200d}"
  private static let marks: [Unicode.GeneralCategory] = [.nonspacingMark, .spacingMark, .enclosingMark]

  /// Segments of at most `limit` pieces, as `count` counts them, which joined give the text back. They end with sentences, as many to a
  /// segment as fit; what is too long by itself is cut at the ends of clauses, failing that between words, failing that between
  /// characters; inside a match of `patterns` only where that is too long by itself.
  static func split(_ text: String, limit: Int, patterns: [NSRegularExpression], count: @escaping (String) -> Int) -> [String] {
    var inside = IndexSet()
    for pattern in patterns {
      for range in text.matches(pattern) where range.length > 1 { inside.insert(integersIn: range.lowerBound + 1..<range.upperBound) }
    }

    // Joins neighbouring parts while they fit; doubles, then halves the step, so that few texts have to be counted.
    func packed(_ bounds: [Int]) -> [(Int, Int)] {
      var parts: [(Int, Int)] = []
      var first = 0
      func fit(_ number: Int) -> Bool {
        first + number < bounds.count && count(text.part(bounds[first], bounds[first + number])) <= limit
      }
      while first < bounds.count - 1 {
        var number = 1
        var step = 1
        while fit(number + step) {
          number += step
          step *= 2
        }
        while step > 1 {
          step /= 2
          if fit(number + step) { number += step }
        }
        parts.append((bounds[first], bounds[first + number]))
        first += number
      }
      return parts
    }

    func cut(_ start: Int, _ end: Int, _ level: Int) -> [String] {
      let part = text.part(start, end)
      if count(part) <= limit || part.unicodeScalars.count == 1 { return [part] }
      var places: [Int]
      switch level {
      case 0: places = sentenceEnds(part)
      case 1: places = ends(of: Expressions.clauseEnd, in: part)
      case 2: places = ends(of: Expressions.spaces, in: part)
      case 3: places = characterEnds(part)
      default: places = scalarEnds(part)
      }
      places = places.map { start + $0 }.filter { start < $0 && $0 < end && (level > 3 || !inside.contains($0)) }
      return packed([start] + places + [end]).flatMap { cut($0.0, $0.1, level + 1) }
    }
    return text.isEmpty ? [] : cut(0, text.utf16.count, 0)
  }

  /// One line of the translations of `segments`. A space goes between two of them where the source had one, or where the source is
  /// written without (Chinese, Japanese); none goes beside Chinese or Japanese text, nor where a word was cut in two.
  static func join(_ segments: [String], _ translations: [String]) -> String {
    var line = ""
    for (number, translation) in translations.enumerated() {
      if let last = line.unicodeScalars.last, let first = translation.unicodeScalars.first,
        let before = segments[number - 1].unicodeScalars.last
      {
        let spaced = before.properties.isWhitespace || isWide(before)
        if spaced && !isWide(last) && !isWide(first) { line += " " }
      }
      line += translation
    }
    return line
  }

  private static func ends(of pattern: NSRegularExpression, in text: String) -> [Int] {
    text.matches(pattern).map { $0.upperBound }
  }

  /// "approx. five": a sentence does not begin with a small letter.
  private static func sentenceEnds(_ text: String) -> [Int] {
    ends(of: Expressions.sentenceEnd, in: text).filter { place in
      let rest = text.unicodeScalars[String.Index(utf16Offset: place, in: text)...]
      return !(rest.first?.properties.isLowercase ?? false)
    }
  }

  /// Between characters as a reader sees them: an accent, a joiner or a skin tone stays with what it changes.
  private static func characterEnds(_ text: String) -> [Int] {
    var places: [Int] = []
    var place = 0
    for (before, after) in zip(text.unicodeScalars, text.unicodeScalars.dropFirst()) {
      place += UTF16.width(before)
      let joined = before == joiner || after == joiner || (0x1f3fb...0x1f3ff).contains(after.value)
      if !joined && !marks.contains(after.properties.generalCategory) { places.append(place) }
    }
    return places
  }

  private static func scalarEnds(_ text: String) -> [Int] {
    var places: [Int] = []
    for scalar in text.unicodeScalars { places.append((places.last ?? 0) + UTF16.width(scalar)) }
    return places
  }

  /// Han, kana and their punctuation: written without spaces between sentences.
  private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x2e80...0x30ff, 0x3400...0x9fff, 0xf900...0xfaff, 0xff00...0xff65, 0x20000...0x3ffff: return true
    default: return false
    }
  }
}

/// Placeholders as the model sees them: each a slot, one private-use character; see pipeline/runtime/slots.py.
final class Slots {
  private struct Span { let start: Int, end: Int, kind: Int }
  private static let first = 0xe000
  private static let blanks: Set<Unicode.Scalar> = [" ", "\t", "\n", "\u{b}", "\u{c}", "\r"]
  let patterns: [NSRegularExpression]
  private let number: Int
  private let known: Set<Unicode.Scalar>
  private let copies: Bool

  /// `copies`: whether text without pieces is copied; otherwise it is left to the model, as unknown pieces.
  init(patterns: [String], number: Int, characters: Set<Unicode.Scalar>, copies: Bool) throws {
    self.patterns = try patterns.map { try NSRegularExpression(pattern: portable($0)) }
    self.number = number
    self.copies = copies
    let size = number > 0 ? (patterns.count + 1) * number : 0
    known = characters.filter { !(Slots.first..<Slots.first + size ~= Int($0.value)) }
  }

  private func isSlot(_ scalar: Unicode.Scalar) -> Bool {
    number > 0 && Int(scalar.value) >= Slots.first && Int(scalar.value) < Slots.first + (patterns.count + 1) * number
  }

  /// A text with slots, and what stood in the place of each.
  func mask(_ text: String) -> (String, [Unicode.Scalar: String]) {
    guard number > 0 else { return (text, [:]) }
    var used = [Int](repeating: 0, count: patterns.count + 1)
    var kept: [Unicode.Scalar: String] = [:]
    var masked = ""
    var end = 0
    for span in spans(text) where used[span.kind] < number {
      let slot = Unicode.Scalar(UInt32(Slots.first + span.kind * number + used[span.kind]))!
      used[span.kind] += 1
      kept[slot] = text.part(span.start, span.end)
      masked += plain(text.part(end, span.start))
      masked.unicodeScalars.append(slot)
      end = span.end
    }
    return (masked + plain(text.part(end, text.utf16.count)), kept)
  }

  func unmask(_ text: String, _ kept: [Unicode.Scalar: String]) -> String {
    text.unicodeScalars.map { isSlot($0) ? kept[$0] ?? "" : String($0) }.joined()
  }

  /// Whether there are slots for all that wants one.
  func fits(_ text: String) -> Bool {
    number == 0 || Dictionary(grouping: spans(text), by: { $0.kind }).values.allSatisfy { $0.count <= number }
  }

  private func plain(_ text: String) -> String {
    text.unicodeScalars.map { isSlot($0) ? "\u{fffd}" : String($0) }.joined()
  }

  private func spans(_ text: String) -> [Span] {
    var found: [Span] = []
    for (kind, pattern) in patterns.enumerated() {
      found += text.matches(pattern).map { Span(start: $0.lowerBound, end: $0.upperBound, kind: kind) }
    }
    found.sort { ($0.start, $0.kind) < ($1.start, $1.kind) }
    found.append(Span(start: text.utf16.count, end: text.utf16.count, kind: -1))
    var spans: [Span] = []
    var end = 0
    for span in found where span.start >= end {
      spans += foreign(text, end, span.start)
      if span.kind >= 0 { spans.append(span) }
      end = span.end
    }
    return spans
  }

  /// Text without pieces, or what looks like a slot: its words in a row are one.
  private func foreign(_ text: String, _ start: Int, _ end: Int) -> [Span] {
    var spans: [Span] = []
    var first: Int?
    var last = start
    var place = start
    for scalar in text.part(start, end).unicodeScalars {
      let next = place + UTF16.width(scalar)
      let wanted = copies ? !Slots.blanks.contains(scalar) && !known.contains(scalar) : isSlot(scalar)
      if wanted {
        first = first ?? place
        last = next
      } else if scalar != " ", let begun = first {
        spans.append(Span(start: begun, end: last, kind: patterns.count))
        first = nil
      }
      place = next
    }
    if let begun = first { spans.append(Span(start: begun, end: last, kind: patterns.count)) }
    return spans
  }
}

/// A pattern as it was meant in training, where \b, \d, \w and \s are of ASCII alone. NSRegularExpression takes them for those of all
/// scripts: the %d of "%d个文件" would not end at a \b. Brackets and braces that stand for themselves are escaped, as it wants them.
func portable(_ pattern: String) -> String {
  pattern.replacing(token) { text in
    switch text.unicodeScalars.first {
    case "(": return "("  // the beginning of a named group: names are written in another way there, and not needed
    case "\\": return ascii[text].map { "[\($0)]" } ?? boundaries[text] ?? text
    case "[": return "[" + text.part(1, text.utf16.count - 1).replacing(inClass) { ascii[$0] ?? escaped($0) } + "]"
    default: return escaped(text)
    }
  }
}

private func escaped(_ text: String) -> String { text.unicodeScalars.count == 1 ? "\\" + text : text }

// An escape, the beginning of a named group, a class, a repetition or a brace; inside a class, an escape, a bracket or an ampersand.
private let token = expression(#"(?s)\\.|\(\?P<\w+>|\[\^?\]?(?:\\.|[^\]\\])*\]|\{[0-9]+(?:,[0-9]*)?\}|[\{\}]"#)
private let inClass = expression(#"(?s)\\.|[\[\]\&]"#)
private let ascii = [
  #"\d"#: "0-9", #"\D"#: #"\x00-\x2f\x3a-\x{10ffff}"#,
  #"\w"#: "0-9A-Z_a-z", #"\W"#: #"\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x{10ffff}"#,
  #"\s"#: #"\x09-\x0d\x20"#, #"\S"#: #"\x00-\x08\x0e-\x1f\x21-\x{10ffff}"#,
]
private let word = "[0-9A-Z_a-z]"
private let boundaries = [
  #"\b"#: "(?:(?<=\(word))(?!\(word))|(?<!\(word))(?=\(word)))", #"\B"#: "(?:(?<=\(word))(?=\(word))|(?<!\(word))(?!\(word)))",
]

/// A SentencePiece unigram model (Kudo, 2018), read from its own file; see pipeline/exporters/web/app/sentencepiece.js.
final class SentencePiece {
  private struct Piece { var text = "", score: Float = 0, kind = SentencePiece.normal }
  private static let space: Unicode.Scalar = "\u{2581}"
  private static let normal = 1, unknown = 2, userDefined = 4
  private var pieces: [Piece] = []
  private var ids: [[Unicode.Scalar]: Int] = [:]
  private var longest = 1
  private var unknownId = 1
  private var unknownScore: Float = 0

  init(_ content: Data) throws {
    for (field, value) in try fields([UInt8](content)[...]) {
      if field == 1, case .bytes(let bytes) = value {
        var piece = Piece()
        for (inner, part) in try fields(bytes) {
          switch (inner, part) {
          case (1, .bytes(let text)): piece.text = String(decoding: text, as: UTF8.self)
          case (2, .bytes(let score)): piece.score = Float(bitPattern: score.reversed().reduce(0) { $0 << 8 | UInt32($1) })
          case (3, .number(let kind)): piece.kind = kind
          default: break
          }
        }
        pieces.append(piece)
      } else if field == 2, case .bytes(let bytes) = value {
        for case (3, .number(let type)) in try fields(bytes) where type != 1 {
          throw TranslatorError(errorDescription: "The SentencePiece model is not a unigram model.")
        }
      }
    }
    let scores = pieces.filter { $0.kind == SentencePiece.normal }.map(\.score)
    guard let least = scores.min(), let most = scores.max() else {
      throw TranslatorError(errorDescription: "The SentencePiece model is damaged: it has no pieces.")
    }
    unknownScore = least - 10
    for (id, piece) in pieces.enumerated() {
      if piece.kind == SentencePiece.unknown { unknownId = id }
      guard piece.kind == SentencePiece.normal || piece.kind == SentencePiece.userDefined else { continue }
      let scalars = Array(piece.text.unicodeScalars)
      ids[scalars] = id
      longest = max(longest, scalars.count)
      if piece.kind == SentencePiece.userDefined { pieces[id].score = Float(Double(Float(piece.text.utf8.count) * most) - 0.1) }
    }
  }

  /// The characters that are pieces by themselves.
  var characters: Set<Unicode.Scalar> { Set(ids.keys.filter { $0.count == 1 && $0[0] != SentencePiece.space }.map { $0[0] }) }

  /// Ids of the best segmentation, by Viterbi's algorithm.
  func encode(_ text: String) -> [Int] {
    var scalars: [Unicode.Scalar] = []
    for word in text.unicodeScalars.split(whereSeparator: { $0 == " " }) { scalars += [SentencePiece.space] + Array(word) }
    var best = [(score: Float, start: Int, id: Int)](repeating: (0, -1, -1), count: scalars.count + 1)
    for start in scalars.indices {
      var single = false
      for end in start + 1...min(scalars.count, start + longest) {
        guard let id = ids[Array(scalars[start..<end])] else { continue }
        let candidate = pieces[id].score + best[start].score
        if best[end].start < 0 || candidate > best[end].score { best[end] = (candidate, start, id) }
        single = single || end == start + 1
      }
      let candidate = unknownScore + best[start].score
      if !single && (best[start + 1].start < 0 || candidate > best[start + 1].score) { best[start + 1] = (candidate, start, unknownId) }
    }
    var found: [Int] = []
    var end = scalars.count
    while end > 0 {
      if best[end].id != unknownId || found.last != unknownId { found.append(best[end].id) }
      end = best[end].start
    }
    return found.reversed()
  }

  func decode(_ ids: [Int]) -> String {
    let text = ids.map { id -> String in
      switch pieces[id].kind {
      case SentencePiece.normal, SentencePiece.userDefined: return pieces[id].text
      case SentencePiece.unknown: return " \u{2047} "
      default: return ""
      }
    }.joined()
    let shown = text.unicodeScalars.drop { $0 == SentencePiece.space }.map { $0 == SentencePiece.space ? " " : String($0) }
    return shown.joined()
  }
}

private enum Value { case number(Int), bytes(ArraySlice<UInt8>) }

/// The fields of a protocol buffer.
private func fields(_ bytes: ArraySlice<UInt8>) throws -> [(Int, Value)] {
  let damaged = TranslatorError(errorDescription: "The SentencePiece model is damaged.")
  var place = bytes.startIndex
  var found: [(Int, Value)] = []
  func varint() throws -> Int {
    var value = 0, shift = 0
    while true {
      guard place < bytes.endIndex, shift < 63 else { throw damaged }
      let byte = Int(bytes[place])
      place += 1
      value |= (byte & 127) << shift
      if byte < 128 { return value }
      shift += 7
    }
  }
  while place < bytes.endIndex {
    let key = try varint()
    let length: Int
    switch key & 7 {
    case 0:
      found.append((key >> 3, .number(try varint())))
      continue
    case 1: length = 8
    case 2: length = try varint()
    case 5: length = 4
    default: throw damaged
    }
    guard place + length <= bytes.endIndex else { throw damaged }
    found.append((key >> 3, .bytes(bytes[place..<place + length])))
    place += length
  }
  return found
}
