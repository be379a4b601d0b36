/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_index.c - `cria index`: files, directories and web pages into one searchable file, kept up to
 * date.
 *
 * Sources are stored by their absolute names or addresses, so that `cria index DB` alone, from
 * anywhere, looks at all of them again. What each run did is one line; files that could not be read
 * are named.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/os.h"
#include "cli/command.h"
#include "cli/embed_index.h"
#include "cli/progress_bar.h"
#include "cli/web_index.h"
#include "retrieve/indexing.h"

enum { MAX_EXCLUDES = 64, MAX_ROOTS = 4096 };

struct roots {
    char *root[MAX_ROOTS];
    int n;
    bool is_out_of_memory;
};

static void roots_release(struct roots *r)
{
    for (int i = 0; i < r->n; i++) free(r->root[i]);
    free(r);
}

static bool keep_root(void *user, const char *root)
{
    struct roots *r = user;
    if (r->n == MAX_ROOTS || !(r->root[r->n] = strdup(root))) {
        r->is_out_of_memory = true;
        return false;
    }
    r->n++;
    return true;
}

static bool nothing_to_index(const struct args *a, struct err *err)
{
    return err_set(err, ERR_USAGE, "nothing to index; name a directory or files after %s",
                   args_operand(a, 0));
}

/* The name under which a source is stored; owned. */
static char *full_name(const char *source, struct err *err)
{
    if (web_is_address(source)) return web_address(source, err);
    char *full = realpath(source, NULL);
    if (!full)
        err_set(err, ERR_IO, "%s: there is no such file or directory; look at the name", source);
    return full;
}

/* The sources of the command line, or those of the index if there are none. */
static bool find_roots(const struct args *a, struct store *s, struct roots *out, struct err *err)
{
    for (int i = 1; i < args_n_operands(a); i++) {
        char *full = full_name(args_operand(a, i), err);
        if (!full) return false;
        const bool is_kept = keep_root(out, full);
        free(full);
        if (!is_kept) break;
    }
    if (args_n_operands(a) == 1 && !store_each_root(s, keep_root, out, err)) return false;
    if (out->is_out_of_memory)
        return err_set(err, ERR_LIMIT, "more than %d sources; name directories", MAX_ROOTS);
    return out->n > 0 || nothing_to_index(a, err);
}

static void print_stats(const struct args *a, const struct index_stats *t, struct store_counts c,
                        double seconds)
{
    if (args_flag(a, "json")) {
        struct buf b;
        buf_init(&b, 4096);
        struct json_writer w = json_writer(&b);
        json_object(&w);
        json_key_int(&w, "added", t->n_added);
        json_key_int(&w, "changed", t->n_changed);
        json_key_int(&w, "unchanged", t->n_same);
        json_key_int(&w, "removed", t->n_removed);
        json_key_int(&w, "failed", t->n_failed);
        json_key_int(&w, "binary", t->n_binary);
        json_key_int(&w, "too_large", t->n_large);
        json_key_int(&w, "documents", c.n_documents);
        json_key_int(&w, "passages", c.n_chunks);
        json_key_int(&w, "vectors", c.n_vectors);
        json_key_double(&w, "seconds", seconds);
        json_end(&w);
        printf("%s\n", b.data ? b.data : "{}");
        buf_release(&b);
        return;
    }
    log_info("%" PRId64 " added, %" PRId64 " changed, %" PRId64 " unchanged, %" PRId64
             " removed; passed over: %" PRId64 " not readable, %" PRId64 " binary, %" PRId64
             " too large",
             t->n_added, t->n_changed, t->n_same, t->n_removed, t->n_failed, t->n_binary,
             t->n_large);
    log_info("%s: %" PRId64 " documents, %" PRId64 " passages; %.1f MB read in %.1f s",
             args_operand(a, 0), c.n_documents, c.n_chunks, (double)t->n_bytes / 1e6, seconds);
}

struct update {
    struct store *store;
    const struct index_options *opt;
    struct index_stats stats;
    struct web *web; /* NULL until a page is a source */
    int n_pages, n_failed_pages;
};

static bool take_page(const struct args *a, struct update *u, const char *url, struct err *err)
{
    const struct web_options opt = {.max_bytes = (size_t)u->opt->max_file_bytes,
                                    .timeout_s = (int)args_int(a, "page-time"),
                                    .is_private_allowed = args_flag(a, "allow-private"),
                                    .progress = u->opt->progress};
    if (!u->web) u->web = web_new(&opt, err);
    const int64_t n_failed = u->stats.n_failed;
    if (!u->web || !web_index(u->web, u->store, url, &u->stats, err)) return false;
    u->n_pages++;
    u->n_failed_pages += u->stats.n_failed > n_failed;
    return true;
}

static bool take_roots(const struct args *a, struct update *u, const struct roots *r,
                       struct err *err)
{
    bool ok = true;
    for (int i = 0; ok && i < r->n; i++)
        ok = web_is_address(r->root[i]) ? take_page(a, u, r->root[i], err)
                                        : index_root(u->store, r->root[i], u->opt, &u->stats, err);
    web_free(u->web);
    return ok;
}

static bool make_vectors(const struct args *a, struct store *s, struct err *err)
{
    struct session session;
    struct progress_bar bar;
    if (!embed_session_open(a, &session, err)) return false;
    progress_bar_init(&bar, args_flag(a, "quiet"), "passages");
    const bool ok = embed_index(s, session.engine, &bar.progress, err);
    progress_bar_release(&bar);
    session_close(&session);
    return ok;
}

static bool update(const struct args *a, struct store *s, struct err *err)
{
    const char *exclude[MAX_EXCLUDES];
    struct index_options opt = {.exclude = exclude,
                                .n_exclude = args_count(a, "exclude"),
                                .max_file_bytes = args_int(a, "max-file") * 1000000};
    struct update u = {.store = s, .opt = &opt};
    struct store_counts counts;
    if (opt.n_exclude > MAX_EXCLUDES)
        return err_set(err, ERR_USAGE, "--exclude: %d times; at most %d", opt.n_exclude,
                       MAX_EXCLUDES);
    for (int i = 0; i < opt.n_exclude; i++) exclude[i] = args_nth(a, "exclude", i);
    struct roots *roots = calloc(1, sizeof *roots);
    if (!roots) return err_set(err, ERR_MEMORY, "no memory for the sources");
    bool ok = find_roots(a, s, roots, err);
    struct progress_bar bar;
    const int64_t begin = clock_ns();
    progress_bar_init(&bar, args_flag(a, "quiet"), "B");
    opt.progress = &bar.progress;
    ok = ok && take_roots(a, &u, roots, err);
    progress_bar_release(&bar);
    if (ok && args_flag(a, "vectors")) ok = make_vectors(a, s, err);
    ok = ok && store_count(s, &counts, err);
    if (ok) print_stats(a, &u.stats, counts, (double)(clock_ns() - begin) * 1e-9);
    roots_release(roots);
    if (ok && u.n_failed_pages)
        ok = err_set(err, ERR_NETWORK,
                     "%d of %d pages could not be read; what the index has of them is kept, "
                     "--remove forgets them",
                     u.n_failed_pages, u.n_pages);
    return ok;
}

static bool print_document(void *user, const struct document *d)
{
    (void)user;
    printf("%-10s %6" PRId64 " passages  %10" PRId64 " B  %s  (%s)\n", d->reader, d->n_chunks,
           d->size_bytes, d->path, d->title);
    return true;
}

static bool print_document_json(void *user, const struct document *d)
{
    struct buf b;
    (void)user;
    buf_init(&b, (size_t)1 << 20);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    json_key_cstring(&w, "path", d->path);
    json_key_cstring(&w, "title", d->title);
    json_key_cstring(&w, "root", d->root);
    json_key_cstring(&w, "format", d->reader);
    json_key_int(&w, "bytes", d->size_bytes);
    json_key_int(&w, "passages", d->n_chunks);
    json_end(&w);
    printf("%s\n", b.data ? b.data : "");
    buf_release(&b);
    return true;
}

static bool forget(struct store *s, const char *root, struct err *err)
{
    char *full = web_is_address(root) ? web_address(root, err) : realpath(root, NULL);
    if (!full && web_is_address(root)) return false;
    const bool ok = store_begin(s, err) && store_remove_root(s, full ? full : root, err) &&
                    store_commit(s, err);
    free(full);
    return ok;
}

static int index_run(const struct args *a, struct err *err)
{
    const bool is_listing = args_flag(a, "list");
    if (args_n_operands(a) == 1 && !is_listing && !path_exists(args_operand(a, 0))) {
        nothing_to_index(a, err); /* before an empty index is made */
        return 1;
    }
    struct store *s = store_open(args_operand(a, 0), is_listing ? STORE_READ : STORE_WRITE, err);
    if (!s) return 1;
    bool ok = true;
    if (is_listing)
        ok = store_each_document(s, args_flag(a, "json") ? print_document_json : print_document,
                                 NULL, err);
    else if (args_has(a, "remove"))
        ok = forget(s, args_str(a, "remove"), err);
    else
        ok = update(a, s, err);
    store_close(s);
    return ok ? 0 : 1;
}

static const struct option options[] = {
    /* clang-format off */
    /* name      letter arg     kind      min max   default choices rep    help */
    {"exclude",  0,     "GLOB", OPT_STR,  0,  0,    NULL,   NULL,   true,  "pass over files and directories of this name or path below the source"},
    {"max-file", 0,     "MB",   OPT_INT,  1,  256,  "32",   NULL,   false, "pass over larger files and pages"},
    {"page-time", 0,    "S",    OPT_INT,  1,  600,  "30",   NULL,   false, "give up a web page that takes longer, in seconds"},
    {"allow-private", 0, NULL,  OPT_FLAG, 0,  0,    NULL,   NULL,   false, "fetch pages from this machine and private networks too"},
    {"vectors", 0,      NULL,   OPT_FLAG, 0,  0,    NULL,   NULL,   false, "give each passage a vector by the model, for cria search --vectors"},
    {"list",     0,     NULL,   OPT_FLAG, 0,  0,    NULL,   NULL,   false, "print what is indexed"},
    {"remove",   0,     "PATH", OPT_FILE, 0,  0,    NULL,   NULL,   false, "forget this source and its documents"},
    {"json",     0,     NULL,   OPT_FLAG, 0,  0,    NULL,   NULL,   false, "print the figures, or a line a document, as JSON"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {&model_group, &engine_group, NULL};

const struct command cmd_index = {
    .name = "index",
    .what = "make documents searchable, for answers with sources",
    .operands = "DB [SOURCE...]",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .groups = groups,
    .details = "DB is one file, made if it is not there. A SOURCE is a directory, a file, or the "
               "address of a web page; below "
               "a directory every file is taken whose format is known: text, Markdown, HTML, Word, "
               "PDF, source code. Run "
               "again, it reads only what has changed and removes what is gone; without "
               "SOURCE it looks again at all that DB holds. Ctrl-C keeps what is done.\n\n"
               "Of a web page only that page is read; its links are not followed.\n\n"
               "Hidden files and directories (.git) are passed over, links are not followed.",
    .example = "  cria index notes.db ~/notes ~/src/project --exclude build\n"
               "  cria index notes.db https://www.rfc-editor.org/rfc/rfc9110.html\n"
               "  cria index notes.db\n"
               "  cria search notes.db 'how are backups made'",
    .run = index_run,
};
