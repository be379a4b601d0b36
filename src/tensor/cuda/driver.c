/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c - opens the CUDA driver and cuBLASLt and finds their functions by name.
 *
 * The libraries stay open until the program ends: what they have started in the background cannot
 * be unloaded. Begin reading at driver_load().
 */
#include "tensor/cuda/driver.h"

#include <dlfcn.h>
#include <string.h>

/* A place in a table and what it is called in the library. */
struct entry {
    size_t at;
    const char *name;
};

/* A function pointer is stored as the pointer that dlsym() gives: POSIX says they are alike. */
static const char *fill(void *table, void *library, const struct entry *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        void *f = dlsym(library, e[i].name);
        if (!f) return e[i].name;
        memcpy((char *)table + e[i].at, &f, sizeof f);
    }
    return NULL;
}

#define AT(field, name)                                                                            \
    {                                                                                              \
        offsetof(struct driver, field), name                                                       \
    }
static const struct entry driver_entries[] = {
    AT(init, "cuInit"),
    AT(driver_version, "cuDriverGetVersion"),
    AT(error_string, "cuGetErrorString"),
    AT(device_count, "cuDeviceGetCount"),
    AT(device_get, "cuDeviceGet"),
    AT(device_name, "cuDeviceGetName"),
    AT(device_attribute, "cuDeviceGetAttribute"),
    AT(context_retain, "cuDevicePrimaryCtxRetain"),
    AT(context_set, "cuCtxSetCurrent"),
    AT(module_load, "cuModuleLoadData"),
    AT(module_function, "cuModuleGetFunction"),
    AT(mem_alloc, "cuMemAlloc_v2"),
    AT(mem_free, "cuMemFree_v2"),
    AT(mem_info, "cuMemGetInfo_v2"),
    AT(host_alloc, "cuMemHostAlloc"),
    AT(host_free, "cuMemFreeHost"),
    AT(to_device, "cuMemcpyHtoDAsync_v2"),
    AT(to_host, "cuMemcpyDtoHAsync_v2"),
    AT(on_device, "cuMemcpyDtoDAsync_v2"),
    AT(synchronize, "cuStreamSynchronize"),
    AT(launch, "cuLaunchKernel"),
    AT(capture_begin, "cuStreamBeginCapture_v2"),
    AT(capture_end, "cuStreamEndCapture"),
    AT(graph_instantiate, "cuGraphInstantiateWithFlags"),
    AT(graph_launch, "cuGraphLaunch"),
    AT(graph_destroy, "cuGraphDestroy"),
    AT(exec_destroy, "cuGraphExecDestroy"),
};
#undef AT

#define AT(field, name)                                                                            \
    {                                                                                              \
        offsetof(struct blas, field), name                                                         \
    }
static const struct entry blas_entries[] = {
    AT(create, "cublasLtCreate"),
    AT(product_create, "cublasLtMatmulDescCreate"),
    AT(product_set, "cublasLtMatmulDescSetAttribute"),
    AT(product_destroy, "cublasLtMatmulDescDestroy"),
    AT(layout_create, "cublasLtMatrixLayoutCreate"),
    AT(layout_destroy, "cublasLtMatrixLayoutDestroy"),
    AT(preference_create, "cublasLtMatmulPreferenceCreate"),
    AT(preference_set, "cublasLtMatmulPreferenceSetAttribute"),
    AT(preference_destroy, "cublasLtMatmulPreferenceDestroy"),
    AT(choose, "cublasLtMatmulAlgoGetHeuristic"),
    AT(multiply, "cublasLtMatmul"),
};
#undef AT

bool driver_load(struct driver *d, struct err *err)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return err_set(err, ERR_UNSUPPORTED,
                       "no NVIDIA driver is installed (%s); install one, or leave out --device",
                       dlerror());
    const char *missing =
        fill(d, library, driver_entries, sizeof driver_entries / sizeof *driver_entries);
    if (!missing) return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "the NVIDIA driver has no %s: it is too old; install version 525 or later",
                   missing);
}

bool blas_load(struct blas *b)
{
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (library && !fill(b, library, blas_entries, sizeof blas_entries / sizeof *blas_entries))
            return true;
    }
    return false;
}
