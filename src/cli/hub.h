/* hub.h - where models live on this machine, and the names that stand for them.
 *
 * The cache is ${XDG_CACHE_HOME:-~/.cache}/cria/models: a file a GGUF model, a directory a Hugging
 * Face model, named OWNER--REPO. One thread at a time.
 */
#ifndef CRIA_CLI_HUB_H
#define CRIA_CLI_HUB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define HUB_PATH_MAX 1024

/* A short name and where it comes from. */
struct hub_name {
    const char *name;
    const char
        *repo; /* OWNER/REPO on the hub; NULL: shipped in the Python package of scripts/get-model */
    const char *file; /* GGUF file of that repository, or NULL: the whole model */
    const char *what;
};
extern const struct hub_name hub_names[]; /* ended by name NULL; the first is the default model */

/* The cache directory into `path`. */
bool hub_cache_dir(char path[HUB_PATH_MAX], struct err *err) CRIA_CHECK;

/* The path of `model`: an existing file or directory as it is, else a pulled model by its short
 * name or OWNER/REPO[:FILE]; NULL is the default model. ERR_IO says what to run when it is not
 * there. */
bool hub_find_model(const char *model, char path[HUB_PATH_MAX], struct err *err) CRIA_CHECK;

/* The hub's address without a slash at its end: HF_ENDPOINT, or https://huggingface.co. */
bool hub_endpoint(char url[HUB_PATH_MAX], struct err *err) CRIA_CHECK;

/* The token: HF_TOKEN, else the file that huggingface-cli login writes (HF_TOKEN_PATH, HF_HOME). ""
 * when there is none. */
void hub_token(char token[HUB_PATH_MAX]);

/* The short name nearest to what was typed, a name or OWNER/REPO; NULL if none is near. */
const char *hub_nearest(const char *name);

/* Where a pulled OWNER/REPO[:FILE] is kept. */
bool hub_target(const char *repo, const char *file, char path[HUB_PATH_MAX],
                struct err *err) CRIA_CHECK;

#endif
