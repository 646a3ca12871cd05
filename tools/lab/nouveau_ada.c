/* Preloaded before Mesa's libnouveau_noop_drm_shim.so when it plays an Ada GPU (NOUVEAU_CHIPSET=190). The shim knows classes of
 * engines up to Ampere and answers Fermi's for anything newer, which NVK refuses; this replaces them in the kernel's answer to
 * "which classes are there" (NVIF SCLASS). The compiler's target follows from the chipset number, not from these. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/ioctl.h>

enum {
    DRM_TYPE = 'd',
    DRM_NOUVEAU_NVIF = 0x47,
    NVIF_SCLASS = 0x01,
    FERMI_3D = 0x9097,
    FERMI_COMPUTE = 0x90c0,
    AMPERE_COPY = 0xc7b5,
    ADA_3D = 0xc997,
    ADA_COMPUTE = 0xc9c0,
};

/* Linux's nvif_ioctl_v0 with nvif_ioctl_sclass_v0 behind it. */
struct classes {
    uint8_t version, type, padding0[4], owner, route;
    uint64_t token, object;
    uint8_t sclass_version, count, padding1[6];
    struct {
        int32_t oclass;
        int16_t minver, maxver;
    } list[];
};

int ioctl(int file, unsigned long request, ...) {
    static int (*next)(int, unsigned long, ...);
    if (!next) {
        next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    }
    va_list arguments;
    va_start(arguments, request);
    void* argument = va_arg(arguments, void*);
    va_end(arguments);
    int result = next(file, request, argument);
    struct classes* classes = argument;
    if (result || _IOC_TYPE(request) != DRM_TYPE || _IOC_NR(request) != DRM_NOUVEAU_NVIF || classes->type != NVIF_SCLASS) {
        return result;
    }
    for (unsigned i = 0; i < classes->count; i++) {
        int32_t* engine = &classes->list[i].oclass;
        if (*engine == FERMI_3D) {
            *engine = ADA_3D;
        } else if (*engine == FERMI_COMPUTE) {
            *engine = ADA_COMPUTE;
        } else if (i == 1 && (*engine & 0xff) != (AMPERE_COPY & 0xff)) {
            *engine = AMPERE_COPY; /* the shim leaves the copy engine's place empty */
        }
    }
    return result;
}
