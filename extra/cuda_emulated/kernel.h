// What a rendered CUDA kernel sees in place of CUDA: its words, types and functions, for clang. No other header is needed.
// Kernels are compiled with -fsanitize=thread, so that each access to memory is preceded by a call of machine.cpp.
#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("shared_memory")))

#define VECTOR(T, name, n) typedef T name __attribute__((ext_vector_type(n)));
#define VECTORS(T, name) \
  VECTOR(T, name##2, 2) \
  static __forceinline__ name##2 make_##name##2(T x, T y) { return (name##2){x, y}; }
#define FOURS(T, name) \
  VECTORS(T, name) \
  VECTOR(T, name##4, 4) \
  static __forceinline__ name##4 make_##name##4(T x, T y, T z, T w) { return (name##4){x, y, z, w}; }
FOURS(float, float) FOURS(int, int) FOURS(unsigned, uint) FOURS(short, short) FOURS(unsigned short, ushort)
FOURS(signed char, char) FOURS(unsigned char, uchar)
VECTORS(double, double) VECTORS(long long, longlong) VECTORS(unsigned long long, ulonglong)

#define BITS(name, From, To) static __forceinline__ To name(From x) { return __builtin_bit_cast(To, x); }
BITS(__int_as_float, int, float) BITS(__uint_as_float, unsigned, float)
BITS(__float_as_int, float, int) BITS(__float_as_uint, float, unsigned)
BITS(__longlong_as_double, long long, double) BITS(__double_as_longlong, double, long long)

#define FUNCTION(name) extern "C" float name##f(float); extern "C" double name(double);
FUNCTION(sqrt) FUNCTION(exp) FUNCTION(exp2) FUNCTION(log) FUNCTION(log2) FUNCTION(sin) FUNCTION(cos) FUNCTION(tanh)
FUNCTION(erf) FUNCTION(trunc)

// ---- the thread and its block: machine.cpp

struct emulated_index { unsigned x, y, z; };
extern "C" __attribute__((const)) emulated_index emulated_thread(), emulated_block();
#define threadIdx emulated_thread()
#define blockIdx emulated_block()

// calls at which threads meet: a compiler must not make two of one, in the branches of a condition
#define MEETING extern "C" __attribute__((convergent, noduplicate))
MEETING void __syncthreads();
MEETING unsigned long emulated_shuffle(unsigned mask, unsigned long value, int kind, int operand, int width);
#define SHUFFLE(name, kind) \
  template <class T> static __forceinline__ T name(unsigned mask, T value, int operand, int width = 32) { \
    union { unsigned long bits; T value; } x = {0}; \
    x.value = value; \
    x.bits = emulated_shuffle(mask, x.bits, kind, operand, width); \
    return x.value; \
  }
SHUFFLE(__shfl_sync, 0) SHUFFLE(__shfl_up_sync, 1) SHUFFLE(__shfl_down_sync, 2) SHUFFLE(__shfl_xor_sync, 3)

// the operands of a warp's matrix instruction as mma.sync lays them out, held as floats
MEETING void emulated_matrix_tf32(float *d, const float *a, const float *b);
MEETING void emulated_matrix_bfloat16(float *d, const float *a, const float *b);
MEETING void emulated_matrix_float16(float *d, const float *a, const float *b);

// cp.async of `size` bytes to shared memory, or zeros; and the wait for all of a thread's
extern "C" void emulated_copy(void *to, const void *from, int size, int valid);
extern "C" void emulated_wait();

// ---- how machine.cpp calls a kernel: `a` points to its arguments' values, as cuLaunchKernel takes them

template <class T, T... I> struct numbers {};
template <class... A, int... I> __attribute__((no_sanitize("thread")))
static void emulated_call(void (*kernel)(A...), void **a, numbers<int, I...>) { kernel(*(A *)a[I]...); }
template <class... A> static void emulated_call(void (*kernel)(A...), void **a) {
  emulated_call(kernel, a, __make_integer_seq<numbers, int, sizeof...(A)>());
}
