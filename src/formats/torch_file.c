/* SPDX-License-Identifier: Apache-2.0
 *
 * torch_file.c - the tensors of a PyTorch .pth file.
 *
 * A .pth file of PyTorch 1.6 and later is a ZIP without compression:
 *
 *     NAME/data.pkl     a pickle of the state dictionary; tensors refer to storages by number
 *     NAME/data/N       the bytes of storage N, aligned
 *     NAME/byteorder    "little" (newer files)
 *
 * In the pickle a storage is the persistent id ("storage", torch.FloatStorage, "N", device,
 * elements), and a tensor the call torch._utils._rebuild_tensor_v2(storage, offset, size, stride,
 * requires_grad, hooks). The few functions below stand for those names (`globals`); all else is
 * refused by pickle.c. The result is then walked: dictionaries in dictionaries give names joined
 * by '.', tensors are kept, everything else (step counts, hyperparameters) is passed over.
 *
 * What is wrong with a tensor (a type or strides that we cannot use) is noted when it is built and
 * reported when it is met with its name.
 *
 * Begin reading at torch_file_open_memory().
 */
#include "formats/torch_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "formats/name_index.h"
#include "formats/pickle.h"
#include "formats/zip_stored.h"

enum {
    MAX_PICKLE_BYTES = 4 << 20, /* 405B parameters take 230 kB */
    MAX_TORCH_DIMS = 64,        /* PyTorch's own */
    MAX_TENSORS = 1 << 16,
    MAX_DEPTH = 8,
    MAX_NAME_BYTES = 1024,
    MAX_STORAGE_KEY_BYTES = 64,
};
#define MAX_TABLE_BYTES ((size_t)512 << 20)
#define MAX_ELEMS ((int64_t)1 << 48)

struct torch_file {
    struct arena *arena;
    struct file_map *map; /* NULL: the bytes are borrowed */
    size_t n_bytes;
    struct zip zip;
    const char *prefix; /* "NAME/" */
    struct buf list;    /* of struct torch_tensor while walking */
    struct torch_tensor *tensor;
    size_t n_tensors;
    struct name_index names;
};

struct storage_type {
    const char *name;
    size_t elem_bytes;
    int dtype; /* or -1: we have no such tensors */
};

struct storage {
    const struct storage_type *type;
    const uint8_t *data;
    int64_t n_elems;
};

struct built {
    const struct storage *storage;
    int64_t offset;
    int32_t n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    const char *wrong; /* why it cannot be used, or NULL */
};

static const struct storage_type storage_types[] = {
    {"FloatStorage", 4, DT_F32}, {"HalfStorage", 2, DT_F16}, {"BFloat16Storage", 2, DT_BF16},
    {"DoubleStorage", 8, -1},    {"LongStorage", 8, -1},     {"IntStorage", 4, -1},
    {"ShortStorage", 2, -1},     {"CharStorage", 1, -1},     {"ByteStorage", 1, -1},
    {"BoolStorage", 1, -1},
};

/* ---- what the pickle may ask for ---- */

static bool is_str(const struct pickle_value *v, const char *s)
{
    return v->kind == PICKLE_STRING && v->n == strlen(s) && memcmp(v->u.p, s, v->n) == 0;
}

/* ("storage", type, key, device, elements) */
static bool load_storage(void *host, const struct pickle_value *id, struct pickle_value *out,
                         struct err *err)
{
    struct torch_file *f = host;
    const struct pickle_value *v = id->u.p;
    if (id->kind != PICKLE_TUPLE || id->n != 5 || !is_str(&v[0], "storage") ||
        v[1].kind != PICKLE_GLOBAL || v[2].kind != PICKLE_STRING || v[4].kind != PICKLE_INT)
        return err_set(err, ERR_FORMAT,
                       "a storage that is no (\"storage\", type, key, device, "
                       "elements); save the file again with PyTorch");
    const struct pickle_global *type = v[1].u.p;
    if (type->tag < 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "a storage of type %s.%s; convert it to float, half "
                       "or bfloat16",
                       type->module, type->name);
    if (v[2].n < 1 || v[2].n > MAX_STORAGE_KEY_BYTES || memchr(v[2].u.p, 0, v[2].n))
        return err_set(err, ERR_FORMAT,
                       "a storage key of %u bytes, allowed are 1 to %d; do not "
                       "use this file",
                       v[2].n, MAX_STORAGE_KEY_BYTES);
    char name[MAX_NAME_BYTES + MAX_STORAGE_KEY_BYTES + 8];
    (void)snprintf(name, sizeof name, "%sdata/%.*s", f->prefix, (int)v[2].n,
                   (const char *)v[2].u.p);
    const struct zip_member *m = zip_find(&f->zip, name);
    if (!m) return err_set(err, ERR_FORMAT, "there is no member %.80s; fetch the file again", name);

    struct storage *s = arena_array(f->arena, 1, sizeof *s, err);
    if (!s) return false;
    s->type = &storage_types[type->tag];
    s->data = m->data;
    s->n_elems = v[4].u.i;
    if (s->n_elems < 0 || (uint64_t)s->n_elems != m->n_bytes / s->type->elem_bytes ||
        m->n_bytes % s->type->elem_bytes)
        return err_set(err, ERR_FORMAT,
                       "storage %.80s has %" PRIu64 " bytes where %" PRId64
                       " elements of %zu bytes are said to be; fetch the file again",
                       name, m->n_bytes, s->n_elems, s->type->elem_bytes);
    *out = (struct pickle_value){.kind = PICKLE_HOST, .n = 0, .u.p = s};
    return true;
}

/* Kinds of PICKLE_HOST values, in .n */
enum { HOST_STORAGE, HOST_TENSOR };

static bool is_host(const struct pickle_value *v, uint32_t kind)
{
    return v->kind == PICKLE_HOST && v->n == kind;
}

/* Sizes and strides: fills b->shape, notes what cannot be used. */
static bool read_shape(struct built *b, const struct pickle_value *size,
                       const struct pickle_value *stride, struct err *err)
{
    const struct pickle_value *n = size->u.p, *step = stride->u.p;
    int64_t n_elems = 1;
    if (size->kind != PICKLE_TUPLE || stride->kind != PICKLE_TUPLE || size->n != stride->n ||
        size->n > MAX_TORCH_DIMS)
        return err_set(err, ERR_FORMAT,
                       "sizes and strides that are no two tuples of one length up to %d; do not "
                       "use this file",
                       MAX_TORCH_DIMS);
    b->n_dims = size->n <= TENSOR_MAX_DIMS ? (int32_t)size->n : 0;
    for (int i = 0; i < TENSOR_MAX_DIMS; i++) b->shape[i] = 1;
    if (size->n > TENSOR_MAX_DIMS) b->wrong = "has over 4 dimensions";
    for (size_t i = size->n; i-- > 0;) {
        if (n[i].kind != PICKLE_INT || step[i].kind != PICKLE_INT || n[i].u.i < 0 ||
            n[i].u.i > MAX_ELEMS)
            return err_set(err, ERR_FORMAT,
                           "a size or stride that is no whole number from 0 to "
                           "2^48; do not use this file");
        if (n[i].u.i != 1 && step[i].u.i != n_elems && !b->wrong)
            b->wrong = "is not contiguous (call .contiguous() before saving)";
        if (!i64_mul(n_elems, n[i].u.i, &n_elems) || n_elems > MAX_ELEMS)
            return err_set(err, ERR_FORMAT, "a tensor of over 2^48 elements; do not use this file");
        if (size->n <= TENSOR_MAX_DIMS) b->shape[i] = n[i].u.i;
    }
    if (n_elems == 0) b->wrong = "has no elements";
    if (b->offset > b->storage->n_elems || n_elems > b->storage->n_elems - b->offset) {
        if (!b->wrong)
            return err_set(err, ERR_FORMAT,
                           "a tensor of %" PRId64 " elements at %" PRId64
                           " in a storage of %" PRId64 "; fetch the file again",
                           n_elems, b->offset, b->storage->n_elems);
    }
    if (b->n_dims == 0 && !b->wrong) b->n_dims = 1; /* a number is a row of one */
    return true;
}

static bool rebuild_tensor(void *host, const struct pickle_value *arg, size_t n_args,
                           struct pickle_value *out, struct err *err)
{
    struct torch_file *f = host;
    if (n_args < 6 || n_args > 7 || !is_host(&arg[0], HOST_STORAGE) || arg[1].kind != PICKLE_INT ||
        arg[1].u.i < 0)
        return err_set(err, ERR_FORMAT,
                       "a tensor that is not built of (storage, offset, size, "
                       "stride, requires_grad, hooks); do not use this file");
    struct built *b = arena_array(f->arena, 1, sizeof *b, err);
    if (!b) return false;
    b->storage = arg[0].u.p;
    b->offset = arg[1].u.i;
    if (b->storage->type->dtype < 0) b->wrong = "is not of type float, half or bfloat16";
    if (!read_shape(b, &arg[2], &arg[3], err)) return false;
    *out = (struct pickle_value){.kind = PICKLE_HOST, .n = HOST_TENSOR, .u.p = b};
    return true;
}

static bool rebuild_parameter(void *host, const struct pickle_value *arg, size_t n_args,
                              struct pickle_value *out, struct err *err)
{
    (void)host;
    if (n_args < 1 || !is_host(&arg[0], HOST_TENSOR))
        return err_set(err, ERR_FORMAT, "a parameter of what is no tensor; do not use this file");
    *out = arg[0];
    return true;
}

static bool ordered_dict(void *host, const struct pickle_value *arg, size_t n_args,
                         struct pickle_value *out, struct err *err)
{
    struct torch_file *f = host;
    (void)arg;
    if (n_args != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "collections.OrderedDict with %zu arguments; save "
                       "the file again with Python 3",
                       n_args);
    return pickle_new_items(f->arena, PICKLE_DICT, out, err);
}

static const struct pickle_global globals[] = {
    /* clang-format off */
    /* module          name                  call               tag: row of storage_types */
    {"collections",   "OrderedDict",        ordered_dict,      -1},
    {"torch._utils",  "_rebuild_tensor_v2", rebuild_tensor,    -1},
    {"torch._utils",  "_rebuild_parameter", rebuild_parameter, -1},
    {"torch",         "FloatStorage",       NULL,               0},
    {"torch",         "HalfStorage",        NULL,               1},
    {"torch",         "BFloat16Storage",    NULL,               2},
    {"torch",         "DoubleStorage",      NULL,               3},
    {"torch",         "LongStorage",        NULL,               4},
    {"torch",         "IntStorage",         NULL,               5},
    {"torch",         "ShortStorage",       NULL,               6},
    {"torch",         "CharStorage",        NULL,               7},
    {"torch",         "ByteStorage",        NULL,               8},
    {"torch",         "BoolStorage",        NULL,               9},
    {"torch",         "float32",            NULL,              -1},
    {"torch",         "float16",            NULL,              -1},
    {"torch",         "bfloat16",           NULL,              -1},
    {0},
    /* clang-format on */
};

/* ---- from the dictionary to a list of tensors ---- */

struct level {
    const struct pickle_chunk *chunk;
    size_t i; /* in the chunk */
    size_t i_list;
    bool is_dict;
    size_t n_name; /* bytes of the name up to here */
};

struct walk {
    struct torch_file *f;
    const char *path;
    struct buf name;
    struct level level[MAX_DEPTH];
    int depth;
    size_t n_steps, max_steps;
    struct err *err;
};

static bool enter(struct walk *w, const struct pickle_value *v)
{
    const struct pickle_items *items = v->u.p;
    if (w->depth == MAX_DEPTH)
        return err_set(w->err, ERR_LIMIT,
                       "%s: %.80s: dictionaries are nested over %d deep; save the state "
                       "dictionary alone",
                       w->path, w->name.data ? w->name.data : "", MAX_DEPTH);
    w->level[w->depth++] = (struct level){
        .chunk = items->first, .is_dict = v->kind == PICKLE_DICT, .n_name = w->name.n_bytes};
    return true;
}

static bool add_tensor(struct walk *w, const struct built *b)
{
    struct torch_tensor x = {0};
    const char *wrong = b->wrong;
    const size_t elem_bytes = b->storage->type->elem_bytes;
    union {
        const uint8_t *in;
        void *out;
    } at = {.in = b->storage->data}; /* struct tensor promises not to write */
    if (!wrong && (uintptr_t)at.in % elem_bytes) wrong = "lies unaligned (save again with PyTorch)";
    if (wrong)
        return err_set(w->err, ERR_UNSUPPORTED, "%s: tensor %.80s: %s: convert and save it again",
                       w->path, w->name.data, wrong);
    if (w->f->list.n_bytes / sizeof x >= MAX_TENSORS)
        return err_set(w->err, ERR_LIMIT, "%s: over %d tensors; save fewer in one file", w->path,
                       MAX_TENSORS);
    at.in += (size_t)b->offset * elem_bytes;
    x.name = arena_copy(w->f->arena, w->name.data, w->name.n_bytes, w->err);
    if (!x.name) return false;
    if (!tensor_make(&x.t, x.name, (enum dtype)b->storage->type->dtype, b->n_dims, b->shape, at.out,
                     w->err))
        return err_wrap(w->err, "%s", w->path);
    buf_append(&w->f->list, &x, sizeof x);
    return buf_check(&w->f->list, w->path, w->err);
}

/* Puts the last part of the name behind that of the levels above. */
static bool set_name(struct walk *w, const struct level *l, const struct pickle_value *key)
{
    w->name.n_bytes = l->n_name;
    if (w->name.data) w->name.data[l->n_name] = 0;
    if (l->n_name) buf_putc(&w->name, '.');
    if (!key)
        buf_printf(&w->name, "%zu", l->i_list);
    else if (key->kind == PICKLE_INT)
        buf_printf(&w->name, "%" PRId64, key->u.i);
    else if (key->kind == PICKLE_STRING && key->n && !memchr(key->u.p, 0, key->n))
        buf_append(&w->name, key->u.p, key->n);
    else
        return err_set(w->err, ERR_FORMAT,
                       "%s: %.80s: a key that is no string without zero bytes; do not use this "
                       "file",
                       w->path, w->name.data ? w->name.data : "");
    return buf_check(&w->name, "a tensor's name", w->err) || err_wrap(w->err, "%s", w->path);
}

/* One entry of the innermost level. */
static bool visit(struct walk *w, struct level *l)
{
    const struct pickle_value *v = &l->chunk->value[l->i];
    const struct pickle_value *item = l->is_dict ? v + 1 : v;
    const bool is_wanted =
        is_host(item, HOST_TENSOR) || item->kind == PICKLE_DICT || item->kind == PICKLE_LIST;
    /* A dictionary may hold itself or be shared many times over: no file needs that. */
    if (w->n_steps++ == w->max_steps)
        return err_set(
            w->err, ERR_FORMAT,
            "%s: %.80s: dictionaries hold each other over and over; do not use this file", w->path,
            w->name.data ? w->name.data : "");
    if (is_wanted && !set_name(w, l, l->is_dict ? v : NULL)) return false;
    l->i += l->is_dict ? 2 : 1;
    l->i_list++;
    if (!is_wanted) return true;
    return is_host(item, HOST_TENSOR) ? add_tensor(w, item->u.p) : enter(w, item);
}

static bool walk_all(struct walk *w, const struct pickle_value *root)
{
    if (root->kind != PICKLE_DICT)
        return err_set(w->err, ERR_FORMAT, "%s: holds no dictionary; save a state dictionary",
                       w->path);
    if (!enter(w, root)) return false;
    while (w->depth) {
        struct level *l = &w->level[w->depth - 1];
        if (!l->chunk) {
            w->depth--;
        } else if (l->i >= l->chunk->n) {
            l->chunk = l->chunk->next;
            l->i = 0;
        } else if (!visit(w, l)) {
            return false;
        }
    }
    return true;
}

static bool list_tensors(struct torch_file *f, const char *path, const struct pickle_value *root,
                         size_t n_pickle, struct err *err)
{
    struct walk w = {.f = f, .path = path, .max_steps = n_pickle, .err = err};
    const char *duplicate = NULL;
    buf_init(&w.name, MAX_NAME_BYTES);
    const bool ok = walk_all(&w, root);
    buf_release(&w.name);
    if (!ok) return false;
    f->n_tensors = f->list.n_bytes / sizeof *f->tensor;
    f->tensor = (void *)f->list.data;
    if (!name_index_make(&f->names, f->arena, f->tensor, sizeof *f->tensor, f->n_tensors,
                         &duplicate, err))
        return false;
    if (duplicate)
        return err_set(err, ERR_FORMAT, "%s: tensor %.80s: is there twice; do not use this file",
                       path, duplicate);
    return true;
}

/* ---- the archive ---- */

/* PyTorch before 1.6 wrote bare pickles. */
static bool check_front(const char *path, const uint8_t *data, size_t n_bytes, struct err *err)
{
    if (n_bytes >= 4 && memcmp(data, "PK\3\4", 4) == 0) return true;
    if (n_bytes >= 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: is a bare pickle as PyTorch wrote before 1.6; load it there and "
                       "torch.save() it again",
                       path);
    return err_set(err, ERR_FORMAT, "%s: is no ZIP archive; name a .pth file that PyTorch wrote",
                   path);
}

/* The one member NAME/data.pkl; sets the prefix "NAME/". */
static const struct zip_member *find_pickle(struct torch_file *f, const char *path, struct err *err)
{
    const struct zip_member *found = NULL;
    for (size_t i = 0; i < f->zip.n_members; i++) {
        const struct zip_member *m = &f->zip.member[i];
        const char *slash = strchr(m->name, '/');
        if (!slash || strcmp(slash, "/data.pkl") != 0) continue;
        if (found) {
            err_set(err, ERR_FORMAT, "%s: has %.80s and %.80s, one is wanted; do not use this file",
                    path, found->name, m->name);
            return NULL;
        }
        found = m;
    }
    if (!found)
        err_set(err, ERR_FORMAT, "%s: has no member data.pkl; name a .pth file that PyTorch wrote",
                path);
    else if (found->n_bytes > MAX_PICKLE_BYTES)
        err_set(err, ERR_LIMIT,
                "%s: %.80s: %" PRIu64 " bytes, at most %d are read; save the state "
                "dictionary alone",
                path, found->name, found->n_bytes, MAX_PICKLE_BYTES);
    else
        f->prefix =
            arena_copy(f->arena, found->name, strlen(found->name) - strlen("data.pkl"), err);
    return f->prefix ? found : NULL;
}

static bool check_byteorder(const struct torch_file *f, const char *path, struct err *err)
{
    char name[MAX_NAME_BYTES + 16];
    (void)snprintf(name, sizeof name, "%sbyteorder", f->prefix);
    const struct zip_member *m = zip_find(&f->zip, name);
    if (!m || (m->n_bytes == 6 && memcmp(m->data, "little", 6) == 0)) return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "%s: %.80s: is not \"little\"; save it on a little-endian machine", path, name);
}

static bool load(struct torch_file *f, const char *path, const uint8_t *data, size_t n_bytes,
                 struct err *err)
{
    const struct pickle_host host = {.host = f, .global = globals, .persistent = load_storage};
    struct pickle_value root = {0};
    f->n_bytes = n_bytes;
    if (!check_front(path, data, n_bytes, err)) return false;
    if (!zip_stored_read(&f->zip, data, n_bytes, path, f->arena, err)) return false;
    const struct zip_member *m = find_pickle(f, path, err);
    if (!m || !check_byteorder(f, path, err)) return false;
    if (!pickle_load(m->data, (size_t)m->n_bytes, m->name, &host, f->arena, &root, err))
        return err_wrap(err, "%s", path);
    return list_tensors(f, path, &root, (size_t)m->n_bytes, err);
}

static struct torch_file *file_new(const char *path, struct err *err)
{
    struct torch_file *f = calloc(1, sizeof *f);
    if (f)
        f->arena = arena_new(MAX_TABLE_BYTES, err);
    else
        err_set(err, ERR_MEMORY, "%s: no memory to open it; free memory", path);
    if (f) buf_init(&f->list, MAX_TENSORS * sizeof(struct torch_tensor));
    if (f && f->arena) return f;
    free(f);
    return NULL;
}

struct torch_file *torch_file_open(const char *path, struct err *err)
{
    struct torch_file *f = file_new(path, err);
    if (!f) return NULL;
    f->map = file_map_open(path, err);
    if (f->map && load(f, path, file_map_data(f->map), file_map_bytes(f->map), err)) return f;
    torch_file_close(f);
    return NULL;
}

struct torch_file *torch_file_open_memory(const uint8_t *data, size_t n_bytes, const char *name,
                                          struct err *err)
{
    struct torch_file *f = file_new(name, err);
    if (!f || load(f, name, data, n_bytes, err)) return f;
    torch_file_close(f);
    return NULL;
}

bool torch_file_make_huge(struct torch_file *f, struct err *err)
{
    return !f->map || file_map_make_huge(f->map, err);
}

void torch_file_close(struct torch_file *f)
{
    if (!f) return;
    buf_release(&f->list);
    file_map_close(f->map);
    arena_free(f->arena);
    free(f);
}

size_t torch_file_n(const struct torch_file *f) { return f->n_tensors; }

const struct torch_tensor *torch_file_at(const struct torch_file *f, size_t i)
{
    return &f->tensor[i];
}

const struct torch_tensor *torch_file_find(const struct torch_file *f, const char *name)
{
    const size_t i = name_index_find(&f->names, name);
    return i == SIZE_MAX ? NULL : &f->tensor[i];
}

uint64_t torch_file_bytes(const struct torch_file *f) { return f->n_bytes; }
