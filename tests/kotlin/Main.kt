// Translates a JSON array of texts to lines of translations. Says at its end how many interpreters were made and closed.

import java.io.File
import org.json.JSONArray
import org.tensorflow.lite.Interpreter
import pocketnmt.Translator

fun main(arguments: Array<String>) {
    val folder = File(arguments.single())
    val texts = JSONArray(String(System.`in`.readBytes(), Charsets.UTF_8))
    Translator { name -> File(folder, name).readBytes() }.use { translator ->
        val translations = List(texts.length()) { translator.translate(texts.getString(it)) }
        System.out.write(translations.joinToString("") { it + "\n" }.toByteArray())
    }
    System.out.write("${Interpreter.made} ${Interpreter.closed}\n".toByteArray())
    System.out.flush()
}
