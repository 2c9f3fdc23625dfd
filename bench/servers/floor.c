/* The least that an answer can cost: epoll, one recv, one send of fixed bytes. Parses nothing but the head's end.
   floor PORT [close]   With "close" it closes the connection after each answer. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n" \
             "Content-Length: 14\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
#define BODY "\r\nHello, world!\n"
static const char keep[] = HEAD BODY, last[] = HEAD "Connection: close\r\n" BODY;
int main(int argc, char **argv) {
    int one = 1, shut = argc > 2, listener = socket(AF_INET, SOCK_STREAM, 0), loop = epoll_create1(0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&at, sizeof at) || listen(listener, 2048)) return 1;
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
    for (char buffer[65536];;) {
        int count = epoll_wait(loop, ready, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                event.data.fd = accept(listener, 0, 0);
                setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                epoll_ctl(loop, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            ssize_t size = recv(fd, buffer, sizeof buffer, 0);
            int whole = size > 3 && !memcmp(buffer + size - 4, "\r\n\r\n", 4);
            if (whole) send(fd, shut ? last : keep, (shut ? sizeof last : sizeof keep) - 1, MSG_NOSIGNAL);
            if (size <= 0 || (whole && shut)) close(fd);
        }
    }
}
