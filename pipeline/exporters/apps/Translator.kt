// A translator for Android around the files of export/tflite/: the counterpart of pipeline/runtime/ in Python, which says more.
//
// Put the folder's files into the app's assets, and into its build.gradle.kts:
//     implementation("com.google.ai.edge.litert:litert:1.4.0")
//     androidResources { noCompress += "tflite" }
//
//     val translator = Translator { name -> context.assets.open(name).use { it.readBytes() } }
//     translator.translate("Turn on the light.")
//
// One translator is for one thread at a time.

package pocketnmt

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import java.text.Normalizer
import org.json.JSONArray
import org.json.JSONObject
import org.tensorflow.lite.Interpreter

const val SCHEMA_VERSION = 2
const val SIGNATURE = "translate"
val SMALLEST_FIRST = listOf("int8", "float16", "float32")

/** Translates text of any length; `threads` are the interpreter's, `read` gives the content of a file of the folder. */
class Translator(private val threads: Int = 1, read: (String) -> ByteArray) : AutoCloseable {
    private val details = JSONObject(String(read("translator.json"), Charsets.UTF_8)).also {
        require(it.getInt("schema_version") == SCHEMA_VERSION) {
            "translator.json has another schema_version than $SCHEMA_VERSION. Export again."
        }
    }
    private val source = SentencePiece(checked(details.getJSONObject("source_subwords"), read))
    private val target = SentencePiece(checked(details.getJSONObject("target_subwords"), read))
    private val slots = Slots(details.getJSONObject("slots"), source.characters)
    private val limit = details.getInt("max_source_tokens")
    private val longest = details.getInt("max_target_tokens")
    private val pad = details.getJSONObject("ids").getInt("pad")
    private val eos = details.getJSONObject("ids").getInt("eos")
    private val cleaning = details.getJSONObject("cleaning")
    private val model: ByteBuffer
    private var interpreter: Interpreter
    private var tokens = 0 // of both sides, that this interpreter has had

    init {
        val files = details.getJSONObject("files")
        val precision = SMALLEST_FIRST.first { files.has(it) }
        val content = checked(files.getJSONObject(precision), read)
        model = ByteBuffer.allocateDirect(content.size).order(ByteOrder.nativeOrder()).put(content)
        interpreter = newInterpreter()
    }

    private fun newInterpreter() = Interpreter(model, Interpreter.Options().setNumThreads(threads))

    /** The content of a file, which must be that of this export: a model with another one's pieces would translate nonsense. */
    private fun checked(described: JSONObject, read: (String) -> ByteArray): ByteArray {
        val name = described.getString("file")
        val content = read(name)
        val hash = MessageDigest.getInstance("SHA-256").digest(content).joinToString("") { "%02x".format(it) }
        require(hash == described.getString("sha256")) { "$name is damaged, or of another export. Put all files of the folder back." }
        return content
    }

    /** The translation, on one line; empty for a blank text. */
    fun translate(text: String): String {
        val segments = Segmentation.split(clean(text), limit, slots.patterns, ::count)
        return Segmentation.join(segments, segments.map { translateSentence(it.replace(RUN_OF_SPACES, " ").trim()) })
    }

    override fun close() = interpreter.close()

    private fun translateSentence(sentence: String): String {
        val (masked, kept) = slots.mask(sentence)
        val ids = source.encode(masked).take(limit)
        if (ids.isEmpty()) return ""
        val padded = IntArray(limit + 1) { if (it < ids.size) ids[it] else if (it == ids.size) eos else pad }
        val found = arrayOf(IntArray(longest))
        if (tokens > TOKENS_OF_AN_INTERPRETER) {
            interpreter.close()
            interpreter = newInterpreter()
            tokens = 0
        }
        interpreter.runSignature(
            mapOf("source_ids" to arrayOf(padded), "length" to intArrayOf(ids.size + 1)),
            mapOf("ids" to found, "score" to FloatArray(1)),
            SIGNATURE,
        )
        val written = found[0].filter { it != pad && it != eos }
        tokens += ids.size + written.size
        return slots.unmask(target.decode(written), kept)
    }

    /** A text cleaned as the training text was; line breaks become "\n", a place to cut. */
    private fun clean(text: String): String = text.split(BREAKS).map { part ->
        var cleaned = part.replace(NEVER_TEXT, " ").replace(HALF_A_CHARACTER, "\ufffd")
        if (!cleaning.isNull("normalize")) cleaned = Normalizer.normalize(cleaned, Normalizer.Form.valueOf(cleaning.getString("normalize")))
        if (cleaning.getBoolean("control_characters")) cleaned = cleaned.replace(INVISIBLE, "").replace(SPACES, " ")
        cleaned.trim()
    }.filter { it.isNotEmpty() }.joinToString("\n")

    /** Pieces of a text; too many where it has more placeholders than there are slots, so that it is cut. */
    private fun count(text: String): Int = if (slots.fits(text)) source.encode(slots.mask(text).first).size else limit + 1

    private companion object {
        const val TOKENS_OF_AN_INTERPRETER = 1500 // it keeps a little of every step, and slows down; see pipeline/runtime/translator.py
        val BREAKS = Regex("[\\n\\r\\u000b\\f\\u0085\\u2028\\u2029]+")
        val NEVER_TEXT = Regex("[\\u0000-\\u001f\\u007f-\\u009f\\u2581]")
        val HALF_A_CHARACTER = Regex("\\p{Cs}")
        val INVISIBLE = Regex("[\\u00ad\\u200b\\u2060\\ufeff]")
        val SPACES = Regex("[\\s\\p{Z}]+")
        val RUN_OF_SPACES = Regex("[ \\n]+")
    }
}

/** Cutting a text that is too long for the model, and joining the translations; see pipeline/runtime/segmentation.py. */
object Segmentation {
    private const val S = "[\\s\\p{Z}]" // of all scripts, whatever \s is to the engine
    private val SENTENCE_END =
        Regex("(?<![.!?…])[.!?…]++[\"'»”’)\\]]*+$S+|[。！？｡]+[”’」』）]*$S*|[\\n\\r\\u000b\\f\\u0085\\u2028\\u2029]+$S*")
    private val CLAUSE_END = Regex("[,;:]$S+|$S[–—-]$S+|[，、；：]$S*")
    private val SPACE = Regex("$S+")
    private val levels: List<(String) -> List<Int>> =
        listOf(::sentenceEnds, { endsOf(CLAUSE_END, it) }, { endsOf(SPACE, it) }, ::characterEnds)

    /**
     * Segments of at most `limit` pieces, as `count` counts them, which joined give the text back. They end with sentences, as many to a
     * segment as fit; what is too long by itself is cut at the ends of clauses, failing that between words, failing that between
     * characters; inside a match of `patterns` only where that is too long by itself.
     */
    fun split(text: String, limit: Int, patterns: List<Regex>, count: (String) -> Int): List<String> {
        val inside = HashSet<Int>()
        for (pattern in patterns) for (match in pattern.findAll(text)) inside.addAll(match.range.first + 1..match.range.last)

        // Joins neighbouring parts while they fit; doubles, then halves the step, so that few texts have to be counted.
        fun packed(bounds: List<Int>): List<Pair<Int, Int>> {
            val parts = mutableListOf<Pair<Int, Int>>()
            var first = 0
            fun fit(number: Int) =
                first + number <= bounds.lastIndex && count(text.substring(bounds[first], bounds[first + number])) <= limit
            while (first < bounds.lastIndex) {
                var number = 1
                var step = 1
                while (fit(number + step)) {
                    number += step
                    step *= 2
                }
                while (step > 1) {
                    step /= 2
                    if (fit(number + step)) number += step
                }
                parts.add(bounds[first] to bounds[first + number])
                first += number
            }
            return parts
        }

        fun cut(start: Int, end: Int, level: Int): List<String> {
            val part = text.substring(start, end)
            if (count(part) <= limit || part.codePointCount(0, part.length) == 1) return listOf(part)
            val ends = if (level < levels.size) levels[level](part).filter { start + it !in inside } else codePointEnds(part)
            val bounds = listOf(start) + ends.map { start + it }.filter { it in start + 1 until end } + end
            return packed(bounds).flatMap { (first, last) -> cut(first, last, level + 1) }
        }
        return if (text.isEmpty()) emptyList() else cut(0, text.length, 0)
    }

    /**
     * One line of the translations of `segments`. A space goes between two of them where the source had one, or where the source is
     * written without (Chinese, Japanese); none goes beside Chinese or Japanese text, nor where a word was cut in two.
     */
    fun join(segments: List<String>, translations: List<String>): String {
        val line = StringBuilder()
        translations.forEachIndexed { number, translation ->
            if (line.isNotEmpty() && translation.isNotEmpty()) {
                val before = segments[number - 1]
                val spaced = before.last().isWhitespace() || isWide(lastOf(before))
                if (spaced && !isWide(lastOf(line)) && !isWide(translation.codePointAt(0))) line.append(' ')
            }
            line.append(translation)
        }
        return line.toString()
    }

    private fun endsOf(pattern: Regex, text: String): List<Int> = pattern.findAll(text).map { it.range.last + 1 }.toList()

    /** "approx. five": a sentence does not begin with a small letter. */
    private fun sentenceEnds(text: String): List<Int> =
        endsOf(SENTENCE_END, text).filter { it == text.length || !Character.isLowerCase(text.codePointAt(it)) }

    /** Between characters as a reader sees them: an accent, a joiner or a skin tone stays with what it changes. */
    private fun characterEnds(text: String): List<Int> = codePointEnds(text).dropLast(1).filter { place ->
        val after = text.codePointAt(place)
        val joined = text.codePointBefore(place) == JOINER || after == JOINER || after in 0x1f3fb..0x1f3ff
        !joined && Character.getType(after) !in MARKS
    }

    private fun codePointEnds(text: String): List<Int> =
        (1..text.length).filter { it == text.length || !Character.isSurrogatePair(text[it - 1], text[it]) }

    private fun lastOf(text: CharSequence) = Character.codePointBefore(text, text.length)

    /** Han, kana and their punctuation: written without spaces between sentences. */
    private fun isWide(code: Int) =
        code in 0x2e80..0x30ff || code in 0x3400..0x9fff || code in 0xf900..0xfaff || code in 0xff00..0xff65 || code in 0x20000..0x3ffff

    private const val JOINER = 0x200d
    private val MARKS = setOf(Character.NON_SPACING_MARK, Character.COMBINING_SPACING_MARK, Character.ENCLOSING_MARK).map { it.toInt() }
}

/** Placeholders as the model sees them: each a slot, one private-use character; see pipeline/runtime/slots.py. */
class Slots(described: JSONObject, characters: Set<Int>) {
    private val number = described.getInt("number")
    val patterns = described.getJSONArray("patterns").strings().map { Regex(portable(it)) }
    private val foreign = patterns.size
    private val size = if (number > 0) (patterns.size + 1) * number else 0
    private val known = characters.filterNot { isSlot(it) }.toSet()

    /** Whether text without pieces is copied; otherwise it is left to the model, as unknown pieces. */
    private val copies = described.optString("unknown", "copy") == "copy"

    private data class Span(val start: Int, val end: Int, val kind: Int)

    /** A text with slots, and what stood in the place of each. */
    fun mask(text: String): Pair<String, Map<Char, String>> {
        if (number == 0) return text to emptyMap()
        val used = IntArray(foreign + 1)
        val kept = mutableMapOf<Char, String>()
        val masked = StringBuilder()
        var end = 0
        for (span in spans(text)) {
            if (used[span.kind] >= number) continue
            val slot = (FIRST + span.kind * number + used[span.kind]++).toChar()
            kept[slot] = text.substring(span.start, span.end)
            masked.append(plain(text.substring(end, span.start))).append(slot)
            end = span.end
        }
        return masked.append(plain(text.substring(end))).toString() to kept
    }

    fun unmask(text: String, kept: Map<Char, String>): String =
        if (number == 0) text else text.map { if (isSlot(it.code)) kept[it] ?: "" else it.toString() }.joinToString("")

    /** Whether there are slots for all that wants one. */
    fun fits(text: String): Boolean = number == 0 || spans(text).groupingBy { it.kind }.eachCount().values.all { it <= number }

    private fun isSlot(code: Int) = code >= FIRST && code < FIRST + size

    private fun plain(text: String) = text.map { if (isSlot(it.code)) '\ufffd' else it }.joinToString("")

    private fun spans(text: String): List<Span> {
        val found = patterns.flatMapIndexed { kind, pattern ->
            pattern.findAll(text).map { Span(it.range.first, it.range.last + 1, kind) }.toList()
        }.sortedWith(compareBy({ it.start }, { it.kind }))
        val spans = mutableListOf<Span>()
        var end = 0
        for (span in found + Span(text.length, text.length, -1)) {
            if (span.start < end) continue
            addForeign(text, end, span.start, spans)
            if (span.kind >= 0) spans.add(span)
            end = span.end
        }
        return spans
    }

    /** Text without pieces, or what looks like a slot: its words in a row are one. */
    private fun addForeign(text: String, start: Int, end: Int, spans: MutableList<Span>) {
        var first = -1
        var last = -1
        var place = start
        while (place < end) {
            val code = text.codePointAt(place)
            val next = place + Character.charCount(code)
            val wanted = if (copies) code !in BLANKS && code !in known else isSlot(code)
            if (wanted) {
                if (first < 0) first = place
                last = next
            } else if (code != ' '.code && first >= 0) {
                spans.add(Span(first, last, foreign))
                first = -1
            }
            place = next
        }
        if (first >= 0) spans.add(Span(first, last, foreign))
    }

    private companion object {
        const val FIRST = 0xe000
        val BLANKS = " \t\n\u000b\u000c\r".map { it.code }.toSet()
    }
}

/**
 * A pattern as it was meant in training, where \b, \d, \w and \s are of ASCII alone. Android's regular expressions take them for those of
 * all scripts: the %d of "%d个文件" would not end at a \b. Brackets and braces that stand for themselves are escaped, as Android wants them.
 */
internal fun portable(pattern: String): String = TOKEN.replace(pattern) { token ->
    val text = token.value
    when {
        text.startsWith("(?P<") -> "(" // names are written in another way there, and not needed
        text[0] == '\\' -> ASCII[text]?.let { "[$it]" } ?: BOUNDARIES[text] ?: text
        text[0] == '[' -> "[" + IN_CLASS.replace(text.substring(1, text.length - 1)) { ASCII[it.value] ?: escaped(it.value) } + "]"
        else -> escaped(text)
    }
}

private fun escaped(text: String) = if (text.length == 1) "\\$text" else text

// An escape, the beginning of a named group, a class, a repetition or a brace; inside a class, an escape, a bracket or an ampersand.
private val TOKEN = Regex("(?s)\\\\.|\\(\\?P<\\w+>|\\[\\^?\\]?(?:\\\\.|[^\\]\\\\])*\\]|\\{[0-9]+(?:,[0-9]*)?\\}|[\\{\\}]")
private val IN_CLASS = Regex("(?s)\\\\.|[\\[\\]\\&]")
private val ASCII = mapOf(
    "\\d" to "0-9", "\\D" to "\\x00-\\x2f\\x3a-\\x{10ffff}",
    "\\w" to "0-9A-Z_a-z", "\\W" to "\\x00-\\x2f\\x3a-\\x40\\x5b-\\x5e\\x60\\x7b-\\x{10ffff}",
    "\\s" to "\\x09-\\x0d\\x20", "\\S" to "\\x00-\\x08\\x0e-\\x1f\\x21-\\x{10ffff}",
)
private const val W = "[0-9A-Z_a-z]"
private val BOUNDARIES = mapOf("\\b" to "(?:(?<=$W)(?!$W)|(?<!$W)(?=$W))", "\\B" to "(?:(?<=$W)(?=$W)|(?<!$W)(?!$W))")

/** A SentencePiece unigram model (Kudo, 2018), read from its own file; see pipeline/exporters/web/app/sentencepiece.js. */
class SentencePiece(content: ByteArray) {
    private val pieces = mutableListOf<Piece>()
    private val ids = HashMap<String, Int>()
    private var longest = 1
    private var unknown = 1
    private var unknownScore = 0f

    private class Piece(val text: String, val score: Float, val kind: Int)

    init {
        for ((field, value) in fields(content, 0, content.size)) {
            if (field == 1) pieces.add(piece(content, value))
            if (field == 2) require(fields(content, value.first, value.last + 1).none { it.first == 3 && it.second.first != 1L }) {
                "The SentencePiece model is not a unigram model."
            }
        }
        val normal = pieces.filter { it.kind == NORMAL }
        require(normal.isNotEmpty()) { "The SentencePiece model is damaged: it has no pieces." }
        unknownScore = normal.minOf { it.score } - 10f
        val most = normal.maxOf { it.score }
        pieces.forEachIndexed { id, piece ->
            if (piece.kind == UNKNOWN) unknown = id
            if (piece.kind == NORMAL || piece.kind == USER_DEFINED) {
                ids[piece.text] = id
                longest = maxOf(longest, piece.text.length)
            }
            if (piece.kind == USER_DEFINED) {
                pieces[id] = Piece(piece.text, (piece.text.toByteArray().size * most - 0.1).toFloat(), piece.kind)
            }
        }
    }

    /** The characters that are pieces by themselves. */
    val characters: Set<Int>
        get() = ids.keys.filter { it.codePointCount(0, it.length) == 1 && it != SPACE }.map { it.codePointAt(0) }.toSet()

    /** Ids of the best segmentation, by Viterbi's algorithm. */
    fun encode(text: String): List<Int> {
        val words = text.split(' ').filter { it.isNotEmpty() }
        if (words.isEmpty()) return emptyList()
        val normalized = SPACE + words.joinToString(SPACE)
        val score = FloatArray(normalized.length + 1)
        val start = IntArray(normalized.length + 1) { -1 }
        val best = IntArray(normalized.length + 1)
        var place = 0
        while (place < normalized.length) {
            val width = Character.charCount(normalized.codePointAt(place))
            var single = false
            for (end in place + width..minOf(normalized.length, place + longest)) {
                val id = ids[normalized.substring(place, end)] ?: continue
                val candidate = pieces[id].score + score[place]
                if (start[end] < 0 || candidate > score[end]) { score[end] = candidate; start[end] = place; best[end] = id }
                single = single || end == place + width
            }
            val end = place + width
            if (!single && (start[end] < 0 || unknownScore + score[place] > score[end])) {
                score[end] = unknownScore + score[place]; start[end] = place; best[end] = unknown
            }
            place = end
        }
        val found = ArrayDeque<Int>()
        var end = normalized.length
        while (end > 0) {
            if (best[end] != unknown || found.firstOrNull() != unknown) found.addFirst(best[end])
            end = start[end]
        }
        return found
    }

    fun decode(ids: List<Int>): String = ids.joinToString("") { id ->
        val piece = pieces[id]
        when (piece.kind) { NORMAL, USER_DEFINED -> piece.text; UNKNOWN -> " \u2047 "; else -> "" }
    }.trimStart(SPACE[0]).replace(SPACE, " ")

    private fun piece(bytes: ByteArray, range: LongRange): Piece {
        var text = ""
        var score = 0f
        var kind = NORMAL
        for ((field, value) in fields(bytes, range.first, range.last + 1)) {
            if (field == 1) text = String(bytes, value.first.toInt(), (value.last - value.first + 1).toInt(), Charsets.UTF_8)
            if (field == 2) score = ByteBuffer.wrap(bytes, value.first.toInt(), 4).order(ByteOrder.LITTLE_ENDIAN).float
            if (field == 3) kind = value.first.toInt()
        }
        return Piece(text, score, kind)
    }

    private companion object {
        const val SPACE = "\u2581"
        const val NORMAL = 1
        const val UNKNOWN = 2
        const val USER_DEFINED = 4

        /** The fields of a protocol buffer: number, and the place of its content, or for a number the number itself as `first`. */
        fun fields(bytes: ByteArray, from: Number, to: Number): List<Pair<Int, LongRange>> {
            var place = from.toLong()
            val found = mutableListOf<Pair<Int, LongRange>>()
            fun varint(): Long {
                var value = 0L
                var shift = 0
                while (true) {
                    val byte = bytes[place++.toInt()].toLong()
                    value = value or ((byte and 127) shl shift)
                    if (byte >= 0) return value
                    shift += 7
                }
            }
            while (place < to.toLong()) {
                val key = varint()
                val field = (key shr 3).toInt()
                val length = when ((key and 7).toInt()) {
                    0 -> { val value = varint(); found.add(field to value..value); continue }
                    1 -> 8L
                    2 -> varint()
                    5 -> 4L
                    else -> error("The SentencePiece model is damaged.")
                }
                found.add(field to place..place + length - 1)
                place += length
            }
            return found
        }
    }
}

private fun JSONArray.strings() = List(length()) { getString(it) }
