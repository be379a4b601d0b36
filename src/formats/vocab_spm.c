/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_spm.c - SentencePiece's tokenizer.model (Llama 1 and 2): a protobuf message, read by hand.
 *
 * Of its fields we need few, so a walk over the wire form does (protobuf encoding: a tag is
 * number << 3 | kind; kinds are varint 0, 8 bytes 1, length and bytes 2, 4 bytes 5):
 *
 *   ModelProto       1 pieces (repeated)   2 trainer_spec     3 normalizer_spec
 *   SentencePiece    1 piece   2 score (float)   3 type, numbered as enum token_kind
 *   TrainerSpec      3 model_type: 1 unigram (the default), 2 BPE   24 spaces as suffixes
 *                    46, 47, 48: texts of BOS, EOS and padding
 *   NormalizerSpec   2 compiled character map   3 adds a space in front (true)
 *                    4 removes extra spaces (true)   5 writes spaces as U+2581 (true)
 *
 * Fields that are not in this list are jumped over, whatever they are; what a model asks for and
 * our encoder does not do (unigram, a character map, removed spaces) is refused.
 *
 * The file is a stranger's: every length is checked against what is left of the message around it,
 * and nothing recurses. Begin reading at vocab_from_spm().
 */
#include <inttypes.h>
#include <string.h>

#include "formats/vocab_parts.h"

enum wire { WIRE_VARINT = 0, WIRE_8_BYTES = 1, WIRE_BYTES = 2, WIRE_4_BYTES = 5 };

/* One message: a cursor and its end. */
struct message {
    const uint8_t *at, *end;
    const uint8_t *file; /* where byte 0 of the file is, for errors */
    const char *name;
    struct err *err;
};

struct field {
    uint32_t number;
    enum wire wire;
    uint64_t value;    /* varint, or the bits of 4 or 8 bytes */
    const uint8_t *at; /* bytes */
    size_t n;
};

static bool cut_short(const struct message *m, const char *what)
{
    return err_set(m->err, ERR_FORMAT, "%s: byte %zu: %s; the file is damaged, fetch it again",
                   m->name, (size_t)(m->at - m->file), what);
}

static bool read_varint(struct message *m, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (m->at == m->end) return cut_short(m, "a number is cut short");
        const uint8_t b = *m->at++;
        v |= (uint64_t)(b & 127) << shift;
        if (b < 128) {
            *out = v;
            return true;
        }
    }
    return cut_short(m, "a number has more than 10 bytes");
}

static bool read_fixed(struct message *m, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    if ((size_t)(m->end - m->at) < n) return cut_short(m, "a number is cut short");
    memcpy(&v, m->at, n);
    m->at += n;
    *out = v;
    return true;
}

static bool read_field(struct message *m, struct field *f)
{
    uint64_t tag = 0, n = 0;
    if (!read_varint(m, &tag)) return false;
    if (tag >> 3 == 0 || tag >> 3 > UINT32_MAX) return cut_short(m, "a field has no number");
    *f = (struct field){.number = (uint32_t)(tag >> 3), .wire = (enum wire)(tag & 7)};
    switch (f->wire) {
    case WIRE_VARINT:
        return read_varint(m, &f->value);
    case WIRE_8_BYTES:
        return read_fixed(m, 8, &f->value);
    case WIRE_4_BYTES:
        return read_fixed(m, 4, &f->value);
    case WIRE_BYTES:
        if (!read_varint(m, &n)) return false;
        if (n > (size_t)(m->end - m->at))
            return cut_short(m, "a field is longer than what is left of the file");
        f->at = m->at;
        f->n = (size_t)n;
        m->at += n;
        return true;
    }
    return cut_short(m, "a field has a kind that does not exist");
}

static struct message inner(const struct message *m, const struct field *f)
{
    struct message in = *m;
    in.at = f->at;
    in.end = f->at + f->n;
    return in;
}

/* A field of one of our numbers must have its kind. */
static bool check_wire(const struct message *m, const struct field *f, enum wire want)
{
    if (f->wire == want) return true;
    return err_set(
        m->err, ERR_FORMAT,
        "%s: byte %zu: field %u has kind %d, want %d; the file is damaged, fetch it again", m->name,
        (size_t)(m->at - m->file), f->number, (int)f->wire, (int)want);
}

/* ---- the settings ---- */

struct text {
    const char *s;
    size_t n;
};

struct settings {
    uint64_t model_type;
    bool has_suffix_spaces;
    struct text bos, eos, pad;
    size_t n_char_map;
    bool adds_prefix, removes_spaces, marks_spaces;
};

static bool put_text(const struct message *m, const struct field *f, struct text *out)
{
    if (!check_wire(m, f, WIRE_BYTES)) return false;
    *out = (struct text){(const char *)f->at, f->n};
    return true;
}

static bool put_bool(const struct message *m, const struct field *f, bool *out)
{
    if (!check_wire(m, f, WIRE_VARINT)) return false;
    *out = f->value != 0;
    return true;
}

static bool read_trainer(struct message m, struct settings *s)
{
    struct field f;
    while (m.at < m.end) {
        if (!read_field(&m, &f)) return false;
        bool ok = true;
        if (f.number == 3) {
            ok = check_wire(&m, &f, WIRE_VARINT);
            s->model_type = f.value;
        } else if (f.number == 24) {
            ok = put_bool(&m, &f, &s->has_suffix_spaces);
        } else if (f.number >= 46 && f.number <= 48) {
            ok = put_text(&m, &f, f.number == 46 ? &s->bos : f.number == 47 ? &s->eos : &s->pad);
        }
        if (!ok) return false;
    }
    return true;
}

static bool read_normalizer(struct message m, struct settings *s)
{
    struct field f;
    struct text map = {NULL, 0};
    while (m.at < m.end) {
        if (!read_field(&m, &f)) return false;
        bool ok = true;
        if (f.number == 2)
            ok = put_text(&m, &f, &map);
        else if (f.number == 3)
            ok = put_bool(&m, &f, &s->adds_prefix);
        else if (f.number == 4)
            ok = put_bool(&m, &f, &s->removes_spaces);
        else if (f.number == 5)
            ok = put_bool(&m, &f, &s->marks_spaces);
        if (!ok) return false;
    }
    s->n_char_map = map.n;
    return true;
}

static bool check_settings(const struct settings *s, const char *name, struct err *err)
{
    static const char *const types[] = {"no", "unigram", "BPE", "word", "char"};
    const char *what = NULL;
    if (s->model_type != 2)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: trainer_spec: is a %s model, only BPE is supported; use a model of "
                       "the Llama family",
                       name, s->model_type < 5 ? types[s->model_type] : "unknown");
    if (s->has_suffix_spaces) what = "trainer_spec: treat_whitespace_as_suffix";
    if (s->n_char_map) what = "normalizer_spec: a character map";
    if (s->removes_spaces) what = "normalizer_spec: remove_extra_whitespaces";
    if (!s->marks_spaces) what = "normalizer_spec: escape_whitespaces false";
    if (!what) return true;
    return err_set(err, ERR_UNSUPPORTED, "%s: %s is not supported; use a model of the Llama family",
                   name, what);
}

/* ---- the pieces ---- */

static bool read_piece(struct message m, int32_t id, struct vocab *v, struct text_block *block)
{
    struct field f;
    struct text text = {"", 0};
    uint64_t type = TOKEN_NORMAL;
    float score = 0;
    while (m.at < m.end) {
        if (!read_field(&m, &f)) return false;
        bool ok = true;
        if (f.number == 1) {
            ok = put_text(&m, &f, &text);
        } else if (f.number == 2) {
            ok = check_wire(&m, &f, WIRE_4_BYTES);
            memcpy(&score, &f.value, sizeof score);
        } else if (f.number == 3) {
            ok = check_wire(&m, &f, WIRE_VARINT);
            type = f.value;
        }
        if (!ok) return false;
    }
    if (text.n == 0 || type < TOKEN_NORMAL || type > TOKEN_BYTE)
        return err_set(m.err, ERR_FORMAT, "%s: piece %d: %s; the file is damaged, fetch it again",
                       m.name, id, text.n == 0 ? "has no text" : "its type is not one of 1 to 6");
    vocab_put_token(v, block, id, (enum token_kind)type, text.s, text.n);
    v->tokens[id].score = score;
    return true;
}

/* First walk: how many pieces there are, and the settings. */
static bool read_outline(struct message m, int64_t *n_pieces, struct settings *s)
{
    struct field f;
    while (m.at < m.end) {
        if (!read_field(&m, &f)) return false;
        if (f.number > 3) continue;
        if (!check_wire(&m, &f, WIRE_BYTES)) return false;
        *n_pieces += f.number == 1;
        if (f.number == 2 && !read_trainer(inner(&m, &f), s)) return false;
        if (f.number == 3 && !read_normalizer(inner(&m, &f), s)) return false;
    }
    return true;
}

static bool read_pieces(struct message m, struct vocab *v)
{
    struct field f;
    struct text_block block;
    int32_t id = 0;
    if (!text_block_init(&block, v, (size_t)(m.end - m.at), (size_t)v->n_tokens, m.err))
        return false;
    while (m.at < m.end) {
        if (!read_field(&m, &f)) return false;
        if (f.number == 1 && !read_piece(inner(&m, &f), id++, v, &block)) return false;
    }
    return true;
}

/* The control token with this text, or -1. */
static int32_t find_control(const struct token_map *map, struct text t)
{
    const int32_t id = token_map_find(map, t.s, t.n);
    return id >= 0 && map->v->tokens[id].kind == TOKEN_CONTROL ? id : -1;
}

static bool find_ids(struct vocab *v, const struct settings *s, const char *name, struct err *err)
{
    struct token_map map;
    if (!token_map_init(&map, v, err)) return false;
    const bool ok = token_map_check(&map, name, err);
    v->bos = find_control(&map, s->bos);
    v->eos = find_control(&map, s->eos);
    v->pad = find_control(&map, s->pad);
    for (int32_t id = 0; id < v->n_tokens && v->unk < 0; id++)
        if (v->tokens[id].kind == TOKEN_UNKNOWN) v->unk = id;
    token_map_release(&map);
    return ok;
}

static bool read_all(const struct message *m, struct vocab *v)
{
    int64_t n_pieces = 0;
    struct settings s = {.model_type = 1,
                         .bos = {"<s>", 3},
                         .eos = {"</s>", 4},
                         .pad = {"<pad>", 5},
                         .adds_prefix = true,
                         .removes_spaces = true,
                         .marks_spaces = true};
    if (!read_outline(*m, &n_pieces, &s)) return false;
    if (n_pieces < 1 || n_pieces > VOCAB_MAX_TOKENS)
        return err_set(m->err, ERR_FORMAT,
                       "%s: has %" PRId64 " pieces, allowed are 1 to %d; fetch the file again",
                       m->name, n_pieces, VOCAB_MAX_TOKENS);
    if (!check_settings(&s, m->name, m->err)) return false;
    if (!vocab_tokens_init(v, (int32_t)n_pieces, m->err) || !read_pieces(*m, v)) return false;
    v->adds_space_prefix = s.adds_prefix;
    if (!find_ids(v, &s, m->name, m->err)) return false;
    v->adds_bos = v->bos >= 0; /* Llama 1 and 2 always; the file does not say */
    return true;
}

struct vocab *vocab_from_spm(const uint8_t *data, size_t n_bytes, const char *name, struct err *err)
{
    struct vocab *v = vocab_new(err);
    if (!v) return NULL;
    const struct message m = {
        .at = data, .end = data + n_bytes, .file = data, .name = name, .err = err};
    v->model = VOCAB_SPM;
    if (read_all(&m, v) && vocab_finish_checked(v, name, err)) return v;
    vocab_free(v);
    return NULL;
}
