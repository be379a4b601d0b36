/* model.h - an open model: configuration, weights, tokenizer, and what its files say about it.
 *
 * model_open() takes a GGUF file (any member of a split set), a Hugging Face directory, or a Meta
 * directory; all weights stay mapped where their type allows it. Immutable after: any thread.
 */
#ifndef CRIA_MODEL_MODEL_H
#define CRIA_MODEL_MODEL_H

#include "base/err.h"
#include "base/progress.h"
#include "model/config.h"
#include "model/tensors.h"
#include "text/chat.h"
#include "text/tokenizer.h"

enum model_source { SOURCE_GGUF, SOURCE_HF, SOURCE_META };

/* What travels along with the weights. Strings may be NULL. */
struct model_info {
    enum model_source source;
    const char *path;
    const char *name, *license, *license_name, *license_link, *author, *version, *description;
    const char *model_card; /* README.md of a directory, if any */
    const char *built_with; /* what its licence asks to show, as model_built_with() */
    uint64_t file_bytes, n_params;
    const char *type_name; /* the type most weights have: "Q4_1" */
    bool is_huge;          /* model_make_huge() was done */
    bool is_repacked;      /* model_repack() was done */
    const char *place;     /* "cuda:0" after model_place(); NULL: the host's memory */
};

/* Where the weights are: "mapped", "huge pages" or "repacked". */
const char *model_info_place(const struct model_info *i);

struct model;
struct ops;

/* Returns owned. Without a tokenizer in the files the model opens and model_tokenizer() is NULL:
 * whoever needs one says so by model_require_tokenizer(). */
struct model *model_open(const char *path, struct err *err);
void model_close(struct model *m); /* NULL is fine */
/* Takes the weights into memory of huge pages (file_map_make_huge() in base/file.h), so that they
 * are mapped no more; before anybody else uses `m`. After a failure the model is still whole. */
bool model_make_huge(struct model *m, struct err *err) CRIA_CHECK;
/* Takes the weights of a GGUF into memory and reorders them there as ops->interleave() does; before
 * anybody else uses `m`, which only ops of that name may then read. ERR_UNSUPPORTED: none of them
 * would be read faster. After a failure `m` must be closed. */
bool model_repack(struct model *m, const struct ops *ops, struct err *err) CRIA_CHECK;
/* Copies the weights to the memory of `ops`, where that is not the host's: then forward passes with
 * these operators can run, and no others, nor an export. ERR_MEMORY: bytes wanted and free. Before
 * the first forward pass. Ends with model_close(). */
bool model_place(struct model *m, const struct ops *ops, struct err *err) CRIA_CHECK;
/* A hash of the model's numbers and of both ends of each matrix as its file has them: another
 * quantization or a fine-tune is another model, a moved file the same. */
uint64_t model_fingerprint(const struct model *m);

const struct model_config *model_config(const struct model *m);
const struct weights *model_weights(const struct model *m);
const struct tokenizer *model_tokenizer(const struct model *m);
bool model_require_tokenizer(const struct model *m, struct err *err) CRIA_CHECK;
/* The chat family by the template, else by the vocabulary, else NULL (a base model). */
const struct chat_family *model_chat_family(const struct model *m);
const struct model_info *model_info(const struct model *m);
/* What the licence asks to show where a model is handed on, if `text` (a licence key, a name, a
 * repository; NULL is fine) says that it is of the Llama 3 family: "Built with Meta Llama 3", from
 * 3.1 on "Built with Llama"; else NULL. */
const char *model_built_with(const char *text);
/* The GGUF behind it, or NULL: for `inspect` and for metadata that travels. */
const struct gguf *model_gguf(const struct model *m);

/* ---- writing (export.c) ---- */
enum export_format { EXPORT_GGUF, EXPORT_HF };
struct imatrix; /* imatrix.h */
struct export_options {
    enum export_format format;
    const char *type; /* recipe or dtype name: "q4_k_m", "bf16" (quant_recipe.h); NULL: each tensor
                       * keeps its type, and quantized ones become bf16 in a Hugging Face directory
                       * ("f32" there gives their exact values) */
    const struct imatrix *imatrix; /* or NULL */
    int n_threads;                 /* 0: one a core */
    uint64_t max_shard_bytes;      /* Hugging Face shards; 0: 5 GB */
    bool is_overwriting;
    const struct progress *progress;
};
/* One line per tensor of what was done, for the report of `cria quantize`. */
struct export_stat {
    const char *name;
    enum dtype from, to;
    uint64_t bytes_from, bytes_to;
    double rel_rmse; /* sqrt(sum (x - x')^2 / sum x^2); 0 when copied */
};
typedef void export_stat_fn(void *user, const struct export_stat *s);
/* Writes a GGUF file or a Hugging Face directory. Refuses (ERR_USAGE) a target that exists unless
 * is_overwriting, and always one that is the source. ERR_FORMAT names a tensor with a weight that
 * is no number, ERR_LIMIT one whose values the new type cannot hold; ERR_CANCELLED when the
 * progress says so. A failure leaves nothing behind. `stat` may be NULL; it is called on this
 * thread. */
bool model_export(const struct model *m, const char *out_path, const struct export_options *opt,
                  export_stat_fn *stat, void *user, struct err *err) CRIA_CHECK;

#endif
