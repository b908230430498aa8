// Loses LOCKSTEP_LOSS of a hundred of the UDP packets that a process sends, where it is preloaded; the first one lost
// creates the file LOCKSTEP_LOST.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static unsigned long state = 88172645463325252UL;

static int is_lost(int socket_) {
  static int percent = -1;
  int type = 0;
  socklen_t length = sizeof type;
  if (percent < 0) percent = getenv("LOCKSTEP_LOSS") ? atoi(getenv("LOCKSTEP_LOSS")) : 0;
  if (getsockopt(socket_, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_DGRAM) return 0;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  if (state % 100 >= (unsigned long)percent) return 0;
  const char *lost = getenv("LOCKSTEP_LOST");
  if (lost) close(open(lost, O_CREAT | O_WRONLY, 0600));
  return 1;
}

ssize_t sendto(int socket_, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t room) {
  static ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "sendto");
  return is_lost(socket_) ? (ssize_t)length : real(socket_, bytes, length, flags, to, room);
}

ssize_t sendmsg(int socket_, const struct msghdr *message, int flags) {
  static ssize_t (*real)(int, const struct msghdr *, int);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "sendmsg");
  if (!is_lost(socket_)) return real(socket_, message, flags);
  size_t length = 0;
  for (size_t i = 0; i < message->msg_iovlen; i++) length += message->msg_iov[i].iov_len;
  return (ssize_t)length;
}
