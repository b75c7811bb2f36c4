/* qemu-img repeats the derivation of a key until it has used a second of the processor, to learn how fast it is, before it asks for
 * iter-time; each LUKS image costs two such seconds. Here a millisecond counts as a second. The images differ in nothing but their
 * iterations, which are as few as qemu-img allows. */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int getrusage(__rusage_who_t who, struct rusage *usage) {
    long result = syscall(SYS_getrusage, who, usage);
    if (result == 0) {
        usage->ru_utime.tv_sec = usage->ru_utime.tv_sec * 1000 + usage->ru_utime.tv_usec / 1000;
        usage->ru_utime.tv_usec = usage->ru_utime.tv_usec % 1000 * 1000;
    }
    return (int)result;
}
