/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_search.c - `cria search`: the passages of an index that fit a question, as answers get them.
 *
 * With --searx the index is made for this question: in memory, of the pages that a web search
 * names.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/embed_index.h"
#include "cli/progress_bar.h"
#include "cli/searx.h"
#include "cli/web_index.h"
#include "infer/embed.h"
#include "retrieve/search.h"

enum { MAX_PAGE_BYTES = 8 << 20 };

static void print_text(const struct passages *found)
{
    for (size_t i = 0; i < found->n; i++) {
        const struct passage *p = &found->passage[i];
        printf("%s[%zu] %s\n    %s, bytes %zu-%zu\n", i ? "\n" : "", i + 1, p->heading, p->path,
               p->begin, p->end);
        for (const char *line = p->body; *line;) {
            const size_t n = strcspn(line, "\n");
            printf("    %.*s\n", (int)n, line);
            line += n + (line[n] == '\n');
        }
    }
}

static bool print_json(const struct passages *found, struct err *err)
{
    struct buf b;
    buf_init(&b, (size_t)64 << 20);
    struct json_writer w = json_writer(&b);
    json_array(&w);
    for (size_t i = 0; i < found->n; i++) {
        const struct passage *p = &found->passage[i];
        json_object(&w);
        json_key_int(&w, "id", p->id);
        json_key_cstring(&w, "path", p->path);
        json_key_cstring(&w, "title", p->title);
        json_key_cstring(&w, "heading", p->heading);
        json_key_uint(&w, "begin_byte", p->begin);
        json_key_uint(&w, "end_byte", p->end);
        json_key_cstring(&w, "text", p->body);
        json_key_double(&w, "score", p->score);
        json_key_int(&w, "rank_words", p->rank_words);
        json_key_int(&w, "rank_vectors", p->rank_vectors);
        json_end(&w);
    }
    json_end(&w);
    const bool ok = buf_check(&b, "the result", err);
    if (ok) printf("%s\n", b.data);
    buf_release(&b);
    return ok;
}

/* By words, and with --vectors by the model's vectors too. */
static bool find(const struct args *a, struct store *s, struct passages *out, struct err *err)
{
    const char *question = args_operand(a, args_n_operands(a) - 1);
    const int n = (int)args_int(a, "n");
    struct session session;
    if (!args_flag(a, "vectors")) return search_run(s, question, strlen(question), n, out, err);
    if (!embed_session_open(a, &session, err)) return false;
    float *v = embed_question(s, session.engine, question, err);
    const bool ok = v && search_run_both(s, question, strlen(question), v,
                                         embed_width(session.engine), n, out, err);
    free(v);
    session_close(&session);
    return ok;
}

/* The results' pages into the index; those that cannot be had are logged. */
static bool fetch_results(const struct args *a, struct store *s, const struct searx_results *r,
                          const struct progress *p, struct err *err)
{
    const struct web_options opt = {.max_bytes = MAX_PAGE_BYTES,
                                    .timeout_s = (int)args_int(a, "page-time"),
                                    .is_private_allowed = args_flag(a, "allow-private"),
                                    .progress = p};
    struct index_stats stats = {0};
    struct web *w = web_new(&opt, err);
    bool ok = w != NULL;
    for (int i = 0; ok && i < r->n; i++) ok = web_index(w, s, r->url[i], &stats, err);
    web_free(w);
    if (ok && r->n && stats.n_failed == r->n)
        ok = err_set(err, ERR_NETWORK, "none of the %d pages that were found could be read", r->n);
    return ok;
}

/* An index in memory of what a web search names. Returns owned. */
static struct store *open_web(const struct args *a, struct err *err)
{
    struct searx_results results;
    struct progress_bar bar;
    struct store *s = store_open(":memory:", STORE_WRITE, err);
    if (!s) return NULL;
    progress_bar_init(&bar, args_flag(a, "quiet"), "B");
    bool ok = searx_ask(args_str(a, "searx"), args_operand(a, 0), (int)args_int(a, "pages"),
                        (int)args_int(a, "page-time"), &bar.progress, &results, err);
    if (ok) {
        ok = fetch_results(a, s, &results, &bar.progress, err);
        searx_release(&results);
    }
    progress_bar_release(&bar);
    if (ok) return s;
    store_close(s);
    return NULL;
}

static struct store *open_index(const struct args *a, struct err *err)
{
    const bool is_web = args_has(a, "searx");
    if (args_n_operands(a) != (is_web ? 1 : 2)) {
        err_set(err, ERR_USAGE,
                is_web ? "--searx takes a question alone, no index"
                       : "name an index and a question; see cria search --help");
        return NULL;
    }
    if (is_web && args_flag(a, "vectors")) {
        err_set(err, ERR_USAGE, "--vectors are those of an index; leave it out with --searx");
        return NULL;
    }
    return is_web ? open_web(a, err) : store_open(args_operand(a, 0), STORE_READ, err);
}

static int search_command_run(const struct args *a, struct err *err)
{
    struct passages found;
    struct store *s = open_index(a, err);
    if (!s) return 1;
    bool ok = find(a, s, &found, err);
    if (ok) {
        if (args_flag(a, "json"))
            ok = print_json(&found, err);
        else
            print_text(&found);
        if (ok && found.n == 0 && !args_flag(a, "quiet") && !args_flag(a, "json"))
            fprintf(stderr, "no passage has any of these words\n");
        passages_release(&found);
    }
    store_close(s);
    return ok ? 0 : 1;
}

static const struct option options[] = {
    /* clang-format off */
    /* name letter arg   kind      min max              default choices rep    help */
    {"n",   'n',   "N",  OPT_INT,  1,  SEARCH_MAX_HITS, "5",    NULL,   false, "how many passages"},
    {"vectors", 0, NULL, OPT_FLAG, 0, 0,             NULL,   NULL,   false, "look by the vectors of the index too (cria index --vectors), with the same model"},
    {"searx", 0,   "URL", OPT_STR, 0,  0,               NULL,   NULL,   false, "look in the web instead of an index, by this SearxNG server"},
    {"pages", 0,   "N",  OPT_INT,  1,  SEARX_MAX_RESULTS, "5",  NULL,   false, "with --searx: how many results to read"},
    {"page-time", 0, "S", OPT_INT, 1,  600,             "15",   NULL,   false, "with --searx: give up a page that takes longer, in seconds"},
    {"allow-private", 0, NULL, OPT_FLAG, 0, 0,          NULL,   NULL,   false, "with --searx: read results on this machine and private networks too"},
    {"json", 0,    NULL, OPT_FLAG, 0,  0,               NULL,   NULL,   false, "print a JSON array"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {&model_group, &engine_group, NULL};

const struct command cmd_search = {
    .name = "search",
    .what = "find passages in an index",
    .operands = "[DB] QUESTION",
    .min_operands = 1,
    .max_operands = 2,
    .options = options,
    .groups = groups,
    .details =
        "Prints the passages that fit best, with the document, the headings above and the "
        "place in the document's text. With --searx the question goes to that server, and the "
        "passages come from the pages that it names.",
    .example = "  cria search notes.db 'how are backups made'\n"
               "  cria search --searx http://localhost:8888 'height of the spring tide'",
    .run = search_command_run,
};
