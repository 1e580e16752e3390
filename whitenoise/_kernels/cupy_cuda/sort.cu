// Sorting segments of any length: tiles of TILE entries in shared memory, then merges.
//
// An entry is a value, as an integer in the same order, and an index. Equal values are ordered by a
// tie key, computed from the index only when it is asked for. So the order is total and strict.

struct __align__(REAL_BITS / 4) Entry {
    Bits key;
    Word index;
};

const Bits SIGN = Bits(1) << (REAL_BITS - 1);

#if REAL_BITS == 32
__device__ inline Bits bits_of(Real x) { return __float_as_uint(x); }
__device__ inline Real from_bits(Bits bits) { return __uint_as_float(bits); }
#else
__device__ inline Bits bits_of(Real x) { return Bits(__double_as_longlong(x)); }
__device__ inline Real from_bits(Bits bits) { return __longlong_as_double((long long)bits); }
#endif

// Both zeros have one key.
__device__ inline Bits order_key(Real x) {
    Bits bits = x == 0 ? 0 : bits_of(x);
    return bits & SIGN ? ~bits : bits | SIGN;
}

__device__ inline Real value_of(Bits key) { return from_bits(key & SIGN ? key ^ SIGN : ~key); }

// Neighbours in a column of a tile of 16 or 64 columns would share a memory bank without the gaps.
const Word TILE_CELLS = TILE + TILE / 32;

__device__ inline Word cell(Word slot) { return slot + slot / 32; }

// Units of work for a block: every `step`-th one from `first`.
struct Share {
    Word first, step;
};

__device__ inline Share of_grid() { return {blockIdx.x, gridDim.x}; }

__device__ inline Share of_block() { return {0, 1}; }

// Segments `first`, `first + 1`, ... of an array of segments of equal length. A long one is cut
// into runs of TILE entries; short ones, padded to powers of two, share a tile.
struct Segments {
    Word first, count, length, runs_each, padded_log, padded;

    __device__ Segments(Word first, Word count, Word length)
        : first(first), count(count), length(length), runs_each((length - 1) / TILE + 1) {
        padded_log = 0;
        while ((Word(1) << padded_log) < smaller(length, TILE)) ++padded_log;
        padded = Word(1) << padded_log;
    }

    __device__ Word runs() const { return count * runs_each; }
    __device__ Word segment(Word run) const { return first + run / runs_each; }
    __device__ Word start(Word run) const { return run % runs_each * TILE; }
    __device__ Word held(Word run) const { return smaller(TILE, length - start(run)); }
};

template <class Tie>
__device__ bool before(Entry a, Entry b, Tie tie) {
    if (a.key != b.key) return a.key < b.key;
    Word first = tie(a.index), second = tie(b.index);
    return first != second ? first < second : a.index < b.index;
}

// A bitonic network whose comparators all point the same way (each round begins with a mirrored
// one), so that entries past the end of a run, from `held` on, need not exist.
template <class Tie>
__device__ void sort_in_tile(
    Entry* tile, Segments s, Word first_run, Word used, Word held, Tie tie
) {
    for (Word size = 2; size <= s.padded; size *= 2) {
        for (Word stride = size / 2; stride; stride /= 2) {
            __syncthreads();
            for (Word pair = threadIdx.x; pair < used / 2; pair += THREADS) {
                Word low = 2 * pair - (pair & (stride - 1));
                Word high = stride == size / 2 ? low ^ (size - 1) : low + stride;
                if ((high & (s.padded - 1)) >= held) continue;
                Entry a = tile[cell(low)], b = tile[cell(high)];
                auto own_tie = [&](Word index) {
                    return tie(s.segment(first_run + (low >> s.padded_log)), index);
                };
                if (before(b, a, own_tie)) {
                    tile[cell(low)] = b;
                    tile[cell(high)] = a;
                }
            }
        }
    }
    __syncthreads();
}

// Sort each run. Whole segments go to `store`, runs of longer ones to the array `to`.
template <class Load, class Store, class Tie>
__device__ void sort_runs(
    Entry* tile, Segments s, Share share, Entry* to, Load load, Store store, Tie tie
) {
    Word per_tile = TILE >> s.padded_log;
    for (Word unit = share.first; unit * per_tile < s.runs(); unit += share.step) {
        Word first_run = unit * per_tile, runs = smaller(per_tile, s.runs() - first_run);
        Word used = runs << s.padded_log, held = s.held(first_run);  // all runs of a tile are equal
        for (Word slot = threadIdx.x; slot < used; slot += THREADS) {
            Word run = first_run + (slot >> s.padded_log), place = slot & (s.padded - 1);
            if (place < held)
                tile[cell(slot)] = load(s.segment(run), s.start(run) + place);
        }
        sort_in_tile(tile, s, first_run, used, held, tie);
        // Neighbouring threads store neighbouring segments: those are adjacent after transposition.
        for (Word k = threadIdx.x; k < used; k += THREADS) {
            Word run = first_run + k % runs, place = k / runs;
            if (place >= held) continue;
            Entry e = tile[cell((k % runs << s.padded_log) + place)];
            if (to)
                to[Index(s.segment(run)) * s.length + s.start(run) + place] = e;
            else
                store(s.segment(run), place, e);
        }
        __syncthreads();
    }
}

// How many of `n` sorted entries come before `e`.
template <class Tie>
__device__ Word count_before(const Entry* sorted, Word n, Entry e, Tie tie) {
    Word low = 0;
    while (low < n) {
        Word middle = (low + n) / 2;
        if (before(sorted[middle], e, tie))
            low = middle + 1;
        else
            n = middle;
    }
    return low;
}

// How many of the first `total` entries of two merged runs come from the first ("merge path").
template <class Tie>
__device__ Word split(const Entry* a, Word n_a, const Entry* b, Word n_b, Word total, Tie tie) {
    Word low = total > n_b ? total - n_b : 0, high = smaller(total, n_a);
    while (low < high) {
        Word middle = (low + high) / 2;
        if (before(a[middle], b[total - 1 - middle], tie))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// Merge neighbouring runs of `run` entries of `from`, each block TILE results at a time.
template <class Store, class Tie>
__device__ void merge_runs(
    Entry* tile, Segments s, Share share, Word run, const Entry* from, Entry* to, Store store,
    Tie tie
) {
    __shared__ Word cut[2];
    for (Word unit = share.first; unit < s.runs(); unit += share.step) {
        Word segment = s.segment(unit), start = s.start(unit), base = start - start % (2 * run);
        const Entry* a = from + Index(segment) * s.length + base;
        Word n_a = smaller(run, s.length - base), n_b = smaller(run, s.length - base - n_a);
        const Entry* b = a + n_a;
        Word first = start - base, last = smaller(first + TILE, n_a + n_b);
        auto own_tie = [&](Word index) { return tie(segment, index); };
        if (threadIdx.x < 2)
            cut[threadIdx.x] = split(a, n_a, b, n_b, threadIdx.x ? last : first, own_tie);
        __syncthreads();
        Word skip_a = cut[0], from_a = cut[1] - cut[0], skip_b = first - skip_a;
        Word used = last - first, from_b = used - from_a;
        for (Word k = threadIdx.x; k < used; k += THREADS)
            tile[k] = k < from_a ? a[skip_a + k] : b[skip_b + k - from_a];
        __syncthreads();
        for (Word k = threadIdx.x; k < used; k += THREADS) {
            Entry e = tile[k];
            Word place = start + (k < from_a
                ? k + count_before(tile + from_a, from_b, e, own_tie)
                : k - from_a + count_before(tile, from_a, e, own_tie));
            if (to)
                to[Index(segment) * s.length + place] = e;
            else
                store(segment, place, e);
        }
        __syncthreads();
    }
}

// One step of a sort: of the runs if `run` is 0, else a merge of runs of that length. Steps pass
// entries on through `one` and `two` in turn; the last hands them to `store`.
template <class Load, class Store, class Tie>
__device__ void sort_step(
    Entry* tile, Segments s, Share share, Word run, Entry* one, Entry* two, Load load, Store store,
    Tie tie
) {
    bool last = (run ? 2 * run : TILE) >= s.length;
    if (!run) {
        sort_runs(tile, s, share, last ? nullptr : one, load, store, tie);
        return;
    }
    Entry *from = one, *to = two;
    for (Word merged = TILE; merged < run; merged *= 2) {
        Entry* other = from;
        from = to;
        to = other;
    }
    merge_runs(tile, s, share, run, from, last ? nullptr : to, store, tie);
}

// All steps, by one block.
template <class Load, class Store, class Tie>
__device__ void sort_alone(
    Entry* tile, Segments s, Entry* one, Entry* two, Load load, Store store, Tie tie
) {
    for (Word run = 0; run < s.length; run = run ? 2 * run : TILE) {
        sort_step(tile, s, of_block(), run, one, two, load, store, tie);
        __syncthreads();
    }
}
