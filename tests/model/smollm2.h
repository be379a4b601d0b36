/* smollm2.h - where the default model lies, for the tests that need its real weights.
 */
#ifndef CRIA_TESTS_MODEL_SMOLLM2_H
#define CRIA_TESTS_MODEL_SMOLLM2_H

#include <stdio.h>
#include <stdlib.h>

/* ${XDG_CACHE_HOME:-~/.cache}/cria/models/SmolLM2-135M-Instruct.Q4_1.gguf, or NULL if it is not
 * there. The golden numbers are this model's: CRIA_MODEL is not looked at. */
static inline const char *smollm2_path(void)
{
    static char path[1024];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *name = "cria/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (cache && *cache)
        snprintf(path, sizeof path, "%s/%s", cache, name);
    else
        snprintf(path, sizeof path, "%s/.cache/%s", home ? home : "", name);
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fclose(f);
    return path;
}

#endif
