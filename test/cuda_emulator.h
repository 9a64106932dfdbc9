// Runs CUDA C++ on the CPU, the kernel's text unchanged: blocks one after the other, the threads of a block as fibers that
// change places at each barrier. Shared memory holds NaN bits when a block starts. emulate() says what went wrong, or 0.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("shared_memory")))

struct emulated_index { unsigned x, y, z; };
static emulated_index threadIdx, blockIdx, blockDim, gridDim;

#define VECTOR(T, name) \
  struct __attribute__((aligned(2 * sizeof(T)))) name##2 { T x, y; }; \
  struct __attribute__((aligned(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16))) name##4 { T x, y, z, w; }; \
  static inline name##2 make_##name##2(T x, T y) { name##2 v = {x, y}; return v; } \
  static inline name##4 make_##name##4(T x, T y, T z, T w) { name##4 v = {x, y, z, w}; return v; }
VECTOR(float, float) VECTOR(int, int) VECTOR(unsigned, uint) VECTOR(short, short) VECTOR(unsigned short, ushort)
VECTOR(signed char, char) VECTOR(unsigned char, uchar)
#define PAIR(T, name) \
  struct __attribute__((aligned(16))) name##2 { T x, y; }; \
  static inline name##2 make_##name##2(T x, T y) { name##2 v = {x, y}; return v; }
PAIR(double, double) PAIR(long long, longlong) PAIR(unsigned long long, ulonglong)

#define BITS(name, From, To) \
  static inline To name(From x) { To y; memcpy(&y, &x, sizeof y); return y; }
BITS(__int_as_float, int, float) BITS(__uint_as_float, unsigned, float) BITS(__float_as_int, float, int)
BITS(__float_as_uint, float, unsigned) BITS(__longlong_as_double, long long, double) BITS(__double_as_longlong, double, long long)

enum { STACK = 64 << 10, MOST = 1024, ARRIVED = 1, DONE = 2 };
enum { DIVERGED = 1, NO_MEMORY = 2 };
static ucontext_t emulated_scheduler, emulated_fibers[MOST];
static int emulated_state[MOST], emulated_current;
static char *emulated_stacks;
static void (*emulated_body)(void);

static void __syncthreads() {
  int me = emulated_current;
  emulated_index index = threadIdx;
  emulated_state[me] = ARRIVED;
  swapcontext(&emulated_fibers[me], &emulated_scheduler);
  threadIdx = index;
}

static void emulated_enter() {
  int me = emulated_current;
  emulated_body();
  emulated_state[me] = DONE;
  swapcontext(&emulated_fibers[me], &emulated_scheduler);
}

static void emulated_switch(int me) {
  emulated_current = me;
  threadIdx.x = me % blockDim.x, threadIdx.y = me / blockDim.x % blockDim.y, threadIdx.z = me / (blockDim.x * blockDim.y);
  swapcontext(&emulated_scheduler, &emulated_fibers[me]);
}

__attribute__((weak)) extern char __start_shared_memory[], __stop_shared_memory[];

// One block, its threads in order or in reverse: a race shows as a difference.
static int emulated_block(int reverse) {
  int count = blockDim.x * blockDim.y * blockDim.z, done = 0;
  if (__start_shared_memory) memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
  for (int i = 0; i < count; i++) {
    getcontext(&emulated_fibers[i]);
    emulated_fibers[i].uc_stack.ss_sp = emulated_stacks + (size_t)i * STACK;
    emulated_fibers[i].uc_stack.ss_size = STACK;
    emulated_fibers[i].uc_link = 0;
    emulated_state[i] = ARRIVED;
    makecontext(&emulated_fibers[i], emulated_enter, 0);
  }
  while (done < count) {
    if (done) return DIVERGED;  // some wait at a barrier that others never reach
    for (int i = 0; i < count; i++) {
      int me = reverse ? count - 1 - i : i;
      emulated_switch(me);
      done += emulated_state[me] == DONE;
    }
  }
  return 0;
}

template <int... I> struct positions {};
template <int N, int... I> struct count_to : count_to<N - 1, N - 1, I...> {};
template <int... I> struct count_to<0, I...> { typedef positions<I...> type; };

template <class... A> struct bound_kernel {
  static void (*kernel)(A...);
  static void **arguments;
  template <int... I> static void call(positions<I...>) { kernel(*(A *)arguments[I]...); }
  static void run() { call(typename count_to<sizeof...(A)>::type()); }
};
template <class... A> void (*bound_kernel<A...>::kernel)(A...);
template <class... A> void **bound_kernel<A...>::arguments;

// sizes: grid x y z, block x y z. arguments: a pointer to each argument's value, as cuLaunchKernel takes them.
template <class... A> static int emulate(void (*kernel)(A...), void **arguments, const int *sizes, int reverse) {
  bound_kernel<A...>::kernel = kernel, bound_kernel<A...>::arguments = arguments;
  emulated_body = bound_kernel<A...>::run;
  gridDim.x = sizes[0], gridDim.y = sizes[1], gridDim.z = sizes[2];
  blockDim.x = sizes[3], blockDim.y = sizes[4], blockDim.z = sizes[5];
  emulated_stacks = (char *)malloc((size_t)STACK * MOST);
  if (!emulated_stacks) return NO_MEMORY;
  int wrong = 0;
  for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++)
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
      for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) wrong = wrong ? wrong : emulated_block(reverse);
  free(emulated_stacks);
  return wrong;
}
