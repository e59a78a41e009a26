// SPDX-License-Identifier: Apache-2.0
//
// What a socket of the kernel's devmem TCP takes and gives: socket option and control message
// numbers, the recvmsg flag, and the two structs. Mirrors asm/socket.h, linux/uio.h and
// linux/socket.h as of Linux 7.2 (the kernel describes the interface in
// Documentation/networking/devmem.rst). The structs stand in a namespace: linux/uio.h, their home,
// cannot be included together with <sys/uio.h>. The numbers are macros there, so they are here.

#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#ifndef SO_DEVMEM_LINEAR
#if defined(__sparc__)
#define SO_DEVMEM_LINEAR 0x0057
#define SO_DEVMEM_DMABUF 0x0058
#define SO_DEVMEM_DONTNEED 0x0059
#elif defined(__hppa__)
#define SO_DEVMEM_LINEAR 0x404E
#define SO_DEVMEM_DMABUF 0x404F
#define SO_DEVMEM_DONTNEED 0x4050
#else
#define SO_DEVMEM_LINEAR 78
#define SO_DEVMEM_DMABUF 79
#define SO_DEVMEM_DONTNEED 80
#endif
#endif

#ifndef SCM_DEVMEM_LINEAR
#define SCM_DEVMEM_LINEAR SO_DEVMEM_LINEAR
#define SCM_DEVMEM_DMABUF SO_DEVMEM_DMABUF
#endif

// No header of the kernel shows this flag; the C library is to define it, and new ones do.
#ifndef MSG_SOCK_DEVMEM
#define MSG_SOCK_DEVMEM 0x2000000
#endif

namespace devmem::abi {

// What recvmsg() answers, in the kernel's negative form -525, when the control buffer has no room
// for a single control message. The C library has no name for it.
inline constexpr int ETOOSMALL = 525;

// The content of one control message SCM_DEVMEM_LINEAR or SCM_DEVMEM_DMABUF. For the former, only
// frag_size says something.
struct dmabuf_cmsg {
  uint64_t frag_offset;  // From the dma-buf's start, in bytes.
  uint32_t frag_size;    // In bytes; never crosses a page for a dma-buf.
  uint32_t frag_token;   // What gives the frag back; of this socket alone.
  uint32_t dmabuf_id;    // The binding's.
  uint32_t flags;        // 0.
};
static_assert(sizeof(dmabuf_cmsg) == 24 && alignof(dmabuf_cmsg) == 8);
static_assert(offsetof(dmabuf_cmsg, frag_size) == 8 && offsetof(dmabuf_cmsg, frag_token) == 12);
static_assert(offsetof(dmabuf_cmsg, dmabuf_id) == 16 && offsetof(dmabuf_cmsg, flags) == 20);
static_assert(std::is_trivially_copyable_v<dmabuf_cmsg>);

// One element of what SO_DEVMEM_DONTNEED takes: a run of tokens to give back.
struct dmabuf_token {
  uint32_t token_start;
  uint32_t token_count;
};
static_assert(sizeof(dmabuf_token) == 8 && alignof(dmabuf_token) == 4);
static_assert(offsetof(dmabuf_token, token_count) == 4);
static_assert(std::is_trivially_copyable_v<dmabuf_token>);

// The kernel's bounds on one SO_DEVMEM_DONTNEED (net/core/sock.c): elements of the array, and
// tokens that it looks at, counting those that do not exist. The rest of a longer run is left
// silently.
inline constexpr uint32_t MAX_DONTNEED_TOKENS = 128;
inline constexpr uint32_t MAX_DONTNEED_FRAGS = 1024;

}  // namespace devmem::abi
