/* An event stream server that does nothing but `send`: the least that one event per write can cost.
 *
 *     send_loop PORT FEED_PORT STREAMS
 *
 * Listens on loopback. Each line from the feed becomes one frame, in one chunk as long as Slipstream's, and is sent to
 * every stream with one call. A stream whose socket does not take the whole frame is closed, and counted on stderr at
 * the end: there is no buffering, no filter, no resume. Ends with the feed, or by a signal.
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READY = 256, LINE = 64 * 1024, EVERYBODY = 1 << 17 };

static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";

static int *streams;        /* the descriptors of the streams, without holes */
static int count;
static int place[EVERYBODY]; /* 1 + the index in `streams` by descriptor, 0: it has not sent its request */
static unsigned long long sequence, torn;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int listening(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) fail("listen");
    return fd;
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void drop(int fd) {
    if (place[fd]) {
        int last = streams[--count];
        streams[place[fd] - 1] = last;
        place[last] = place[fd];
        place[fd] = 0;
    }
    close(fd);
}

static void fan_out(const char *data, int size) {
    static char frame[LINE + 256], chunk[LINE + 512];
    int length = snprintf(frame, sizeof frame, "id: sendloop-%llu-1kz9q2\ndata: %.*s\n\n", ++sequence, size, data);
    int whole = snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", length, frame);
    for (int i = 0; i < count;) {
        if (send(streams[i], chunk, whole, MSG_NOSIGNAL | MSG_DONTWAIT) == whole) {
            i++;
        } else {
            torn++;
            drop(streams[i]); /* puts another one here */
        }
    }
}

/* False at the end of the feed. */
static int feed(int fd) {
    static char buffer[LINE];
    static int held;
    int got = read(fd, buffer + held, sizeof buffer - held);
    if (got <= 0) return 0;
    held += got;
    char *from = buffer, *end;
    while ((end = memchr(from, '\n', buffer + held - from))) {
        fan_out(from, end - from);
        from = end + 1;
    }
    held -= from - buffer;
    memmove(buffer, from, held);
    return held < LINE;
}

static void hear(int fd, int most) {
    char request[16 * 1024];
    int got = read(fd, request, sizeof request);
    if (got < 0 && errno == EAGAIN) return; /* another stream, which took the number of one that was just closed */
    if (got <= 0 || (!place[fd] && count == most)) {
        drop(fd);
    } else if (!place[fd]) { /* a request of a hundred bytes comes in one piece on loopback */
        if (send(fd, HEAD, sizeof HEAD - 1, MSG_NOSIGNAL) < 0) {
            drop(fd);
            return;
        }
        streams[count] = fd;
        place[fd] = ++count;
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: send_loop PORT FEED_PORT STREAMS\n");
        return 2;
    }
    int most = atoi(argv[3]), one = 1, source = -1;
    int door = listening(atoi(argv[1])), feeds = listening(atoi(argv[2])), epoll = epoll_create1(0);
    streams = calloc(most + 1, sizeof *streams);
    if (!streams || epoll < 0) fail("send_loop");
    watch(epoll, door);
    watch(epoll, feeds);
    for (;;) {
        struct epoll_event ready[READY];
        int found = epoll_wait(epoll, ready, READY, -1);
        if (found < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < found; i++) {
            int fd = ready[i].data.fd;
            if (fd == feeds) {
                watch(epoll, source = accept(feeds, NULL, NULL));
            } else if (fd == door) {
                int stream = accept4(door, NULL, NULL, SOCK_NONBLOCK);
                if (stream < 0) continue;
                if (stream >= EVERYBODY) {
                    close(stream);
                    continue;
                }
                setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                watch(epoll, stream);
            } else if (fd != source) {
                hear(fd, most);
            } else if (!feed(source)) {
                fprintf(stderr, "%llu events; %llu streams closed because they did not take a frame\n", sequence, torn);
                return 0;
            }
        }
    }
}
