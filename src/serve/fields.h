/* fields.h - reading a JSON object by a table: a row says a field's name, type and range and where
 * its value goes, so that a new field of an API is one line. Any thread.
 */
#ifndef CRIA_SERVE_FIELDS_H
#define CRIA_SERVE_FIELDS_H

#include "base/json.h"
#include "serve/refusal.h"

enum field_kind {
    FIELD_FLOAT,   /* float in [min, max] */
    FIELD_INT,     /* int32_t in [min, max] */
    FIELD_INT64,   /* int64_t, any */
    FIELD_BOOL,    /* bool */
    FIELD_STR,     /* const char *, at most `max` bytes, without NUL inside */
    FIELD_JSON,    /* struct json, read later */
    FIELD_OTHER,   /* read by `read` */
    FIELD_IGNORED, /* known, and without effect here */
    FIELD_COPIED,  /* left to who reads it elsewhere (translate.h) */
    FIELD_REFUSED, /* would change the answer and is not done: only a neutral value passes */
};

struct field {
    const char *name; /* NULL ends a table */
    enum field_kind kind;
    double min, max;
    size_t at; /* offset of the value in what is filled */
    bool (*read)(void *out, struct json v, const char *name, struct refusal *r);
};

/* Names of fields that no row has, for the log: letters, digits and _ only, cut to what fits. */
struct unknown_fields {
    int n;
    char names[160];
};

/* Fills `out` from the object `v`; fields that are absent or null leave it as it is. Strings and
 * values point into v's document. */
bool fields_read(const struct field *rows, struct json v, void *out, struct unknown_fields *unknown,
                 struct refusal *r) CRIA_CHECK;

/* Parses a request's body: one object, without duplicate keys anywhere, nested at most 64 deep. A
 * number beyond 64 bits is a double, which a field for whole numbers refuses by its name.
 * Returns owned (json_free), or NULL and `r` filled. */
struct json_doc *body_parse(const void *data, size_t n_bytes, size_t max_bytes, struct refusal *r);

/* If it is this string. */
bool json_is_word(struct json v, const char *word);
/* "a string", "a number"... for messages. */
const char *json_type_name(struct json v);

#endif
