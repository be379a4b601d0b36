/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c - the numbers of a model: their ranges, and what is computed from them.
 *
 * The ranges are wide enough for a model ten times Llama 3.1 405B (126 layers, d_model 16,384) and
 * narrow enough that no product of two of them leaves 48 bits. Three readers fill the struct
 * (config_gguf.c, config_hf.c, config_meta.c); all end in config_check(), so that a model that is
 * held by anybody has passed it.
 *
 * Rotary frequencies (spec/llama3.md 1.5) are f_i = theta^(-2i/d_head), then
 *   linear   f_i / factor
 *   dynamic  theta grown by (factor n / n_ctx - (factor - 1))^(d/(d-2)) when more than n_ctx
 *            positions are to be used (bloc97 2023). Keys in the cache are rotated already, so the
 *            length that counts is the longest that the caller plans for, and stays.
 *   llama3   by wavelength: short ones as they are, long ones / factor, a blend between.
 * GGUF files carry the result of the last as one divisor a frequency. Those are used as they are;
 * the numbers of the formula are recovered from them so that `inspect` can name it and a
 * config.json can be written.
 *
 * Begin reading at config_fields and config_inv_freq().
 */
#include "model/config.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "model/config_read.h"
#include "model/tensors.h"

#define TWO_PI 6.283185307179586

#define AT(field) offsetof(struct model_config, field)
const struct config_field config_fields[] = {
    /* clang-format off */
    /* GGUF                      Hugging Face               Meta          where           min  max      missing */
    {"block_count",             "num_hidden_layers",       "n_layers",   AT(n_layers),   1, 4096,    FIELD_REQUIRED},
    {"embedding_length",        "hidden_size",             "dim",        AT(d_model),    1, 1 << 18, FIELD_REQUIRED},
    {"attention.head_count",    "num_attention_heads",     "n_heads",    AT(n_heads),    1, 1 << 14, FIELD_REQUIRED},
    {"attention.head_count_kv", "num_key_value_heads",     "n_kv_heads", AT(n_kv_heads), 1, 1 << 14, FIELD_DERIVED},
    {"attention.key_length",    "head_dim",                "head_dim",   AT(d_head),     2, 1024,    FIELD_DERIVED},
    {"feed_forward_length",     "intermediate_size",       NULL,         AT(d_ff),       1, 1 << 22, FIELD_REQUIRED},
    {NULL,                      "vocab_size",              NULL,         AT(n_vocab),    1, 1 << 24, FIELD_REQUIRED},
    {"context_length",          "max_position_embeddings", NULL,         AT(n_ctx),      1, 1 << 30, 2048},
    {0},
    /* clang-format on */
};

/* ---- ranges ---- */

bool config_set_field(struct model_config *c, const struct config_field *f, int64_t value,
                      const char *name, const char *key, struct err *err)
{
    if (value < f->min || value > f->max)
        return err_set(err, ERR_LIMIT,
                       "%s: %s: %" PRId64 " is not within %" PRId64 "..%" PRId64
                       "; fetch the file again",
                       name, key, value, f->min, f->max);
    const int32_t narrow = (int32_t)value; /* every max fits */
    memcpy((char *)c + f->at, &narrow, sizeof narrow);
    return true;
}

bool config_miss_field(struct model_config *c, const struct config_field *f, const char *name,
                       const char *key, struct err *err)
{
    const int32_t narrow = (int32_t)f->missing;
    if (f->missing == FIELD_REQUIRED)
        return err_set(err, ERR_FORMAT, "%s: %s: is missing; fetch the file again", name, key);
    memcpy((char *)c + f->at, &narrow, sizeof narrow);
    return true;
}

bool config_derive(struct model_config *c, const char *name, struct err *err)
{
    if (c->n_kv_heads == 0) c->n_kv_heads = c->n_heads;
    if (c->d_head != 0) return true;
    if (c->d_model % c->n_heads != 0)
        return err_set(err, ERR_FORMAT,
                       "%s: width %" PRId32 " is not a multiple of %" PRId32
                       " heads, and no head width is given; fetch the file again",
                       name, c->d_model, c->n_heads);
    c->d_head = c->d_model / c->n_heads;
    return true;
}

static bool check_fields(const struct model_config *c, const char *name, struct err *err)
{
    for (const struct config_field *f = config_fields; f->max; f++) {
        struct model_config again = *c;
        int32_t value = 0;
        memcpy(&value, (const char *)c + f->at, sizeof value);
        if (!config_set_field(&again, f, value, name, f->hf, err)) return false;
    }
    return true;
}

static bool check_heads(const struct model_config *c, const char *name, struct err *err)
{
    if (c->n_heads % c->n_kv_heads != 0)
        return err_set(err, ERR_FORMAT,
                       "%s: %" PRId32 " query heads are not a multiple of %" PRId32
                       " key heads; fetch the file again",
                       name, c->n_heads, c->n_kv_heads);
    if (c->d_head % 2 != 0)
        return err_set(err, ERR_FORMAT,
                       "%s: head width %" PRId32 " is odd, rotary pairs need an even one; fetch "
                       "the file again",
                       name, c->d_head);
    if ((int64_t)c->n_heads * c->d_head > 1 << 20)
        return err_set(err, ERR_LIMIT, "%s: %" PRId32 " heads of %" PRId32 ": above %d columns",
                       name, c->n_heads, c->d_head, 1 << 20);
    return true;
}

/* Written so that NaN fails. */
static bool check_number(double v, double min, double max, const char *what, const char *name,
                         struct err *err)
{
    if (v >= min && v <= max) return true;
    return err_set(err, ERR_LIMIT, "%s: %s: %g is not within %g..%g; fetch the file again", name,
                   what, v, min, max);
}

static bool check_llama3(const struct model_config *c, const char *name, struct err *err)
{
    if (!check_number(c->rope_low_freq_factor, 1e-6, CONFIG_MAX_FACTOR, "low_freq_factor", name,
                      err) ||
        !check_number(c->rope_high_freq_factor, 1e-6, CONFIG_MAX_FACTOR, "high_freq_factor", name,
                      err) ||
        !check_number(c->rope_orig_ctx, 1, 1 << 30, "original_max_position_embeddings", name, err))
        return false;
    if (c->rope_high_freq_factor > c->rope_low_freq_factor) return true;
    return err_set(err, ERR_LIMIT,
                   "%s: high_freq_factor %g is not above low_freq_factor %g; fetch the file again",
                   name, c->rope_high_freq_factor, c->rope_low_freq_factor);
}

bool config_check(const struct model_config *c, const char *name, struct err *err)
{
    if (!check_fields(c, name, err) || !check_heads(c, name, err) ||
        !check_number((double)c->norm_eps, 0.9 * CONFIG_MIN_EPS, 1.1 * CONFIG_MAX_EPS, "norm eps",
                      name, err) ||
        !check_number(c->rope_theta, 1, CONFIG_MAX_THETA, "rope theta", name, err))
        return false;
    if (c->rope_scaling == ROPE_SCALING_NONE) return true;
    if (!check_number(c->rope_factor, 1, CONFIG_MAX_FACTOR, "rope scaling factor", name, err))
        return false;
    return c->rope_scaling != ROPE_SCALING_LLAMA3 || check_llama3(c, name, err);
}

/* ---- frequencies ---- */

static double llama3_frequency(const struct model_config *c, double f)
{
    const double orig = c->rope_orig_ctx, wavelen = TWO_PI / f;
    const double low = c->rope_low_freq_factor, high = c->rope_high_freq_factor;
    if (wavelen < orig / high) return f;
    if (wavelen > orig / low) return f / c->rope_factor;
    const double s = (orig / wavelen - low) / (high - low);
    return (1 - s) * f / c->rope_factor + s * f;
}

static double dynamic_theta(const struct model_config *c, int32_t n_ctx_used)
{
    if (n_ctx_used <= c->n_ctx || c->d_head <= 2) return c->rope_theta;
    const double d = c->d_head, f = c->rope_factor;
    const double grown = f * n_ctx_used / c->n_ctx - (f - 1);
    return c->rope_theta * pow(grown, d / (d - 2));
}

static double scaled_frequency(const struct model_config *c, double f)
{
    switch (c->rope_scaling) {
    case ROPE_SCALING_LINEAR:
        return f / c->rope_factor;
    case ROPE_SCALING_LLAMA3:
        return llama3_frequency(c, f);
    case ROPE_SCALING_NONE:
    case ROPE_SCALING_DYNAMIC: /* by theta */
        return f;
    }
    return f;
}

void config_inv_freq(const struct model_config *c, int32_t n_ctx_used, double *inv_freq)
{
    const bool is_dynamic = c->rope_scaling == ROPE_SCALING_DYNAMIC;
    const double theta = is_dynamic ? dynamic_theta(c, n_ctx_used) : c->rope_theta;
    for (int32_t i = 0; i < c->d_head / 2; i++) {
        const double f = pow(theta, -2.0 * i / c->d_head);
        inv_freq[i] = c->rope_divisor ? f / (double)c->rope_divisor[i] : scaled_frequency(c, f);
    }
}

/* ---- GGUF's divisors ---- */

/* True if the llama3 formula with c's numbers gives these divisors, within what float32 arithmetic
 * in a converter loses. */
static bool is_llama3_of(const struct model_config *c, const float *divisor)
{
    for (int32_t i = 0; i < c->d_head / 2; i++) {
        const double f = pow(c->rope_theta, -2.0 * i / c->d_head);
        const double want = f / llama3_frequency(c, f);
        if (fabs((double)divisor[i] / want - 1) > 1e-4) return false;
    }
    return true;
}

/* Between 1 and factor, 1/divisor = (1-s)/factor + s with s = a / wavelength - b: a line, whose two
 * ends give a and b. Only the ratios orig/low and orig/high matter, so low is taken as 1: then
 * high = 1 + 1/b and orig = a/b. */
static bool solve_llama3(struct model_config *c, const float *divisor)
{
    double x[2] = {0}, s[2] = {0};
    int n = 0;
    for (int32_t i = 0; i < c->d_head / 2; i++) {
        const double d = (double)divisor[i];
        if (d <= 1 || d >= c->rope_factor) continue;
        const int k = n++ == 0 ? 0 : 1;
        x[k] = pow(c->rope_theta, -2.0 * i / c->d_head) / TWO_PI;
        s[k] = (1 / d - 1 / c->rope_factor) / (1 - 1 / c->rope_factor);
    }
    if (n < 2 || x[0] == x[1]) return false;
    const double a = (s[0] - s[1]) / (x[0] - x[1]), b = a * x[0] - s[0];
    if (!(b > 1e-6 && a > 0 && a / b < 1 << 30)) return false;
    c->rope_low_freq_factor = 1;
    c->rope_high_freq_factor = 1 + round(1e3 / b) / 1e3;
    c->rope_orig_ctx = (int32_t)lround(a / b);
    return true;
}

/* True, and *c is the guess, if its numbers give the divisors and are in their ranges. */
static bool take_llama3(struct model_config *c, struct model_config guess, double orig, double high,
                        const float *divisor)
{
    struct err ignored = {0};
    if (!(orig >= 1 && orig < 1 << 30)) return false;
    guess.rope_low_freq_factor = 1;
    guess.rope_high_freq_factor = high;
    guess.rope_orig_ctx = (int32_t)lround(orig);
    if (!config_check(&guess, "rope_freqs", &ignored) || !is_llama3_of(&guess, divisor))
        return false;
    *c = guess;
    return true;
}

/* A narrow head may have one frequency in the blend, or none: then any border between the last
 * wavelength that is left alone and the first that is divided in full gives the same divisors. */
static bool guess_llama3(struct model_config *c, const struct model_config *guess,
                         const float *divisor)
{
    double last = 0, first = 0, at = 0, s = 0; /* wavelengths; the one between, and its share */
    for (int32_t i = c->d_head / 2; i-- > 0;) {
        const double d = (double)divisor[i];
        const double wavelen = TWO_PI * pow(c->rope_theta, 2.0 * i / c->d_head);
        if (d >= guess->rope_factor) first = wavelen;
        if (d > 1 && d < guess->rope_factor) {
            at = wavelen;
            s = (1 / d - 1 / guess->rope_factor) / (1 - 1 / guess->rope_factor);
        }
        if (d <= 1 && last == 0) last = wavelen;
    }
    if (first == 0) first = 16 * (at > last ? at : last);
    if (last == 0) last = (at > 0 ? at : first) / 16;
    if (at == 0) {
        const double orig = round(sqrt(first * last));
        return take_llama3(c, *guess, orig, sqrt(orig / last), divisor);
    }
    for (int k = 1; k < 64; k++) { /* the border above the one between, in steps of equal ratio */
        const double orig = round(at * pow(first / at, k / 64.0));
        if (take_llama3(c, *guess, orig, 1 + (orig / at - 1) / s, divisor)) return true;
    }
    return false;
}

/* Leaves the scaling NONE where the divisors are of no kind that we know. */
static void recover_llama3(struct model_config *c, const float *divisor)
{
    struct model_config guess = *c, solved;
    guess.rope_scaling = ROPE_SCALING_LLAMA3;
    guess.rope_factor = 1;
    for (int32_t i = 0; i < c->d_head / 2; i++)
        guess.rope_factor = fmax(guess.rope_factor, (double)divisor[i]);
    solved = guess;
    if (take_llama3(c, guess, 8192, 4, divisor)) return; /* Llama 3.1 to 3.3: spec/llama3.md 1.5 */
    if (solve_llama3(&solved, divisor) &&
        take_llama3(c, guess, solved.rope_orig_ctx, solved.rope_high_freq_factor, divisor))
        return;
    (void)guess_llama3(c, &guess, divisor);
}

bool config_set_divisors(struct model_config *c, const float *divisor, int64_t n, const char *name,
                         struct err *err)
{
    if (n != c->d_head / 2)
        return err_set(err, ERR_FORMAT,
                       "%s: rope_freqs.weight: has %" PRId64 " elements, expected %" PRId32
                       " (half the head width); fetch the file again",
                       name, n, c->d_head / 2);
    for (int64_t i = 0; i < n; i++)
        if (!check_number((double)divisor[i], 1, CONFIG_MAX_FACTOR, "rope_freqs.weight", name, err))
            return false;
    recover_llama3(c, divisor);
    c->rope_divisor = divisor;
    return true;
}

/* ---- sizes ---- */

int64_t config_n_params(const struct model_config *c)
{
    int64_t n = 0;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        n += tensor_copies(c, r) * tensor_dim_size(c, r->rows) * tensor_dim_size(c, r->cols);
    }
    return n;
}

size_t config_kv_bytes(const struct model_config *c, enum dtype kv_dtype)
{
    size_t row_bytes = 0;
    if (!dtype_row_bytes(kv_dtype, c->d_head, &row_bytes)) return 0;
    return 2 * (size_t)c->n_layers * (size_t)c->n_kv_heads * row_bytes;
}
