/* quant_recipe.h - which type each matrix of a quantized model gets.
 *
 * A recipe has a type for most matrices, one for the output, and rules that give some roles in some
 * layers a better one. The mixes are those that users know by llama.cpp's names, so that a file of
 * ours called Q4_K_M has the types of theirs (spec/inference.md d2). Any thread.
 */
#ifndef CRIA_MODEL_QUANT_RECIPE_H
#define CRIA_MODEL_QUANT_RECIPE_H

#include "model/config.h"
#include "model/tensors.h"

struct quant_rule;

struct quant_recipe {
    const char *name; /* as users write it, lower case: "q4_k_m" */
    const char *what; /* for `cria quantize --list` */
    enum dtype base;
    enum dtype output;  /* of the output matrix, or of the embedding where that is both */
    uint32_t file_type; /* general.file_type */
    const struct quant_rule *rules; /* the first that fits decides; NULL: none */
};

/* All recipes, best quality first; ended by a row with name NULL. */
extern const struct quant_recipe quant_recipes[];

/* By name in any case; the name of a type stands for its usual recipe ("q4_k" is q4_k_m). NULL and
 * ERR_USAGE with the nearest name if there is none. */
const struct quant_recipe *quant_recipe_find(const char *name, struct err *err);

/* The type of the matrix of `role` in layer `i_layer` (0 for those outside layers). What does not
 * fit a row of `n_cols` elements gives way to quant_fallback(). */
enum dtype quant_recipe_type(const struct quant_recipe *r, const struct model_config *c,
                             enum tensor_role role, int32_t i_layer, bool has_imatrix,
                             int64_t n_cols);

/* `t`, or where a row of n_cols elements is no whole number of its blocks the next larger type of
 * 32-blocks, or F16 where those do not fit either. */
enum dtype quant_fallback(enum dtype t, int64_t n_cols);

#endif
