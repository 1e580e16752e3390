// The nearest doubly sorted matrix within bounds, for a batch of matrices (see two_level.py).
//
// Per-entry scratch is stored column by column: entry (row, place in the sorted row) of a matrix is
// at `at(matrix, place, row)`, so that a column is a segment for the sort.

// What the repair of a matrix keeps of each entry: its value and its first rank.
struct __align__(REAL_BITS / 4) Repair {
    Real clipped;
    Word start;
};

// Filled, field by field, by `Launcher.two_level`.
struct Matrices {
    const Real *vectors, *lower, *upper;  // the bounds transposed
    Real* point;
    double *distance, *bound;
    Entry *columns, *other, *spare;  // one array if no segment is longer than a tile
    Repair* repair;  // in place of `spare`, which only the first sort of rows uses
    Word *order, *rank, *stuck_row;
    double* partial;
    Index batch, rows, width;
    Seed row_seed, column_seed;

    __device__ Index at(Word matrix, Word place, Word row) const {
        return (Index(matrix) * width + place) * rows + row;
    }
    __device__ const Real* row_of(Word row) const { return vectors + Index(row) * width; }
};

// Entries of the two bounds and of the input that a block holds at a time.
const Word CELLS = TILE / 2;

union Shared {
    Entry tile[TILE_CELLS];
    struct {
        Real low[CELLS], high[CELLS], staged[CELLS];
    } bounds;
    double sums[THREADS];
};

// Sort rows (numbered over the whole batch) and transpose: `order` is the place in its row that
// each sorted entry came from.
__device__ void rank_rows_step(
    const Matrices& m, Entry* tile, Segments rows, Share share, Word run
) {
    Stream ties(m.row_seed);
    auto load = [&](Word row, Word place) {
        return Entry{order_key(m.row_of(row)[place]), place};
    };
    auto store = [&](Word row, Word place, Entry e) {
        Index to = m.at(row / Word(m.rows), place, row % Word(m.rows));
        m.order[to] = e.index;
        m.columns[to] = Entry{e.key, row % Word(m.rows)};
    };
    auto tie = [&](Word row, Word place) { return ties.key(Index(row) * m.width + place); };
    sort_step(tile, rows, share, run, m.other, m.spare, load, store, tie);
}

// Sort columns (numbered over the whole batch). Equal rows come in one order in all columns.
__device__ void rank_columns_step(
    const Matrices& m, Entry* tile, Segments columns, Share share, Word run
) {
    Stream ties(m.column_seed);
    auto load = [&](Word column, Word place) { return m.columns[Index(column) * m.rows + place]; };
    auto store = [&](Word column, Word place, Entry e) {
        m.rank[Index(column) * m.rows + e.index] = place;
    };
    auto tie = [&](Word column, Word row) {
        return ties.key(Index(column / Word(m.width)) * m.rows + row);
    };
    // The runs of the first step may overwrite their own source.
    sort_step(tile, columns, share, run, m.columns, m.other, load, store, tie);
}

// Inclusive running maximum over the columns of `rows` rows, column by column in memory, after
// R. P. Brent and H. T. Kung: no step reads what it writes elsewhere.
__device__ void running_max(Real* cells, Word rows, Word columns) {
    Word shift = 1;
    for (; shift < columns; shift *= 2) {
        __syncthreads();
        for (Word k = threadIdx.x; k < columns / (2 * shift) * rows; k += THREADS) {
            Word last = ((k / rows + 1) * 2 * shift - 1) * rows + k % rows;
            cells[last] = larger(cells[last], cells[last - shift * rows]);
        }
    }
    for (shift /= 2; shift; shift /= 2) {
        __syncthreads();
        for (Word k = threadIdx.x; k < (columns - shift) / (2 * shift) * rows; k += THREADS) {
            Word last = ((k / rows + 1) * 2 * shift - 1 + shift) * rows + k % rows;
            cells[last] = larger(cells[last], cells[last - shift * rows]);
        }
    }
    __syncthreads();
}

// What the assigned ranks lead to: how far the point moves, the lower bound of that, and whether
// some row has no nondecreasing point between its bounds.
struct Outcome {
    Length moved, bound;
    int stuck = 0;

    __device__ void over_block(double* shared) {
        moved.over_block(shared);
        bound.over_block(shared);
        stuck = __syncthreads_or(stuck);
    }
};

// Rows whose bounds a block holds at a time, at an odd distance to spread them over memory banks.
__device__ inline Word rows_at_once(const Matrices& m) {
    Word pitch = Word(m.width) | 1;
    return pitch < CELLS ? CELLS / pitch : 1;
}

// Clip rows of one matrix between the running bounds of their ranks. A row that is longer than
// shared memory is taken in windows, from right to left for the upper bound, which waits in the
// place of the result, then from left to right.
__device__ void assign(
    const Matrices& m, Shared& shared, Word matrix, Share share, Outcome& outcome
) {
    Real *low = shared.bounds.low, *high = shared.bounds.high, *staged = shared.bounds.staged;
    Word width = Word(m.width), pitch = width | 1, at_once = rows_at_once(m);
    bool fits = pitch <= CELLS;
    Word window = fits ? width : CELLS, windows = (width - 1) / window + 1;
    const Real none = from_bits(~Bits(0) << (REAL_BITS == 32 ? 23 : 52));  // minus infinity
    for (Word unit = share.first; Index(unit) * at_once < m.rows; unit += share.step) {
        Word row = unit * at_once, rows = smaller(at_once, Word(m.rows) - row);
        Word* stuck_row = m.stuck_row + Index(matrix) * m.rows + row;
        const Real* x = m.vectors + (Index(matrix) * m.rows + row) * width;
        Real* y = m.point + (Index(matrix) * m.rows + row) * width;
        for (Word k = threadIdx.x; k < rows; k += THREADS) stuck_row[k] = 0;
        if (fits)
            for (Word k = threadIdx.x; k < rows * width; k += THREADS)
                staged[k / width * pitch + k % width] = x[k];

        Real beyond = none;
        for (Word w = windows; w-- > 0;) {  // negated and reversed, so that a minimum is a maximum
            Word first = w * window, columns = smaller(window, width - first);
            for (Word k = threadIdx.x; k < rows * columns; k += THREADS) {
                Word j = k / rows, r = k % rows;
                Word rank = m.rank[m.at(matrix, first + j, row + r)];
                high[(columns - 1 - j) * rows + r] = -m.upper[Index(first + j) * m.rows + rank];
            }
            running_max(high, rows, columns);
            if (fits) break;
            for (Word k = threadIdx.x; k < columns; k += THREADS)
                y[m.order[m.at(matrix, first + k, row)]] = larger(beyond, high[columns - 1 - k]);
            beyond = larger(beyond, high[columns - 1]);
            __syncthreads();
        }

        Real so_far = none;
        for (Word w = 0; w < windows; ++w) {
            Word first = w * window, columns = smaller(window, width - first);
            for (Word k = threadIdx.x; k < rows * columns; k += THREADS) {
                Word j = k / rows, r = k % rows;
                Word rank = m.rank[m.at(matrix, first + j, row + r)];
                low[k] = m.lower[Index(first + j) * m.rows + rank];
            }
            running_max(low, rows, columns);
            for (Word k = threadIdx.x; k < rows * columns; k += THREADS) {
                Word j = k / rows, r = k % rows;
                Index here = m.at(matrix, first + j, row + r);
                Index bounds = Index(first + j) * m.rows + m.rank[here];
                Word place = m.order[here];
                Real least = larger(so_far, low[k]);
                Real most = -(fits ? high[(columns - 1 - j) * rows + r] : y[place]);
                Real value = fits ? staged[r * pitch + place] : x[place];
                Real moved = clip(value, least, most);
                if (fits)
                    staged[r * pitch + place] = moved;
                else
                    y[place] = moved;
                outcome.moved.add(value - moved);
                outcome.bound.add(value - clip(value, m.lower[bounds], m.upper[bounds]));
                if (least > most) {
                    outcome.stuck = 1;
                    stuck_row[r] = 1;
                }
            }
            so_far = larger(so_far, low[columns - 1]);  // used if there is one row
            __syncthreads();
        }
        if (fits)
            for (Word k = threadIdx.x; k < rows * width; k += THREADS)
                y[k] = staged[k / width * pitch + k % width];
        __syncthreads();
    }
}
