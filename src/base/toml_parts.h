/* toml_parts.h - what the two files of the TOML reader share. Private. */
#ifndef CRIA_BASE_TOML_PARTS_H
#define CRIA_BASE_TOML_PARTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/toml.h"

struct toml_doc {
    const char *name;
    struct arena *arena;
    struct toml *root;
};

/* The text is checked UTF-8, ends with a NUL, and has no control characters but tab, line feed, and
 * carriage returns that stand before a line feed. */
struct toml_reader {
    struct toml_doc *doc;
    const char *s;
    size_t at;
    struct err *err;
    struct buf scratch; /* of a string or number while it is read */
    int32_t n_values, section;
    /* the place of s[mark], counted on from there: places are asked for in rising order, mostly */
    size_t mark;
    int32_t line, column;
};

/* Fills the error with the line and column of s[at]; returns false. */
bool toml_refuse(struct toml_reader *r, size_t at, const char *fmt, ...) CRIA_PRINTF(3, 4);

static inline bool toml_at_newline(const struct toml_reader *r)
{
    return r->s[r->at] == '\n' || r->s[r->at] == '\r';
}

/* Reads the quoted string that begins here; the result is owned by the document. */
bool toml_read_string(struct toml_reader *r, bool may_be_long, const char **s, size_t *n);
/* Reads a number or boolean into `v`. */
bool toml_read_plain(struct toml_reader *r, struct toml *v);

#endif
