/* SPDX-License-Identifier: Apache-2.0
 *
 * score.c - how surprised a model is by a text: each token with its log-probability, and the
 * perplexity of them all.
 *
 *     cc score.c $(pkg-config --cflags --libs cria) -lm -o score && ./score model.gguf "Some text."
 */
#include <cria.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc != 3) return fprintf(stderr, "usage: score MODEL TEXT\n"), 2;
    struct cria_error err;
    size_t n = 0;
    double sum = 0;
    int32_t *ids = NULL;
    float *logprob = NULL;
    struct cria_model *m = cria_model_open(argv[1], &err);
    struct cria_engine *e = m ? cria_engine_new(m, NULL, &err) : NULL;
    if (e) ids = cria_tokenize(m, argv[2], strlen(argv[2]), CRIA_BOS, &n, &err);
    if (ids) logprob = calloc(n + 1, sizeof *logprob);
    bool ok = logprob && cria_logprobs(e, ids, (int32_t)n, logprob, &err);
    for (size_t i = 1; ok && i < n; i++) {
        char *text = cria_detokenize(m, &ids[i], 1, CRIA_SPECIAL, NULL, &err);
        printf("%8.4f  %s\n", (double)logprob[i - 1], text ? text : "?");
        sum -= (double)logprob[i - 1];
        cria_free(text);
    }
    if (ok && n > 1) printf("perplexity %.3f over %zu tokens\n", exp(sum / (double)(n - 1)), n - 1);
    if (!ok) fprintf(stderr, "%s\n", ids && !logprob ? "no memory" : err.text);
    free(logprob);
    cria_free(ids);
    cria_engine_free(e);
    cria_model_close(m);
    return ok ? 0 : 1;
}
