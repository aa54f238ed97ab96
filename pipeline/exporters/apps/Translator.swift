// A translator for iOS around the files of export/tflite/: the counterpart of pipeline/runtime/ in Python, which says more.
//
// Put the folder into the app's bundle, and into its Podfile:  pod 'TensorFlowLiteSwift'
//
//     let translator = try Translator(folder: Bundle.main.url(forResource: "tflite", withExtension: nil)!)
//     try translator.translate("Turn on the light.")
//
// One translator is for one thread at a time.

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
  struct File: Decodable { let file: String }
  struct Ids: Decodable { let pad: Int32, eos: Int32 }
  struct SlotsOf: Decodable { let patterns: [String], number: Int }
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
  private let interpreter: Interpreter
  private let runner: SignatureRunner

  init(folder: URL, threads: Int = 1) throws {
    details = try JSONDecoder().decode(Details.self, from: Data(contentsOf: folder.appendingPathComponent("translator.json")))
    guard details.schema_version == schemaVersion else {
      throw TranslatorError(errorDescription: "translator.json has another schema_version than \(schemaVersion). Export again.")
    }
    let files = details.files
    guard let precision = smallestFirst.first(where: { files[$0] != nil }), let model = files[precision] else {
      throw TranslatorError(errorDescription: "translator.json names no model.")
    }
    source = try SentencePiece(Data(contentsOf: folder.appendingPathComponent(details.source_subwords.file)))
    target = try SentencePiece(Data(contentsOf: folder.appendingPathComponent(details.target_subwords.file)))
    slots = try Slots(patterns: details.slots.patterns, number: details.slots.number, characters: source.characters)
    var options = Interpreter.Options()
    options.threadCount = threads
    interpreter = try Interpreter(modelPath: folder.appendingPathComponent(model.file).path, options: options)
    runner = try interpreter.signatureRunner(with: signature)
    try runner.allocateTensors()
  }

  /// The translation, on one line; empty for a blank text.
  func translate(_ text: String) throws -> String {
    let segments = clean(text).flatMap { parts(of: $0, by: [.bySentences, .byWords, .byComposedCharacterSequences]) }
    return try segments.map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }.map(translateSentence).joined(separator: " ")
  }

  private func translateSentence(_ sentence: String) throws -> String {
    let (masked, kept) = slots.mask(sentence)
    let ids = source.encode(masked).prefix(details.max_source_tokens)
    if ids.isEmpty { return "" }
    var padded = [Int32](repeating: details.ids.pad, count: details.max_source_tokens + 1)
    for (place, id) in ids.enumerated() { padded[place] = Int32(id) }
    padded[ids.count] = details.ids.eos
    try runner.copy(padded.withUnsafeBytes { Data($0) }, toInputNamed: "source_ids")
    try runner.copy([Int32(ids.count + 1)].withUnsafeBytes { Data($0) }, toInputNamed: "length")
    try runner.invoke()
    let found = try runner.output(named: "ids").data.withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
    let written = found.filter { $0 != details.ids.pad && $0 != details.ids.eos }.map(Int.init)
    return slots.unmask(target.decode(written), kept)
  }

  /// As the training text was cleaned; line breaks are places to cut.
  private func clean(_ text: String) -> [String] {
    text.components(separatedBy: .newlines).map { part in
      var cleaned = part.replacingOccurrences(of: "[\\x{00}-\\x{1f}\\x{7f}-\\x{9f}\\x{2581}]", with: " ", options: .regularExpression)
      if details.cleaning.normalize == "NFC" { cleaned = cleaned.precomposedStringWithCanonicalMapping }
      if details.cleaning.normalize == "NFKC" { cleaned = cleaned.precomposedStringWithCompatibilityMapping }
      if details.cleaning.control_characters {
        cleaned = cleaned.replacingOccurrences(of: "[\\x{ad}\\x{200b}\\x{2060}\\x{feff}]", with: "", options: .regularExpression)
        cleaned = cleaned.replacingOccurrences(of: "\\s+", with: " ", options: .regularExpression)
      }
      return cleaned.trimmingCharacters(in: .whitespaces)
    }.filter { !$0.isEmpty }
  }

  /// What is too long for the model, or has more placeholders than there are slots, in parts: sentences, words, characters.
  private func parts(of text: String, by levels: [String.EnumerationOptions]) -> [String] {
    guard let level = levels.first, !fits(text), text.count > 1 else { return [text] }
    var found: [String] = []
    var start = text.startIndex
    var waiting = ""
    text.enumerateSubstrings(in: text.startIndex..., options: [level, .substringNotRequired]) { _, _, enclosing, _ in
      guard !self.slots.cuts(text, at: enclosing.upperBound) else { return }  // never inside a placeholder
      let next = String(text[start..<enclosing.upperBound])
      if !waiting.isEmpty, !self.fits(waiting + next) {
        found.append(waiting)
        waiting = ""
      }
      waiting += next
      start = enclosing.upperBound
    }
    waiting += text[start...]
    if !waiting.isEmpty { found.append(waiting) }
    return found.flatMap { parts(of: $0, by: Array(levels.dropFirst())) }
  }

  private func fits(_ text: String) -> Bool {
    slots.fits(text) && source.encode(slots.mask(text).0).count <= details.max_source_tokens
  }
}

/// Placeholders as the model sees them: each a slot, one private-use character; see pipeline/runtime/slots.py.
final class Slots {
  private static let first = 0xe000
  private let patterns: [NSRegularExpression]
  private let number: Int
  private let known: Set<Unicode.Scalar>

  init(patterns: [String], number: Int, characters: Set<Unicode.Scalar>) throws {
    self.patterns = try patterns.map { try NSRegularExpression(pattern: $0) }
    self.number = number
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
    var end = text.startIndex
    for (range, kind) in spans(text) where used[kind] < number {
      let slot = Unicode.Scalar(UInt32(Slots.first + kind * number + used[kind]))!
      used[kind] += 1
      kept[slot] = String(text[range])
      masked += plain(text[end..<range.lowerBound])
      masked.unicodeScalars.append(slot)
      end = range.upperBound
    }
    return (masked + plain(text[end...]), kept)
  }

  func unmask(_ text: String, _ kept: [Unicode.Scalar: String]) -> String {
    text.unicodeScalars.map { isSlot($0) ? kept[$0] ?? "" : String($0) }.joined()
  }

  /// Whether there are slots for all that wants one.
  func fits(_ text: String) -> Bool {
    number == 0 || Dictionary(grouping: spans(text), by: { $0.1 }).values.allSatisfy { $0.count <= number }
  }

  /// Whether a cut at this place falls inside a placeholder.
  func cuts(_ text: String, at place: String.Index) -> Bool {
    spans(text).contains { $0.1 < patterns.count && $0.0.lowerBound < place && place < $0.0.upperBound }
  }

  private func plain(_ text: Substring) -> String {
    text.unicodeScalars.map { isSlot($0) ? "\u{fffd}" : String($0) }.joined()
  }

  private func spans(_ text: String) -> [(Range<String.Index>, Int)] {
    var found: [(Range<String.Index>, Int)] = []
    for (kind, pattern) in patterns.enumerated() {
      for match in pattern.matches(in: text, range: NSRange(text.startIndex..., in: text)) {
        if let range = Range(match.range, in: text) { found.append((range, kind)) }
      }
    }
    found.sort { ($0.0.lowerBound, $0.1) < ($1.0.lowerBound, $1.1) }
    var spans: [(Range<String.Index>, Int)] = []
    var end = text.startIndex
    for (range, kind) in found + [(text.endIndex..<text.endIndex, -1)] where range.lowerBound >= end {
      spans += foreign(text, end..<range.lowerBound)
      if kind >= 0 { spans.append((range, kind)) }
      end = range.upperBound
    }
    return spans
  }

  /// Text without pieces: its words in a row are one.
  private func foreign(_ text: String, _ range: Range<String.Index>) -> [(Range<String.Index>, Int)] {
    var spans: [(Range<String.Index>, Int)] = []
    var start: String.Index?
    var last = range.lowerBound
    var place = range.lowerBound
    while place < range.upperBound {
      let scalar = text.unicodeScalars[place]
      let next = text.unicodeScalars.index(after: place)
      if !scalar.properties.isWhitespace && !known.contains(scalar) {
        start = start ?? place
        last = next
      } else if scalar != " ", let begun = start {
        spans.append((begun..<last, patterns.count))
        start = nil
      }
      place = next
    }
    if let begun = start { spans.append((begun..<last, patterns.count)) }
    return spans
  }
}

/// A SentencePiece unigram model (Kudo, 2018), read from its own file; see pipeline/exporters/web/app/sentencepiece.js.
final class SentencePiece {
  private struct Piece { var text = "", score: Float = 0, kind = SentencePiece.normal }
  private static let space = "\u{2581}", normal = 1, unknown = 2, userDefined = 4
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
      if piece.kind == SentencePiece.userDefined { pieces[id].score = Float(piece.text.utf8.count) * most - 0.1 }
    }
  }

  /// The characters that are pieces by themselves.
  var characters: Set<Unicode.Scalar> { Set(ids.keys.filter { $0.count == 1 && String($0[0]) != SentencePiece.space }.map { $0[0] }) }

  /// Ids of the best segmentation, by Viterbi's algorithm.
  func encode(_ text: String) -> [Int] {
    let words = text.split(separator: " ")
    if words.isEmpty { return [] }
    let scalars = Array((SentencePiece.space + words.joined(separator: SentencePiece.space)).unicodeScalars)
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
    return String(text.drop { String($0) == SentencePiece.space }).replacingOccurrences(of: SentencePiece.space, with: " ")
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
