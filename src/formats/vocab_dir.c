/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_dir.c - which reader a path is for.
 *
 * A file is told by its content, since people rename files: "GGUF" at its beginning, a brace for
 * tokenizer.json, else tokenizer.model; and of that, SentencePiece if there is any byte that text
 * in ASCII cannot have, which its first few bytes always are. tokenizer.json brings the files of
 * its directory, whether it or the directory is named. A directory with both tokenizer.json and
 * tokenizer.model is read by the former: tokens that a fine-tune added are only there.
 *
 * Begin reading at vocab_from_path().
 */
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "formats/tokenizer_files.h"
#include "formats/vocab_parts.h"

enum { N_SNIFFED = 64 }; /* SentencePiece: the first piece's score is among them */

struct vocab *vocab_from_model_memory(const uint8_t *data, size_t n_bytes, const char *name,
                                      bool is_llama31, struct err *err)
{
    bool is_text = true;
    for (size_t i = 0; i < n_bytes && i < N_SNIFFED; i++)
        is_text =
            is_text && (data[i] == '\n' || data[i] == '\r' || (data[i] >= ' ' && data[i] <= '~'));
    return is_text ? vocab_from_tiktoken(data, n_bytes, name, is_llama31, err)
                   : vocab_from_spm(data, n_bytes, name, err);
}

/* ---- files ---- */

static bool is_json(const struct file_map *f)
{
    const uint8_t *s = file_map_data(f);
    size_t i = 0;
    while (i < file_map_bytes(f) && strchr(" \t\r\n", s[i]) && s[i]) i++;
    return i < file_map_bytes(f) && s[i] == '{';
}

/* *is_model: it was a tokenizer.model. */
static struct vocab *from_file(const char *path, bool is_llama31, bool *is_model, struct err *err)
{
    struct file_map *f = file_map_open(path, err);
    if (!f) return NULL;
    const uint8_t *s = file_map_data(f);
    const size_t n = file_map_bytes(f);
    *is_model = !is_json(f);
    struct vocab *v = *is_model ? vocab_from_model_memory(s, n, path, is_llama31, err)
                                : vocab_from_hf_memory(s, n, path, err);
    file_map_close(f);
    return v;
}

/* A file with the settings of its directory. */
static struct vocab *from_file_in(const char *dir, const char *path, bool is_llama31,
                                  struct err *err)
{
    bool is_model = false;
    struct vocab *v = from_file(path, is_llama31, &is_model, err);
    if (!v) return NULL;
    if (vocab_settings_read(v, dir, is_model, err) && vocab_finish_checked(v, path, err)) return v;
    vocab_free(v);
    return NULL;
}

struct vocab *vocab_from_dir(const char *dir, bool is_llama31, struct err *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", NULL};
    struct vocab *v = NULL;
    struct buf path;
    buf_init(&path, 1 << 16);
    for (size_t i = 0; names[i]; i++) {
        path_join(&path, dir, names[i]);
        if (!buf_check(&path, "the path of the vocabulary", err)) goto out;
        if (!path_exists(path.data)) continue;
        v = from_file_in(dir, path.data, is_llama31, err);
        goto out;
    }
    err_set(err, ERR_IO,
            "%s: has neither tokenizer.json nor tokenizer.model; put the one that belongs to the "
            "weights there",
            dir);
out:
    buf_release(&path);
    return v;
}

/* The directory part of a path, "." if it has none. */
static bool dir_of(const char *path, struct buf *out, struct err *err)
{
    const size_t n = (size_t)(path_base(path) - path);
    buf_append(out, n ? path : ".", n ? n : 1);
    return buf_check(out, "the path of the vocabulary", err);
}

static struct vocab *from_gguf_file(const char *path, struct err *err)
{
    struct gguf *g = gguf_open(path, err);
    struct vocab *v = g ? vocab_from_gguf(g, err) : NULL;
    gguf_close(g);
    return v;
}

static bool is_gguf_file(const char *path, bool *out, struct err *err)
{
    struct file_map *f = file_map_open(path, err);
    if (!f) return false;
    *out = file_map_bytes(f) >= 4 && memcmp(file_map_data(f), "GGUF", 4) == 0;
    file_map_close(f);
    return true;
}

struct vocab *vocab_from_path(const char *path, struct err *err)
{
    bool is_gguf = false;
    struct vocab *v = NULL;
    struct buf dir;
    if (path_is_dir(path)) return vocab_from_dir(path, vocab_dir_is_llama31(path), err);
    if (!is_gguf_file(path, &is_gguf, err)) return NULL;
    if (is_gguf) return from_gguf_file(path, err);
    buf_init(&dir, 1 << 16);
    if (dir_of(path, &dir, err))
        v = from_file_in(dir.data, path, vocab_dir_is_llama31(dir.data), err);
    buf_release(&dir);
    return v;
}
