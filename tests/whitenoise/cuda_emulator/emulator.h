// CUDA C on a host: blocks one after another, the threads of a block as fibers that take turns at
// barriers. Included before the text of a CUDA file, which it leaves as it is.
//
// What a device leaves undefined is an error here: a barrier that some threads of a block do not
// reach, or reach on another line. The order of threads between two barriers can be chosen: a
// result that depends on it misses a barrier.

#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <utility>

#define __global__
#define __device__
#define __noinline__
#define __shared__ static
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __syncthreads() emulator::barrier(__LINE__, 0)
#define __syncthreads_or(flag) emulator::barrier(__LINE__, flag)

using std::cos;
using std::floor;
using std::frexp;
using std::ldexp;
using std::log;
using std::sqrt;

template <class To, class From>
To same_bits(From from) {
    To to;
    static_assert(sizeof(to) == sizeof(from), "");
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
inline long long __double_as_longlong(double x) { return same_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return same_bits<double>(x); }

struct {
    unsigned x;
} static threadIdx, blockIdx, gridDim;

namespace emulator {

const int FINISHED = 0;
const size_t STACK_BYTES = 1 << 17;

// What a context needs after its first turn: GCC's own jumps are fast, and cross from stack to stack.
typedef void* Place[5];

static Place scheduler, fibers[THREADS];
static bool begun;
static int line[THREADS];  // of the barrier at which a thread waits
static int vote, decision;
static void (*body)(void**);
static void** arguments;

__attribute__((noinline)) static void jump(Place& to) { __builtin_longjmp(to, 1); }

__attribute__((noinline)) static void change(Place& from, Place& to) {
    if (!__builtin_setjmp(from)) jump(to);
}

__attribute__((noinline)) static int barrier(int at, int flag) {
    unsigned own = threadIdx.x;
    vote |= flag != 0;
    line[own] = at;
    change(fibers[own], scheduler);
    return decision;
}

// A fiber lives on and takes the same thread of every block.
static void fiber() {
    while (true) {
        body(arguments);
        barrier(FINISHED, 0);
    }
}

__attribute__((noinline)) static void begin(unsigned thread) {
    static char* stacks = new char[THREADS * STACK_BYTES];
    ucontext_t first;
    getcontext(&first);
    first.uc_stack.ss_sp = stacks + thread * STACK_BYTES;
    first.uc_stack.ss_size = STACK_BYTES;
    makecontext(&first, fiber, 0);
    if (!__builtin_setjmp(scheduler)) setcontext(&first);
}

// Returns 0, or the line of a barrier that not all threads of a block reach.
static int run_block(unsigned stride) {
    do {
        vote = 0;
        for (unsigned k = 0; k < THREADS; ++k) {
            threadIdx.x = k * stride % THREADS;
            if (begun)
                change(scheduler, fibers[threadIdx.x]);
            else
                begin(threadIdx.x);
        }
        begun = true;
        decision = vote;
        for (unsigned t = 1; t < THREADS; ++t)
            if (line[t] != line[0]) {
                begun = false;
                return line[t] > line[0] ? line[t] : line[0];
            }
    } while (line[0] != FINISHED);
    return 0;
}

template <class... Types, size_t... Index>
void call(void (*kernel)(Types...), void** args, std::index_sequence<Index...>) {
    kernel(*static_cast<Types*>(args[Index])...);
}

// One block, its threads in the order 0, stride, 2 stride, ... for an odd stride.
inline int run(unsigned blocks, unsigned block, unsigned stride, void (*kernel)(void**), void** args) {
    body = kernel;
    arguments = args;
    gridDim.x = blocks;
    blockIdx.x = block;
    return run_block(stride);
}

template <class... Types>
void call(void (*kernel)(Types...), void** args) {
    call(kernel, args, std::index_sequence_for<Types...>());
}

}  // namespace emulator

#define EMULATE(kernel)                                                                          \
    extern "C" int emulated_##kernel(unsigned blocks, unsigned block, unsigned stride, void** a) { \
        return emulator::run(                                                                    \
            blocks, block, stride, [](void** args) { emulator::call(kernel, args); }, a          \
        );                                                                                       \
    }
