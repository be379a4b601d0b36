/* SPDX-License-Identifier: Apache-2.0
 *
 * lora_options.c - --lora: adapters that are opened with the model.
 *
 * [NAME=]PATH[:SCALE]: a name is what stands before the first '=' unless there is a '/' in it, a
 * scale what stands behind the last ':' if it is a number; else both are of the path. Without a
 * name the adapter is called as its file or directory.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/options.h"

static const struct option rows[] = {
    /* clang-format off */
    /* name  letter arg                    kind      min max default choices rep   help */
    {"lora", 0,     "[NAME=]PATH[:SCALE]", OPT_STR,  0,  0,  NULL,   NULL,   true, "adapter for the model: a PEFT directory or a GGUF file"},
    {0},
    /* clang-format on */
};
const struct option_group lora_group = {"Adapters", rows};

bool options_has_lora(const struct args *a) { return args_count(a, "lora") > 0; }

static bool parse(const char *s, struct lora_named *out, float *scale, struct err *err)
{
    const char *eq = strchr(s, '='), *slash = strchr(s, '/');
    const bool has_name = eq && eq > s && (!slash || eq < slash);
    const char *path = has_name ? eq + 1 : s;
    const char *colon = strrchr(path, ':');
    char *end = NULL;
    size_t n_path = strlen(path);
    *scale = 1;
    if (colon && colon[1]) {
        const float x = strtof(colon + 1, &end);
        if (*end == 0 && x >= -100 && x <= 100) {
            *scale = x;
            n_path = (size_t)(colon - path);
        }
    }
    if (n_path == 0 || n_path >= sizeof out->path)
        return err_set(err, ERR_USAGE, "--lora: \"%.80s\" has no path; write [NAME=]PATH[:SCALE]",
                       s);
    memcpy(out->path, path, n_path);
    while (n_path > 1 && out->path[n_path - 1] == '/') n_path--;
    out->path[n_path] = 0;
    const char *name = has_name ? s : path_base(out->path);
    size_t n = has_name ? (size_t)(eq - s) : strlen(name);
    if (!has_name && n > 5 && strcmp(name + n - 5, ".gguf") == 0) n -= 5;
    if (n == 0 || n >= sizeof out->name)
        return err_set(err, ERR_USAGE, "--lora: the name of \"%.80s\" has %zu bytes; give 1 to %zu",
                       s, n, sizeof out->name - 1);
    memcpy(out->name, name, n);
    out->name[n] = 0;
    return true;
}

bool session_open_lora(const struct args *a, struct session *s, struct err *err)
{
    const int n = args_count(a, "lora");
    if (n > MAX_ADAPTERS)
        return err_set(err, ERR_USAGE, "--lora: %d times; at most %d", n, MAX_ADAPTERS);
    for (int i = 0; i < n; i++) {
        struct lora_named *l = &s->adapter[i];
        float scale = 1;
        if (!parse(args_nth(a, "lora", i), l, &scale, err)) return false;
        for (int k = 0; k < i; k++)
            if (strcmp(s->adapter[k].name, l->name) == 0)
                return err_set(err, ERR_USAGE,
                               "--lora: two adapters are called %s; name one of "
                               "them another way: NAME=PATH",
                               l->name);
        l->lora = lora_open(l->path, s->model, scale, err);
        if (!l->lora) return err_wrap(err, "--lora");
        s->n_adapters = i + 1;
        log_info("adapter %s: rank %d, %d matrices, %.1f MB, scale %g", l->name,
                 (int)lora_rank(l->lora), (int)lora_n_pairs(l->lora),
                 (double)lora_bytes(l->lora) / 1e6, (double)scale);
    }
    return true;
}

bool session_use_lora(struct session *s, struct err *err)
{
    if (s->n_adapters > 1)
        return err_set(err, ERR_USAGE, "--lora: %d times; this command takes one", s->n_adapters);
    if (s->n_adapters == 1) engine_use_adapter(s->engine, s->adapter[0].lora);
    return true;
}
