/* Loaded into qemu-img and qemu-io when tests run them thousands of times: nine tenths of such a run are spent on loading libraries. A
 * program that is started with INSTAR_TEST_KEPT stops before its main function and makes a copy of itself for each command line that
 * arrives on standard input, a socket. The copy is the program as it would have been started: it has parsed nothing yet.
 *
 *  request:  size of the text, standard output and standard error (as file descriptors); then the text: strings that end with a zero,
 *            of which the first is the directory; variables NAME=VALUE, an empty string, and the words of the command line follow.
 *  answer:   the status that waitpid gives. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLE "INSTAR_TEST_KEPT"

/* Nothing that goes wrong here may look like an answer of the program. */
#define MUST(what) do { if (!(what)) abort(); } while (0)

typedef int Main(int, char **, char **);
typedef int Start(Main *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);

static Main *program;

/* The two files of the next request and the size of its text; 0 when no more come. */
static uint32_t receive(int files[2]) {
    uint32_t size = 0;
    char space[CMSG_SPACE(2 * sizeof(int))];
    struct iovec part = {&size, sizeof size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    ssize_t got = recvmsg(0, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    if (got == 0)
        return 0;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    MUST(got == sizeof size && header && header->cmsg_len == CMSG_LEN(2 * sizeof(int)));
    memcpy(files, CMSG_DATA(header), 2 * sizeof(int));
    return size;
}

/* In the copy: becomes what was asked for. */
static int begin(char *text, char *end, const int files[2]) {
    int nothing = open("/dev/null", O_RDWR);
    MUST(nothing >= 0 && dup2(nothing, 0) == 0 && dup2(files[0], 1) == 1 && dup2(files[1], 2) == 2);
    close(nothing);
    close(files[0]);
    close(files[1]);
    MUST(chdir(text) == 0);
    for (text += strlen(text) + 1; *text; text += strlen(text) + 1)
        MUST(putenv(text) == 0);
    int count = 0;
    char **words = calloc((size_t)(end - text), sizeof *words);
    MUST(words);
    for (text++; text < end; text += strlen(text) + 1)
        words[count++] = text;
    return program(count, words, environ);
}

static int serve(void) {
    int files[2];
    pid_t server = getpid();
    for (uint32_t size; (size = receive(files)) != 0;) {
        char *text = malloc(size + 1);
        MUST(text && recv(0, text, size, MSG_WAITALL) == (ssize_t)size);
        text[size] = 0;
        pid_t copy = fork();
        MUST(copy >= 0);
        if (copy == 0) {
            /* A copy does not outlive the program that is told to end. */
            MUST(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == server);
            return begin(text, text + size, files);
        }
        free(text);
        close(files[0]);
        close(files[1]);
        int status;
        MUST(waitpid(copy, &status, 0) == copy && send(0, &status, sizeof status, MSG_NOSIGNAL) == sizeof status);
    }
    return 0;
}

static int before(int count, char **words, char **variables) {
    const char *name = strrchr(words[0], '/');
    /* What launches the program, such as a shell, is not it. */
    int launcher = strncmp(name ? name + 1 : words[0], "qemu-", 5) != 0;
    if (launcher || !getenv(VARIABLE))
        return program(count, words, variables);
    unsetenv(VARIABLE);
    return serve();
}

int __libc_start_main(Main *main, int count, char **words, void (*init)(void), void (*fini)(void), void (*loader)(void), void *stack) {
    Start *start = (Start *)dlsym(RTLD_NEXT, "__libc_start_main");
    MUST(start);
    program = main;
    return start(before, count, words, init, fini, loader, stack);
}
