/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf.c - opening a GGUF file or a whole split set, and asking it for values and tensors.
 *
 * A split set is several complete GGUF files. Its members know their number (split.no, from 0) and
 * how many they are (split.count); their names end in -00001-of-0000N.gguf. Whichever member is
 * named, all are opened, in order; keys are those of the first member, tensors are the members'
 * lists one after the other. Small tables and names live in one arena, data stay mapped.
 *
 * Invariants
 *   I1  part[0] holds the keys; tensor[] is the concatenation of all parts' lists.
 *   I2  tensor names are unique over the whole set.
 *
 * Begin reading at gguf_open(). The header itself is gguf_parse.c.
 */
#include "formats/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "formats/gguf_parse.h"

/* Names and tables only; 65,536 longest keys of a hostile file would pass it. */
#define GGUF_MAX_TABLE_BYTES ((size_t)512 << 20)
enum { MAX_SPLITS = 65535, SPLIT_SUFFIX_BYTES = sizeof "-00001-of-00001.gguf" - 1 };

struct gguf {
    struct arena *arena;
    const char *path;
    struct gguf_part *part;
    size_t n_parts;
    struct gguf_tensor *tensor;
    size_t n_tensors;
    struct name_index tensors;
};

static struct gguf *gguf_new(const char *path, struct err *err)
{
    struct gguf *g = calloc(1, sizeof *g);
    if (!g) {
        err_set(err, ERR_MEMORY, "%s: no memory to open it; free memory", path);
        return NULL;
    }
    g->arena = arena_new(GGUF_MAX_TABLE_BYTES, err);
    if (g->arena) g->path = arena_copy(g->arena, path, strlen(path), err);
    if (g->path) return g;
    gguf_close(g);
    return NULL;
}

void gguf_close(struct gguf *g)
{
    if (!g) return;
    for (size_t i = 0; i < g->n_parts; i++) file_map_close(g->part[i].map);
    arena_free(g->arena);
    free(g);
}

bool gguf_make_huge(struct gguf *g, struct err *err)
{
    for (size_t i = 0; i < g->n_parts; i++)
        if (g->part[i].map && !file_map_make_huge(g->part[i].map, err)) return false;
    return true;
}

bool gguf_make_writable(struct gguf *g, struct err *err)
{
    for (size_t i = 0; i < g->n_parts; i++)
        if (g->part[i].map && !file_map_make_writable(g->part[i].map, err)) return false;
    return true;
}

static bool new_parts(struct gguf *g, size_t n, struct err *err)
{
    g->part = arena_array(g->arena, n, sizeof *g->part, err);
    if (g->part) g->n_parts = n;
    return g->part != NULL;
}

static bool open_part(struct gguf *g, struct gguf_part *p, const char *path, struct err *err)
{
    p->path = path;
    p->map = file_map_open(path, err);
    if (!p->map) return false;
    p->data = file_map_data(p->map);
    p->n_bytes = file_map_bytes(p->map);
    return gguf_parse(p, g->arena, err);
}

/* ---- split sets ---- */

/* A split.* number of one member; -1 if it has none. */
static bool split_number(const struct gguf_part *p, const char *key, int64_t max, int64_t *out,
                         struct err *err)
{
    const size_t i = name_index_find(&p->keys, key);
    *out = -1;
    if (i == SIZE_MAX) return true;
    int64_t v = 0;
    if (!gguf_value_i64(&p->value[i], &v) || v < 0 || v > max)
        return err_set(err, ERR_FORMAT,
                       "%s: key %s: is no whole number from 0 to %" PRId64 "; fetch the set again",
                       p->path, key, max);
    *out = v;
    return true;
}

/* The name of member i (from 1) of n, from the name of any member. NULL and `err` if `path` is not
 * named like one. */
static const char *member_path(struct gguf *g, const char *path, size_t i, size_t n,
                               struct err *err)
{
    char suffix[64];
    const size_t n_path = strlen(path);
    (void)snprintf(suffix, sizeof suffix, "-of-%05zu.gguf", n);
    const size_t n_suffix = strlen(suffix);
    const char *tail = n_path > SPLIT_SUFFIX_BYTES ? path + n_path - SPLIT_SUFFIX_BYTES : "";
    if (tail[0] != '-' || strspn(tail + 1, "0123456789") != 5 || n_suffix != 14 ||
        strcmp(tail + 6, suffix) != 0) {
        err_set(err, ERR_FORMAT,
                "%s: is one of a set of %zu files, but its name does not end in "
                "-NNNNN%s; give the files their names back",
                path, n, suffix);
        return NULL;
    }
    char *name = arena_copy(g->arena, path, n_path, err);
    char number[8];
    if (!name) return NULL;
    (void)snprintf(number, sizeof number, "%05u", (unsigned)(i % 100000));
    memcpy(name + n_path - SPLIT_SUFFIX_BYTES + 1, number, 5);
    return name;
}

static bool check_member(const struct gguf_part *p, size_t i, size_t n, struct err *err)
{
    int64_t no = 0, count = 0;
    if (!split_number(p, "split.no", MAX_SPLITS, &no, err)) return false;
    if (!split_number(p, "split.count", MAX_SPLITS, &count, err)) return false;
    if (count != (int64_t)n)
        return err_set(err, ERR_FORMAT,
                       "%s: key split.count: is %" PRId64 " where the set has %zu members; fetch "
                       "the set again",
                       p->path, count, n);
    if (no != (int64_t)i)
        return err_set(err, ERR_FORMAT,
                       "%s: key split.no: is %" PRId64 " in member %zu (counted from 0); fetch "
                       "the set again",
                       p->path, no, i);
    return true;
}

static bool open_set(struct gguf *g, const char *path, size_t n, struct err *err)
{
    file_map_close(g->part[0].map);
    g->n_parts = 0;
    if (!new_parts(g, n, err)) return false;
    for (size_t i = 0; i < n; i++) {
        const char *name = member_path(g, path, i + 1, n, err);
        if (!name) return false;
        if (!open_part(g, &g->part[i], name, err))
            return err_wrap(err, "member %zu of a set of %zu", i + 1, n);
        if (!check_member(&g->part[i], i, n, err)) return false;
    }
    return true;
}

/* One list of all parts' tensors. */
static bool join_tensors(struct gguf *g, struct err *err)
{
    const struct gguf_part *first = &g->part[0];
    const char *duplicate = NULL;
    size_t n = 0;
    for (size_t i = 0; i < g->n_parts; i++) n += g->part[i].n_tensors;
    if (n > GGUF_MAX_TENSORS)
        return err_set(err, ERR_LIMIT, "%s: the set has %zu tensors, at most %d are read; merge it",
                       first->path, n, GGUF_MAX_TENSORS);
    int64_t n_said = -1;
    if (!split_number(first, "split.tensors.count", INT64_MAX, &n_said, err)) return false;
    if (n_said >= 0 && g->n_parts > 1 && n_said != (int64_t)n)
        return err_set(err, ERR_FORMAT,
                       "%s: key split.tensors.count: is %" PRId64 ", the members have %zu; fetch "
                       "the set again",
                       first->path, n_said, n);
    g->tensor = arena_array(g->arena, n, sizeof *g->tensor, err);
    if (!g->tensor) return false;
    for (size_t i = 0; i < g->n_parts; i++) {
        const struct gguf_part *p = &g->part[i];
        memcpy(g->tensor + g->n_tensors, p->tensor, p->n_tensors * sizeof *p->tensor);
        g->n_tensors += p->n_tensors;
    }
    if (!name_index_make(&g->tensors, g->arena, g->tensor, sizeof *g->tensor, g->n_tensors,
                         &duplicate, err))
        return false;
    if (duplicate)
        return err_set(err, ERR_FORMAT, "%s: tensor %s: is there twice; convert the model again",
                       g->path, duplicate);
    return true;
}

struct gguf *gguf_open(const char *path, struct err *err)
{
    int64_t n = 0;
    struct gguf *g = gguf_new(path, err);
    if (!g) return NULL;
    if (!new_parts(g, 1, err) || !open_part(g, &g->part[0], g->path, err)) goto fail;
    if (!split_number(&g->part[0], "split.count", MAX_SPLITS, &n, err)) goto fail;
    if (n > 1 && !open_set(g, g->path, (size_t)n, err)) goto fail;
    if (!join_tensors(g, err)) goto fail;
    return g;
fail:
    gguf_close(g);
    return NULL;
}

struct gguf *gguf_open_memory(const uint8_t *data, size_t n_bytes, const char *name,
                              struct err *err)
{
    int64_t n = 0;
    struct gguf *g = gguf_new(name, err);
    if (!g) return NULL;
    if (!new_parts(g, 1, err)) goto fail;
    g->part[0].path = g->path;
    g->part[0].data = data;
    g->part[0].n_bytes = n_bytes;
    if (!gguf_parse(&g->part[0], g->arena, err)) goto fail;
    if (!split_number(&g->part[0], "split.count", MAX_SPLITS, &n, err)) goto fail;
    if (n > 1) {
        err_set(err, ERR_UNSUPPORTED, "%s: is one of a set of %" PRId64 " files; open it by path",
                name, n);
        goto fail;
    }
    if (!join_tensors(g, err)) goto fail;
    return g;
fail:
    gguf_close(g);
    return NULL;
}

/* ---- questions ---- */

size_t gguf_n_values(const struct gguf *g) { return g->part[0].n_values; }

const struct gguf_value *gguf_value(const struct gguf *g, size_t i) { return &g->part[0].value[i]; }

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    const size_t i = name_index_find(&g->part[0].keys, key);
    return i == SIZE_MAX ? NULL : &g->part[0].value[i];
}

size_t gguf_n_tensors(const struct gguf *g) { return g->n_tensors; }

const struct gguf_tensor *gguf_tensor(const struct gguf *g, size_t i) { return &g->tensor[i]; }

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name)
{
    const size_t i = name_index_find(&g->tensors, name);
    return i == SIZE_MAX ? NULL : &g->tensor[i];
}

uint32_t gguf_version(const struct gguf *g) { return g->part[0].version; }

uint64_t gguf_file_bytes(const struct gguf *g)
{
    uint64_t n = 0;
    for (size_t i = 0; i < g->n_parts; i++) n += g->part[i].n_bytes;
    return n;
}

const char *gguf_path(const struct gguf *g) { return g->path; }
