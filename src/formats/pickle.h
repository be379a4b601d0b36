/* pickle.h - a machine that reads data out of a Python pickle and can do nothing else.
 *
 * A pickle is a program for a stack machine whose real form may import and call anything. Ours
 * knows the opcodes that plain data and PyTorch's state dictionaries use; a global is a row of the
 * host's table or an error that names it; calling one calls the row's C function. Private to
 * formats/torch_file.c.
 */
#ifndef CRIA_FORMATS_PICKLE_H
#define CRIA_FORMATS_PICKLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum pickle_kind {
    PICKLE_EMPTY, /* no value; also a memo slot that was never put */
    PICKLE_MARK,
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_FLOAT,  /* known to be there; the number is dropped */
    PICKLE_STRING, /* p: UTF-8 in the pickle, n bytes */
    PICKLE_TUPLE,  /* p: struct pickle_value[n] */
    PICKLE_LIST,   /* p: struct pickle_items */
    PICKLE_DICT,   /* p: struct pickle_items; keys and values take turns */
    PICKLE_GLOBAL, /* p: struct pickle_global */
    PICKLE_HOST,   /* p: what the host's functions made; n as they like */
};

struct pickle_value {
    enum pickle_kind kind;
    uint32_t n;
    union {
        int64_t i;
        const void *p;
    } u;
};

/* What APPENDS and SETITEMS added to a list or dictionary, chunk by chunk. */
struct pickle_chunk {
    struct pickle_chunk *next;
    const struct pickle_value *value;
    size_t n;
};
struct pickle_items {
    struct pickle_chunk *first, *last;
};

struct pickle_global {
    const char *module, *name;
    /* Makes `out` of the arguments; NULL: not callable. Errors need no position. */
    bool (*call)(void *host, const struct pickle_value *arg, size_t n_args,
                 struct pickle_value *out, struct err *err);
    int tag; /* the host's */
};

struct pickle_host {
    void *host;
    const struct pickle_global *global; /* ended by a row with module NULL */
    /* What BINPERSID stands for. */
    bool (*persistent)(void *host, const struct pickle_value *id, struct pickle_value *out,
                       struct err *err);
};

/* Runs data[0..n_bytes) (kept: strings point into it) and gives the value that STOP leaves. `name`
 * for messages. Memory is the arena's, in proportion to n_bytes. */
bool pickle_load(const uint8_t *data, size_t n_bytes, const char *name,
                 const struct pickle_host *host, struct arena *a, struct pickle_value *out,
                 struct err *err) CRIA_CHECK;

/* An empty dictionary, as collections.OrderedDict() gives. */
bool pickle_new_items(struct arena *a, enum pickle_kind kind, struct pickle_value *out,
                      struct err *err) CRIA_CHECK;

#endif
