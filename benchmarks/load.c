/* HTTP load for the serving benchmark: closed loop (each connection asks again when it is answered) or
 * open loop (requests fall due at a rate, Poisson or even, whether or not the server keeps up; latency
 * counts from when a request was due, so that a stalled server cannot hide it).
 *
 *   load PORT CONNECTIONS SECONDS RATE POISSON REQUEST_FILE      (RATE 0: closed loop)
 *
 * Prints one JSON object. Little code and no allocation a request, so that it takes few cycles from the
 * server that it shares the cores with.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define ROOM (1 << 20)
#define MOST 4000000
typedef struct { int fd, busy; size_t sent, have; double due; char *in; } Conn;

static char *request; static size_t length; static int port, epoll, fresh_errors;
static double *latency, *dues; static long done, failed, head, tail;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }

static int dial(Conn *c) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    if ((c->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0 || connect(c->fd, (void *)&a, sizeof a)) return -1;
    int one = 1; setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
}

static void again(Conn *c) { close(c->fd); c->busy = 0; c->have = 0; if (dial(c) && ++fresh_errors > 1000) { fprintf(stderr, "the server is gone\n"); exit(1); } }

static void push(Conn *c) {
    while (c->sent < length) {
        ssize_t n = send(c->fd, request + c->sent, length - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) { failed++; again(c); return; }
        c->sent += n;
    }
    struct epoll_event e = {.events = EPOLLIN | (c->sent < length ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void begin(Conn *c, double due) { c->busy = 1; c->sent = 0; c->have = 0; c->due = due; push(c); }

/* 1 answered, 0 not yet, -1 broken; *shut: the server closes after it. */
static int answered(Conn *c, int *status, int *shut) {
    c->in[c->have] = 0;
    char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
    if (!end) return 0;
    *status = atoi(c->in + 9);
    *shut = 0; long body = -1; int chunked = 0;
    for (char *line = c->in; line < end; line = strstr(line, "\r\n") + 2) {
        if (!strncasecmp(line, "content-length:", 15)) body = atol(line + 15);
        if (!strncasecmp(line, "transfer-encoding: chunked", 26)) chunked = 1;
        if (!strncasecmp(line, "connection: close", 17)) *shut = 1;
    }
    size_t start = end + 4 - c->in;
    if (chunked) return c->have >= start + 5 && !memcmp(c->in + c->have - 5, "0\r\n\r\n", 5);
    return body < 0 ? -1 : c->have >= start + (size_t)body;
}

static int order(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return (x > y) - (x < y); }

int main(int count, char **word) {
    if (count != 7) { fprintf(stderr, "load PORT CONNECTIONS SECONDS RATE POISSON REQUEST_FILE\n"); return 2; }
    port = atoi(word[1]); int connections = atoi(word[2]); double seconds = atof(word[3]), rate = atof(word[4]);
    int poisson = atoi(word[5]); FILE *f = fopen(word[6], "rb"); if (!f) return 2;
    request = malloc(1 << 24); length = fread(request, 1, 1 << 24, f); fclose(f);
    latency = malloc(MOST * sizeof *latency); dues = malloc(MOST * sizeof *dues);
    epoll = epoll_create1(0); srand48(1);
    Conn *all = calloc(connections, sizeof *all);
    for (int i = 0; i < connections; i++) { all[i].in = malloc(ROOM + 1); if (dial(&all[i])) { perror("connect"); return 1; } }
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event te = {.events = EPOLLIN, .data.ptr = NULL}; epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &te);
    double start = now(), stop = start + seconds, next = start; long timeouts = 0;
    if (rate == 0) for (int i = 0; i < connections; i++) begin(&all[i], now());
    while (now() < stop) {
        if (rate > 0) {
            for (double t = now(); next <= t && tail < MOST; next += poisson ? -log(1 - drand48()) / rate : 1 / rate) dues[tail++] = next;
            for (int i = 0; i < connections && head < tail; i++) if (!all[i].busy) begin(&all[i], dues[head++]);
            struct itimerspec s = {.it_value = {.tv_sec = (time_t)next, .tv_nsec = (long)((next - (time_t)next) * 1e9)}};
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &s, NULL);
        }
        struct epoll_event events[256];
        int n = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            if (!c) { uint64_t x; if (read(timer, &x, 8)) {} continue; }
            if (events[i].events & EPOLLOUT) push(c);
            if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            ssize_t got = recv(c->fd, c->in + c->have, ROOM - c->have, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) { if (c->busy) failed++; int busy = c->busy; again(c); if (busy && rate == 0) begin(c, now()); continue; }
            c->have += got;
            int status = 0, shut = 0, state = answered(c, &status, &shut);
            if (!state) continue;
            double t = now();
            if (state < 0 || status != 200) failed++; else if (done < MOST) latency[done++] = t - c->due;
            c->busy = 0;
            if (state < 0 || shut) again(c);
            if (rate == 0) begin(c, now());
            else if (head < tail) begin(c, dues[head++]);
        }
    }
    double took = now() - start; timeouts = tail - head;
    qsort(latency, done, sizeof *latency, order);
#define Q(p) (done ? latency[(long)((done - 1) * p)] * 1e3 : 0)
    printf("{\"answers\": %ld, \"failed\": %ld, \"waiting\": %ld, \"per_second\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
           done, failed, timeouts, done / took, Q(0.5), Q(0.99), Q(1.0));
    return 0;
}
