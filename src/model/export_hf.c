/* SPDX-License-Identifier: Apache-2.0
 *
 * export_hf.c - the frame of a Hugging Face directory: what lies beside the weights.
 *
 *   config.json             made from the configuration, as transformers 4 and 5 both read it
 *   generation_config.json  the tokens that end an answer
 *   tokenizer.json, tokenizer_config.json
 *   README.md               the card: the source's own, or front matter with name and licence
 *   LICENSE and the like    copied: the Llama 3 licences ask that their text goes along
 *
 * From a directory of the same kind the tokenizer's files are copied and not made again: a reader
 * of vocabularies keeps what matters for tokens, a copy keeps everything.
 *
 * Begin reading at export_hf().
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/json_write.h"
#include "formats/tokenizer_files.h"
#include "model/export_parts.h"

#define MAX_TEXT_BYTES ((size_t)1 << 30)
#define MAX_PATH_BYTES ((size_t)1 << 16)
#define DEFAULT_SHARD_BYTES UINT64_C(5000000000)

/* ---- config.json ---- */

static const char *dtype_text(enum dtype t)
{
    return t == DT_F32 ? "float32" : t == DT_F16 ? "float16" : "bfloat16";
}

static void put_shape(struct json_writer *w, const struct model_config *c)
{
    json_key_int(w, "vocab_size", c->n_vocab);
    json_key_int(w, "hidden_size", c->d_model);
    json_key_int(w, "intermediate_size", c->d_ff);
    json_key_int(w, "num_hidden_layers", c->n_layers);
    json_key_int(w, "num_attention_heads", c->n_heads);
    json_key_int(w, "num_key_value_heads", c->n_kv_heads);
    json_key_int(w, "head_dim", c->d_head);
    json_key_int(w, "max_position_embeddings", c->n_ctx);
    json_key_boolean(w, "attention_bias", c->has_attn_bias);
    json_key_boolean(w, "mlp_bias", c->has_mlp_bias);
    json_key_boolean(w, "tie_word_embeddings", c->is_tied);
    json_key_float(w, "rms_norm_eps", c->norm_eps);
    json_key_double(w, "rope_theta", c->rope_theta);
}

static void put_scaling(struct json_writer *w, const struct model_config *c)
{
    static const char *const names[] = {
        [ROPE_SCALING_LINEAR] = "linear",
        [ROPE_SCALING_DYNAMIC] = "dynamic",
        [ROPE_SCALING_LLAMA3] = "llama3",
    };
    json_key(w, "rope_scaling");
    if (c->rope_scaling == ROPE_SCALING_NONE) {
        json_null(w);
        return;
    }
    json_object(w);
    json_key_cstring(w, "rope_type", names[c->rope_scaling]);
    json_key_double(w, "factor", c->rope_factor);
    if (c->rope_scaling == ROPE_SCALING_LLAMA3) {
        json_key_double(w, "low_freq_factor", c->rope_low_freq_factor);
        json_key_double(w, "high_freq_factor", c->rope_high_freq_factor);
        json_key_int(w, "original_max_position_embeddings", c->rope_orig_ctx);
    }
    json_end(w);
}

/* A list only where there are several, as older readers take one number. */
static void put_eos(struct json_writer *w, const struct vocab *v)
{
    json_key(w, "eos_token_id");
    if (v->n_stop > 1) json_array(w);
    for (int32_t i = 0; i < v->n_stop; i++) json_int(w, v->stop[i]);
    if (v->n_stop > 1) json_end(w);
    if (v->n_stop == 0) json_null(w);
}

static void put_special_ids(struct json_writer *w, const struct vocab *v)
{
    if (v->bos >= 0) json_key_int(w, "bos_token_id", v->bos);
    put_eos(w, v);
    if (v->pad >= 0) json_key_int(w, "pad_token_id", v->pad);
}

static bool make_config(const struct export_job *job, struct buf *out, struct err *err)
{
    const struct model_config *c = &job->m->config;
    struct json_writer w = json_writer(out);
    if (c->rope_divisor && c->rope_scaling == ROPE_SCALING_NONE)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: rope_freqs.weight: follows no formula that config.json could name; "
                       "write GGUF",
                       job->m->info.path);
    json_object(&w);
    json_key(&w, "architectures");
    json_array(&w);
    json_cstring(&w, "LlamaForCausalLM");
    json_end(&w);
    json_key_cstring(&w, "model_type", "llama");
    json_key_cstring(&w, "hidden_act", "silu");
    put_shape(&w, c);
    put_scaling(&w, c);
    if (job->m->tokenizer) put_special_ids(&w, tokenizer_vocab(job->m->tokenizer));
    json_key_cstring(&w, "torch_dtype", dtype_text(job->main_type));
    json_end(&w);
    return true;
}

static bool make_generation_config(const struct export_job *job, struct buf *out, struct err *err)
{
    struct json_writer w = json_writer(out);
    (void)err;
    json_object(&w);
    put_special_ids(&w, tokenizer_vocab(job->m->tokenizer));
    json_end(&w);
    return true;
}

static bool make_tokenizer(const struct export_job *job, struct buf *out, struct err *err)
{
    return vocab_to_hf_json(tokenizer_vocab(job->m->tokenizer), out, err);
}

static bool make_tokenizer_config(const struct export_job *job, struct buf *out, struct err *err)
{
    return vocab_to_hf_config(tokenizer_vocab(job->m->tokenizer), out, err);
}

static bool make_card(const struct export_job *job, struct buf *out, struct err *err)
{
    (void)err;
    info_put_card(&job->m->info, out);
    return true;
}

/* ---- the files ---- */

enum copied_from { COPY_NEVER, COPY_HF, COPY_ANY_DIR };

static const struct side_file {
    const char *name;
    enum copied_from copied; /* from which sources, if it is there */
    bool needs_tokenizer;    /* to be made */
    /* What is written where nothing is copied; NULL: then it is left out. */
    bool (*make)(const struct export_job *job, struct buf *out, struct err *err);
} side_files[] = {
    /* clang-format off */
    {"config.json",             COPY_NEVER,   false, make_config},
    {"generation_config.json",  COPY_HF,      true,  make_generation_config},
    {"tokenizer.json",          COPY_HF,      true,  make_tokenizer},
    {"tokenizer_config.json",   COPY_HF,      true,  make_tokenizer_config},
    {"special_tokens_map.json", COPY_HF,      false, NULL},
    {"added_tokens.json",       COPY_HF,      false, NULL},
    {"chat_template.jinja",     COPY_HF,      false, NULL},
    {"tokenizer.model",         COPY_HF,      false, NULL},
    {"README.md",               COPY_ANY_DIR, false, make_card},
    {"LICENSE",                 COPY_ANY_DIR, false, NULL},
    {"LICENSE.txt",             COPY_ANY_DIR, false, NULL},
    {"LICENSE.md",              COPY_ANY_DIR, false, NULL},
    {"NOTICE",                  COPY_ANY_DIR, false, NULL},
    {"Notice",                  COPY_ANY_DIR, false, NULL},
    {"NOTICE.txt",              COPY_ANY_DIR, false, NULL},
    {"USE_POLICY.md",           COPY_ANY_DIR, false, NULL},
    /* clang-format on */
};

static bool write_member(struct out_dir *d, const char *name, const void *data, size_t n_bytes,
                         struct err *err)
{
    const char *path = out_dir_member(d, name);
    if (!path) return err_set(err, ERR_MEMORY, "%s: no memory to write it; free memory", name);
    struct out_file *f = out_file_open(path, err);
    if (!f) return false;
    if (out_file_write(f, data, n_bytes, err)) return out_file_commit(f, err);
    out_file_abandon(f);
    return false;
}

static bool copy_member(struct out_dir *d, const char *from_dir, const char *name, struct err *err)
{
    struct buf path;
    struct file_map *f = NULL;
    buf_init(&path, MAX_PATH_BYTES);
    path_join(&path, from_dir, name);
    if (buf_check(&path, name, err)) f = file_map_open(path.data, err);
    const bool ok = f && write_member(d, name, file_map_data(f), file_map_bytes(f), err);
    file_map_close(f);
    buf_release(&path);
    return ok;
}

static bool make_member(const struct export_job *job, struct out_dir *d, const struct side_file *s,
                        struct err *err)
{
    struct buf text;
    buf_init(&text, MAX_TEXT_BYTES);
    const bool ok = s->make(job, &text, err) && buf_check(&text, s->name, err) &&
                    write_member(d, s->name, text.data, text.n_bytes, err);
    buf_release(&text);
    return ok;
}

static bool is_copied(const struct export_job *job, const struct side_file *s)
{
    const enum model_source source = job->m->info.source;
    const bool may = s->copied == COPY_ANY_DIR ? source != SOURCE_GGUF
                                               : s->copied == COPY_HF && source == SOURCE_HF;
    return may && dir_has(job->m->info.path, s->name);
}

static bool write_side_files(const struct export_job *job, struct out_dir *d, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(side_files); i++) {
        const struct side_file *s = &side_files[i];
        if (is_copied(job, s)) {
            if (!copy_member(d, job->m->info.path, s->name, err)) return false;
        } else if (s->make && (!s->needs_tokenizer || job->m->tokenizer)) {
            if (!make_member(job, d, s, err)) return false;
        }
    }
    return true;
}

/* ---- the weights ---- */

static bool write_data(void *writer, const void *data, size_t n_bytes, struct err *err)
{
    return safetensors_writer_data(writer, data, n_bytes, err);
}

static bool write_weights(const struct export_job *job, struct out_dir *d, struct err *err)
{
    const uint64_t max = job->opt->max_shard_bytes;
    struct safetensors_writer *w = safetensors_writer_new(err);
    bool ok = w != NULL;
    for (size_t i = 0; ok && i < job->n_items; i++) {
        const struct export_item *it = &job->item[i];
        safetensors_put_tensor(w, it->name, it->to, it->src.n_dims, it->src.shape);
    }
    const char *dir = ok ? out_dir_member(d, ".") : NULL;
    if (ok && !dir) ok = err_set(err, ERR_MEMORY, "%s: no memory; free memory", job->out_path);
    ok = ok && safetensors_writer_begin(w, dir, max ? max : DEFAULT_SHARD_BYTES, err) &&
         export_rows(job, write_data, w, err) && safetensors_writer_commit(w, err);
    safetensors_writer_free(w);
    return ok;
}

/* Writes into a new directory `path`. */
static bool write_dir(const struct export_job *job, const char *path, struct err *err)
{
    struct out_dir *d = out_dir_open(path, err);
    if (!d) return false;
    if (write_side_files(job, d, err) && write_weights(job, d, err)) return out_dir_commit(d, err);
    out_dir_abandon(d);
    return false;
}

/* An empty directory is replaced by the commit itself. */
static bool is_occupied(const char *path) { return dir_has(path, "config.json"); }

/* Beside the directory that the path leads to, so that a link to it stays a link. */
static bool replace_dir(const struct export_job *job, const char *path, struct err *err)
{
    struct buf made;
    buf_init(&made, MAX_PATH_BYTES);
    buf_printf(&made, "%s.new-%jd", path, (intmax_t)getpid());
    const bool ok = buf_check(&made, path, err) && write_dir(job, made.data, err) &&
                    export_replace_dir(made.data, path, err);
    buf_release(&made);
    return ok;
}

bool export_hf(const struct export_job *job, struct err *err)
{
    if (!is_occupied(job->out_path)) return write_dir(job, job->out_path, err);
    char *path = realpath(job->out_path, NULL);
    const bool ok = path ? replace_dir(job, path, err)
                         : err_set(err, ERR_IO, "%s: has gone meanwhile; try again", job->out_path);
    free(path);
    return ok;
}
