/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_pull.c - `cria pull`: a model from the Hugging Face hub into the cache, or a list of what
 * there is.
 *
 * A whole model becomes a directory. It is filled as DIR.part and renamed when its last file is
 * right, so that no other command meets half a model; what is in DIR.part is continued next time.
 * An existing DIR is brought up to date file by file: right ones (by sum, not by date) stay. A GGUF
 * becomes a file, a split GGUF its parts side by side.
 *
 * Nothing is fetched before it is known that it fits: sizes come with the listing, free space from
 * statvfs(3). stdout gets the path alone, so that `cria chat -m "$(cria pull NAME)"` works; talk
 * and the bar go to stderr. Begin reading at pull_run().
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/table.h"
#include "cli/command.h"
#include "cli/hub_repo.h"
#include "cli/progress_bar.h"
#include "cli/terms.h"

#define MAX_OUT_BYTES ((size_t)16 << 20)

struct pull {
    const struct args *a;
    char repo[HUB_PATH_MAX];
    const char *file; /* in the repository, or NULL: the whole model */
    char endpoint[HUB_PATH_MAX];
    char target[HUB_PATH_MAX]; /* the model's path when all is done */
    char dir[HUB_PATH_MAX];    /* where files are written */
    bool is_renamed;           /* `dir` becomes `target` at the end */
    struct fetch *fetch;
    struct hub_repo *r;
    struct progress_bar bar;
    uint64_t n_total, n_missing, n_before, n_fetched;
    size_t n_files;
};

/* ---- lists ---- */

static bool print_buf(struct buf *b, struct err *err)
{
    const bool ok = buf_check(b, "the list", err);
    if (ok && b->n_bytes) fwrite(b->data, 1, b->n_bytes, stdout);
    buf_release(b);
    return ok;
}

static bool name_is_here(const struct hub_name *h)
{
    char path[HUB_PATH_MAX];
    struct err ignored = {0};
    return hub_target(h->repo ? h->repo : h->name, h->file, path, &ignored) && path_exists(path);
}

static bool list_names(bool is_json, struct err *err)
{
    struct buf b;
    buf_init(&b, MAX_OUT_BYTES);
    struct json_writer w = json_writer(&b);
    if (is_json) json_array(&w);
    for (const struct hub_name *h = hub_names; h->name; h++) {
        if (!is_json) {
            buf_printf(&b, "%s %-26s %s\n", name_is_here(h) ? "*" : " ", h->name, h->what);
            continue;
        }
        json_object(&w);
        json_key_cstring(&w, "name", h->name);
        json_key_cstring(&w, "repo", h->repo);
        json_key_cstring(&w, "file", h->file);
        json_key_cstring(&w, "what", h->what);
        json_key_boolean(&w, "is_here", name_is_here(h));
        json_end(&w);
    }
    if (is_json) {
        json_end(&w);
        buf_putc(&b, '\n');
    } else {
        buf_puts(&b, "* is here already. Any OWNER/REPO[:FILE] of the hub works as well.\n");
    }
    return print_buf(&b, err);
}

/* The rows of files; `is_all`: wanted or not. */
static void write_files(struct json_writer *w, const struct hub_repo *r, bool is_all)
{
    json_array(w);
    for (size_t i = 0; i < r->n_files; i++) {
        const struct hub_file *f = &r->files[i];
        if (!is_all && !f->is_wanted) continue;
        json_object(w);
        json_key_cstring(w, "path", f->path);
        json_key_uint(w, "bytes", f->n_bytes);
        json_key_cstring(w, "sha256", f->sha256);
        json_end(w);
    }
    json_end(w);
}

static bool list_repo(const struct pull *p, bool is_json, struct err *err)
{
    const struct hub_repo *r = p->r;
    struct buf b;
    buf_init(&b, MAX_OUT_BYTES);
    if (is_json) {
        struct json_writer w = json_writer(&b);
        json_object(&w);
        json_key_cstring(&w, "repo", r->name);
        json_key_cstring(&w, "revision", r->commit);
        json_key(&w, "files");
        write_files(&w, r, true);
        json_end(&w);
        buf_putc(&b, '\n');
    } else {
        for (size_t i = 0; i < r->n_files; i++)
            buf_printf(&b, "%15" PRIu64 "  %s\n", r->files[i].n_bytes, r->files[i].path);
    }
    return print_buf(&b, err);
}

/* ---- places ---- */

static bool put(char to[HUB_PATH_MAX], struct err *err, const char *a, const char *b, const char *c)
{
    const int n = snprintf(to, HUB_PATH_MAX, "%s%s%s", a, b, c);
    return (n >= 0 && n < HUB_PATH_MAX) ||
           err_set(err, ERR_LIMIT,
                   "%.100s...: the path is longer than %d bytes; use --to with a shorter "
                   "one",
                   a, HUB_PATH_MAX);
}

/* mkdir -p */
static bool make_dirs(const char *path, struct err *err)
{
    char part[HUB_PATH_MAX];
    if (!put(part, err, path, "", "")) return false;
    for (char *c = part + 1;; c++) {
        if (*c && *c != '/') continue;
        const char was = *c;
        *c = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return err_set(err, ERR_IO, "%s: cannot make the directory: %s; use --to", part,
                           strerror(errno));
        *c = was;
        if (!was) break;
    }
    return path_is_dir(path) || err_set(err, ERR_IO, "%s: is no directory; use --to", path);
}

/* "DIR" of "DIR/NAME". */
static void cut_name(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *(slash == path ? slash + 1 : slash) = '\0';
    else
        strcpy(path, ".");
}

/* Where the model goes, and where it is written until it is right. */
static bool choose_place(struct pull *p, struct err *err)
{
    const char *to = args_str(p->a, "to");
    if (to && !*to) return err_set(err, ERR_USAGE, "--to: the path is empty; name a directory");
    if (p->file) {
        /* Of a split GGUF the first part stands for the model. */
        for (size_t i = 0; i < p->r->n_files; i++)
            if (p->r->files[i].is_wanted && strstr(p->r->files[i].path, "-00001-of-"))
                p->file = p->r->files[i].path;
        if (to && !put(p->target, err, to, "/", path_base(p->file))) return false;
        if (!to && !hub_target(p->repo, p->file, p->target, err)) return false;
        if (!put(p->dir, err, p->target, "", "")) return false;
        cut_name(p->dir);
        return true;
    }
    if (to && !put(p->target, err, to, "", "")) return false;
    if (!to && !hub_target(p->repo, NULL, p->target, err)) return false;
    for (size_t n = strlen(p->target); n > 1 && p->target[n - 1] == '/'; n--)
        p->target[n - 1] = '\0';
    p->is_renamed = !path_exists(p->target);
    return put(p->dir, err, p->target, p->is_renamed ? ".part" : "", "");
}

/* What a file of the listing is to fetch(); the strings are in `url` and `path`. */
static bool make_want(const struct pull *p, const struct hub_file *f, struct buf *url,
                      struct buf *path, struct fetch_want *w, struct err *err)
{
    buf_clear(url);
    hub_repo_url(p->r, f, url);
    path_join(path, p->dir, path_base(f->path));
    if (!buf_check(url, "an address", err) || !buf_check(path, "a path", err)) return false;
    *w = (struct fetch_want){
        .url = url->data,
        .path = path->data,
        .n_bytes = f->n_bytes,
        .sha256 = f->sha256,
        .git_id = f->git_id,
    };
    return true;
}

/* Adds up, and refuses what does not fit on the disk. */
static bool measure(struct pull *p, struct buf *url, struct buf *path, struct err *err)
{
    for (size_t i = 0; i < p->r->n_files; i++) {
        const struct hub_file *f = &p->r->files[i];
        struct fetch_want w;
        if (!f->is_wanted) continue;
        if (!make_want(p, f, url, path, &w, err)) return false;
        p->n_files++;
        p->n_total += f->n_bytes; /* below 2^44 each, and 50000 of them: no overflow */
        p->n_missing += fetch_missing(&w);
    }
    struct statvfs vfs;
    if (statvfs(p->dir, &vfs) != 0) return true; /* it will be told when it is full */
    const uint64_t n_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    if (p->n_missing <= n_free) return true;
    return err_set(err, ERR_IO,
                   "%s: %.1f GB are to come, but only %.1f GB are free at %.200s; free some "
                   "space, or choose another place with --to",
                   p->repo, (double)p->n_missing / 1e9, (double)n_free / 1e9, p->dir);
}

/* ---- fetching ---- */

static bool on_tick(void *user, const char *what, uint64_t done, uint64_t total)
{
    const struct pull *p = user;
    (void)total;
    return progress_tick(&p->bar.progress, what, p->n_before + done, p->n_total);
}

static bool fetch_all(struct pull *p, struct buf *url, struct buf *path, struct err *err)
{
    const struct progress progress = {.tick = on_tick, .user = p};
    for (size_t i = 0; i < p->r->n_files; i++) {
        const struct hub_file *f = &p->r->files[i];
        struct fetch_want w;
        uint64_t n = 0;
        if (!f->is_wanted) continue;
        if (!make_want(p, f, url, path, &w, err)) return false;
        w.progress = &progress;
        const bool ok = fetch_file(p->fetch, &w, &n, err);
        p->n_fetched += n;
        if (!ok) return hub_explain(p->fetch, p->endpoint, p->repo, err);
        p->n_before += f->n_bytes;
    }
    if (p->is_renamed && rename(p->dir, p->target) != 0)
        return err_set(err, ERR_IO, "%s: cannot rename it to %.200s: %s; rename it by hand", p->dir,
                       p->target, strerror(errno));
    return true;
}

static bool print_result(const struct pull *p, struct err *err)
{
    struct buf b;
    buf_init(&b, MAX_OUT_BYTES);
    if (args_flag(p->a, "json")) {
        struct json_writer w = json_writer(&b);
        json_object(&w);
        json_key_cstring(&w, "repo", p->r->name);
        json_key_cstring(&w, "revision", p->r->commit);
        json_key_cstring(&w, "path", p->target);
        json_key_uint(&w, "bytes", p->n_total);
        json_key_uint(&w, "fetched", p->n_fetched);
        json_key(&w, "files");
        write_files(&w, p->r, false);
        json_end(&w);
    } else {
        buf_puts(&b, p->target);
    }
    buf_putc(&b, '\n');
    return print_buf(&b, err);
}

static bool pull_files(struct pull *p, struct err *err)
{
    struct buf url, path;
    buf_init(&url, 1 << 14);
    buf_init(&path, 1 << 14);
    bool ok = hub_repo_want(p->r, p->file, err) && choose_place(p, err) && make_dirs(p->dir, err) &&
              measure(p, &url, &path, err);
    if (ok) {
        progress_bar_hide(&p->bar);
        char size[32];
        format_bytes(size, (double)p->n_missing);
        if (p->n_missing)
            log_info("fetching %s of %s (%zu file%s) into %s", size, p->repo, p->n_files,
                     p->n_files == 1 ? "" : "s", p->target);
        ok = fetch_all(p, &url, &path, err);
        progress_bar_hide(&p->bar);
    }
    if (!ok && p->is_renamed) (void)rmdir(p->dir); /* if nothing has come */
    char terms[TERMS_BYTES];
    if (ok && p->n_fetched && terms_of(p->repo, terms)) log_info("%s: %s", p->repo, terms);
    if (ok && !p->n_fetched) log_info("all of it is here already");
    buf_release(&url);
    buf_release(&path);
    return ok && print_result(p, err);
}

/* Asks the hub, then lists or fetches. */
static bool pull_repo(struct pull *p, struct err *err)
{
    char token[HUB_PATH_MAX];
    if (!hub_check_repo(p->repo, err) || !hub_endpoint(p->endpoint, err)) return false;
    hub_token(token);
    const struct fetch_options opt = {.origin = p->endpoint, .token = *token ? token : NULL};
    p->fetch = fetch_new(&opt, err);
    if (!p->fetch) return false;
    progress_bar_init(&p->bar, args_flag(p->a, "quiet"), "B");
    p->r = hub_repo_open(p->fetch, p->endpoint, p->repo, args_str(p->a, "revision"),
                         &p->bar.progress, err);
    bool ok = p->r != NULL;
    if (ok && args_flag(p->a, "list")) {
        progress_bar_hide(&p->bar);
        ok = list_repo(p, args_flag(p->a, "json"), err);
    } else if (ok) {
        ok = pull_files(p, err);
    }
    progress_bar_release(&p->bar);
    hub_repo_close(p->r);
    fetch_free(p->fetch);
    return ok;
}

/* The default model does not come from the hub; it may be here all the same. */
static bool pull_default(const struct args *a, const struct hub_name *h, struct err *err)
{
    char path[HUB_PATH_MAX];
    if (!hub_target(h->name, h->file, path, err)) return false;
    if (!path_exists(path))
        return err_set(err, ERR_UNSUPPORTED,
                       "%s comes with the program, not from the hub; make run or "
                       "scripts/get-model fetches it",
                       h->name);
    log_info("it is here already");
    struct buf b;
    buf_init(&b, MAX_OUT_BYTES);
    if (args_flag(a, "json")) {
        struct json_writer w = json_writer(&b);
        json_object(&w);
        json_key_cstring(&w, "path", path);
        json_end(&w);
    } else {
        buf_puts(&b, path);
    }
    buf_putc(&b, '\n');
    return print_buf(&b, err);
}

static int pull_run(const struct args *a, struct err *err)
{
    struct pull p = {.a = a};
    if (args_n_operands(a) == 0) {
        if (args_flag(a, "list")) return list_names(args_flag(a, "json"), err) ? 0 : 1;
        err_set(err, ERR_USAGE,
                "which model? cria pull --list shows the names; OWNER/REPO[:FILE] is any "
                "model of the hub");
        return 2;
    }
    const char *name = args_operand(a, 0);
    const struct hub_name *h = table_find(hub_names, sizeof *h, name);
    if (h && !h->repo) return pull_default(a, h, err) ? 0 : 1;
    if (!put(p.repo, err, h ? h->repo : name, "", "")) return 1;
    char *colon = h ? NULL : strchr(p.repo, ':');
    if (colon) *colon = '\0';
    p.file = h ? h->file : colon ? colon + 1 : NULL;
    if (p.file && !*p.file) {
        err_set(err, ERR_USAGE, "%s: nothing after the colon; write OWNER/REPO:FILE", name);
        return 2;
    }
    return pull_repo(&p, err) ? 0 : 1;
}

static const struct option options[] = {
    /* clang-format off */
    /* name       letter arg    kind      min max default choices rep    help */
    {"list",      'l', NULL,    OPT_FLAG, 0,  0,  NULL,   NULL,   false, "show the short names, or with OWNER/REPO its files"},
    {"revision",  0,   "REV",   OPT_STR,  0,  0,  NULL,   NULL,   false, "branch, tag or commit; unset: main"},
    {"to",        0,   "DIR",   OPT_FILE, 0,  0,  NULL,   NULL,   false, "put it into this directory instead of the cache"},
    {"json",      0,   NULL,    OPT_FLAG, 0,  0,  NULL,   NULL,   false, "print a JSON object instead of the path"},
    {0},
    /* clang-format on */
};

const struct command cmd_pull = {
    .name = "pull",
    .what = "fetch a model from the Hugging Face hub",
    .operands = "[NAME|OWNER/REPO[:FILE]]",
    .max_operands = 1,
    .options = options,
    .details =
        "A name alone fetches what a Llama model needs: configuration, tokenizer, safetensors. "
        "With :FILE it fetches that file, and all parts if it is a split GGUF. The path is "
        "printed on stdout; models lie in the cache as plain files, "
        "${XDG_CACHE_HOME:-~/.cache}/cria/models.\n\n"
        "A pull that was cut short goes on where it was. Files that are there and right stay. "
        "Every file is checked by size and by the hub's sum.\n\n"
        "Models behind a licence need it accepted on the hub's page, and a token: HF_TOKEN, or "
        "what huggingface-cli login left. HF_ENDPOINT names another hub or a mirror; only that "
        "host gets the token. https_proxy is obeyed.",
    .example = "  cria pull --list\n"
               "  cria pull llama-3.2-1b-instruct\n"
               "  cria pull bartowski/Llama-3.2-1B-Instruct-GGUF:Llama-3.2-1B-Instruct-Q8_0.gguf",
    .run = pull_run,
};
