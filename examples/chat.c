/* SPDX-License-Identifier: Apache-2.0
 *
 * chat.c - the smallest chat: each line of stdin is a turn, the answer streams to stdout.
 *
 *     cc chat.c $(pkg-config --cflags --libs cria) -o chat && ./chat model.gguf
 */
#include <cria.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TURNS = 64 };

static char answer[65536], *text[MAX_TURNS];

static bool on_event(void *user, const struct cria_event *ev)
{
    (void)user;
    fwrite(ev->text, 1, ev->n_text, stdout);
    fflush(stdout);
    const size_t n = strlen(answer);
    if (n + ev->n_text < sizeof answer) memcpy(answer + n, ev->text, ev->n_text);
    return true;
}

int main(int argc, char **argv)
{
    static struct cria_message turn[MAX_TURNS];
    struct cria_error err;
    char line[4096];
    struct cria_model *m = cria_model_open(argc > 1 ? argv[1] : "model.gguf", &err);
    struct cria_engine *e = m ? cria_engine_new(m, NULL, &err) : NULL;
    bool ok = e != NULL;
    for (size_t n = 0; ok && n + 2 <= MAX_TURNS && fgets(line, sizeof line, stdin); n += 2) {
        struct cria_request r;
        size_t n_ids = 0;
        line[strcspn(line, "\n")] = 0;
        turn[n] = (struct cria_message){"user", text[n] = strdup(line)};
        int32_t *ids = cria_chat_tokenize(m, turn, n + 1, &n_ids, &err);
        cria_request_init(&r);
        r.prompt = ids, r.n_prompt = (int32_t)n_ids, r.n_predict = 256, r.listener = on_event;
        memset(answer, 0, sizeof answer);
        ok = ids && cria_generate(e, &r, &err);
        cria_free(ids);
        turn[n + 1] = (struct cria_message){"assistant", text[n + 1] = strdup(answer)};
        putchar('\n');
    }
    if (!ok) fprintf(stderr, "%s\n", err.text);
    for (size_t i = 0; i < MAX_TURNS; i++) free(text[i]);
    cria_engine_free(e);
    cria_model_close(m);
    return ok ? 0 : 1;
}
