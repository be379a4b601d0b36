/* export_parts.h - what the files of the exporter share: the plan of tensors, and the pump that
 * turns each into its new type. Private to model/export*.c.
 */
#ifndef CRIA_MODEL_EXPORT_PARTS_H
#define CRIA_MODEL_EXPORT_PARTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "model/load.h"
#include "model/model.h"
#include "model/quant_recipe.h"

struct export_item {
    const struct tensor_row *row; /* NULL: rope_freqs.weight */
    int32_t i_layer;
    char name[TENSOR_NAME_BYTES]; /* in the new file */
    struct tensor src;            /* a vector: its floats, already in the new rotary order */
    enum dtype to;
    bool is_reordered;       /* a matrix whose rows change their rotary order on the way */
    const float *importance; /* [cols] or NULL */
};

struct export_job {
    const struct model *m;
    const struct export_options *opt;
    const char *out_path;
    const struct quant_recipe *recipe; /* NULL: types stay */
    enum dtype main_type;              /* that most of the new weights have */
    struct arena *arena;
    struct export_item *item; /* in the order of writing */
    size_t n_items;
    export_stat_fn *stat; /* or NULL */
    void *user;
};

/* Fills item, n_items and main_type (export_plan.c). */
bool export_plan(struct export_job *job, struct err *err) CRIA_CHECK;

/* Where converted rows go: gguf_writer_data() or safetensors_writer_data() behind a cast-free
 * wrapper. */
typedef bool export_write_fn(void *writer, const void *data, size_t n_bytes, struct err *err);

/* Converts and writes all items in order, ticks, and calls stat (export_rows.c). */
bool export_rows(const struct export_job *job, export_write_fn *write, void *writer,
                 struct err *err) CRIA_CHECK;

/* Each writes the whole output and leaves nothing behind when it fails. */
bool export_gguf(const struct export_job *job, struct err *err) CRIA_CHECK;
bool export_hf(const struct export_job *job, struct err *err) CRIA_CHECK;

/* Refuses a target that is the source, that exists (unless overwriting), or that cannot be replaced
 * without losing what is no model (export_paths.c). */
bool export_check_target(const struct model *m, const char *out_path,
                         const struct export_options *opt, struct err *err) CRIA_CHECK;
/* Puts the finished directory `made` in the place of `path`, whose old files are then removed. */
bool export_replace_dir(const char *made, const char *path, struct err *err) CRIA_CHECK;

#endif
