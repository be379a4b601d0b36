/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_search.c - `cria search`: the passages of an index that fit a question, as answers get them.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "cli/command.h"
#include "cli/embed_index.h"
#include "infer/embed.h"
#include "retrieve/search.h"

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
    const char *question = args_operand(a, 1);
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

static int search_command_run(const struct args *a, struct err *err)
{
    struct passages found;
    struct store *s = store_open(args_operand(a, 0), STORE_READ, err);
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
    {"json", 0,    NULL, OPT_FLAG, 0,  0,               NULL,   NULL,   false, "print a JSON array"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {&model_group, &engine_group, NULL};

const struct command cmd_search = {
    .name = "search",
    .what = "find passages in an index",
    .operands = "DB QUESTION",
    .min_operands = 2,
    .max_operands = 2,
    .options = options,
    .groups = groups,
    .details = "Prints the passages that fit best, with the document, the headings above and the "
               "place in the document's text.",
    .example = "  cria search notes.db 'how are backups made'",
    .run = search_command_run,
};
