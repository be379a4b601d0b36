/* toml.h - reading TOML 1.0 without date-times, as a tree.
 *
 * For files that people write: every value knows the line and column where its key stands, so that
 * whoever finds it wrong can say where (toml_wrap). The reader is as strict as
 * Python's tomllib, and refuses a date-time or an integer beyond 64 bits besides.
 * One thread at a time per document.
 */
#ifndef CRIA_BASE_TOML_H
#define CRIA_BASE_TOML_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    TOML_MAX_BYTES = 1 << 20,
    TOML_MAX_VALUES = 20000, /* tables, arrays and values together */
    TOML_MAX_DEPTH = 64,     /* of the tree, however it is spelt */
};

enum toml_type { TOML_TABLE, TOML_ARRAY, TOML_STRING, TOML_INT, TOML_FLOAT, TOML_BOOL };

struct toml {
    enum toml_type type;
    int32_t line, column; /* from 1; columns are characters */
    const char *key;      /* NUL-terminated, n_key bytes; NULL for an element of an array */
    size_t n_key;
    struct toml *first, *next; /* what a table or array holds, in the order of the file */
    union {
        struct {
            const char *s; /* NUL-terminated, may hold NULs inside */
            size_t n;
        } string;
        int64_t integer;
        double real;
        bool is_true;
    } as;
    /* private to the reader */
    struct toml *last;
    int32_t depth, section;
    bool is_explicit, is_frozen;
};

struct toml_doc;

/* Parses a copy of the bytes; `name` (the file) goes into messages. Returns owned. ERR_FORMAT names
 * line and column; ERR_LIMIT what is too long, deep or many. */
struct toml_doc *toml_parse(const char *data, size_t n_bytes, const char *name, struct err *err);
void toml_free(struct toml_doc *d); /* NULL is fine */
const struct toml *toml_root(const struct toml_doc *d);

/* The value of a key of a table, or NULL. Linear. */
const struct toml *toml_get(const struct toml *table, const char *key);

/* "a string", "a table"... for messages. */
const char *toml_type_name(enum toml_type t);

/* Puts "NAME: line 3, column 7: " in front of an error that is set already; returns false. */
bool toml_wrap(const struct toml_doc *d, const struct toml *v, struct err *err);

#endif
