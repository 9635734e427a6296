#pragma once
// Declarations that the Glibc module leaves out.
#if defined(__linux__)
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

// Declared by the system for _GNU_SOURCE only, which a module's header cannot ask for.
extern int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags);
extern int pthread_setname_np(unsigned long thread, const char *name);

// A socket that does not block and that child processes do not inherit.
static inline int cepoll_accept(int listener) { return accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC); }

// The calling thread's name, as top and perf show it: 15 bytes at most.
static inline void cepoll_name_thread(unsigned long thread, const char *name) { pthread_setname_np(thread, name); }
#endif
