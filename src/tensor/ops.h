/* ops.h - the operator contract: one table of functions per backend and instruction-set variant.
 *
 * Every operator is collective: all members of the team call it with the same arguments, each does
 * its share, and the results of the others are visible only after the caller's next team_barrier().
 * An operator that needs a barrier inside has it inside. Members never return early or fail:
 * arguments are checked when the model is loaded, memory is planned before (`work_bytes`).
 * The split of work never changes the order of a sum: any number of threads gives the same bits.
 * Float is the type of activations; weights are any dtype.
 *
 * Rows below are tokens of a ragged batch; `ld` is the distance of rows in elements.
 */
#ifndef CRIA_TENSOR_OPS_H
#define CRIA_TENSOR_OPS_H

#include <stdint.h>

#include "base/err.h"
#include "base/team.h"
#include "tensor/tensor.h"

/* What linear() does to its input rows before the product, so that a decode step needs neither a
 * buffer nor a barrier for it. */
enum linear_in {
    LINEAR_IN_PLAIN,   /* x */
    LINEAR_IN_RMSNORM, /* x / rms(x) * norm (ops->rmsnorm) */
    LINEAR_IN_SWIGLU,  /* silu(x) * x2 (ops->swiglu) */
};

struct linear_out {
    const struct tensor *w; /* [n_out, k] */
    const float *bias;      /* [n_out] or NULL */
    float *y;               /* [n_tok, n_out] at ld_y */
    int64_t ld_y;
    bool is_added; /* y += instead of y = : the residual */
};

struct linear_args {
    enum linear_in in;
    const float *x;  /* [n_tok, k] at ld_x */
    const float *x2; /* SWIGLU only: [n_tok, k] at ld_x */
    int64_t ld_x;
    const float *norm; /* RMSNORM only: [k] */
    float eps;         /* RMSNORM only */
    int64_t n_tok;
    int64_t k;
    const struct linear_out *out; /* n_out products of the same input, e.g. q, k and v */
    int32_t n_out;                /* at most 8 */
    void *work; /* 64-byte aligned, >= work_bytes(n_tok, k, n_threads), shared by the team */
};

/* One layer's paged cache. Position p of a sequence lies in page pages[p / page_tok], slot
 * p % page_tok. Element address: base + page * page_stride + kv_head * head_stride + slot *
 * row_bytes, d_head elements of `dtype` (F32, F16, BF16 or Q8_0) from there. */
struct kv_layer {
    enum dtype dtype;
    int32_t page_tok; /* a power of two, >= 16 */
    int32_t n_kv_heads;
    int32_t d_head;
    size_t row_bytes;
    size_t head_stride; /* bytes */
    size_t page_stride; /* bytes */
    uint8_t *k;
    uint8_t *v;
};

/* Consecutive tokens [begin, begin + n) of the batch that are positions pos .. pos + n - 1 of one
 * sequence. Token pos + i attends to positions 0 .. pos + i of its own sequence: nothing else. */
struct span {
    int64_t begin;
    int32_t n;
    int32_t pos;
    const int32_t *pages;
};

enum rope_pairs {
    ROPE_ADJACENT, /* (2i, 2i+1): Meta and GGUF row order */
    ROPE_HALVES,   /* (i, i + d_head/2): Hugging Face row order */
};

struct rope_args {
    enum rope_pairs pairs;
    float *q;       /* [n_tok, n_heads, d_head], rotated in place */
    float *k;       /* [n_tok, n_kv_heads, d_head], rotated in place, then stored */
    const float *v; /* [n_tok, n_kv_heads, d_head], stored as it is */
    int64_t ld_q, ld_k, ld_v;
    int32_t n_heads;
    const float *cos_sin; /* [n_tok, d_head/2, 2] from rope_table */
    const struct span *span;
    int32_t n_spans;
    int64_t n_tok;
    const struct kv_layer *kv;  /* NULL: rotate only */
    int32_t n_kv_heads, d_head; /* read only when kv is NULL, else kv's are */
};

struct attention_args {
    float *y;       /* [n_tok, n_heads, d_head] at ld_y */
    const float *q; /* [n_tok, n_heads, d_head] at ld_q, rotated */
    int64_t ld_y, ld_q;
    int32_t n_heads; /* a multiple of kv->n_kv_heads; query head h reads kv head h / n_rep */
    float scale;     /* 1 / sqrt(d_head) */
    const struct span *span;
    int32_t n_spans;
    int32_t max_n, max_end; /* the longest span's n; no span ends behind position max_end - 1 */
    int64_t n_tok;
    const struct kv_layer *kv;
    bool is_exact; /* float throughout, for models whose weights are; else bfloat16 may do */
    void *work;    /* >= attention_work_bytes, shared by the team */
};

enum { INTERLEAVED_ROWS = 16 };

/* What a device was measured to do, a second. */
struct device_peak {
    double bytes; /* copying its memory, read and written */
    double ops;   /* a large product of bfloat16 by the vendor's library; 0: that is not there */
};

/* A device: the memory that a backend's operators read and write, where that is not the host's.
 * What is asked for is done in the order in which one thread asks; that something failed is told by
 * finish(). */
struct device_memory {
    void *(*alloc)(size_t n_bytes, struct err *err); /* ERR_MEMORY names bytes wanted and free */
    void (*free)(void *p);                           /* NULL is fine */
    void *(*alloc_host)(size_t n_bytes, struct err *err); /* of the host, quick to copy */
    void (*free_host)(void *p);
    uint64_t (*available)(void); /* bytes */
    void (*put)(void *to, const void *from_host,
                size_t n_bytes); /* `from` is read until finish() */
    void (*get)(void *to_host, const void *from, size_t n_bytes); /* there after finish() */
    void (*copy)(void *to, const void *from, size_t n_bytes);
    /* Waits. ERR_IO: the device has failed, and does so from now on. */
    bool (*finish)(struct err *err);
    /* Bytes that place() writes for a tensor, and writing it, read from `from` on the host: rows
     * as the operators want them. Then t->data and t->row_bytes are the device's. */
    size_t (*placed_bytes)(const struct tensor *t);
    bool (*place)(struct tensor *t, void *to, struct err *err);
    /* What operators ask for between begin and end is not done but kept, to be done by replay(),
     * any number of times; end gives NULL where that is not possible. */
    void (*begin_recording)(void);
    void *(*end_recording)(void);
    void (*replay)(void *recording);
    void (*free_recording)(void *recording); /* NULL is fine */
    bool (*measure)(struct device_peak *out, struct err *err);
};

struct ops {
    const char *name; /* "avx512+amx", as forced by CRIA_ISA and shown in the banner */
    /* NULL: the host's. Else all pointers that operators get, in tensors and spans too, are into
     * this memory, and the team has one member, who only asks for the work. */
    const struct device_memory *memory;

    /* y[i] = row ids[i] of table, as float. */
    void (*embed)(const struct member *me, float *y, int64_t ld_y, const struct tensor *table,
                  const int32_t *ids, int64_t n_tok);
    /* y = x / sqrt(mean(x^2) + eps) * w. Zhang & Sennrich 2019 eq. 4; spec/llama3.md 1.4. */
    void (*rmsnorm)(const struct member *me, float *y, int64_t ld_y, const float *x, int64_t ld_x,
                    const float *w, int64_t n_tok, int64_t d, float eps);
    /* y = silu(gate) * up, silu(z) = z * sigmoid(z). Shazeer 2020. */
    void (*swiglu)(const struct member *me, float *y, int64_t ld_y, const float *gate,
                   const float *up, int64_t ld_x, int64_t n_tok, int64_t d);
    /* y = in(x) W^T + bias for each output matrix. */
    void (*linear)(const struct member *me, const struct linear_args *a);
    size_t (*work_bytes)(int64_t n_tok, int64_t k, int n_threads);
    /* Does linear() take few tokens faster through rows of this type that are interleaved? NULL: of
     * no type. */
    bool (*interleaves)(enum dtype type);
    /* Reorders the rows of w, a multiple of INTERLEAVED_ROWS, in place, whose memory can be
     * written; the caller then sets w->is_interleaved. scratch: INTERLEAVED_ROWS rows for each
     * member. NULL where interleaves is. */
    void (*interleave)(const struct member *me, const struct tensor *w, uint8_t *scratch);
    /* cos and sin of pos[i] * inv_freq[j], angles in double: [n_tok, n_freq, 2]. */
    void (*rope_table)(const struct member *me, float *cos_sin, const int32_t *pos, int64_t n_tok,
                       const double *inv_freq, int32_t n_freq);
    void (*rope_store)(const struct member *me, const struct rope_args *a);
    /* softmax(q k^T * scale) v over the span's positions, causal. Vaswani et al. 2017 eq. 1, online
     * softmax as in Dao et al. 2022. */
    void (*attention)(const struct member *me, const struct attention_args *a);
    size_t (*attention_work_bytes)(int64_t n_tok, int32_t n_heads, int32_t d_head, int32_t max_pos,
                                   int n_threads);
    /* Moves rows kept[i], rising, of width n to row i. */
    void (*gather)(const struct member *me, float *rows, int64_t n, const int32_t *kept,
                   int32_t n_kept);
    /* Sets *damage to 1 if one of n numbers is not finite, else leaves it. */
    void (*find_damage)(const struct member *me, const float *x, int64_t n, uint32_t *damage);
};

/* The variants that this machine can run, plain C first, fastest last: at least one. */
int ops_n_variants(void);
const struct ops *ops_variant(int i);

/* The fastest variant, or the one named (NULL or "" : fastest). ERR_USAGE lists the names. */
const struct ops *ops_choose(const char *name, struct err *err);

#endif
