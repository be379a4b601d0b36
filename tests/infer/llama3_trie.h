/* llama3_trie.h - the vocabulary of Llama 3 (128,256 tokens) for tests of masks. */
#ifndef CRIA_TESTS_INFER_LLAMA3_TRIE_H
#define CRIA_TESTS_INFER_LLAMA3_TRIE_H

#include "infer/constraint.h"

/* NULL where the shared data is not here. The caller frees both. */
struct tokenizer *llama3_tokenizer(void);

/* An answer made by chance: ids of a text that the grammar allows, at most n; the text is whole if
 * *is_whole. `tells` (may be NULL) hears how long each mask took, ns. Fails the test on an error.
 */
typedef void mask_time_fn(void *user, int64_t ns);
int32_t random_answer(struct token_masks *m, const struct token_trie *t, uint64_t seed, int32_t n,
                      int32_t *ids, bool *is_whole, mask_time_fn *tells, void *user);

#endif
