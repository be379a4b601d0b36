/* json.h - reading JSON, strictly (RFC 8259, UTF-8 checked), behind one C++ file.
 *
 * simdjson does the work (base/json_simd.cc is the only C++ in the project); this is all of it that
 * the rest sees. A value is a small handle, copied freely, valid while its document lives. Asking a
 * missing or wrong-typed value gives JSON_NONE or false, so look-ups can be chained and checked
 * once at the end. Look-up in an object is linear: walk big objects with json_next() once.
 * One thread at a time per document.
 */
#ifndef CRIA_BASE_JSON_H
#define CRIA_BASE_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct json_doc;

struct json {
    const void *doc; /* private */
    size_t at;       /* private */
};

enum json_type {
    JSON_NONE, /* no such value */
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,  /* fits int64_t */
    JSON_UINT, /* needs uint64_t */
    JSON_DOUBLE,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* Parses a copy of the bytes. `name` (file or "request body") goes into the message. Returns owned.
 * ERR_FORMAT names the reason (nesting above 512 is one); ERR_LIMIT above `max_bytes`. */
struct json_doc *json_parse(const void *data, size_t n_bytes, size_t max_bytes, const char *name,
                            struct err *err);
void json_free(struct json_doc *d); /* NULL is fine */
struct json json_root(const struct json_doc *d);

enum json_type json_type(struct json v);
size_t json_len(struct json v);                         /* elements of an array or object, else 0 */
struct json json_get(struct json obj, const char *key); /* first of that key, or JSON_NONE */
struct json json_at(struct json arr, size_t i);         /* linear in i */

bool json_bool(struct json v, bool *out);
bool json_i64(struct json v, int64_t *out); /* integers only */
bool json_f64(struct json v, double *out);  /* any number */
/* UTF-8, NUL-terminated, may hold NULs inside; points into the document. */
bool json_str(struct json v, const char **s, size_t *n_bytes);

/* A number that no other value of the same document has, rising in the order of the text. */
static inline size_t json_id(struct json v) { return v.at; }

struct json_iter {
    struct json end, cur; /* private */
    bool is_object;
};
struct json_iter json_iter(struct json v); /* over an array or object; empty for anything else */
/* The next element; `key`/`n_key` (may be NULL) are set for objects. False at the end. */
bool json_next(struct json_iter *it, const char **key, size_t *n_key, struct json *value);

/* True if an object has the same key twice (checked where it matters: config, request bodies). */
bool json_has_duplicate(struct json obj, const char **key);

#ifdef __cplusplus
}
#endif

#endif
