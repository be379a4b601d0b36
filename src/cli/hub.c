/* SPDX-License-Identifier: Apache-2.0
 *
 * hub.c - names of models and their places in the cache.
 *
 * Plain files under plain names, because users want to use a fetched model with other programs too
 * (a store of hashed blobs is what they complain about elsewhere). A name is looked up as a path
 * first, so that a local file always wins over a name.
 */
#include "cli/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/table.h"

const struct hub_name hub_names[] = {
    /* clang-format off */
    /* name                      repo                                       file                                 what */
    {"smollm2-135m-instruct",    NULL,                                      "SmolLM2-135M-Instruct.Q4_1.gguf",   "the default model: 98 MB, Apache-2.0; make run fetches it"},
    {"smollm2-135m-instruct-hf", "HuggingFaceTB/SmolLM2-135M-Instruct",     NULL,                                "the same in bfloat16, 270 MB, Apache-2.0"},
    {"smollm2-360m-instruct",    "HuggingFaceTB/SmolLM2-360M-Instruct",     NULL,                                "720 MB, Apache-2.0"},
    {"smollm2-1.7b-instruct",    "HuggingFaceTB/SmolLM2-1.7B-Instruct",     NULL,                                "3.4 GB, Apache-2.0"},
    {"tinyllama-1.1b-chat",      "TinyLlama/TinyLlama-1.1B-Chat-v1.0",      NULL,                                "2.2 GB, Apache-2.0"},
    {"llama-3.2-1b-instruct",    "meta-llama/Llama-3.2-1B-Instruct",        NULL,                                "2.5 GB, Llama 3.2 licence: accept it on the hub and set HF_TOKEN"},
    {"llama-3.2-3b-instruct",    "meta-llama/Llama-3.2-3B-Instruct",        NULL,                                "6.4 GB, Llama 3.2 licence: accept it on the hub and set HF_TOKEN"},
    {"llama-3.1-8b-instruct",    "meta-llama/Llama-3.1-8B-Instruct",        NULL,                                "16 GB, Llama 3.1 licence: accept it on the hub and set HF_TOKEN"},
    {"llama-3-8b-instruct",      "meta-llama/Meta-Llama-3-8B-Instruct",     NULL,                                "16 GB, Llama 3 licence: accept it on the hub and set HF_TOKEN"},
    {0},
    /* clang-format on */
};

static bool put_path(char path[HUB_PATH_MAX], struct err *err, const char *fmt, const char *a,
                     const char *b)
{
    const int n = snprintf(path, HUB_PATH_MAX, fmt, a, b);
    if (n < 0 || n >= HUB_PATH_MAX)
        return err_set(err, ERR_LIMIT,
                       "the path of \"%s\" is longer than %d bytes; use a shorter one", b,
                       HUB_PATH_MAX);
    return true;
}

bool hub_cache_dir(char path[HUB_PATH_MAX], struct err *err)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && *xdg) return put_path(path, err, "%s/%s", xdg, "cria/models");
    if (home && *home) return put_path(path, err, "%s/%s", home, ".cache/cria/models");
    return err_set(err, ERR_IO,
                   "neither XDG_CACHE_HOME nor HOME is set; name the model by its path");
}

bool hub_endpoint(char url[HUB_PATH_MAX], struct err *err)
{
    const char *given = getenv("HF_ENDPOINT");
    if (!put_path(url, err, "%s%s", "", given && *given ? given : "https://huggingface.co"))
        return false;
    for (size_t n = strlen(url); n > 0 && url[n - 1] == '/'; n--) url[n - 1] = '\0';
    return true;
}

/* The first word of a file into `token`, or "". */
static void read_token(const char *path, char token[HUB_PATH_MAX])
{
    struct buf b;
    struct err ignored = {0}; /* no token is no failure */
    buf_init(&b, HUB_PATH_MAX - 1);
    token[0] = '\0';
    if (path_exists(path) && file_read_all(path, HUB_PATH_MAX - 1, &b, &ignored) && b.n_bytes) {
        const char *begin = b.data + strspn(b.data, " \t\r\n");
        const size_t n = strcspn(begin, " \t\r\n");
        memcpy(token, begin, n);
        token[n] = '\0';
    }
    buf_release(&b);
}

void hub_token(char token[HUB_PATH_MAX])
{
    const char *set = getenv("HF_TOKEN"), *at = getenv("HF_TOKEN_PATH"), *home = getenv("HF_HOME"),
               *xdg = getenv("XDG_CACHE_HOME"), *user = getenv("HOME");
    struct err ignored = {0};
    char path[HUB_PATH_MAX];
    bool ok = false;
    token[0] = '\0';
    if (set && *set) {
        if (!put_path(token, &ignored, "%s%s", "", set)) token[0] = '\0';
        return;
    }
    if (at && *at)
        ok = put_path(path, &ignored, "%s%s", "", at);
    else if (home && *home)
        ok = put_path(path, &ignored, "%s/%s", home, "token");
    else if (xdg && *xdg)
        ok = put_path(path, &ignored, "%s/%s", xdg, "huggingface/token");
    else if (user && *user)
        ok = put_path(path, &ignored, "%s/%s", user, ".cache/huggingface/token");
    if (ok) read_token(path, token);
}

const char *hub_nearest(const char *name)
{
    return table_nearest(hub_names, sizeof *hub_names, path_base(name));
}

bool hub_target(const char *repo, const char *file, char path[HUB_PATH_MAX], struct err *err)
{
    char dir[HUB_PATH_MAX], name[HUB_PATH_MAX];
    if (!hub_cache_dir(dir, err)) return false;
    if (file) return put_path(path, err, "%s/%s", dir, path_base(file));
    if (!put_path(name, err, "%s%s", "", repo)) return false;
    char *slash = strchr(name, '/');
    if (!slash) return put_path(path, err, "%s/%s", dir, name);
    *slash = '\0';
    char joined[HUB_PATH_MAX];
    if (!put_path(joined, err, "%s--%s", name, slash + 1)) return false;
    return put_path(path, err, "%s/%s", dir, joined);
}

bool hub_find_model(const char *model, char path[HUB_PATH_MAX], struct err *err)
{
    if (model && path_exists(model)) return put_path(path, err, "%s%s", "", model);
    const struct hub_name *h = model ? table_find(hub_names, sizeof *h, model) : &hub_names[0];
    char found[HUB_PATH_MAX];
    if (h) {
        if (!hub_target(h->repo ? h->repo : h->name, h->file, found, err)) return false;
        if (path_exists(found)) return put_path(path, err, "%s%s", "", found);
        if (!h->repo)
            return err_set(err, ERR_IO,
                           "%s: the default model is not there; make run or "
                           "scripts/get-model fetches it, or name a model with -m",
                           found);
        return err_set(err, ERR_IO, "%s is not here yet; run: cria pull %s", h->name, h->name);
    }
    if (strchr(model, '/') && model[0] != '/' && model[0] != '.') {
        char repo[HUB_PATH_MAX];
        if (!put_path(repo, err, "%s%s", "", model)) return false;
        char *colon = strchr(repo, ':');
        if (colon) *colon = '\0';
        if (!hub_target(repo, colon ? colon + 1 : NULL, found, err)) return false;
        if (path_exists(found)) return put_path(path, err, "%s%s", "", found);
    }
    const char *near = hub_nearest(model);
    if (near)
        return err_set(err, ERR_IO, "%s: no such file, and no such model; did you mean %s?", model,
                       near);
    return err_set(err, ERR_IO,
                   "%s: no such file or directory, and no model of that name; "
                   "cria pull --list shows the names",
                   model);
}
