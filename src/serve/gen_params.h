/* gen_params.h - what a body of /v1/chat/completions or /v1/completions asks for, checked. Any
 * thread.
 */
#ifndef CRIA_SERVE_GEN_PARAMS_H
#define CRIA_SERVE_GEN_PARAMS_H

#include "infer/engine.h"
#include "model/model.h"
#include "serve/fields.h"
#include "serve/form.h"
#include "serve/tools.h"

/* Bodies of the latter two are read as chats, once they are translated (translate.h). */
enum gen_api { GEN_CHAT, GEN_TEXT, GEN_RESPONSES, GEN_MESSAGES, N_GEN_APIS };

/* What requests are measured against. */
struct gen_model {
    const struct model *model;
    int32_t n_ctx, n_seqs;
    int32_t max_token_bytes; /* of the longest token */
};
struct gen_model gen_model(const struct model *m, int32_t n_ctx, int32_t n_seqs);
/* How its template tells about functions. */
enum chat_tool_form gen_tool_form(const struct gen_model *m);

#define GEN_MAX_PROMPTS 128
#define GEN_NO_PRIORITY INT32_MIN

struct gen_params {
    struct sampler_params sampling;
    int64_t seed;
    bool has_seed;
    int32_t n, n_made; /* answers to a prompt: told; made, of which the best are told */
    int32_t max_tokens, max_completion_tokens; /* -1: as long as the context lasts */
    const char *stop[ENGINE_MAX_STOPS];
    int32_t n_stop;
    struct logit_bias *bias; /* owned; sampling.bias points at it */
    int32_t n_bias;
    bool wants_logprobs;
    int32_t top_logprobs;
    int32_t priority; /* GEN_NO_PRIORITY: not said */
    bool is_stream, has_usage, echoes, ignores_eos;
    const char *model; /* NULL: not said */
    struct form form;
    struct tools tools;
    struct json tools_field, tool_choice;
    struct json messages, prompt;
    struct json sources; /* cited.h */
    struct unknown_fields unknown;
};

/* Reads `body`, in which strings stay. What is filled must be given to gen_params_release(), also
 * after a refusal. */
bool gen_params_read(enum gen_api api, const struct gen_model *m, struct json body,
                     struct gen_params *p, struct refusal *r) CRIA_CHECK;
/* The rows of GEN_CHAT or GEN_TEXT, ended by one without a name. */
const struct field *gen_fields(enum gen_api api);
/* The same without what depends on the model (n, logit_bias) or on other fields. */
bool gen_fields_read(enum gen_api api, struct json body, struct gen_params *p,
                     struct refusal *r) CRIA_CHECK;
void gen_params_release(struct gen_params *p);

/* The prompts as ids, into prompt[0 .. *n), at most GEN_MAX_PROMPTS, which the caller zeroed and
 * releases: of a chat one, rendered by the model's template. Texts that cannot fit the context are
 * refused before they are read. */
bool gen_prompts(enum gen_api api, const struct gen_model *m, const struct gen_params *p,
                 struct ids *prompt, int32_t *n, struct refusal *r) CRIA_CHECK;
/* The same for one text, ids, or an array of either in field `field`: into text[0 .. *n), 1 to
 * `most`. */
bool gen_texts(const struct gen_model *m, const char *field, struct json v, int32_t most,
               struct ids *text, int32_t *n, struct refusal *r) CRIA_CHECK;

#endif
