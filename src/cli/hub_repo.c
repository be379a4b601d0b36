/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_repo.c - the two questions to the Hugging Face hub, and the choice among its answers.
 *
 *   GET /api/models/OWNER/REPO/revision/REV         -> {"sha": COMMIT, ...}
 *   GET /api/models/OWNER/REPO/tree/COMMIT?recursive=1
 *       -> [{"type": "file", "path", "size", "oid": git's id, "lfs": {"oid": SHA-256, "size"}},
 * ...] a thousand a page; the header Link: <...>; rel="next" leads to the next GET
 * /OWNER/REPO/resolve/COMMIT/PATH             -> the file, or a redirect to it
 *
 * A refusal carries X-Error-Code (GatedRepo, RepoNotFound, RevisionNotFound, EntryNotFound);
 * without a token the hub says 401 for what does not exist, so that code comes before the status.
 *
 * Which files: see is_needed(). Weights in other forms beside safetensors (pytorch_model.bin, GGUF,
 * onnx/, original/) are left on the hub. Begin reading at hub_repo_open().
 */
#include "cli/hub_repo.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/table.h"

#define MAX_FILE_BYTES (UINT64_C(1) << 44) /* 16 TiB */

enum {
    MAX_REPLY_BYTES = 8 << 20,
    MAX_PAGES = 50,
    MAX_FILES = 50000,
    MAX_NAME_BYTES = 512,
    MAX_LIST_BYTES = 64 << 20, /* of names and sums */
};

/* ---- names ---- */

static bool is_repo_word(const char *s, size_t n)
{
    if (n == 0 || n > 96 || s[0] == '.' || s[0] == '-') return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("-_.", s[i])) return false;
    return true;
}

bool hub_check_repo(const char *repo, struct err *err)
{
    const char *slash = strchr(repo, '/');
    if (slash && is_repo_word(repo, (size_t)(slash - repo)) &&
        is_repo_word(slash + 1, strlen(slash + 1)))
        return true;
    const char *near = hub_nearest(repo);
    if (near) return err_set(err, ERR_USAGE, "%.100s: no such model; did you mean %s?", repo, near);
    return err_set(err, ERR_USAGE,
                   "%.100s: neither a short name nor OWNER/REPO; cria pull --list shows "
                   "the names",
                   repo);
}

/* Inside its directory on any system, and harmless on a terminal. */
static bool is_safe_path(const char *s, size_t n)
{
    if (n == 0 || n > MAX_NAME_BYTES || strlen(s) != n) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f || s[i] == '\\') return false;
    for (const char *word = s;; word++) {
        const size_t n_word = strcspn(word, "/");
        if (n_word == 0 || strspn(word, ".") == n_word) return false; /* "", ".", ".." */
        word += n_word;
        if (!*word) return true;
    }
}

static bool is_hex(const char *s, size_t n, size_t n_wanted)
{
    return n == n_wanted && strlen(s) == n && strspn(s, "0123456789abcdefABCDEF") == n;
}

/* Percent-encodes all but unreserved letters and those of `keep`. */
static void put_escaped(struct buf *out, const char *s, const char *keep)
{
    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-._~", *s) || strchr(keep, *s))
            buf_putc(out, *s);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*s);
    }
}

void hub_repo_url(const struct hub_repo *r, const struct hub_file *file, struct buf *out)
{
    buf_printf(out, "%s/%s/resolve/%s/", r->endpoint, r->name, r->commit);
    put_escaped(out, file->path, "/");
}

/* ---- refusals ---- */

enum refusal { REF_GATED, REF_REPO, REF_REVISION, REF_FILE };

static const struct {
    const char *code; /* X-Error-Code, NULL: whatever */
    int status;       /* 0: whatever */
    enum refusal what;
} refusals[] = {
    /* clang-format off */
    {"GatedRepo",        0,   REF_GATED},
    {"RepoNotFound",     0,   REF_REPO},
    {"RevisionNotFound", 0,   REF_REVISION},
    {"EntryNotFound",    0,   REF_FILE},
    {NULL,               401, REF_GATED},
    {NULL,               403, REF_GATED},
    {NULL,               404, REF_REPO},
    /* clang-format on */
};

bool hub_explain(const struct fetch *f, const char *endpoint, const char *repo, struct err *err)
{
    const char *code = fetch_header(f, "X-Error-Code");
    const int status = fetch_status(f);
    if (err->code != ERR_NETWORK || status < 400) return false;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const bool is_it = refusals[i].code ? code && strcmp(code, refusals[i].code) == 0
                                            : refusals[i].status == status;
        if (!is_it) continue;
        const char *near = hub_nearest(repo);
        switch (refusals[i].what) {
        case REF_GATED:
            return err_set(err, ERR_NETWORK,
                           "%s: the hub does not let us in (%d); accept the licence "
                           "at %.100s/%s and set HF_TOKEN to a token of that account "
                           "(%.100s/settings/tokens)",
                           repo, status, endpoint, repo, endpoint);
        case REF_REPO:
            if (near && strcasecmp(near, path_base(repo)) != 0)
                return err_set(err, ERR_NETWORK, "%s: no such repository; did you mean %s?", repo,
                               near);
            return err_set(err, ERR_NETWORK,
                           "%s: no such repository at %.100s; check the name, and if "
                           "it is private set HF_TOKEN",
                           repo, endpoint);
        case REF_REVISION:
            return err_set(err, ERR_NETWORK, "%s: no such revision; check --revision", repo);
        case REF_FILE:
            return err_set(err, ERR_NETWORK,
                           "%s: the file is not there; cria pull --list %s shows what "
                           "is",
                           repo, repo);
        }
    }
    return false;
}

/* ---- listing ---- */

static bool read_commit(struct hub_repo *r, const struct buf *reply, struct err *err)
{
    struct json_doc *doc = json_parse(reply->data ? reply->data : "", reply->n_bytes,
                                      MAX_REPLY_BYTES, "the hub's reply", err);
    if (!doc) return false;
    const char *sha = NULL;
    size_t n = 0;
    bool ok = json_str(json_get(json_root(doc), "sha"), &sha, &n) &&
              (is_hex(sha, n, 40) || is_hex(sha, n, 64));
    if (ok)
        memcpy(r->commit, sha, n + 1);
    else
        err_set(err, ERR_FORMAT, "%s: the hub's reply names no commit; check HF_ENDPOINT", r->name);
    json_free(doc);
    return ok;
}

/* A row of the tree into `file`. */
static bool read_file_row(struct hub_repo *r, struct json row, struct hub_file *file,
                          struct err *err)
{
    const char *path = NULL, *oid = NULL, *sha = NULL;
    size_t n = 0, n_oid = 0, n_sha = 0;
    int64_t n_bytes = -1;
    const struct json lfs = json_get(row, "lfs");
    const bool is_lfs = json_type(lfs) == JSON_OBJECT;
    if (!json_str(json_get(row, "path"), &path, &n) || !is_safe_path(path, n))
        return err_set(err, ERR_FORMAT,
                       "%s: the hub lists a file whose name is no safe path; it is not "
                       "fetched, report the repository to the hub",
                       r->name);
    if (!json_i64(json_get(is_lfs ? lfs : row, "size"), &n_bytes) || n_bytes < 0 ||
        (uint64_t)n_bytes > MAX_FILE_BYTES)
        return err_set(err, ERR_FORMAT,
                       "%s: %.100s: the hub gives no size in [0, %" PRIu64 "]; try again "
                       "later",
                       r->name, path, MAX_FILE_BYTES);
    const bool has_sha = is_lfs && json_str(json_get(lfs, "oid"), &sha, &n_sha);
    const bool has_oid = !is_lfs && json_str(json_get(row, "oid"), &oid, &n_oid);
    if ((is_lfs && !(has_sha && is_hex(sha, n_sha, 64))) || (has_oid && !is_hex(oid, n_oid, 40)))
        return err_set(err, ERR_FORMAT, "%s: %.100s: the hub's sum of it is no %s; try again later",
                       r->name, path, is_lfs ? "SHA-256" : "git id");
    *file = (struct hub_file){.n_bytes = (uint64_t)n_bytes};
    file->path = arena_copy(r->arena, path, n, err);
    if (file->path && has_sha) file->sha256 = arena_copy(r->arena, sha, n_sha, err);
    if (file->path && has_oid) file->git_id = arena_copy(r->arena, oid, n_oid, err);
    return file->path && (!has_sha || file->sha256) && (!has_oid || file->git_id);
}

static bool read_page(struct hub_repo *r, const struct buf *reply, struct err *err)
{
    struct json_doc *doc = json_parse(reply->data ? reply->data : "", reply->n_bytes,
                                      MAX_REPLY_BYTES, "the hub's list of files", err);
    if (!doc) return false;
    const struct json root = json_root(doc);
    const size_t n_rows = json_len(root);
    bool ok = json_type(root) == JSON_ARRAY;
    if (!ok)
        err_set(err, ERR_FORMAT, "%s: the hub's list of files is no list; check HF_ENDPOINT",
                r->name);
    else if (n_rows > MAX_FILES - r->n_files)
        ok = err_set(err, ERR_LIMIT, "%s: the hub lists more than %d files; check HF_ENDPOINT",
                     r->name, MAX_FILES);
    struct hub_file *files =
        ok ? arena_array(r->arena, r->n_files + n_rows, sizeof *files, err) : NULL;
    ok = ok && files;
    if (ok && r->n_files) memcpy(files, r->files, r->n_files * sizeof *files);
    size_t n = r->n_files;
    struct json row;
    struct json_iter it = json_iter(root);
    while (ok && json_next(&it, NULL, NULL, &row)) {
        const char *type = NULL;
        size_t n_type = 0;
        if (!json_str(json_get(row, "type"), &type, &n_type) || strcmp(type, "file") != 0) continue;
        ok = read_file_row(r, row, &files[n++], err);
    }
    if (ok) {
        r->files = files;
        r->n_files = n;
    }
    json_free(doc);
    return ok;
}

/* The query ("?cursor=...") of the next page into `query`; false if this was the last. Only the
 * query is taken, so the next question goes to the same place whatever the header says. */
static bool next_page(const struct fetch *f, struct buf *query)
{
    const char *link = fetch_header(f, "Link");
    const char *begin = link ? strchr(link, '<') : NULL, *end = begin ? strchr(begin, '>') : NULL;
    if (!end || !strstr(end, "rel=\"next\"")) return false;
    const char *q = memchr(begin, '?', (size_t)(end - begin));
    if (!q) return false;
    for (const char *c = q; c < end; c++)
        if (*c <= ' ' || *c > '~' || *c == '#') return false;
    buf_clear(query);
    buf_append(query, q, (size_t)(end - q));
    return true;
}

static bool read_tree(struct hub_repo *r, struct fetch *f, const struct progress *p,
                      struct err *err)
{
    struct buf url, query, reply;
    buf_init(&url, 8192);
    buf_init(&query, 4096);
    buf_init(&reply, MAX_REPLY_BYTES);
    buf_puts(&query, "?recursive=1");
    bool ok = true, is_more = true;
    for (int i = 0; ok && is_more; i++) {
        buf_clear(&url);
        buf_clear(&reply);
        buf_printf(&url, "%s/api/models/%s/tree/%s%s", r->endpoint, r->name, r->commit, query.data);
        ok = buf_check(&query, "an address", err) && buf_check(&url, "an address", err) &&
             (i < MAX_PAGES || err_set(err, ERR_LIMIT,
                                       "%s: the list of files has more than %d pages; "
                                       "check HF_ENDPOINT",
                                       r->name, MAX_PAGES)) &&
             (fetch_text(f, url.data, MAX_REPLY_BYTES, p, &reply, err) ||
              hub_explain(f, r->endpoint, r->name, err));
        is_more = ok && next_page(f, &query);
        ok = ok && read_page(r, &reply, err);
    }
    buf_release(&url);
    buf_release(&query);
    buf_release(&reply);
    return ok;
}

struct hub_repo *hub_repo_open(struct fetch *f, const char *endpoint, const char *repo,
                               const char *revision, const struct progress *p, struct err *err)
{
    struct buf url, reply;
    buf_init(&url, 8192);
    buf_init(&reply, MAX_REPLY_BYTES);
    bool ok = false;
    struct hub_repo *r = NULL;
    struct arena *arena = arena_new(MAX_LIST_BYTES, err);
    if (!arena) goto out;
    r = arena_array(arena, 1, sizeof *r, err);
    if (!r) goto out;
    *r = (struct hub_repo){.endpoint = endpoint, .arena = arena};
    r->name = arena_copy(arena, repo, strlen(repo), err);
    if (!r->name) goto out;
    buf_printf(&url, "%s/api/models/%s/revision/", endpoint, repo);
    put_escaped(&url, revision ? revision : "main", "");
    ok = buf_check(&url, "an address", err) &&
         (fetch_text(f, url.data, MAX_REPLY_BYTES, p, &reply, err) ||
          hub_explain(f, endpoint, repo, err)) &&
         read_commit(r, &reply, err) && read_tree(r, f, p, err);
out:
    buf_release(&url);
    buf_release(&reply);
    if (ok) return r;
    arena_free(arena);
    return NULL;
}

void hub_repo_close(struct hub_repo *r)
{
    if (r) arena_free(r->arena); /* r lies in it */
}

/* ---- what is wanted ---- */

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool has_suffix(const char *s, const char *suffix)
{
    const size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcasecmp(s + n - m, suffix) == 0;
}

static const struct hub_file *find_file(const struct hub_repo *r, const char *path)
{
    for (size_t i = 0; i < r->n_files; i++)
        if (strcmp(r->files[i].path, path) == 0) return &r->files[i];
    return NULL;
}

/* Small files of a model directory; a name that ends in '*' is a beginning. */
static const char *const needed[] = {
    "config.json",       "generation_config.json",
    "tokenizer*",        "special_tokens_map.json",
    "added_tokens.json", "chat_template*",
    "README.md",         "LICENSE*",
    "USE_POLICY.md",     NULL,
};

/* Weights: the shards if there is an index, else model.safetensors if there is that, else any. */
static bool is_needed(const struct hub_repo *r, const char *path)
{
    if (strchr(path, '/')) return false;
    for (size_t i = 0; needed[i]; i++) {
        const size_t n = strlen(needed[i]);
        if (needed[i][n - 1] == '*' ? strncmp(path, needed[i], n - 1) == 0
                                    : strcmp(path, needed[i]) == 0)
            return true;
    }
    if (find_file(r, "model.safetensors.index.json"))
        return strcmp(path, "model.safetensors.index.json") == 0 ||
               (has_prefix(path, "model-") && has_suffix(path, ".safetensors"));
    if (find_file(r, "model.safetensors")) return strcmp(path, "model.safetensors") == 0;
    return has_suffix(path, ".safetensors") || has_suffix(path, ".safetensors.index.json");
}

/* "X-00001-of-00003.gguf": the length of "X-", and how many; false for any other name. */
static bool split_name(const char *path, size_t *n_stem, int *n_parts)
{
    static const char form[] = "00000-of-00000.gguf";
    const size_t n = strlen(path), n_form = sizeof form - 1;
    if (n <= n_form || path[n - n_form - 1] != '-') return false;
    const char *tail = path + n - n_form;
    for (size_t i = 0; i < n_form; i++)
        if (form[i] == '0' ? !isdigit((unsigned char)tail[i]) : tail[i] != form[i]) return false;
    *n_stem = n - n_form;
    *n_parts = atoi(tail + 9);
    return *n_parts >= 1;
}

static bool want_split(struct hub_repo *r, const char *path, size_t n_stem, int n_parts,
                       struct err *err)
{
    char part[MAX_NAME_BYTES + 32];
    for (int i = 1; i <= n_parts; i++) {
        snprintf(part, sizeof part, "%.*s%05d-of-%05d.gguf", (int)n_stem, path, i, n_parts);
        const struct hub_file *f = find_file(r, part);
        if (!f)
            return err_set(err, ERR_USAGE,
                           "%s: %.200s is not there, so the model is not whole; choose "
                           "another file",
                           r->name, part);
        r->files[f - r->files].is_wanted = true;
    }
    return true;
}

static bool want_one(struct hub_repo *r, const char *path, struct err *err)
{
    size_t n_stem = 0;
    int n_parts = 0, best = 100;
    const struct hub_file *f = find_file(r, path), *near = NULL;
    if (f && split_name(path, &n_stem, &n_parts)) return want_split(r, path, n_stem, n_parts, err);
    if (f) {
        r->files[f - r->files].is_wanted = true;
        return true;
    }
    for (size_t i = 0; i < r->n_files; i++) {
        const char *name = r->files[i].path;
        const int d = strcasestr(name, path) ? 1 : str_distance(name, path);
        if (d < best) {
            best = d;
            near = &r->files[i];
        }
    }
    if (near && best <= 1 + (int)strlen(path) / 3)
        return err_set(err, ERR_USAGE, "%s: it has no file %.100s; did you mean :%.200s?", r->name,
                       path, near->path);
    return err_set(err, ERR_USAGE,
                   "%s: it has no file %.100s; cria pull --list %s shows what it has", r->name,
                   path, r->name);
}

/* There are no safetensors: say what there is instead. */
static bool no_weights(const struct hub_repo *r, struct err *err)
{
    size_t n = 0, n_gguf = 0;
    char names[300] = "";
    for (size_t i = 0; i < r->n_files; i++) {
        if (!has_suffix(r->files[i].path, ".gguf")) continue;
        n_gguf++;
        const size_t m = strlen(r->files[i].path);
        if (n + m + 3 >= sizeof names) continue;
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", r->files[i].path);
    }
    if (n_gguf)
        return err_set(err, ERR_USAGE, "%.100s: holds %zu GGUF file%s; name one with :FILE (%s)",
                       r->name, n_gguf, n_gguf == 1 ? "" : "s", names);
    return err_set(err, ERR_UNSUPPORTED,
                   "%s: it has no *.safetensors and no *.gguf; cria pull --list %s "
                   "shows what it has, and :FILE fetches one of them",
                   r->name, r->name);
}

bool hub_repo_want(struct hub_repo *r, const char *file, struct err *err)
{
    if (file) return want_one(r, file, err);
    bool has_weights = false;
    for (size_t i = 0; i < r->n_files; i++) {
        struct hub_file *f = &r->files[i];
        f->is_wanted = is_needed(r, f->path);
        has_weights |= f->is_wanted && has_suffix(f->path, ".safetensors");
    }
    return has_weights || no_weights(r, err);
}
