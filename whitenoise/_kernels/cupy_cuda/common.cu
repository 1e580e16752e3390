// What all kernels share: types, random keys, sums in a fixed order, lengths of vectors.
//
// The compiler is given `Sizes` of launch.py and the constants of two_level.py: REAL_BITS, THREADS,
// TILE, HELD_BITS, MAX_PASSES, GOLDEN.

#if REAL_BITS == 32
typedef float Real;
typedef unsigned int Bits;
#else
typedef double Real;
typedef unsigned long long Bits;
#endif

// 32 bits number rows, columns and places: 2^32 of them would not fit a device beside their sorts.
typedef unsigned int Word;
typedef long long Index;

__device__ inline Real larger(Real a, Real b) { return a > b ? a : b; }

__device__ inline Word smaller(Word a, Word b) { return a < b ? a : b; }

// As the array API clips: a value within its bounds keeps its bits, and so the sign of zero.
__device__ inline Real clip(Real x, Real low, Real high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

// The keys of whitenoise._random.

__device__ inline Word mixed(Word x) {
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15)) * 0x846CA68Bu;
    return x ^ (x >> 16);
}

// Words of a stream: numbers, or, where there is an address, on the device.
struct Seed {
    const Index *first_at, *second_at;
    Index first, second;
};

struct Stream {
    Word first, second;

    __device__ explicit Stream(Seed s)
        : first(Word(s.first_at ? *s.first_at : s.first)),
          second(Word(s.second_at ? *s.second_at : s.second)) {}

    __device__ Stream(Word first, Word second) : first(first), second(second) {}

    __device__ Word key(Index k) const { return mixed(mixed(Word(k) ^ first) + second); }
};

// Sum over the threads of a block, always in the same order.
__device__ inline double block_sum(double value, double* shared) {
    Word own = threadIdx.x;
    __syncthreads();
    shared[own] = value;
    for (Word half = THREADS / 2; half; half /= 2) {
        __syncthreads();
        if (own < half) shared[own] += shared[own + half];
    }
    __syncthreads();
    return shared[0];
}

// Euclidean length by J. L. Blue's method (ACM TOMS 4, 1978): squares are summed apart, and scaled,
// where they would overflow or underflow, so that one pass does.
struct Length {
    double small, middle, large;

    __device__ Length() : small(0), middle(0), large(0) {}

    __device__ void add(double x) {
        x = x < 0 ? -x : x;
        if (x > 0x1p486) {
            x *= 0x1p-538;
            large += x * x;
        } else if (x < 0x1p-511) {
            x *= 0x1p537;
            small += x * x;
        } else {
            middle += x * x;
        }
    }

    __device__ void over_block(double* shared) {
        small = block_sum(small, shared);
        middle = block_sum(middle, shared);
        large = block_sum(large, shared);
    }

    __device__ double value() const {
        if (large > 0) return sqrt(large + middle * 0x1p-538 * 0x1p-538) * 0x1p538;
        double a = sqrt(middle), b = sqrt(small) * 0x1p-537;
        if (b == 0) return a;
        double longer = a > b ? a : b, ratio = (a > b ? b : a) / longer;
        return longer * sqrt(1 + ratio * ratio);
    }
};
