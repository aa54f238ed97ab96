// What Android has of org.json, as far as Translator.kt calls it.

package org.json

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive

class JSONObject internal constructor(private val content: JsonObject) {
    constructor(text: String) : this(Json.parseToJsonElement(text).jsonObject)

    fun has(key: String) = key in content

    fun isNull(key: String) = (content[key] ?: JsonNull) == JsonNull

    fun getJSONObject(key: String) = JSONObject(content.getValue(key).jsonObject)

    fun getJSONArray(key: String) = JSONArray(content.getValue(key).jsonArray)

    fun getString(key: String) = content.getValue(key).jsonPrimitive.content

    fun optString(key: String, otherwise: String) = content[key]?.jsonPrimitive?.content ?: otherwise

    fun getInt(key: String) = content.getValue(key).jsonPrimitive.int

    fun getBoolean(key: String) = content.getValue(key).jsonPrimitive.boolean
}

class JSONArray internal constructor(private val content: JsonArray) {
    constructor(text: String) : this(Json.parseToJsonElement(text).jsonArray)

    fun length() = content.size

    fun getString(place: Int) = content[place].jsonPrimitive.content
}
