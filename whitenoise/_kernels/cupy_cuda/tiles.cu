// Means and norms of tiles, and tiles moved to other ones (see sets.Tiles.split and nearest.py).
//
// Every sum is in the order of `_arrays.total`, so the bits are those of the generic path. What a
// tile is read for more than once, it finds in the cache.

// A tile and the `lanes` neighbouring threads that take it. The last groups may have no tile, and
// take part in sums with nothing to add: all threads of a block pass the same barriers.
struct Group {
    Index tile, first, size, tile_size;
    Word lane, lanes;
    Real* work;  // as many entries as the tile

    // Tiles that do not fit shared memory are folded in `scratch`, which is null for others.
    __device__ Group(Index count, Index tile_size, Index lanes, Real* shared, Real* scratch)
        : tile((Index(blockIdx.x) * THREADS + threadIdx.x) / lanes),
          first(tile * tile_size),
          size(tile < count ? tile_size : 0),
          tile_size(tile_size),
          lane(threadIdx.x & Word(lanes - 1)),
          lanes(Word(lanes)),
          work(scratch ? scratch + first : shared + (threadIdx.x / lanes) * (tile_size | 1)) {}

    // Combine the second half with the first, again and again.
    template <class Entry, class Combine>
    __device__ Real fold(Entry entry, Combine combine) const {
        __syncthreads();
        for (Index k = lane; k < size; k += lanes) work[k] = entry(k);
        for (Index n = tile_size; n > 1; n -= n / 2) {
            __syncthreads();
            for (Index k = lane; size && k < n / 2; k += lanes) {
                work[k] = combine(work[k], work[n / 2 + k]);
                if (k == 0 && n % 2) work[n / 2] = work[n - 1];  // only this thread uses both
            }
        }
        __syncthreads();
        return size ? work[0] : 0;
    }

    template <class Entry>
    __device__ Real total(Entry entry) const {
        return fold(entry, [](Real a, Real b) { return a + b; });
    }

    // The largest modulus, or 1 if that is zero.
    template <class Entry>
    __device__ Real scale(Entry entry) const {
        auto modulus = [&](Index k) {
            Real e = entry(k);
            return e < 0 ? -e : e;
        };
        Real most = fold(modulus, larger);
        return most > 0 ? most : 1;
    }

    template <class Entry>
    __device__ Real norm(Entry entry) const {
        Real unit = scale(entry);
        return unit * sqrt(total([&](Index k) {
            Real e = entry(k) / unit;
            return e * e;
        }));
    }
};

// A tile in units of its largest entry: nothing overflows, and no digit of a denormal is lost.
struct Tile {
    const Real* x;
    Real scale, mean, rest, norm;  // `rest`: the mean is rounded, so the tile is centred twice

    __device__ Tile(const Real* x, const Group& group) : x(x + group.first), mean(0), rest(0) {
        scale = group.scale([&](Index k) { return this->x[k]; });
        auto own = [&](Index k) { return centred(k); };
        mean = group.total(own) / Real(group.tile_size);
        rest = group.total(own) / Real(group.tile_size);
        norm = group.norm(own);  // zero for a constant tile, whose mean is exact
    }

    __device__ Real centred(Index k) const { return x[k] / scale - mean - rest; }

    __device__ Real own_mean() const { return (mean + rest) * scale; }
};

// What a block holds; see `_tile_lanes` in launch.py.
const Word WORK = TILE + TILE / 8;

extern "C" __global__ void __launch_bounds__(THREADS) tile_fields(
    const Real* x, Real* scratch, Real* z, Real* radius, Index count, Index tile_size, Index lanes,
    Index in_scratch, double root
) {
    __shared__ Real shared[WORK];
    Group group(count, tile_size, lanes, shared, in_scratch ? scratch : nullptr);
    Tile tile(x, group);
    if (group.lane || !group.size) return;
    z[group.tile] = tile.own_mean() * Real(root);
    radius[group.tile] = tile.norm * tile.scale;
}

// Standard normal number of an entry, as Stream.normal of whitenoise._random.
__device__ inline Real normal(Stream ties, Index k) {
    Stream other(ties.second, mixed(ties.first));
    Real radius = (Real(ties.key(k)) + Real(0.5)) * Real(0x1p-32);
    Real angle = (Real(other.key(k)) + Real(0.5)) * Real(0x1p-32);
    return sqrt(Real(-2) * log(radius)) * cos(Real(6.283185307179586) * angle);
}

extern "C" __global__ void __launch_bounds__(THREADS) move_tiles(
    const Real* x, Real* scratch, Real* y, const Real* z, const Real* radius,
    const Real* typical_z, const Real* typical_radius, Index count, Index tile_size, Index lanes,
    Index in_scratch, double root, Index keep_mean, Seed seed
) {
    __shared__ Real shared[WORK];
    Group group(count, tile_size, lanes, shared, in_scratch ? scratch : nullptr);
    Tile tile(x, group);
    Index own = group.size ? group.tile : 0;
    Real energy = typical_radius[own];
    bool kept = typical_z[own] == z[own] && energy == radius[own];
    bool directed = group.size && tile.norm == 0 && energy > 0 && !kept;
    Real* to = y + group.first;
    Real middle = 0, length = 1;
    if (__syncthreads_or(directed)) {
        Stream ties(seed);
        if (directed)
            for (Index k = group.lane; k < group.size; k += group.lanes)
                to[k] = normal(ties, group.first + k);
        auto noise = [&](Index k) { return directed ? to[k] - middle : Real(0); };
        middle = group.total(noise) / Real(tile_size);
        length = group.norm(noise);
    }
    Real mean = keep_mean ? tile.own_mean() : typical_z[own] / Real(root);
    for (Index k = group.lane; k < group.size; k += group.lanes) {
        Real around = directed ? (to[k] - middle) / length
            : tile.norm > 0 ? tile.centred(k) / tile.norm : 0;
        to[k] = kept ? tile.x[k] : mean + energy * around;
    }
}
