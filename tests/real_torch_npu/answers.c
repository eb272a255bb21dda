/* What a device that is only memory answers; every other function of CANN's libraries returns 0. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGNMENT 512

static int device;
static int context;

static int allocate(void **memory, size_t size) {
    return posix_memalign(memory, ALIGNMENT, size ? size : ALIGNMENT);
}

static int copy(void *to, const void *from, size_t size) {
    if (to != from) memcpy(to, from, size);
    return 0;
}

/* The calls that tests look at: a line each in the file STUB_CALLS. */
static void note(const char *name, const char *key, const char *value) {
    const char *path = getenv("STUB_CALLS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "%d %s %s=%s\n", (int)getpid(), name, key, value);
    fclose(file);
}

static void note_number(const char *name, const char *key, long value) {
    char text[32];
    snprintf(text, sizeof text, "%ld", value);
    note(name, key, text);
}

/* --- devices and memory --- */
const char *aclrtGetSocName(void) {
    const char *name = getenv("STUB_SOC");
    return name ? name : "Ascend910B3";
}
int aclrtGetDeviceCount(uint32_t *count) {
    const char *text = getenv("STUB_DEVICES");
    *count = text ? atoi(text) : 1;
    return 0;
}
int aclrtSetDevice(int number) { note_number("aclrtSetDevice", "device", device = number); return 0; }
int aclrtGetDevice(int *number) { *number = device; return 0; }
int aclrtGetCurrentContext(void **current) { *current = &context; return 0; }
int aclGetDeviceCapability(uint32_t number, int kind, int64_t *value) { *value = 24; return 0; }
int aclrtGetMemInfo(int kind, size_t *available, size_t *total) {
    *available = 60UL << 30;
    *total = 64UL << 30;
    return 0;
}
int aclrtMalloc(void **memory, size_t size, int policy) { return allocate(memory, size); }
int aclrtMallocAlign32(void **memory, size_t size, int policy) { return allocate(memory, size); }
int aclrtMallocWithCfg(void **memory, size_t size, int policy, void *more) { return allocate(memory, size); }
int aclrtMallocHost(void **memory, size_t size) { return allocate(memory, size); }
int aclrtMallocHostWithCfg(void **memory, size_t size, void *more) { return allocate(memory, size); }
int aclrtFree(void *memory) { free(memory); return 0; }
int aclrtFreeHost(void *memory) { free(memory); return 0; }
int aclrtMemcpy(void *to, size_t room, const void *from, size_t size, int kind) { return copy(to, from, size); }
int aclrtMemcpyAsync(void *to, size_t room, const void *from, size_t size, int kind, void *stream) {
    return copy(to, from, size);
}
int aclrtMemcpyAsyncWithCondition(void *to, size_t room, const void *from, size_t size, int kind, void *stream) {
    return copy(to, from, size);
}
int aclrtMemset(void *memory, size_t room, int value, size_t size) { memset(memory, value, size); return 0; }
/* No virtual memory: torch_npu then allocates plainly. */
int aclrtReserveMemAddress(void **address, size_t size, size_t alignment, void *wanted, uint64_t flags) { return 1; }
int aclrtMallocPhysical(void **handle, size_t size, const void *property, uint64_t flags) { return 1; }
int aclrtMapMem(void *address, size_t size, size_t offset, void *handle, uint64_t flags) { return 1; }

/* --- streams, events, options --- */
int aclrtCreateStream(void **stream) { return allocate(stream, 64); }
int aclrtCreateStreamWithConfig(void **stream, uint32_t priority, uint32_t flags) { return allocate(stream, 64); }
int aclrtCreateEventExWithFlag(void **event, uint32_t flags) { return allocate(event, 64); }
int aclrtEventElapsedTime(float *milliseconds, void *first, void *last) { *milliseconds = 1; return 0; }
const char *aclGetRecentErrMsg(void) { return "a stub"; }
size_t aclGetCompileoptSize(int option) { return 32; }
int aclGetCompileopt(int option, char *value, size_t room) { strncpy(value, "0", room); return 0; }
int aclSetCompileopt(int option, const char *value) {
    char key[32];
    snprintf(key, sizeof key, "%d", option);
    note("aclSetCompileopt", key, value ? value : "");
    return 0;
}

/* --- HCCL: every rank keeps what is its own --- */
static size_t size_of(int type) {
    static const size_t sizes[] = {1, 2, 4, 2, 4, 8, 8, 1, 2, 4, 8, 2};
    return type >= 0 && type < 12 ? sizes[type] : 4;
}
int HcclGetRootInfo(void *root) { memset(root, 7, 4108); return 0; }
static int join(uint32_t ranks, uint32_t rank, void **communicator) {
    note_number("HcclCommInit", "ranks", ranks);
    note_number("HcclCommInit", "rank", rank);
    return allocate(communicator, 64);
}
int HcclCommInitRootInfo(uint32_t ranks, const void *root, uint32_t rank, void **communicator) {
    return join(ranks, rank, communicator);
}
int HcclCommInitRootInfoConfig(uint32_t ranks, const void *root, uint32_t rank, const void *more, void **communicator) {
    return join(ranks, rank, communicator);
}
uint32_t HcclGetCommConfigCapability(void) { return 20; }
int HcclGetCommAsyncError(void *communicator, int *error) { *error = 0; return 0; }
int HcclGetCommName(void *communicator, char *name) { strcpy(name, "group"); return 0; }
int HcclAllReduce(void *from, void *to, uint64_t count, int type, int kind, void *communicator, void *stream) {
    note_number("HcclAllReduce", "type", type);
    return copy(to, from, count * size_of(type));
}
int HcclAllGather(void *from, void *to, uint64_t count, int type, void *communicator, void *stream) {
    note_number("HcclAllGather", "type", type);
    copy(to, from, count * size_of(type));
    return copy((char *)to + count * size_of(type), from, count * size_of(type));
}
