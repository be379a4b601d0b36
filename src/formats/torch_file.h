/* torch_file.h - PyTorch's .pth: a stored (uncompressed) ZIP64 with a pickle inside, read without
 * executing anything.
 *
 * The pickle machine knows the opcodes and the few callables that a state dictionary of tensors
 * needs (OrderedDict, _rebuild_tensor_v2, the storages); anything else is an error that names the
 * opcode or the callable. Tensors must be contiguous. Data stay mapped.
 */
#ifndef CRIA_FORMATS_TORCH_FILE_H
#define CRIA_FORMATS_TORCH_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tensor/tensor.h"

struct torch_tensor {
    const char *name; /* nested dictionaries are joined by '.' */
    struct tensor t;  /* F32, F16 or BF16 */
};

struct torch_file;

struct torch_file *torch_file_open(const char *path, struct err *err);
struct torch_file *torch_file_open_memory(const uint8_t *data, size_t n_bytes, const char *name,
                                          struct err *err);
void torch_file_close(struct torch_file *f);                                 /* NULL is fine */
bool torch_file_make_huge(struct torch_file *f, struct err *err) CRIA_CHECK; /* base/file.h */
size_t torch_file_n(const struct torch_file *f);
const struct torch_tensor *torch_file_at(const struct torch_file *f, size_t i);
const struct torch_tensor *torch_file_find(const struct torch_file *f, const char *name);
uint64_t torch_file_bytes(const struct torch_file *f);

#endif
