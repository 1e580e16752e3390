// Linear maps: butterflies of power-of-two lengths, and the packing of real Fourier transforms.

__device__ inline Index rotated(Index i, Index levels, Index by) {
    Index mask = (Index(1) << levels) - 1, low = i & mask;
    return (i & ~mask) | (low >> by) | ((low << (levels - by)) & mask);
}

// Steps of a butterfly on segments of 2^levels entries. Step t pairs neighbours and moves each
// entry i to i with its lowest bit made the highest, so in place it pairs what differs in bit
// t mod levels, and only the last launch moves entries (the first, of the adjoint).
//
// A block holds 2^held entries: those that share all bits but the `near` lowest and the ones from
// `far` on. So it can take every step on those bits.
extern "C" __global__ void __launch_bounds__(THREADS) butterfly(
    const Real* x, Real* y, Index total, Index levels, Index held, Index near, Index far,
    Index first, Index steps, Index turn, Index rotate_in, Index rotate_out
) {
    __shared__ Real cells[1 << HELD_BITS];
    Index entries = Index(1) << held, near_mask = (Index(1) << near) - 1, base;
    if (levels > held) {
        Index spread = levels - held, column = blockIdx.x & ((Index(1) << spread) - 1);
        base = (Index(blockIdx.x) >> spread << levels) | (column << near);
    } else {
        base = Index(blockIdx.x) << held;
    }
    auto index = [&](Index k) { return base | ((k >> near) << far) | (k & near_mask); };
    for (Index k = threadIdx.x; k < entries; k += THREADS)
        cells[k] = index(k) < total ? x[rotated(index(k), levels, rotate_in)] : Real(0);
    const Real scale = Real(0.7071067811865476);
    for (Index s = 0; s < steps; ++s) {
        Index bit = (first + s * turn) % levels;
        if (bit >= near) bit += near - far;
        Index half = Index(1) << bit;
        __syncthreads();
        for (Index pair = threadIdx.x; pair < entries / 2; pair += THREADS) {
            Index low = 2 * pair - (pair & (half - 1));
            Real a = cells[low], b = cells[low + half];
            cells[low] = scale * (a + b);
            cells[low + half] = scale * (a - b);
        }
    }
    __syncthreads();
    for (Index k = threadIdx.x; k < entries; k += THREADS)
        if (index(k) < total) y[rotated(index(k), levels, rotate_out)] = cells[k];
}

// Where entry i of a packed spectrum of n real numbers comes from, and its factor over sqrt(n).
struct Packed {
    Index from;  // real and imaginary parts in turn
    double factor;

    __device__ Packed(Index i, Index n) : factor(1.4142135623730951) {
        Index pairs = (n - 1) / 2, alone = n - 2 * pairs;
        if (i < alone) {
            from = i ? n : 0;  // the real part of number n / 2 if n is even
            factor = 1;
        } else {
            Index k = i - alone;
            from = k < pairs ? 2 * (k + 1) : 2 * (k - pairs + 1) + 1;
        }
    }
};

extern "C" __global__ void __launch_bounds__(THREADS) pack_fourier(
    const Real* spectrum, Real* packed, Index vectors, Index n, double root
) {
    Index k = Index(blockIdx.x) * THREADS + threadIdx.x;
    if (k >= vectors * n) return;
    Packed entry(k % n, n);
    packed[k] = Real(entry.factor / root) * spectrum[k / n * (n / 2 + 1) * 2 + entry.from];
}

extern "C" __global__ void __launch_bounds__(THREADS) unpack_fourier(
    const Real* packed, Real* spectrum, Index vectors, Index n, double root
) {
    Index k = Index(blockIdx.x) * THREADS + threadIdx.x;
    if (k >= vectors * n) return;
    Packed entry(k % n, n);
    Real* own = spectrum + k / n * (n / 2 + 1) * 2;
    own[entry.from] = Real(1 / (entry.factor * root)) * packed[k];
    if (entry.factor == 1) own[entry.from + 1] = 0;
}
