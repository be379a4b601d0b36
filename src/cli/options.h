/* options.h - option rows that several commands share, and turning them into the structs below.
 *
 * A group and its reader stand together, so that a new sampling option is one row and one line.
 * One thread at a time.
 */
#ifndef CRIA_CLI_OPTIONS_H
#define CRIA_CLI_OPTIONS_H

#include "cli/command.h"
#include "infer/engine.h"

extern const struct option_group model_group;      /* --model */
extern const struct option_group engine_group;     /* --threads --pin --ctx ... --huge-pages */
extern const struct option_group draft_group;      /* --draft --draft-model */
extern const struct option_group lora_group;       /* --lora */
extern const struct option_group sources_group;    /* --index --sources */
extern const struct option_group constraint_group; /* --json-schema --regex --grammar */
extern const struct option_group sampling_group;   /* --temp --top-k ... --seed */

/* The path of the model: --model, or the default model in the cache. `path` (1024 bytes) is filled.
 * ERR_IO says how to get it when it is not there. */
bool options_model_path(const struct args *a, char *path, struct err *err) CRIA_CHECK;

/* Engine options from the engine group. */
struct engine_options options_engine(const struct args *a);

/* The same with guesses by the draft group; session_open() opens the draft model. */
struct engine_options options_engine_draft(const struct args *a);

/* Sampling from the sampling group. `bias` is filled from --bias and must outlive the result;
 * strings in --bias are looked up in `t`. */
bool options_sampling(const struct args *a, const struct tokenizer *t,
                      struct logit_bias bias[SAMPLER_MAX_BIAS], struct sampler_params *out,
                      struct err *err) CRIA_CHECK;

/* The index of the sources group: *out is NULL if none is named, else the caller's to close. */
struct sources;
bool options_sources(const struct args *a, struct sources **out, struct err *err) CRIA_CHECK;

/* What the constraint group asks for: *out is NULL if nothing, else the caller's to free. */
bool options_grammar(const struct args *a, struct grammar **out, struct err *err) CRIA_CHECK;

/* A model and an engine on it, as most commands want them. */
enum { MAX_ADAPTERS = 64 };
struct session {
    struct model *model, *draft_model;       /* draft_model may be NULL */
    struct lora_named adapter[MAX_ADAPTERS]; /* of the lora group, if the options say so */
    int n_adapters;
    struct engine *engine;
    int64_t load_ns;
    char path[1024];
};
/* Opens the model (with its tokenizer, or ERR_FORMAT) and, if `opt`, the engine; prints the banner
 * on stderr unless --quiet or --json is given. */
bool session_open(const struct args *a, const struct engine_options *opt, struct session *s,
                  struct err *err) CRIA_CHECK;
void session_close(struct session *s);
/* The two halves of session_open(): the file at `path` alone, and the engine. After a failure the
 * session is to be closed. */
bool session_open_file(const char *path, struct session *s, struct err *err) CRIA_CHECK;
bool session_start(const struct args *a, const struct engine_options *opt, struct session *s,
                   struct err *err) CRIA_CHECK;

/* Whether there are any: for engine_options.takes_adapters. session_open() then opens them. */
bool options_has_lora(const struct args *a);
bool session_open_lora(const struct args *a, struct session *s, struct err *err) CRIA_CHECK;
/* The one that there is, if any, for all requests of the engine; ERR_USAGE for more. */
bool session_use_lora(struct session *s, struct err *err) CRIA_CHECK;

#endif
