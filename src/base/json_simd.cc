/* SPDX-License-Identifier: Apache-2.0
 *
 * json_simd.cc - base/json.h over simdjson's DOM; the only C++ of the project.
 *
 * simdjson parses into a tape: an array of 64-bit words, one or two a value, type in the top byte,
 * with strings unescaped into a second array (its doc/tape.md). A handle of ours is a pointer to
 * the document and an index into the tape, so it is plain data that C can copy, and walking an
 * object is walking the tape: the word that opens a scope says where it ends. We read it through
 * simdjson's tape_ref, never by decoding words ourselves.
 *
 * The parser lives only during json_parse(): what stays is the tape and the strings. Exceptions
 * are off; every step answers with an error code. simdjson is strict (RFC 8259, UTF-8, no trailing
 * text, 64-bit integers, finite doubles) and reads up to 64 bytes past the end, so the text is
 * copied with that much room behind it.
 *
 * Invariants
 *   I1  a handle with doc == NULL is JSON_NONE; every other handle's `at` is the index of a value
 *       (or of the word that closes its scope: the end of an iteration).
 *   I2  nesting is at most MAX_DEPTH, so recursion over a document is bounded.
 *
 * Begin reading at json_parse() and json_next().
 */
#include "base/json.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>

#include <simdjson.h>

using simdjson::internal::tape_ref;
using simdjson::internal::tape_type;

struct json_doc {
    simdjson::dom::document dom;
};

namespace
{

constexpr size_t MAX_DEPTH = 512;
constexpr size_t MAX_BYTES = 0xFFFFFFFFu; /* simdjson's own limit: offsets are 32 bits */

struct reason {
    simdjson::error_code code;
    const char *text;
};

/* What simdjson found, in words that name the rule. */
const struct reason reasons[] = {
    /* clang-format off */
    /* code                          text                                                         */
    {simdjson::TAPE_ERROR,           "a comma, colon, bracket or key is missing or too many"},
    {simdjson::DEPTH_ERROR,          "arrays and objects are nested more than 512 deep"},
    {simdjson::STRING_ERROR,         "a string has a wrong escape or half of a surrogate pair"},
    {simdjson::T_ATOM_ERROR,         "a word beginning with t is not true"},
    {simdjson::F_ATOM_ERROR,         "a word beginning with f is not false"},
    {simdjson::N_ATOM_ERROR,         "a word beginning with n is not null"},
    {simdjson::NUMBER_ERROR,         "a number is malformed or out of range"},
    {simdjson::UTF8_ERROR,           "the bytes are not UTF-8"},
    {simdjson::EMPTY,                "there is nothing but white space"},
    {simdjson::UNESCAPED_CHARS,      "a string holds an unescaped control character"},
    {simdjson::UNCLOSED_STRING,      "a string is not closed"},
    /* clang-format on */
};

const char *reason_text(simdjson::error_code code)
{
    for (const struct reason &r : reasons)
        if (r.code == code) return r.text;
    return "it breaks the rules of JSON";
}

json none() { return json{nullptr, 0}; }

tape_ref ref(json v) { return tape_ref(static_cast<const simdjson::dom::document *>(v.doc), v.at); }

bool is_scope(json v)
{
    const enum json_type t = json_type(v);
    return t == JSON_ARRAY || t == JSON_OBJECT;
}

std::string_view text_at(json v) { return ref(v).get_string_view(); }

json after(json v) { return json{v.doc, ref(v).after_element()}; }

/* Sorting indices beats comparing each with each: a hostile object may have a million keys. */
bool find_duplicate(json *keys, size_t n, const char **key)
{
    const auto before = [](json a, json b) { return text_at(a) < text_at(b); };
    std::sort(keys, keys + n, before);
    for (size_t i = 1; i < n; i++) {
        if (text_at(keys[i - 1]) != text_at(keys[i])) continue;
        if (key) *key = ref(keys[i]).get_c_str();
        return true;
    }
    return false;
}

/* The same without memory for the keys: slow, but never a wrong answer. */
bool find_duplicate_slowly(json obj, const char **key)
{
    struct json_iter a = json_iter(obj);
    const char *ka = nullptr, *kb = nullptr;
    size_t na = 0, nb = 0;
    while (json_next(&a, &ka, &na, nullptr)) {
        struct json_iter b = a;
        while (json_next(&b, &kb, &nb, nullptr)) {
            if (na != nb || std::memcmp(ka, kb, na) != 0) continue;
            if (key) *key = kb;
            return true;
        }
    }
    return false;
}

} // namespace

struct json_doc *json_parse(const void *data, size_t n_bytes, size_t max_bytes, const char *name,
                            struct err *err)
{
    if (n_bytes > max_bytes || n_bytes > MAX_BYTES) {
        err_set(err, ERR_LIMIT, "%s: %zu bytes of JSON, at most %zu are read; make it shorter",
                name, n_bytes, max_bytes < MAX_BYTES ? max_bytes : MAX_BYTES);
        return nullptr;
    }
    simdjson::error_code code = simdjson::EMPTY;
    std::unique_ptr<json_doc> d(new (std::nothrow) json_doc);
    if (d && n_bytes > 0) {
        simdjson::dom::parser parser;
        code = parser.allocate(n_bytes, MAX_DEPTH);
        const auto *text = static_cast<const uint8_t *>(data);
        if (!code) code = parser.parse_into_document(d->dom, text, n_bytes, true).error();
    }
    if (!d || code == simdjson::MEMALLOC) {
        err_set(err, ERR_MEMORY, "%s: no memory to read %zu bytes of JSON; free memory", name,
                n_bytes);
        return nullptr;
    }
    if (code) {
        err_set(err, ERR_FORMAT, "%s: not JSON (%zu bytes): %s; mend or fetch it again", name,
                n_bytes, reason_text(code));
        return nullptr;
    }
    return d.release();
}

void json_free(struct json_doc *d) { delete d; }

struct json json_root(const struct json_doc *d)
{
    return json{&d->dom, 1}; /* word 0 is the tape's own root */
}

enum json_type json_type(struct json v)
{
    if (!v.doc) return JSON_NONE;
    switch (ref(v).tape_ref_type()) {
    case tape_type::NULL_VALUE:
        return JSON_NULL;
    case tape_type::TRUE_VALUE:
        return JSON_BOOL;
    case tape_type::FALSE_VALUE:
        return JSON_BOOL;
    case tape_type::INT64:
        return JSON_INT;
    case tape_type::UINT64:
        return JSON_UINT;
    case tape_type::DOUBLE:
        return JSON_DOUBLE;
    case tape_type::STRING:
        return JSON_STRING;
    case tape_type::START_ARRAY:
        return JSON_ARRAY;
    case tape_type::START_OBJECT:
        return JSON_OBJECT;
    default:
        return JSON_NONE;
    }
}

size_t json_len(struct json v)
{
    constexpr uint32_t SATURATED = 0xFFFFFF; /* the tape counts in 24 bits */
    if (!is_scope(v)) return 0;
    size_t n = ref(v).scope_count();
    if (n < SATURATED) return n;
    n = 0;
    struct json_iter it = json_iter(v);
    while (json_next(&it, nullptr, nullptr, nullptr)) n++;
    return n;
}

struct json json_get(struct json obj, const char *key)
{
    if (json_type(obj) != JSON_OBJECT) return none();
    const std::string_view wanted(key);
    struct json_iter it = json_iter(obj);
    const char *k = nullptr;
    size_t n = 0;
    struct json value = none();
    while (json_next(&it, &k, &n, &value))
        if (std::string_view(k, n) == wanted) return value;
    return none();
}

struct json json_at(struct json arr, size_t i)
{
    if (json_type(arr) != JSON_ARRAY) return none();
    struct json_iter it = json_iter(arr);
    struct json value = none();
    while (json_next(&it, nullptr, nullptr, &value))
        if (i-- == 0) return value;
    return none();
}

bool json_bool(struct json v, bool *out)
{
    if (json_type(v) != JSON_BOOL) return false;
    *out = ref(v).is_true();
    return true;
}

bool json_i64(struct json v, int64_t *out)
{
    if (json_type(v) != JSON_INT) return false;
    *out = ref(v).next_tape_value<int64_t>();
    return true;
}

bool json_f64(struct json v, double *out)
{
    switch (json_type(v)) {
    case JSON_INT:
        *out = static_cast<double>(ref(v).next_tape_value<int64_t>());
        return true;
    case JSON_UINT:
        *out = static_cast<double>(ref(v).next_tape_value<uint64_t>());
        return true;
    case JSON_DOUBLE:
        *out = ref(v).next_tape_value<double>();
        return true;
    default:
        return false;
    }
}

bool json_str(struct json v, const char **s, size_t *n_bytes)
{
    if (json_type(v) != JSON_STRING) return false;
    *s = ref(v).get_c_str();
    if (n_bytes) *n_bytes = ref(v).get_string_length();
    return true;
}

struct json_iter json_iter(struct json v)
{
    struct json_iter it = {none(), none(), false};
    if (!is_scope(v)) return it;
    it.cur = json{v.doc, v.at + 1};
    it.end = json{v.doc, ref(v).after_element() - 1}; /* the word that closes the scope */
    it.is_object = json_type(v) == JSON_OBJECT;
    return it;
}

bool json_next(struct json_iter *it, const char **key, size_t *n_key, struct json *value)
{
    if (it->cur.at >= it->end.at) return false;
    if (it->is_object) {
        if (key) *key = ref(it->cur).get_c_str();
        if (n_key) *n_key = ref(it->cur).get_string_length();
        it->cur.at++;
    }
    if (value) *value = it->cur;
    it->cur = after(it->cur);
    return true;
}

bool json_has_duplicate(struct json obj, const char **key)
{
    const size_t n = json_type(obj) == JSON_OBJECT ? json_len(obj) : 0;
    if (n < 2) return false;
    std::unique_ptr<json[]> keys(new (std::nothrow) json[n]);
    if (!keys) return find_duplicate_slowly(obj, key);
    struct json_iter it = json_iter(obj);
    for (size_t i = 0; i < n; i++) {
        keys[i] = it.cur;
        (void)json_next(&it, nullptr, nullptr, nullptr);
    }
    return find_duplicate(keys.get(), n, key);
}
