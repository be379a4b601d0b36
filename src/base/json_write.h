/* json_write.h - writing JSON by appending to a buf; commas and nesting are kept for you.
 *
 *     struct json_writer w = json_writer(&b);
 *     json_object(&w); json_key(&w, "text"); json_string(&w, s, n); json_end(&w);
 *
 * Floats are the shortest decimal that reads back the same; NaN and infinity are written as null.
 * Strings that are not UTF-8 get U+FFFD for the bad bytes. One thread at a time.
 */
#ifndef CRIA_BASE_JSON_WRITE_H
#define CRIA_BASE_JSON_WRITE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"

#define JSON_MAX_DEPTH 96

struct json_writer {
    struct buf *out;
    int depth;
    int n_items[JSON_MAX_DEPTH];
    char close[JSON_MAX_DEPTH];
    bool is_after_key;
};

struct json_writer json_writer(struct buf *out);
void json_object(struct json_writer *w); /* opens {...} */
void json_array(struct json_writer *w);  /* opens [...] */
void json_end(struct json_writer *w);    /* closes the innermost */
void json_key(struct json_writer *w, const char *key);
void json_string(struct json_writer *w, const char *s, size_t n_bytes);
void json_cstring(struct json_writer *w, const char *s); /* NULL writes null */
void json_int(struct json_writer *w, int64_t v);
void json_uint(struct json_writer *w, uint64_t v);
void json_double(struct json_writer *w, double v);
void json_float(struct json_writer *w, float v); /* shortest for float */
void json_boolean(struct json_writer *w, bool v);
void json_null(struct json_writer *w);
/* A key and its value. */
void json_key_int(struct json_writer *w, const char *key, int64_t v);
void json_key_uint(struct json_writer *w, const char *key, uint64_t v);
void json_key_double(struct json_writer *w, const char *key, double v);
void json_key_float(struct json_writer *w, const char *key, float v);
void json_key_boolean(struct json_writer *w, const char *key, bool v);
void json_key_cstring(struct json_writer *w, const char *key, const char *s);
/* A value (or elements of the open array, with their commas) that is JSON text already. */
void json_raw(struct json_writer *w, const char *json, size_t n_bytes);
/* A value of a document, nested so little that the writer's depth holds it. Whole numbers above
 * int64_t are written as their double. */
void json_copy(struct json_writer *w, struct json v);
/* A key and such a value; JSON_NONE writes `fallback`, JSON text. */
void json_key_copy(struct json_writer *w, const char *key, struct json v, const char *fallback);

#endif
