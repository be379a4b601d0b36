/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors.c - opening a safetensors file, an index with its shards, or a directory.
 *
 * The index (model.safetensors.index.json) maps tensor names to file names. Its file names come
 * from a stranger and are joined to the index's own directory, so only plain base names are taken.
 * Map and shards must agree both ways: a name that its shard lacks and a tensor that the map does
 * not list under that shard are errors, because either means files of two versions got mixed.
 *
 * Invariants
 *   I1  tensor[] is the concatenation of all files' lists; names are unique over all files.
 *   I2  data lie in a map of file[], or in `copies` (safetensors_parse.c says when).
 *
 * Begin reading at safetensors_open().
 */
#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "formats/name_index.h"
#include "formats/safetensors_parse.h"

#define MAX_TABLE_BYTES ((size_t)1 << 30)
#define MAX_COPY_BYTES ((size_t)1 << 46) /* in truth the size of the files */
enum { MAX_SHARDS = 4096 };

static const char single_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

struct safetensors {
    struct arena *tables, *copies;
    const char *path;
    struct safetensors_file *file;
    size_t n_files;
    struct safetensor *tensor;
    size_t n_tensors;
    struct name_index names;
};

static struct safetensors *set_new(const char *path, struct err *err)
{
    struct safetensors *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(err, ERR_MEMORY, "%s: no memory to open it; free memory", path);
        return NULL;
    }
    s->tables = arena_new(MAX_TABLE_BYTES, err);
    if (s->tables) s->copies = arena_new(MAX_COPY_BYTES, err);
    if (s->copies) s->path = arena_copy(s->tables, path, strlen(path), err);
    if (s->path) return s;
    safetensors_close(s);
    return NULL;
}

void safetensors_close(struct safetensors *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n_files; i++) file_map_close(s->file[i].map);
    arena_free(s->copies);
    arena_free(s->tables);
    free(s);
}

bool safetensors_make_huge(struct safetensors *s, struct err *err)
{
    for (size_t i = 0; i < s->n_files; i++)
        if (s->file[i].map && !file_map_make_huge(s->file[i].map, err)) return false;
    return true;
}

static bool new_files(struct safetensors *s, size_t n, struct err *err)
{
    s->file = arena_array(s->tables, n, sizeof *s->file, err);
    if (s->file) s->n_files = n;
    return s->file != NULL;
}

static bool open_file(struct safetensors *s, struct safetensors_file *f, const char *path,
                      struct err *err)
{
    f->path = path;
    f->map = file_map_open(path, err);
    if (!f->map) return false;
    f->data = file_map_data(f->map);
    f->n_bytes = file_map_bytes(f->map);
    return safetensors_parse(f, s->tables, s->copies, err);
}

/* One list of all files' tensors. */
static bool join_tensors(struct safetensors *s, struct err *err)
{
    const char *duplicate = NULL;
    size_t n = 0;
    for (size_t i = 0; i < s->n_files; i++) n += s->file[i].n_tensors;
    if (n > SAFETENSORS_MAX_TENSORS)
        return err_set(err, ERR_LIMIT, "%s: %zu tensors, at most %d are read; merge the files",
                       s->path, n, SAFETENSORS_MAX_TENSORS);
    s->tensor = arena_array(s->tables, n, sizeof *s->tensor, err);
    if (!s->tensor) return false;
    for (size_t i = 0; i < s->n_files; i++) {
        const struct safetensors_file *f = &s->file[i];
        memcpy(s->tensor + s->n_tensors, f->tensor, f->n_tensors * sizeof *f->tensor);
        s->n_tensors += f->n_tensors;
    }
    if (!name_index_make(&s->names, s->tables, s->tensor, sizeof *s->tensor, n, &duplicate, err))
        return false;
    if (duplicate)
        return err_set(err, ERR_FORMAT, "%s: tensor %.80s: is there twice; fetch it again", s->path,
                       duplicate);
    return true;
}

/* ---- the index ---- */

struct mapping {
    const char *tensor, *file;
};

/* "a.safetensors" and nothing that leaves the directory. */
static bool is_base_name(const char *s)
{
    const size_t n = strlen(s), n_ext = strlen(".safetensors");
    return n > n_ext && s[0] != '.' && !strpbrk(s, "/\\") &&
           strcmp(s + n - n_ext, ".safetensors") == 0;
}

static bool read_map(struct safetensors *s, const char *path, struct json root,
                     struct mapping **out, size_t *n_out, struct err *err)
{
    const struct json map = json_get(root, "weight_map");
    const char *key = NULL, *file = NULL;
    size_t n_key = 0, n_file = 0, n = 0;
    struct json v;
    struct json_iter it = json_iter(map);
    if (json_type(map) != JSON_OBJECT || json_len(map) == 0)
        return err_set(err, ERR_FORMAT, "%s: has no object \"weight_map\"; fetch it again", path);
    if (json_len(map) > SAFETENSORS_MAX_TENSORS)
        return err_set(err, ERR_LIMIT, "%s: weight_map: %zu tensors, at most %d are read", path,
                       json_len(map), SAFETENSORS_MAX_TENSORS);
    struct mapping *m = arena_array(s->tables, json_len(map), sizeof *m, err);
    if (!m) return false;
    for (; json_next(&it, &key, &n_key, &v); n++) {
        if (!json_str(v, &file, &n_file))
            return err_set(err, ERR_FORMAT, "%s: weight_map: %.80s: is no string; fetch it again",
                           path, key);
        if (!safetensors_copy_name(s->tables, key, n_key, path, "a name in weight_map",
                                   &m[n].tensor, err))
            return false;
        if (!safetensors_copy_name(s->tables, file, n_file, path, "a file name in weight_map",
                                   &m[n].file, err))
            return false;
        if (!is_base_name(m[n].file))
            return err_set(err, ERR_FORMAT,
                           "%s: weight_map: %.80s: \"%.80s\" is no plain name of a .safetensors "
                           "file; do not use this file",
                           path, m[n].tensor, m[n].file);
    }
    *out = m;
    *n_out = n;
    return true;
}

static int by_file(const void *a, const void *b)
{
    const struct mapping *x = a, *y = b;
    return strcmp(x->file, y->file);
}

/* Opens each file that the map names, in the order of names. */
static bool open_shards(struct safetensors *s, const char *path, struct mapping *m, size_t n,
                        struct err *err)
{
    size_t n_files = 0;
    const size_t n_dir = (size_t)(path_base(path) - path);
    qsort(m, n, sizeof *m, by_file);
    for (size_t i = 0; i < n; i++) n_files += i == 0 || strcmp(m[i].file, m[i - 1].file) != 0;
    if (n_files > MAX_SHARDS)
        return err_set(err, ERR_LIMIT, "%s: weight_map: names %zu files, at most %d are read", path,
                       n_files, MAX_SHARDS);
    if (!new_files(s, n_files, err)) return false;
    for (size_t i = 0, k = 0; i < n; i++) {
        if (i && strcmp(m[i].file, m[i - 1].file) == 0) continue;
        const size_t n_file = strlen(m[i].file);
        char *full = arena_array(s->tables, n_dir + n_file + 1, 1, err);
        if (!full) return false;
        memcpy(full, path, n_dir);
        memcpy(full + n_dir, m[i].file, n_file);
        if (!open_file(s, &s->file[k++], full, err))
            return err_wrap(err, "shard %zu of %zu", k, n_files);
    }
    return true;
}

/* Map and shards say the same. Tensors are unique (I1) and so are names in the map, so equal
 * counts and every mapping found mean that nothing is left over on either side. */
static bool check_map(struct safetensors *s, const char *path, const struct mapping *m, size_t n,
                      struct err *err)
{
    const char *duplicate = NULL;
    struct name_index index;
    if (!name_index_make(&index, s->tables, m, sizeof *m, n, &duplicate, err)) return false;
    if (duplicate)
        return err_set(err, ERR_FORMAT, "%s: weight_map: %.80s: is there twice; fetch it again",
                       path, duplicate);
    const struct safetensor *t = s->tensor;
    for (size_t k = 0; k < s->n_files; k++) {
        const struct safetensors_file *f = &s->file[k];
        for (size_t i = 0; i < f->n_tensors; i++, t++) {
            const size_t at = name_index_find(&index, t->name);
            if (at == SIZE_MAX || strcmp(m[at].file, path_base(f->path)) != 0)
                return err_set(err, ERR_FORMAT,
                               "%s: tensor %.80s: weight_map of %s has it %s; fetch all files of "
                               "one version",
                               f->path, t->name, path_base(path),
                               at == SIZE_MAX ? "nowhere" : "in another file");
        }
    }
    for (size_t i = 0; i < n && s->n_tensors != n; i++)
        if (name_index_find(&s->names, m[i].tensor) == SIZE_MAX)
            return err_set(err, ERR_FORMAT,
                           "%s: weight_map: %.80s: is not in %s; fetch all files of one version",
                           path, m[i].tensor, m[i].file);
    return true;
}

static bool open_index(struct safetensors *s, const char *path, struct err *err)
{
    struct buf text;
    struct json_doc *doc = NULL;
    struct mapping *m = NULL;
    size_t n = 0;
    bool ok = false;
    buf_init(&text, SAFETENSORS_MAX_HEADER_BYTES);
    if (!file_read_all(path, SAFETENSORS_MAX_HEADER_BYTES, &text, err)) goto out;
    doc = json_parse(text.data, text.n_bytes, SAFETENSORS_MAX_HEADER_BYTES, path, err);
    if (!doc || !read_map(s, path, json_root(doc), &m, &n, err)) goto out;
    ok = open_shards(s, path, m, n, err) && join_tensors(s, err) && check_map(s, path, m, n, err);
out:
    json_free(doc);
    buf_release(&text);
    return ok;
}

/* ---- opening ---- */

static bool open_single(struct safetensors *s, const char *path, struct err *err)
{
    return new_files(s, 1, err) && open_file(s, &s->file[0], path, err) && join_tensors(s, err);
}

static bool open_dir(struct safetensors *s, const char *dir, struct err *err)
{
    struct buf path;
    bool ok = false;
    buf_init(&path, 1 << 16);
    path_join(&path, dir, single_name);
    if (!buf_check(&path, dir, err)) goto out;
    const bool is_single = path_exists(path.data);
    if (!is_single) path_join(&path, dir, index_name);
    if (!buf_check(&path, dir, err)) goto out;
    if (!is_single && !path_exists(path.data)) {
        err_set(err, ERR_IO, "%s: has neither %s nor %s; name a model's directory", dir,
                single_name, index_name);
        goto out;
    }
    const char *kept = arena_copy(s->tables, path.data, path.n_bytes, err);
    ok = kept && (is_single ? open_single(s, kept, err) : open_index(s, kept, err));
out:
    buf_release(&path);
    return ok;
}

struct safetensors *safetensors_open(const char *path, struct err *err)
{
    struct safetensors *s = set_new(path, err);
    if (!s) return NULL;
    const size_t n = strlen(path);
    const bool is_index = n > 5 && strcmp(path + n - 5, ".json") == 0;
    const bool ok = path_is_dir(path) ? open_dir(s, s->path, err)
                    : is_index        ? open_index(s, s->path, err)
                                      : open_single(s, s->path, err);
    if (ok) return s;
    safetensors_close(s);
    return NULL;
}

struct safetensors *safetensors_open_memory(const uint8_t *data, size_t n_bytes, const char *name,
                                            struct err *err)
{
    struct safetensors *s = set_new(name, err);
    if (!s) return NULL;
    if (!new_files(s, 1, err)) goto fail;
    s->file[0].path = s->path;
    s->file[0].data = data;
    s->file[0].n_bytes = n_bytes;
    if (!safetensors_parse(&s->file[0], s->tables, s->copies, err)) goto fail;
    if (!join_tensors(s, err)) goto fail;
    return s;
fail:
    safetensors_close(s);
    return NULL;
}

/* ---- questions ---- */

size_t safetensors_n(const struct safetensors *s) { return s->n_tensors; }

const struct safetensor *safetensors_at(const struct safetensors *s, size_t i)
{
    return &s->tensor[i];
}

const struct safetensor *safetensors_find(const struct safetensors *s, const char *name)
{
    const size_t i = name_index_find(&s->names, name);
    return i == SIZE_MAX ? NULL : &s->tensor[i];
}

const char *safetensors_meta(const struct safetensors *s, const char *key)
{
    for (size_t i = 0; i < s->file[0].n_meta; i++)
        if (strcmp(s->file[0].meta[i].key, key) == 0) return s->file[0].meta[i].value;
    return NULL;
}

uint64_t safetensors_file_bytes(const struct safetensors *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->n_files; i++) n += s->file[i].n_bytes;
    return n;
}
