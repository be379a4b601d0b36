/* SPDX-License-Identifier: Apache-2.0
 *
 * export_tool.c - model_export() and imatrix for tests/oracle/export.py, which has no C of its own.
 *
 *     export_tool FROM TO gguf|hf [TYPE [IMATRIX [SHARD_BYTES]]]     ("-": none)
 *     export_tool FROM TO imatrix TOKEN...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/team.h"
#include "model/imatrix.h"

static const char *argument(int argc, char **argv, int i)
{
    return i < argc && strcmp(argv[i], "-") != 0 ? argv[i] : NULL;
}

static bool convert(const struct model *m, int argc, char **argv, struct err *err)
{
    struct imatrix *im = NULL;
    const char *imatrix = argument(argc, argv, 5), *shard = argument(argc, argv, 6);
    if (imatrix && !(im = imatrix_open(imatrix, err))) return false;
    const struct export_options opt = {.format =
                                           strcmp(argv[3], "hf") == 0 ? EXPORT_HF : EXPORT_GGUF,
                                       .type = argument(argc, argv, 4),
                                       .imatrix = im,
                                       .max_shard_bytes = shard ? strtoull(shard, NULL, 10) : 0};
    const bool ok = model_export(m, argv[2], &opt, NULL, NULL, err);
    imatrix_free(im);
    return ok;
}

static bool observe(const struct model *m, int argc, char **argv, struct err *err)
{
    const int32_t n = argc - 4;
    int32_t *id = calloc((size_t)n, sizeof *id), *pos = calloc((size_t)n, sizeof *pos),
            *seq = calloc((size_t)n, sizeof *seq);
    const struct ops *ops = ops_variant(0);
    struct team *team = team_new(1, err);
    struct forward *f = team ? forward_new(m, ops, team, n, 1, n, err) : NULL;
    struct kv_cache *kv = f ? kv_cache_new(model_config(m), DT_F32, n, 1, NULL, err) : NULL;
    struct imatrix *im = kv ? imatrix_new(model_config(m), err) : NULL;
    bool ok = im && id && pos && seq;
    const int32_t s = ok ? kv_cache_open_seq(kv, err) : -1;
    for (int32_t i = 0; ok && i < n; i++) {
        id[i] = (int32_t)strtol(argv[4 + i], NULL, 10);
        pos[i] = i;
        seq[i] = s;
    }
    const struct batch b = {.n_tok = n, .token = id, .pos = pos, .seq = seq};
    const float *logits = NULL;
    int32_t n_logits = 0;
    if (ok) forward_observe(f, imatrix_observe, im);
    ok = ok && s >= 0 && forward_run(f, kv, &b, &logits, &n_logits, err) &&
         imatrix_save(im, argv[2], "tokens of the oracle", err);
    imatrix_free(im);
    kv_cache_free(kv);
    forward_free(f);
    team_free(team);
    free(id);
    free(pos);
    free(seq);
    return ok;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    if (argc < 4) {
        fprintf(stderr, "usage: export_tool FROM TO gguf|hf|imatrix ...\n");
        return 2;
    }
    struct model *m = model_open(argv[1], &err);
    const bool is_imatrix = strcmp(argv[3], "imatrix") == 0 && argc > 4;
    const bool ok = m && (is_imatrix ? observe(m, argc, argv, &err) : convert(m, argc, argv, &err));
    if (!ok) fprintf(stderr, "export_tool: %s\n", err.text);
    model_close(m);
    return ok ? 0 : 1;
}
