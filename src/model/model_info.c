/* SPDX-License-Identifier: Apache-2.0
 *
 * model_info.c - what the files say about a model: name, licence, card.
 *
 * GGUF has keys. A directory has a README.md whose front matter (lines "key: value" between two
 * "---") the hub reads, and a LICENSE. The front matter is YAML, of which one line a key is all
 * that is understood here: it is talk, not arithmetic, and what is missed is left out.
 *
 * The Llama 3 licences ask that a derived model be named and shown as one: the family is told by
 * the licence key, or by a name that has "llama 3" in it in some spelling.
 *
 * Begin reading at info_from_dir().
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/file.h"
#include "model/load.h"

enum { MAX_CARD_BYTES = 1 << 20, LICENSE_TITLE_BYTES = 512 };

#define INFO(field) offsetof(struct model_info, field)
static const struct info_key {
    const char *gguf, *card; /* card: front matter of README.md */
    size_t at;               /* of a const char * in struct model_info */
} info_keys[] = {
    /* clang-format off */
    {"general.name",         "model_name",   INFO(name)},
    {"general.license",      "license",      INFO(license)},
    {"general.license.name", "license_name", INFO(license_name)},
    {"general.license.link", "license_link", INFO(license_link)},
    {"general.author",       "author",       INFO(author)},
    {"general.version",      "version",      INFO(version)},
    {"general.description",  "description",  INFO(description)},
    {0},
    /* clang-format on */
};

static bool keep_text(struct model *m, size_t at, const char *s, size_t n, struct err *err)
{
    const char *copy = arena_copy(m->arena, s, n, err);
    if (!copy) return false;
    memcpy((char *)&m->info + at, &copy, sizeof copy);
    return true;
}

bool info_from_gguf(struct model *m, struct err *err)
{
    for (const struct info_key *k = info_keys; k->gguf; k++) {
        const struct gguf_value *v = gguf_find(m->gguf, k->gguf);
        if (v && v->type == GGUF_STRING && !keep_text(m, k->at, v->raw, (size_t)v->n, err))
            return false;
    }
    return true;
}

static const char *text_at(const struct model_info *info, size_t at)
{
    const char *s = NULL;
    memcpy(&s, (const char *)info + at, sizeof s);
    return s && *s ? s : NULL;
}

void info_put_gguf(const struct model_info *info, struct gguf_writer *w)
{
    for (const struct info_key *k = info_keys; k->gguf; k++) {
        const char *s = text_at(info, k->at);
        if (s) gguf_put_str(w, k->gguf, s, strlen(s));
    }
}

/* A YAML scalar on one line: plain where nothing in it could mean something else. */
static void put_scalar(struct buf *out, const char *s)
{
    const size_t n = strlen(s);
    const bool is_plain =
        isalnum((unsigned char)s[0]) && s[n - 1] != ' ' && strcspn(s, ":#\"\\\n\r\t") == n;
    if (!is_plain) buf_putc(out, '"');
    for (size_t i = 0; i < n; i++) {
        const char c = (unsigned char)s[i] < ' ' ? ' ' : s[i];
        if (c == '"' || c == '\\') buf_putc(out, '\\');
        buf_putc(out, c);
    }
    if (!is_plain) buf_putc(out, '"');
}

void info_put_card(const struct model_info *info, struct buf *out)
{
    buf_puts(out, "---\n");
    for (const struct info_key *k = info_keys; k->card; k++) {
        const char *s = text_at(info, k->at);
        if (!s) continue;
        buf_printf(out, "%s: ", k->card);
        put_scalar(out, s);
        buf_putc(out, '\n');
    }
    buf_puts(out, "---\n");
    buf_printf(out, "\n# %s\n", info->name ? info->name : "Model");
    if (info->description) buf_printf(out, "\n%s\n", info->description);
    if (info->built_with) buf_printf(out, "\n%s.\n", info->built_with);
}

/* ---- directories ---- */

/* A file that is missing or too long counts as empty; the system's refusals do not. */
static bool read_text(const struct model *m, const char *name, struct buf *out, struct err *err)
{
    struct buf path;
    struct err why = {0};
    buf_init(&path, 1 << 16);
    path_join(&path, m->info.path, name);
    bool ok = buf_check(&path, name, err);
    if (ok && path_exists(path.data) && !file_read_all(path.data, MAX_CARD_BYTES, out, &why)) {
        ok = why.code == ERR_LIMIT;
        if (!ok) *err = why;
        buf_clear(out);
    }
    buf_release(&path);
    return ok;
}

/* The part of a line behind "key:", without blanks around it and the quotes that hold it. */
static bool value_of(const char *line, size_t n, const char *key, const char **s, size_t *n_value,
                     bool *is_escaped)
{
    const size_t n_key = strlen(key);
    if (n <= n_key || memcmp(line, key, n_key) != 0 || line[n_key] != ':') return false;
    const char *at = line + n_key + 1, *end = line + n;
    while (at < end && strchr(" \t", *at)) at++;
    while (end > at && strchr(" \t\r", end[-1])) end--;
    const bool is_quoted = end - at >= 2 && (*at == '"' || *at == '\'') && end[-1] == *at;
    *is_escaped = is_quoted && *at == '"';
    *s = at + is_quoted;
    *n_value = (size_t)(end - at) - 2 * is_quoted;
    return *n_value > 0;
}

/* Takes the backslashes out of a text between double quotes; the lengths only shrink. */
static void unescape(char *s)
{
    char *out = s;
    for (; *s; s++) {
        if (s[0] == '\\' && (s[1] == '"' || s[1] == '\\')) s++;
        *out++ = *s;
    }
    *out = '\0';
}

static bool take_line(struct model *m, const char *line, size_t n, struct err *err)
{
    for (const struct info_key *k = info_keys; k->card; k++) {
        const char *s = NULL;
        size_t n_value = 0;
        bool is_escaped = false;
        if (!value_of(line, n, k->card, &s, &n_value, &is_escaped)) continue;
        char *copy = arena_copy(m->arena, s, n_value, err);
        if (!copy) return false;
        if (is_escaped) unescape(copy);
        return keep_text(m, k->at, copy, strlen(copy), err);
    }
    return true;
}

static bool read_front_matter(struct model *m, const char *card, struct err *err)
{
    if (strncmp(card, "---\n", 4) != 0 && strncmp(card, "---\r\n", 5) != 0) return true;
    for (const char *line = strchr(card, '\n'); line; line = strchr(line, '\n')) {
        const char *end = strchr(++line, '\n');
        if (!end || strncmp(line, "---", 3) == 0) break;
        if (!take_line(m, line, (size_t)(end - line), err)) return false;
    }
    return true;
}

static bool read_card(struct model *m, struct err *err)
{
    struct buf b;
    buf_init(&b, MAX_CARD_BYTES + 1);
    bool ok = read_text(m, "README.md", &b, err);
    if (ok && b.n_bytes) {
        ok = keep_text(m, INFO(model_card), b.data, b.n_bytes, err) &&
             read_front_matter(m, m->info.model_card, err);
    }
    buf_release(&b);
    return ok;
}

/* ---- the family ---- */

/* Behind "llama", separators and "3", where that stands in `s` as a word of its own, or NULL. */
static const char *after_llama3(const char *s)
{
    for (; s && (s = strcasestr(s, "llama")) != NULL; s++) {
        const char *at = s + strlen("llama");
        at += strspn(at, " -_");
        if (*at == '3' && (at[1] == '\0' || strchr(".-_ \n", at[1]))) return at + 1;
    }
    return NULL;
}

const char *model_built_with(const char *text)
{
    const char *at = after_llama3(text);
    if (!at) return NULL;
    const bool is_later = at[0] == '.' && at[1] >= '1' && at[1] <= '9';
    return is_later ? "Built with Llama" : "Built with Meta Llama 3";
}

/* Meta's licence by its title: "META LLAMA 3 COMMUNITY LICENSE", "LLAMA 3.1 COMMUNITY ...". */
static bool read_license(struct model *m, struct err *err)
{
    static const char *const names[] = {"LICENSE", "LICENSE.txt", "LICENSE.md"};
    char key[16];
    struct buf b;
    bool ok = true;
    buf_init(&b, MAX_CARD_BYTES + 1);
    for (size_t i = 0; ok && !m->info.license && i < 3; i++) {
        buf_clear(&b);
        ok = read_text(m, names[i], &b, err);
        if (!ok || b.n_bytes == 0) continue;
        if (b.n_bytes > LICENSE_TITLE_BYTES) b.data[LICENSE_TITLE_BYTES] = '\0';
        const char *at = after_llama3(b.data);
        if (!at) continue;
        const bool has_minor = at[0] == '.' && isdigit((unsigned char)at[1]);
        snprintf(key, sizeof key, "llama3%.*s", has_minor ? 2 : 0, at);
        ok = keep_text(m, INFO(license), key, strlen(key), err);
    }
    buf_release(&b);
    return ok;
}

static bool name_by_path(struct model *m, struct err *err)
{
    const char *path = m->info.path;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t begin = n;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    return keep_text(m, INFO(name), path + begin, n - begin, err);
}

bool info_from_dir(struct model *m, struct err *err)
{
    if (!read_card(m, err) || !read_license(m, err)) return false;
    return m->info.name || name_by_path(m, err);
}

/* The type that most parameters have. */
static const char *main_type(const struct model *m)
{
    int64_t n[DT_COUNT] = {0};
    enum dtype most = DT_F32;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        if (r->rows == DIM_NONE) continue;
        for (int32_t k = 0; k < tensor_copies(&m->config, r); k++) {
            const struct tensor *t = weights_matrix(&m->weights, r, k);
            n[t->dtype] += tensor_rows(t) * tensor_cols(t);
        }
    }
    for (int t = 0; t < DT_COUNT; t++)
        if (n[t] > n[most]) most = (enum dtype)t;
    return ggml_type_name(dtype_info(most)->ggml_id);
}

void info_finish(struct model *m)
{
    struct model_info *info = &m->info;
    info->n_params = (uint64_t)config_n_params(&m->config);
    info->type_name = main_type(m);
    info->built_with = model_built_with(info->license);
    if (!info->built_with) info->built_with = model_built_with(info->license_name);
    if (!info->built_with) info->built_with = model_built_with(info->name);
}

const char *model_info_place(const struct model_info *i)
{
    return i->place ? i->place : i->is_repacked ? "repacked" : i->is_huge ? "huge pages" : "mapped";
}
