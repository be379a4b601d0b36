/* load.h - an open model from inside, and what the three loaders share: a loader answers where a
 * tensor of the table is, and everything else is done once. Private to model/.
 */
#ifndef CRIA_MODEL_LOAD_H
#define CRIA_MODEL_LOAD_H

#include <stddef.h>

#include "base/arena.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"
#include "model/model.h"
#include "tensor/ops.h"

#define META_MAX_SHARDS 256

struct model {
    struct arena *arena; /* tables, texts, float copies of vectors */
    struct model_config config;
    struct weights weights;
    struct model_info info;
    struct tokenizer *tokenizer; /* NULL without */
    const struct chat_family *chat;
    uint64_t fingerprint; /* 0: not kept */

    /* one of the three; weights point into it */
    struct gguf *gguf;
    struct safetensors *safetensors;
    struct torch_file *shard[META_MAX_SHARDS];
    size_t n_shards;

    void *merged; /* matrices that Meta's shards had in pieces */
    size_t merged_bytes, merged_used;

    const struct device_memory *device; /* model_place(): where the weights are; NULL: here */
    void *device_weights;
};

/* How a container answers weights_load(). */
struct tensor_source {
    /* The row's name there, or NULL. */
    const char *(*pattern)(const struct tensor_row *r);
    /* The whole tensor. False and `err` if it is missing, of a type that we cannot compute with,
     * or in pieces that do not fit. */
    bool (*find)(struct model *m, const struct tensor_row *r, const char *name, struct tensor *out,
                 struct err *err);
    size_t (*n_names)(const struct model *m);
    const char *(*name)(const struct model *m, size_t i);
    /* Names that are no weights: a name that contains one of these. Ended by NULL. */
    const char *const *ignored;
};

/* Finds, checks and places every tensor that the config needs. m->config is final. */
bool weights_load(struct model *m, const struct tensor_source *source, struct err *err) CRIA_CHECK;

/* Each opens what m->info.path names and fills m but for the tokenizer's checks. What they have
 * opened is in `m` also after a failure: model_close() ends it. */
bool load_gguf(struct model *m, struct err *err) CRIA_CHECK;
bool load_hf(struct model *m, struct err *err) CRIA_CHECK;
bool load_meta(struct model *m, struct err *err) CRIA_CHECK;

/* Licence, name and card of a directory, from README.md's front matter and LICENSE (model_info.c).
 */
bool info_from_dir(struct model *m, struct err *err) CRIA_CHECK;
bool info_from_gguf(struct model *m, struct err *err) CRIA_CHECK;
/* The same texts as keys, and as a README.md that info_from_dir() reads back. */
void info_put_gguf(const struct model_info *info, struct gguf_writer *w);
void info_put_card(const struct model_info *info, struct buf *out);
/* Counts and types, from the config and weights; the family, from what is known by then. */
void info_finish(struct model *m);

/* Reads DIR/NAME as JSON. Returns owned. */
struct json_doc *load_json(const char *dir, const char *name, struct buf *path, struct err *err);
/* True if DIR/NAME is there; false too if memory is short, which the next call will meet. */
bool dir_has(const char *dir, const char *name);

#endif
