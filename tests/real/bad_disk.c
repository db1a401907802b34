/* A disk that fails: loaded into sidekey (LD_PRELOAD), it gives EIO on the files whose path
 * begins with BAD_DISK_FILES while the file BAD_DISK_SWITCH is there. That file says what
 * fails: "write" for every write, "sync" only for making what was written durable, as a
 * disk does that takes data into its cache and then can't keep it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* The next function of this name, which is the system's. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_watched(int file) {
    const char *files = getenv("BAD_DISK_FILES");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (files == NULL || length < 0) return 0;
    path[length] = 0;
    return strncmp(path, files, strlen(files)) == 0;
}

/* True when the disk is bad in this way now. */
static int fails(int file, const char *way) {
    const char *lever = getenv("BAD_DISK_SWITCH");
    char said[16] = "";
    if (lever == NULL || !is_watched(file)) return 0;
    int opened = open(lever, O_RDONLY | O_CLOEXEC);
    if (opened < 0) return 0;
    ssize_t length = read(opened, said, sizeof said - 1);
    close(opened);
    if (length < 0 || strcmp(said, way) != 0) return 0;
    errno = EIO;
    return 1;
}

ssize_t write(int file, const void *from, size_t size) {
    return fails(file, "write") ? -1 : NEXT(write)(file, from, size);
}

ssize_t pwrite(int file, const void *from, size_t size, off_t at) {
    return fails(file, "write") ? -1 : NEXT(pwrite)(file, from, size, at);
}

ssize_t pwrite64(int file, const void *from, size_t size, off64_t at) {
    return fails(file, "write") ? -1 : NEXT(pwrite64)(file, from, size, at);
}

int fsync(int file) { return fails(file, "sync") ? -1 : NEXT(fsync)(file); }

int fdatasync(int file) { return fails(file, "sync") ? -1 : NEXT(fdatasync)(file); }
