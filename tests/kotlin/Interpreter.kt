// LiteRT's interpreter as Translator.kt calls it. Its library for Android runs nowhere else: a process of Python, interpreter.py, has one.

package org.tensorflow.lite

import java.io.DataInputStream
import java.io.DataOutputStream
import java.nio.ByteBuffer

class Interpreter(model: ByteBuffer, options: Options) : AutoCloseable {
    class Options {
        var threads = 0

        fun setNumThreads(number: Int): Options = apply { threads = number }
    }

    companion object {
        var made = 0
        var closed = 0
    }

    private val process = ProcessBuilder(System.getProperty("interpreter").split("\n")).redirectError(ProcessBuilder.Redirect.DISCARD).start()
    private val to = DataOutputStream(process.outputStream.buffered())
    private val from = DataInputStream(process.inputStream.buffered())

    init {
        made++
        require(model.isDirect && options.threads > 0)
        val content = ByteArray(model.capacity())
        model.duplicate().rewind().get(content)
        to.writeInt(content.size)
        to.write(content)
    }

    @Suppress("UNCHECKED_CAST")
    fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signature: String) {
        require(signature == "translate")
        val ids = (inputs["source_ids"] as Array<IntArray>).single()
        to.writeInt(ids.size)
        for (id in ids) to.writeInt(id)
        to.writeInt((inputs["length"] as IntArray).single())
        to.flush()
        val found = (outputs["ids"] as Array<IntArray>).single()
        require(from.readInt() == found.size) { "The output has another shape." }
        for (place in found.indices) found[place] = from.readInt()
        (outputs["score"] as FloatArray)[0] = from.readFloat()
    }

    override fun close() {
        closed++
        process.destroy()
        process.waitFor()
    }
}
