/* config_read.h - what the readers of configurations share: one row a whole-number field, with its
 * name in each source and its range. Private to model/.
 */
#ifndef CRIA_MODEL_CONFIG_READ_H
#define CRIA_MODEL_CONFIG_READ_H

#include <stddef.h>

#include "model/config.h"

#define CONFIG_MAX_FACTOR 1e6 /* of positions: no known model goes above 128 */
#define CONFIG_MAX_THETA 1e12
#define CONFIG_MIN_EPS 1e-12
#define CONFIG_MAX_EPS 0.1

enum { FIELD_REQUIRED = -1, FIELD_DERIVED = 0 }; /* instead of a default */

struct config_field {
    const char *gguf, *hf, *meta; /* key, GGUF's without "llama."; NULL: not there */
    size_t at;                    /* of an int32_t in struct model_config */
    int64_t min, max;
    int64_t missing; /* value where the key is missing, or FIELD_... */
};

/* Ended by a row with max 0. */
extern const struct config_field config_fields[];

/* Checks the range and stores. `key` as the source calls it. */
bool config_set_field(struct model_config *c, const struct config_field *f, int64_t value,
                      const char *name, const char *key, struct err *err) CRIA_CHECK;

/* Stores what the key's absence means; ERR_FORMAT if it must be there. */
bool config_miss_field(struct model_config *c, const struct config_field *f, const char *name,
                       const char *key, struct err *err) CRIA_CHECK;

/* Fills n_kv_heads and d_head where they are still 0. */
bool config_derive(struct model_config *c, const char *name, struct err *err) CRIA_CHECK;

#endif
