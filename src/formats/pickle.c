/* SPDX-License-Identifier: Apache-2.0
 *
 * pickle.c - the stack machine of pickle.h, one function an opcode, one table of opcodes.
 *
 * Protocols 2 to 5 as Python's pickletools documents them. Values are 16 bytes; strings stay in
 * the file; containers are handles into the arena, so that BINGET of a dictionary gives the same
 * dictionary, and may even put it into itself: whoever walks the result must bound depth and steps
 * (torch_file.c does). Nothing here recurses or calls by name.
 *
 * Invariants
 *   I1  every opcode consumes at least one byte and allocates a bounded amount plus 16 bytes for
 *       each value that it takes off the stack; each byte pushes at most one value. So memory and
 *       time are linear in the pickle.
 *   I2  memo slots are numbered below the size of the pickle, which bounds the memo.
 *
 * Begin reading at the table `opcodes` near the end.
 */
#include "formats/pickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
#include "formats/byte_reader.h"

enum { MAX_GLOBAL_BYTES = 200 };

struct machine {
    struct byte_reader r;
    const struct pickle_host *host;
    struct arena *a;
    struct err *err;
    struct buf stack, memo; /* of struct pickle_value */
    size_t n_memoized;      /* next slot of MEMOIZE */
    size_t op_at;           /* byte of the running opcode */
    bool is_stopped;
};

static bool fail(struct machine *m, const char *what)
{
    return err_set(m->err, ERR_FORMAT, "%s: byte %zu: %s: %s; do not use this file", m->r.path,
                   m->op_at, m->r.place, what);
}

/* ---- stack and memo ---- */

static struct pickle_value *values(const struct buf *b) { return (void *)b->data; }

static size_t n_values(const struct buf *b) { return b->n_bytes / sizeof(struct pickle_value); }

static bool push(struct machine *m, struct pickle_value v)
{
    buf_append(&m->stack, &v, sizeof v);
    return buf_check(&m->stack, m->r.path, m->err);
}

static bool push_kind(struct machine *m, enum pickle_kind kind, int64_t i)
{
    return push(m, (struct pickle_value){.kind = kind, .u.i = i});
}

/* The value on top, which stays. NULL and the error if there is none or it is a mark. */
static struct pickle_value *top(struct machine *m)
{
    const size_t n = n_values(&m->stack);
    if (n && values(&m->stack)[n - 1].kind != PICKLE_MARK) return &values(&m->stack)[n - 1];
    fail(m, "takes a value from an empty stack");
    return NULL;
}

static void drop(struct machine *m, size_t n)
{
    m->stack.n_bytes -= n * sizeof(struct pickle_value);
}

static bool pop(struct machine *m, struct pickle_value *out)
{
    const struct pickle_value *v = top(m);
    if (!v) return false;
    *out = *v;
    drop(m, 1);
    return true;
}

/* Takes `n` values off, or all above the last mark and the mark too; a copy in the arena. */
static bool take(struct machine *m, size_t n, bool to_mark, const struct pickle_value **out,
                 size_t *n_out)
{
    const struct pickle_value *v = values(&m->stack);
    const size_t n_stack = n_values(&m->stack);
    size_t i = 0;
    while (i < n_stack && (to_mark || i < n) && v[n_stack - 1 - i].kind != PICKLE_MARK) i++;
    if (to_mark ? i == n_stack : i < n) return fail(m, "takes more values than the stack has");
    struct pickle_value *copy = arena_array(m->a, i, sizeof *copy, m->err);
    if (!copy) return false;
    if (i) memcpy(copy, v + n_stack - i, i * sizeof *copy);
    drop(m, i + to_mark);
    *out = copy;
    *n_out = i;
    return true;
}

static bool memo_put(struct machine *m, size_t slot)
{
    const struct pickle_value *v = top(m);
    if (!v) return false;
    if (slot >= m->r.n_bytes) return fail(m, "memo slot past the size of the pickle");
    const size_t n = n_values(&m->memo);
    if (slot >= n) {
        void *fresh = buf_grow(&m->memo, (slot + 1 - n) * sizeof *v);
        if (!buf_check(&m->memo, m->r.path, m->err)) return false;
        memset(fresh, 0, (slot + 1 - n) * sizeof *v);
    }
    values(&m->memo)[slot] = *v;
    return true;
}

static bool memo_get(struct machine *m, size_t slot)
{
    if (slot >= n_values(&m->memo) || values(&m->memo)[slot].kind == PICKLE_EMPTY)
        return fail(m, "asks for a memo slot that was never filled");
    return push(m, values(&m->memo)[slot]);
}

/* An unsigned number of `n` bytes that follows the opcode. */
static bool operand(struct machine *m, size_t n, uint64_t *out)
{
    const uint8_t *at = NULL;
    if (!reader_take(&m->r, n, &at)) return false;
    *out = 0;
    memcpy(out, at, n);
    return true;
}

/* ---- opcodes: frame and stack ---- */

static bool op_proto(struct machine *m)
{
    uint64_t v = 0;
    if (!operand(m, 1, &v)) return false;
    return (v >= 2 && v <= 5) || fail(m, "a protocol other than 2 to 5");
}

static bool op_frame(struct machine *m)
{
    uint64_t n = 0;
    if (!operand(m, 8, &n)) return false;
    return n <= reader_left(&m->r) || fail(m, "a frame longer than the pickle");
}

static bool op_mark(struct machine *m) { return push_kind(m, PICKLE_MARK, 0); }

static bool op_pop(struct machine *m)
{
    struct pickle_value v;
    return pop(m, &v);
}

static bool op_stop(struct machine *m)
{
    m->is_stopped = true;
    return true;
}

/* ---- opcodes: plain values ---- */

static bool op_none(struct machine *m) { return push_kind(m, PICKLE_NONE, 0); }

static bool op_true(struct machine *m) { return push_kind(m, PICKLE_BOOL, 1); }

static bool op_false(struct machine *m) { return push_kind(m, PICKLE_BOOL, 0); }

static bool op_binint(struct machine *m)
{
    uint64_t v = 0;
    return operand(m, 4, &v) && push_kind(m, PICKLE_INT, (int32_t)(uint32_t)v);
}

static bool op_binint1(struct machine *m)
{
    uint64_t v = 0;
    return operand(m, 1, &v) && push_kind(m, PICKLE_INT, (int64_t)v);
}

static bool op_binint2(struct machine *m)
{
    uint64_t v = 0;
    return operand(m, 2, &v) && push_kind(m, PICKLE_INT, (int64_t)v);
}

static bool op_long1(struct machine *m)
{
    uint64_t n = 0, v = 0;
    const uint8_t *at = NULL;
    if (!operand(m, 1, &n) || !reader_take(&m->r, n, &at)) return false;
    if (n > sizeof v) return fail(m, "a whole number of over 8 bytes");
    if (n && at[n - 1] & 0x80) v = UINT64_MAX; /* sign */
    memcpy(&v, at, n);
    return push_kind(m, PICKLE_INT, (int64_t)v);
}

static bool op_binfloat(struct machine *m)
{
    uint64_t v = 0;
    return operand(m, 8, &v) && push_kind(m, PICKLE_FLOAT, 0);
}

static bool push_string(struct machine *m, size_t n_length)
{
    uint64_t n = 0;
    const uint8_t *at = NULL;
    if (!operand(m, n_length, &n) || !reader_take(&m->r, n, &at)) return false;
    if (n > UINT32_MAX) return fail(m, "a string of over 4 GiB");
    return push(m, (struct pickle_value){.kind = PICKLE_STRING, .n = (uint32_t)n, .u.p = at});
}

static bool op_unicode(struct machine *m) { return push_string(m, 4); }

static bool op_short_unicode(struct machine *m) { return push_string(m, 1); }

static bool op_unicode8(struct machine *m) { return push_string(m, 8); }

/* ---- opcodes: containers ---- */

static bool push_tuple(struct machine *m, size_t n, bool to_mark)
{
    const struct pickle_value *v = NULL;
    size_t n_taken = 0;
    if (!take(m, n, to_mark, &v, &n_taken)) return false;
    return push(m, (struct pickle_value){.kind = PICKLE_TUPLE, .n = (uint32_t)n_taken, .u.p = v});
}

static bool op_tuple(struct machine *m) { return push_tuple(m, 0, true); }

static bool op_tuple0(struct machine *m) { return push_tuple(m, 0, false); }

static bool op_tuple1(struct machine *m) { return push_tuple(m, 1, false); }

static bool op_tuple2(struct machine *m) { return push_tuple(m, 2, false); }

static bool op_tuple3(struct machine *m) { return push_tuple(m, 3, false); }

bool pickle_new_items(struct arena *a, enum pickle_kind kind, struct pickle_value *out,
                      struct err *err)
{
    struct pickle_items *items = arena_array(a, 1, sizeof *items, err);
    if (items) *out = (struct pickle_value){.kind = kind, .u.p = items};
    return items != NULL;
}

static bool op_list(struct machine *m)
{
    struct pickle_value v;
    return pickle_new_items(m->a, PICKLE_LIST, &v, m->err) && push(m, v);
}

static bool op_dict(struct machine *m)
{
    struct pickle_value v;
    return pickle_new_items(m->a, PICKLE_DICT, &v, m->err) && push(m, v);
}

/* Moves values from the stack into the container below them. */
static bool add_items(struct machine *m, enum pickle_kind kind, size_t n, bool to_mark)
{
    struct pickle_chunk *c = arena_array(m->a, 1, sizeof *c, m->err);
    if (!c || !take(m, n, to_mark, &c->value, &c->n)) return false;
    const struct pickle_value *into = top(m);
    if (!into) return false;
    if (into->kind != kind)
        return fail(m, kind == PICKLE_DICT ? "sets items of what is no dictionary"
                                           : "appends to what is no list");
    if (kind == PICKLE_DICT && c->n % 2) return fail(m, "sets a key without a value");
    if (c->n == 0) return true;
    union {
        const void *in;
        struct pickle_items *out;
    } items = {.in = into->u.p}; /* pickle_new_items() made it */
    if (items.out->last)
        items.out->last->next = c;
    else
        items.out->first = c;
    items.out->last = c;
    return true;
}

static bool op_append(struct machine *m) { return add_items(m, PICKLE_LIST, 1, false); }

static bool op_appends(struct machine *m) { return add_items(m, PICKLE_LIST, 0, true); }

static bool op_setitem(struct machine *m) { return add_items(m, PICKLE_DICT, 2, false); }

static bool op_setitems(struct machine *m) { return add_items(m, PICKLE_DICT, 0, true); }

/* ---- opcodes: memo ---- */

static bool op_binput(struct machine *m)
{
    uint64_t slot = 0;
    return operand(m, 1, &slot) && memo_put(m, (size_t)slot);
}

static bool op_long_binput(struct machine *m)
{
    uint64_t slot = 0;
    return operand(m, 4, &slot) && memo_put(m, (size_t)slot);
}

static bool op_memoize(struct machine *m) { return memo_put(m, m->n_memoized++); }

static bool op_binget(struct machine *m)
{
    uint64_t slot = 0;
    return operand(m, 1, &slot) && memo_get(m, (size_t)slot);
}

static bool op_long_binget(struct machine *m)
{
    uint64_t slot = 0;
    return operand(m, 4, &slot) && memo_get(m, (size_t)slot);
}

/* ---- opcodes: globals and calls ---- */

static bool is_text(const char *s, const uint8_t *at, size_t n)
{
    return strlen(s) == n && memcmp(s, at, n) == 0;
}

static bool push_global(struct machine *m, const uint8_t *module, size_t n_module,
                        const uint8_t *name, size_t n_name)
{
    for (const struct pickle_global *g = m->host->global; g->module; g++)
        if (is_text(g->module, module, n_module) && is_text(g->name, name, n_name))
            return push(m, (struct pickle_value){.kind = PICKLE_GLOBAL, .u.p = g});
    return err_set(m->err, ERR_UNSUPPORTED,
                   "%s: byte %zu: %s: asks for %.*s.%.*s, which is not needed for tensors; save "
                   "the state dictionary alone, or do not use this file",
                   m->r.path, m->op_at, m->r.place, (int)(n_module > 80 ? 80 : n_module),
                   (const char *)module, (int)(n_name > 80 ? 80 : n_name), (const char *)name);
}

/* A line of the pickle without its newline. */
static bool line(struct machine *m, const uint8_t **at, size_t *n)
{
    const size_t left = reader_left(&m->r);
    const size_t n_max = left < MAX_GLOBAL_BYTES ? left : MAX_GLOBAL_BYTES;
    *at = m->r.data + m->r.pos;
    const uint8_t *end = n_max ? memchr(*at, '\n', n_max) : NULL;
    if (!end) return fail(m, "a name without an end");
    *n = (size_t)(end - *at);
    m->r.pos += *n + 1;
    return true;
}

static bool op_global(struct machine *m)
{
    const uint8_t *module = NULL, *name = NULL;
    size_t n_module = 0, n_name = 0;
    return line(m, &module, &n_module) && line(m, &name, &n_name) &&
           push_global(m, module, n_module, name, n_name);
}

static bool op_stack_global(struct machine *m)
{
    struct pickle_value module, name;
    if (!pop(m, &name) || !pop(m, &module)) return false;
    if (name.kind != PICKLE_STRING || module.kind != PICKLE_STRING)
        return fail(m, "a global whose name is no string");
    return push_global(m, module.u.p, module.n, name.u.p, name.n);
}

/* What a host's function says gets the position in front. */
static bool host_failed(struct machine *m)
{
    return err_wrap(m->err, "%s: byte %zu: %s", m->r.path, m->op_at, m->r.place);
}

static bool op_binpersid(struct machine *m)
{
    struct pickle_value id, out = {0};
    if (!pop(m, &id)) return false;
    if (!m->host->persistent(m->host->host, &id, &out, m->err)) return host_failed(m);
    return push(m, out);
}

static bool op_reduce(struct machine *m)
{
    struct pickle_value arg, callee, out = {0};
    if (!pop(m, &arg) || !pop(m, &callee)) return false;
    if (callee.kind != PICKLE_GLOBAL || arg.kind != PICKLE_TUPLE)
        return fail(m, "calls what is no function");
    const struct pickle_global *g = callee.u.p;
    if (!g->call)
        return err_set(m->err, ERR_UNSUPPORTED,
                       "%s: byte %zu: %s: calls %s.%s; do not use this file", m->r.path, m->op_at,
                       m->r.place, g->module, g->name);
    if (!g->call(m->host->host, arg.u.p, arg.n, &out, m->err)) return host_failed(m);
    return push(m, out);
}

/* Attributes of an OrderedDict (PyTorch hangs "_metadata" there): not needed. */
static bool op_build(struct machine *m)
{
    struct pickle_value state;
    if (!pop(m, &state)) return false;
    const struct pickle_value *object = top(m);
    if (!object) return false;
    return object->kind == PICKLE_DICT || fail(m, "sets the state of what is no dictionary");
}

static const struct opcode {
    const char *name;
    bool (*run)(struct machine *m); /* NULL: known to Python, refused here */
} opcodes[256] = {
    /* clang-format off */
    ['(']  = {"MARK", op_mark},                    ['.']  = {"STOP", op_stop},
    ['0']  = {"POP", op_pop},                      ['N']  = {"NONE", op_none},
    ['G']  = {"BINFLOAT", op_binfloat},            ['J']  = {"BININT", op_binint},
    ['K']  = {"BININT1", op_binint1},              ['M']  = {"BININT2", op_binint2},
    ['X']  = {"BINUNICODE", op_unicode},           ['}']  = {"EMPTY_DICT", op_dict},
    [']']  = {"EMPTY_LIST", op_list},              [')']  = {"EMPTY_TUPLE", op_tuple0},
    ['t']  = {"TUPLE", op_tuple},                  ['a']  = {"APPEND", op_append},
    ['e']  = {"APPENDS", op_appends},              ['s']  = {"SETITEM", op_setitem},
    ['u']  = {"SETITEMS", op_setitems},            ['q']  = {"BINPUT", op_binput},
    ['r']  = {"LONG_BINPUT", op_long_binput},      ['h']  = {"BINGET", op_binget},
    ['j']  = {"LONG_BINGET", op_long_binget},      ['c']  = {"GLOBAL", op_global},
    ['Q']  = {"BINPERSID", op_binpersid},          ['R']  = {"REDUCE", op_reduce},
    ['b']  = {"BUILD", op_build},                  [0x80] = {"PROTO", op_proto},
    [0x85] = {"TUPLE1", op_tuple1},                [0x86] = {"TUPLE2", op_tuple2},
    [0x87] = {"TUPLE3", op_tuple3},                [0x88] = {"NEWTRUE", op_true},
    [0x89] = {"NEWFALSE", op_false},               [0x8a] = {"LONG1", op_long1},
    [0x8c] = {"SHORT_BINUNICODE", op_short_unicode}, [0x8d] = {"BINUNICODE8", op_unicode8},
    [0x93] = {"STACK_GLOBAL", op_stack_global},    [0x94] = {"MEMOIZE", op_memoize},
    [0x95] = {"FRAME", op_frame},

    ['1']  = {"POP_MARK", NULL},   ['2']  = {"DUP", NULL},          ['F']  = {"FLOAT", NULL},
    ['I']  = {"INT", NULL},        ['L']  = {"LONG", NULL},         ['P']  = {"PERSID", NULL},
    ['S']  = {"STRING", NULL},     ['T']  = {"BINSTRING", NULL},    ['U']  = {"SHORT_BINSTRING", NULL},
    ['V']  = {"UNICODE", NULL},    ['d']  = {"DICT", NULL},         ['g']  = {"GET", NULL},
    ['i']  = {"INST", NULL},       ['l']  = {"LIST", NULL},         ['o']  = {"OBJ", NULL},
    ['p']  = {"PUT", NULL},        ['B']  = {"BINBYTES", NULL},     ['C']  = {"SHORT_BINBYTES", NULL},
    [0x81] = {"NEWOBJ", NULL},     [0x82] = {"EXT1", NULL},         [0x83] = {"EXT2", NULL},
    [0x84] = {"EXT4", NULL},       [0x8b] = {"LONG4", NULL},        [0x8e] = {"BINBYTES8", NULL},
    [0x8f] = {"EMPTY_SET", NULL},  [0x90] = {"ADDITEMS", NULL},     [0x91] = {"FROZENSET", NULL},
    [0x92] = {"NEWOBJ_EX", NULL},  [0x96] = {"BYTEARRAY8", NULL},   [0x97] = {"NEXT_BUFFER", NULL},
    [0x98] = {"READONLY_BUFFER", NULL},
    /* clang-format on */
};

static bool step(struct machine *m)
{
    const uint8_t *at = NULL;
    m->op_at = m->r.pos;
    (void)snprintf(m->r.place, sizeof m->r.place, "opcode");
    if (!reader_take(&m->r, 1, &at)) return false;
    const struct opcode *op = &opcodes[*at];
    if (op->name)
        (void)snprintf(m->r.place, sizeof m->r.place, "opcode %s", op->name);
    else
        (void)snprintf(m->r.place, sizeof m->r.place, "opcode 0x%02x", *at);
    if (op->run) return op->run(m);
    return err_set(m->err, ERR_UNSUPPORTED,
                   "%s: byte %zu: %s: is not needed for tensors and not run; save the state "
                   "dictionary alone, or do not use this file",
                   m->r.path, m->op_at, m->r.place);
}

bool pickle_load(const uint8_t *data, size_t n_bytes, const char *name,
                 const struct pickle_host *host, struct arena *a, struct pickle_value *out,
                 struct err *err)
{
    struct machine m = {.r = {.path = name, .data = data, .n_bytes = n_bytes, .err = err},
                        .host = host,
                        .a = a,
                        .err = err};
    size_t max_bytes = 0;
    if (!size_mul(n_bytes + 1, sizeof(struct pickle_value), &max_bytes))
        return err_set(err, ERR_LIMIT, "%s: a pickle of %zu bytes is too long", name, n_bytes);
    buf_init(&m.stack, max_bytes);
    buf_init(&m.memo, max_bytes);
    bool ok = true;
    while (ok && !m.is_stopped) ok = step(&m);
    if (ok) ok = pop(&m, out);
    if (ok && n_values(&m.stack)) ok = fail(&m, "leaves values on the stack");
    buf_release(&m.stack);
    buf_release(&m.memo);
    return ok;
}
